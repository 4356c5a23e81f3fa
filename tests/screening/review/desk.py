"""Cases for tests, made as the worker makes them but of rows that appear in no ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from screening.infra.database import Database
from screening.ledger.fields import ENTITIES
from screening.ledger.identity import TransactionId
from screening.review import opening
from screening.review.flagged import item_of
from screening.review.tables import Case

MOMENT = datetime(2026, 11, 20, 12)  # noqa: DTZ001 -- as rows of the ledger have it
ORIGIN = bytes.fromhex("019bf52b7c1e7f408a3d5c2e")


def database(url: str) -> Database:
    found = Database(url)
    found.create_tables()
    return found


def row(number: int, **changes: Any) -> dict[str, Any]:
    """A flagged row of the ledger."""
    return {
        **dict.fromkeys(ENTITIES),
        "origin": ORIGIN,
        "number": number,
        "screening": None,
        "owner": "ana",
        "decided_at": MOMENT,
        "event_time": None,
        "detector": "payments",
        "probability": 0.9,
        "threshold": 0.8,
        "flagged": True,
        "amount": 10_000,
        "currency": None,
        "fraud_type": None,
        "label": None,
        "rules": None,
        "reasons": ["Amount 100.00, far above the usual 1 to 5"],
        **changes,
    }


def id_of(number: int) -> str:
    return str(TransactionId(ORIGIN, number))


def open_cases(kept: Database, rows: Sequence[dict[str, Any]]) -> None:
    """Put rows into cases, as one transaction of the opener does."""
    with kept.write() as session:
        opening.add_rows(session, [(opening.key_of(each), item_of(each), False) for each in rows])


def all_cases(kept: Database) -> list[Case]:
    with kept.read() as session:
        return list(session.scalars(select(Case).order_by(Case.id)))


def aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
