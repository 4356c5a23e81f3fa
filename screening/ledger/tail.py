"""The tail: rows of the API that stand in no segment yet. A request is answered when its rows are here, durably.

One row of the table has all rows of a request, as JSON. The worker seals them: it writes a segment, and in the one
transaction that enters it in the manifest the rows leave the tail.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from screening.errors import ScreeningError
from screening.infra.database import Database
from screening.ledger import money
from screening.ledger.tables import Answered, TailRow

SEAL_ROWS, SEAL_SECONDS = 500, 30.0
"""The tail is sealed when it has so many rows, or when one is so old."""
KEEP_ANSWERS_SECONDS = 24 * 3600.0
"""So long a request may be sent again under its ``Idempotency-Key``."""
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- the ledger's times are UTC without a zone
_encode = msgspec.json.Encoder().encode


class OtherRequest(ScreeningError):
    """A key under which another request was answered."""

    status = 422
    title = "This Idempotency-Key was used for another request"


@dataclass(frozen=True, slots=True)
class Repeatable:
    """Who sent a request under which ``Idempotency-Key``, and its body."""

    owner: str
    key: str
    body: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the body."""
        return hashlib.sha256(self.body).digest()


class Tail:
    """The rows of the API that aren't sealed yet."""

    def __init__(self, tables: Database) -> None:
        self._tables = tables

    def add(
        self,
        owner: str,
        rows: Sequence[dict[str, Any]],
        answer: bytes = b"",
        request: Repeatable | None = None,
    ) -> bytes:
        """Keep the rows of a request, and its answer if it may be repeated, in one transaction.

        Args:
            owner: whose rows they are.
            rows: by the names of :data:`screening.ledger.rows.SCHEMA`, with bytes in hexadecimal and times in
                microseconds since 1970; what is left out is null.
            answer: what the request is answered.
            request: with which key it came, if with one.

        Returns:
            the answer: the first one where the same request was answered meanwhile, and nothing is kept.

        Raises:
            OtherRequest: another request was answered under this key.
        """
        row = TailRow(owner=owner, rows=len(rows), written=time.time(), payload=_encode(rows))
        with self._tables.write() as session:
            if request is not None:
                first = _answered(session, request)
                if first is not None:
                    return first
                session.add(
                    Answered(
                        owner=request.owner,
                        key=request.key,
                        body=request.digest,
                        answer=answer,
                        written=row.written,
                    )
                )
            session.add(row)
        return answer

    def answered(self, request: Repeatable) -> bytes | None:
        """Return what a request was answered under its key; ``None`` for a new one.

        Raises:
            OtherRequest: another request was answered under this key.
        """
        with self._tables.read() as session:
            return _answered(session, request)

    def due(self) -> bool:
        """Whether it is time to seal."""
        with self._tables.read() as session:
            rows, oldest = session.execute(select(func.sum(TailRow.rows), func.min(TailRow.written))).one()
        return bool(rows) and (rows >= SEAL_ROWS or time.time() - oldest >= SEAL_SECONDS)

    def forget_answers(self) -> None:
        """Forget the answers to requests that nobody sends again."""
        with self._tables.write() as session:
            session.execute(delete(Answered).where(Answered.written < time.time() - KEEP_ANSWERS_SECONDS))


def microseconds(moment: datetime) -> int:
    """Return an aware time as a row of the tail has it."""
    return (moment.astimezone(UTC).replace(tzinfo=None) - EPOCH) // timedelta(microseconds=1)


def units(amount: float, currency: str | None) -> int | None:
    """Return an amount as a row of the tail has it; ``None`` for one that there isn't."""
    import numpy as np

    found, there = money.minor(np.array([amount]), money.exponent(currency))
    return int(found[0]) if there[0] else None


def _answered(session: Session, request: Repeatable) -> bytes | None:
    first = session.get(Answered, (request.owner, request.key))
    if first is None:
        return None
    if first.body != request.digest:
        raise OtherRequest(
            "Another request was answered under this Idempotency-Key, and nothing was scored.",
            remedy="Give each request a key of its own, and send the same body when you repeat one.",
        )
    return first.answer
