"""Decides on transactions of a program: scores them, keeps each decision in the ledger, and answers.

Every way in calls :func:`decide`: the same transactions get the same answers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from screening.detectors.detector import Detector
from screening.detectors.vectorizer import Seen
from screening.ledger import fields, identity
from screening.ledger.ledger import Ledger
from screening.ledger.tables import API, LATEST_SECONDS
from screening.ledger.tail import Repeatable, microseconds, units
from screening.scoring.score import Probabilities, Scored, own_probabilities, score
from screening.transactions.encoding import plain_text
from screening.transactions.json_records import from_mappings
from screening.transactions.schema import ColumnContract, Transactions, normalise

_json = msgspec.json.encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks for a decision."""

    owner: str
    """The account, in small letters."""
    key: str | None = None
    """The id of the API key, where one was shown."""
    request: str | None = None
    """The number of the request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: what is to be decided, and under which key it may be sent again."""

    transactions: Sequence[Mapping[str, Any]]
    single: bool
    """Whether the answer is one object, and not a list of them."""
    repeatable: Repeatable | None = None


def decide(
    asked: Asked,
    detector: Detector,
    history: Seen,
    caller: Caller,
    ledger: Ledger,
    *,
    threshold: float,
    notes: Sequence[str] = (),
    probabilities: Probabilities = own_probabilities,
) -> bytes:
    """Score transactions, keep the decisions, and return the answer as JSON; it is kept when this returns.

    Args:
        asked: one transaction or some.
        detector: what scores.
        history: earlier rows, for features that look back.
        caller: who asks.
        ledger: where the decisions are kept.
        threshold: from which probability on a transaction is fraud.
        notes: what each answer says of the detector.
        probabilities: who is asked for the probabilities of some rows.

    Raises:
        BadTransaction: a transaction can't be scored; nothing is kept.
        OtherRequest: another request was answered under its key.
    """
    if asked.repeatable is not None:
        first = ledger.tail.answered(asked.repeatable)
        if first is not None:
            return first
    transactions = from_mappings(asked.transactions, detector.contract)
    scored = score(transactions, detector, history, threshold=threshold, probabilities=probabilities)
    now = time.time()
    origin = identity.new_origin(int(now * 1000))
    answers = _answers(scored, detector, origin, threshold, notes)
    body = _json(answers[0] if asked.single else {"results": answers})
    common = {
        "source": API,
        "origin": origin.hex(),
        "request": caller.request,
        "key": caller.key,
        "owner": caller.owner,
        "decided_at": microseconds(datetime.fromtimestamp(now, UTC)),
        "detector": detector.name,
        "fingerprint": detector.fingerprint,
        "threshold": threshold,
    }
    rows = _rows(asked.transactions, transactions, scored, detector.contract, common)
    return ledger.tail.add(caller.owner, rows, body, asked.repeatable)


def _answers(
    scored: Scored, detector: Detector, origin: bytes, threshold: float, said: Sequence[str]
) -> list[dict[str, Any]]:
    return [
        {
            "id": str(identity.TransactionId(origin, number)),
            "fraud": flag,
            "fraud_probability": probability,
            "threshold": threshold,
            "detector": detector.name,
            "reasons": [reason.text for reason in reasons],
            "rules": [],
            "fraud_type": None,
            **({"notes": notes} if notes else {}),
        }
        for number, (probability, flag, reasons, notes) in enumerate(
            zip(
                scored.probabilities.tolist(),
                scored.flagged.tolist(),
                scored.reasons,
                ([*said, *caveats] for caveats in scored.caveats),
                strict=True,
            )
        )
    ]


def _rows(
    given: Sequence[Mapping[str, Any]],
    transactions: Transactions,
    scored: Scored,
    contract: ColumnContract,
    common: Mapping[str, Any],
) -> list[dict[str, Any]]:
    amounts = [math.nan] * len(given)
    if contract.amount is not None:
        amounts = transactions.column(contract.amount).tolist()
    times = transactions.column(contract.time).tolist() if contract.time and contract.has_calendar else []
    rows = []
    for number, mapping in enumerate(given):
        places = _places(tuple(mapping), contract)
        said = {field: text for field, name in places.fields if (text := _text(mapping[name])) is not None}
        moment = times[number] if times else math.nan
        rows.append(
            {
                **common,
                **said,
                "number": number,
                "probability": float(scored.probabilities[number]),
                "flagged": bool(scored.flagged[number]),
                "reasons": [reason.text for reason in scored.reasons[number]] or None,
                "amount": units(amounts[number], said.get("currency")),
                "event_time": round(moment * 1e6) if abs(moment) <= LATEST_SECONDS else None,
                "label": _label(mapping, places.label),
                "values": _json({name: mapping[name] for name in places.needed}).decode(),
            }
        )
    return rows


@dataclass(frozen=True, slots=True)
class _Places:
    """Which keys of a transaction are what."""

    needed: tuple[str, ...]
    """Those that the detector reads: what is needed to score it again."""
    fields: tuple[tuple[str, str], ...]
    """The fields of the ledger, each with its key."""
    label: str | None


@lru_cache(maxsize=64)
def _places(names: tuple[str, ...], contract: ColumnContract) -> _Places:
    wanted = {normalise(column) for column in contract.columns}
    columns = contract.parts()
    label = None if contract.label is None else normalise(contract.label)
    return _Places(
        tuple(name for name in names if normalise(name) in wanted),
        tuple((field, names[place]) for field, place in fields.assign(names, columns).items()),
        next((name for name in names if normalise(name) == label), None),
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, (bool, list, dict)):
        return None
    return plain_text(str(value))


def _label(mapping: Mapping[str, Any], name: str | None) -> int | None:
    """Return what a transaction says itself that it is, if it does: systems replay what they know."""
    value = None if name is None else mapping[name]
    return int(value) if value in {0, 1, "0", "1"} and not isinstance(value, bool) else None
