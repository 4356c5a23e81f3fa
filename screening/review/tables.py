"""The tables of cases: what is to be decided, of which transactions, and each act."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Double, Index, Integer, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from screening.infra.database import Base
from screening.infra.job_queue import UtcDateTime

# A longer text is no id, so cases aren't grouped by it.
MOST_VALUE = 200
MOST_NOTE, MOST_REASON, MOST_TYPE = 1000, 200, 64


class CaseState(StrEnum):
    """States of a case."""

    OPEN = "open"
    """It waits for somebody."""
    IN_WORK = "in_work"
    """Somebody has it, and nobody else is given it."""
    DECIDED = "decided"
    REOPENED = "reopened"
    """It was decided, and waits once more."""


WAITING = (CaseState.OPEN, CaseState.REOPENED)


class ReviewOutcome(StrEnum):
    """Outcomes of a review."""

    FRAUD = "fraud"
    LEGITIMATE = "legitimate"
    UNSURE = "unsure"
    """It can't be said: the case is closed, and its transactions get no label."""


class CaseAct(StrEnum):
    """Actions on a case."""

    TAKEN = "taken"
    SKIPPED = "skipped"
    RELEASED = "released"
    """By itself, since nothing was done for too long."""
    HANDED = "handed"
    ESCALATED = "escalated"
    NOTED = "noted"
    DECIDED = "decided"
    CORRECTED = "corrected"
    REOPENED = "reopened"
    UNDONE = "undone"
    SPLIT = "split"
    LABELLED = "labelled"
    """A program said what some of its transactions were; where that is all of them, it decided."""


class Case(Base):
    """Flagged transactions that are decided together: of one customer, card or account, or a single one."""

    __tablename__ = "review_cases"
    __table_args__ = (
        Index("review_by_risk", "waiting", "rank", "probability", "id"),
        Index("review_by_owner", "owner", "waiting", "rank", "probability", "id"),
        Index("review_by_age", "waiting", "opened", "id"),
        Index("review_by_assignee", "assignee", "state"),
        Index("review_by_taken", "state", "taken"),
        Index("review_by_decided", "state", "decided"),
        Index("review_by_entity", "kind", "value"),
        Index("review_untold", "untold"),
        Index("review_sampled", "sampled", "state"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    """Never given twice: the audit log names it."""
    owner: Mapped[str] = mapped_column(String(64))
    """Owner of the transactions."""
    detector: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str | None] = mapped_column(String(16))
    value: Mapped[str | None] = mapped_column(String(MOST_VALUE))
    """The entity that they are of; ``None`` where nothing says."""
    state: Mapped[str] = mapped_column(String(12), default=CaseState.OPEN.value)
    waiting: Mapped[bool] = mapped_column(default=True)
    """Whether the state is one of :data:`WAITING`, for the index that the next case is found by."""
    escalated: Mapped[bool] = mapped_column(default=False)
    """Whether only those who decide on rules and thresholds are given it."""
    assignee: Mapped[str | None] = mapped_column(String(64))
    taken: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Time at which its assignee last did something with it."""
    opened: Mapped[datetime] = mapped_column(UtcDateTime)
    """Time at which the first of its transactions was flagged: its age counts from then on."""
    items: Mapped[int] = mapped_column(Integer)
    loss: Mapped[float] = mapped_column(Double)
    """Expected: the sum of probability times amount, whatever the currencies."""
    rank: Mapped[float] = mapped_column(Double)
    """Rank in the queue: its expected loss, or that of another case for one that was drawn at random."""
    sampled: Mapped[bool] = mapped_column(default=False)
    """Whether its one transaction wasn't flagged and was drawn at random. No page of the queue shows it."""
    probability: Mapped[float] = mapped_column(Double)
    """The highest of its transactions."""
    amount: Mapped[float | None] = mapped_column(Double)
    currency: Mapped[str | None] = mapped_column(String(16))
    """``mixed`` where they have several."""
    fraud_type: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[str | None] = mapped_column(String(12))
    decided: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decided_by: Mapped[str | None] = mapped_column(String(64))
    untold: Mapped[bool] = mapped_column(default=False)
    """Whether the ledger has still to be told of the outcome."""
    version: Mapped[int] = mapped_column(Integer, default=1)
    """Grows with each change."""


class CaseItem(Base):
    """One transaction of a case, as it was in the ledger when the case was opened."""

    __tablename__ = "review_items"
    __table_args__ = (
        Index("review_items_by_case", "case_id"),
        Index("review_items_by_screening", "screening"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    """The transaction's id: no transaction is in two cases."""
    case_id: Mapped[int] = mapped_column(Integer)
    screening: Mapped[str | None] = mapped_column(String(32))
    number: Mapped[int] = mapped_column(Integer)
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)
    event_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    probability: Mapped[float] = mapped_column(Double)
    threshold: Mapped[float] = mapped_column(Double)
    flagged: Mapped[bool]
    """``False`` for one that only a rule raised."""
    amount: Mapped[float | None] = mapped_column(Double)
    currency: Mapped[str | None] = mapped_column(String(16))
    fraud_type: Mapped[str | None] = mapped_column(String(64))
    label: Mapped[int | None] = mapped_column(SmallInteger)
    """That it came with."""
    who: Mapped[dict[str, str]] = mapped_column(JSON)
    """Subjects of the case: values by kind of entity."""
    rules: Mapped[list[str]] = mapped_column(JSON)
    reasons: Mapped[list[str]] = mapped_column(JSON)
    earlier: Mapped[Any] = mapped_column(JSON, nullable=True)
    """The later label that it had before anybody decided: it comes back when the decision is taken back."""


class CaseEvent(Base):
    """One act; nothing changes it but that it is marked as undone."""

    __tablename__ = "review_events"
    __table_args__ = (
        Index("review_events_by_case", "case_id", "id"),
        Index("review_events_by_person", "by", "at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    case_id: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    outcome: Mapped[str | None] = mapped_column(String(12))
    fraud_type: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(MOST_REASON), default="")
    note: Mapped[str] = mapped_column(String(MOST_NOTE), default="")
    target: Mapped[str | None] = mapped_column(String(64))
    """To whom it was handed, or the case that was split off."""
    together: Mapped[str | None] = mapped_column(String(32))
    """Acts of one request have this in common."""
    before: Mapped[Any] = mapped_column(JSON, nullable=True)
    """Earlier state of the case, for taking it back."""
    undone: Mapped[bool] = mapped_column(default=False)


class Skip(Base):
    """Somebody who isn't given a case again."""

    __tablename__ = "review_skips"

    case_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    by: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class LookedAt(Base):
    """A segment of the ledger whose flagged rows are in cases, or the first ones of them."""

    __tablename__ = "review_segments"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    rows: Mapped[int] = mapped_column(Integer)
    """Number of flagged rows that were looked at."""
    done: Mapped[bool]
