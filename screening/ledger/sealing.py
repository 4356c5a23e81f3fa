"""Seals the tail: its oldest rows become a segment, and leave the tail as that one enters the manifest."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pyarrow as pa
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from screening.infra.database import Database
from screening.ledger.rows import SCHEMA
from screening.ledger.segments import Segments
from screening.ledger.tables import API, ShadowCount, ShadowWaiting, TailRow
from screening.ledger.tail import EPOCH, Kept

MOST_SEALED = 20_000
"""Rows of one segment; a request's rows stay together."""
MOST_WAITING = 200_000
"""Rows that may wait for a detector in the shadow."""
BYTES = {"origin"}
TIMES = {"decided_at", "event_time"}


class Sealed(Kept):
    """The rows of a request as they are read: what a program sent is handed on as it is, not read again."""

    values: list[msgspec.Raw]


_decode = msgspec.json.Decoder(Sealed).decode


class Sealing:
    """Reads the tail as rows of a segment, and writes them as one."""

    def __init__(self, tables: Database, segments: Segments) -> None:
        self._tables, self._segments = tables, segments
        self._kept: tuple[tuple[int, ...], pa.Table] | None = None
        """The rows as they were read last, and their numbers."""

    def rows(self, session: Session) -> pa.Table:
        """Return all rows as they would stand in a segment, as a session sees them."""
        known = tuple(session.scalars(select(TailRow.seq).order_by(TailRow.seq)))
        kept = self._kept  # another thread may put another one there
        if kept is None or kept[0] != known:
            some = session.scalars(select(TailRow).order_by(TailRow.seq)).all() if known else []
            kept = self._kept = known, table_of(some)
        return kept[1]

    def seal(self) -> int:
        """Write the oldest rows as a segment, and return how many; 0 where there are none or another one did it."""
        with self._tables.read() as session:
            kept = session.scalars(select(TailRow).order_by(TailRow.seq).limit(MOST_SEALED)).all()
        count = 0
        taken: list[TailRow] = []
        for row in kept:
            if taken and count + row.rows > MOST_SEALED:
                break
            taken.append(row)
            count += row.rows
        if not taken:
            return 0
        numbers = [row.seq for row in taken]

        def leave(session: Session) -> bool:
            still = select(func.count()).select_from(TailRow).where(TailRow.seq.in_(numbers))
            if session.scalar(still) != len(numbers):
                return False
            _let_wait(session, numbers)
            session.execute(delete(TailRow).where(TailRow.seq.in_(numbers)))
            return True

        return count if self._segments.add(f"{API}-{uuid.uuid4().hex}", API, table_of(taken), leave) else 0


def _let_wait(session: Session, numbers: Sequence[int]) -> None:
    """Keep what a detector in the shadow hasn't scored yet; where there is no room for it, count it."""
    if session.scalar(select(ShadowCount.run).where(ShadowCount.runs).limit(1)) is None:
        return
    open_ones = [TailRow.seq.in_(numbers), TailRow.shadowed.is_(False)]
    waiting = session.scalar(select(func.sum(ShadowWaiting.rows))) or 0
    coming = session.scalar(select(func.sum(TailRow.rows)).where(*open_ones)) or 0
    if waiting + coming > MOST_WAITING:
        dropped = update(ShadowCount).where(ShadowCount.runs)
        session.execute(dropped.values(dropped=ShadowCount.dropped + coming))
        return
    kept = select(TailRow.rows, TailRow.payload).where(*open_ones).order_by(TailRow.seq)
    session.execute(insert(ShadowWaiting).from_select(["rows", "payload"], kept))


def table_of(rows: Sequence[TailRow]) -> pa.Table:
    """Return the rows of some requests as they stand in a segment."""
    every = [_decode(row.payload) for row in rows]
    columns = []
    for field in SCHEMA:
        values = [value for kept in every for value in _column(kept, field.name)]
        if field.name in BYTES:
            values = [bytes.fromhex(value) for value in values]
        elif field.name in TIMES:
            values = [None if value is None else EPOCH + timedelta(microseconds=value) for value in values]
        columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=SCHEMA)


def _column(kept: Sealed, name: str) -> Sequence[Any]:
    if name == "values":
        return [bytes(value).decode() for value in kept.values]
    return kept.columns.get(name) or [kept.same.get(name)] * kept.rows
