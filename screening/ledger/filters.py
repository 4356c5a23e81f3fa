"""Filters of questions to the ledger, and forms of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from screening.errors import ScreeningError
from screening.ledger import identity, money

MOST_GROUPS = 1000
NO_CURRENCY = ""


class Unanswered(ScreeningError):
    """A question that the ledger has no answer to at the moment; other questions have theirs."""

    status = 503
    title = "There is no answer at the moment"


class TooMuch(Unanswered):
    """A question that takes too long or too much memory."""

    title = "This question is too large"


class DamagedLedger(Unanswered):
    """A question about decisions whose segment is damaged or gone."""

    title = "A part of the ledger is damaged"


class Basis(StrEnum):
    """Definitions of a fraud case."""

    FLAGGED = "flagged"
    """A row that the detector flagged."""
    CONFIRMED = "confirmed"
    """A row that turned out to be fraud: by its label in the file, or by one that came later."""


class TrendInterval(StrEnum):
    """Intervals by which trends are counted."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFilter:
    """Filter of the rows of a question; ``None`` is all."""

    owner: str | None = None
    """Owner of the rows; ``None`` for those who may see everybody's."""
    start: datetime | None = None
    """From when on, included."""
    end: datetime | None = None
    """Until when, left out."""
    decided_from: datetime | None = None
    """From when on it was decided, included; whenever it happened."""
    detector: str | None = None
    fingerprint: str | None = None
    fraud_type: str | None = None
    country: str | None = None
    source: str | None = None
    screening: str | None = None
    flagged: bool | None = None
    label: int | None = None
    min_probability: float | None = None
    max_probability: float | None = None
    """Below this."""
    min_amount: float | None = None
    """As people write it, whatever the currency."""
    max_amount: float | None = None
    """Below this."""
    currency: str | None = None
    """:data:`NO_CURRENCY` for rows of which nothing says it."""
    browser: str | None = None
    entity: tuple[str, str] | None = None
    """A kind and a value."""
    origin: bytes | None = None
    basis: Basis = Basis.FLAGGED


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows of an answer, and by which time they were chosen: ``event``, ``decided``, or ``mixed``."""

    rows: list[dict[str, Any]]
    time_basis: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page: the next one begins after it."""

    decided_at: datetime
    id: identity.TransactionId


GROUPS = {
    "country": "country",
    "device_id": "device",
    "browser": "browser",
    "fraud_type": "fraud_type",
    "detector": "detector",
}
"""Names of the answers by group, and the field of each."""


def amounts(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return sums of money over rows of one answer: each as people write it, and whose currency it is.

    Amounts of several currencies aren't added up: ``currency`` is ``"mixed"`` and the sums are ``None``.

    Args:
        rows: of an answer, each with ``currency`` and the sums in minor units.
        names: which sums.
    """
    currencies = {row["currency"] for row in rows if any(row[name] is not None for name in names)}
    if len(currencies) > 1:
        return {**dict.fromkeys(names), "currency": "mixed"}
    currency = next(iter(currencies), None)
    return {
        **{name: money.major(sum(row[name] or 0 for row in rows), currency) for name in names},
        "currency": currency,
    }
