"""Seals the tail: its oldest rows become a segment, and leave the tail as that one enters the manifest."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from itertools import groupby, repeat
from typing import Any

import msgspec
import pyarrow as pa
from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.orm import Session

from screening.infra.database import Database
from screening.ledger.rows import SCHEMA, fact_type, schema_with
from screening.ledger.segments import Segments
from screening.ledger.tables import API, ShadowCount, ShadowWaiting, TailRow
from screening.ledger.tail import Kept

MOST_SEALED = 20_000
"""Rows of one segment; a request's rows stay together."""
MOST_WAITING = 200_000
"""Rows that may wait for a detector in the shadow."""
BYTES = {"origin"}


class Sealed(Kept):
    """The rows of a request as they are read: what a program sent is handed on as it is, not read again."""

    values: list[msgspec.Raw]


_decode = msgspec.json.Decoder(Sealed).decode
# Without the ORM: a web process answers on the same core while the worker seals.
WAITING = select(TailRow.seq, TailRow.rows, TailRow.payload).order_by(TailRow.seq)


class Sealing:
    """Reads the tail as rows of a segment, and writes them as one."""

    def __init__(self, tables: Database, segments: Segments) -> None:
        self._tables, self._segments = tables, segments
        self._kept: tuple[tuple[int, ...], pa.Table] | None = None
        """The rows as they were read last, and their numbers."""

    def rows(self, session: Session) -> pa.Table:
        """Return all rows as they would appear in a segment, as a session sees them."""
        known = tuple(session.scalars(select(TailRow.seq).order_by(TailRow.seq)))
        # another thread may put another one there
        kept = self._kept
        if kept is None or kept[0] != known:
            some = session.execute(WAITING).all() if known else []
            kept = self._kept = known, table_of([payload for _, _, payload in some])
        return kept[1]

    def seal(self) -> int:
        """Write the oldest rows as a segment, and return how many; 0 where there are none or another one did it."""
        with self._tables.read() as session:
            waiting = session.execute(WAITING.limit(MOST_SEALED)).all()
        count = 0
        numbers: list[int] = []
        payloads: list[bytes] = []
        for number, rows, payload in waiting:
            # a request's rows stay together, so one of more rows than a segment makes one of its own
            if numbers and count + rows > MOST_SEALED:
                break
            numbers.append(number)
            payloads.append(payload)
            count += rows
        if not numbers:
            return 0

        def leave(session: Session) -> bool:
            still = select(func.count()).select_from(TailRow)
            runs = [TailRow.seq.between(first, last) for first, last in runs_of(numbers)]
            # another process was first: what it has sealed must not be entered twice
            if sum(session.scalar(still.where(run)) or 0 for run in runs) != len(numbers):
                return False
            let_shadow_wait(session, runs)
            for run in runs:
                session.execute(delete(TailRow).where(run))
            return True

        return count if self._segments.add(f"{API}-{uuid.uuid4().hex}", API, table_of(payloads), leave) else 0


def runs_of(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of numbers that follow one another; they are given in order.

    The tail is mostly one run: two numbers are quicker sent to the database than two thousand.
    """
    for _, run in groupby(enumerate(numbers), key=lambda each: each[1] - each[0]):
        each = [number for _, number in run]
        yield each[0], each[-1]


def let_shadow_wait(session: Session, runs: Sequence[ColumnElement[bool]]) -> None:
    """Keep what a detector in the shadow hasn't scored yet; where there is no room for it, count it."""
    if session.scalar(select(ShadowCount.run).where(ShadowCount.runs).limit(1)) is None:
        return
    waiting = session.scalar(select(func.sum(ShadowWaiting.rows))) or 0
    for run in runs:
        open_ones = [run, TailRow.shadowed.is_(False)]
        coming = session.scalar(select(func.sum(TailRow.rows)).where(*open_ones)) or 0
        if waiting + coming > MOST_WAITING:
            dropped = update(ShadowCount).where(ShadowCount.runs)
            session.execute(dropped.values(dropped=ShadowCount.dropped + coming))
            continue
        waiting += coming
        kept = select(TailRow.rows, TailRow.payload).where(*open_ones).order_by(TailRow.seq)
        session.execute(insert(ShadowWaiting).from_select(["rows", "payload"], kept))


def table_of(payloads: Sequence[bytes]) -> pa.Table:
    """Return the rows of some requests, as the tail has each, as they appear in a segment."""
    decoded = list(map(_decode, payloads))
    for kept in decoded:
        kept.columns["values"] = [bytes(value).decode() for value in kept.values]
    there = {name for kept in decoded for part in (kept.columns, kept.same) for name in part}
    facts = {name for name in there if fact_type(name) is not None}
    # half of the columns are mostly in none of them: those aren't asked of each
    found: dict[str, list[Any]] = {name: [] for name in there & set(SCHEMA.names) | facts}
    for kept in decoded:
        for name, values in found.items():
            given = kept.columns.get(name)
            if given is not None:
                values.extend(given)
            else:
                values.extend(repeat(kept.same.get(name), kept.rows))
    for name in BYTES & found.keys():
        found[name] = list(map(bytes.fromhex, found[name]))
    # microseconds since 1970 are what a timestamp is
    schema = schema_with(facts)
    rows = sum(kept.rows for kept in decoded)
    return pa.table([_column(found.get(field.name), field.type, rows) for field in schema], schema=schema)


def _column(values: list[Any] | None, kind: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, kind)
    return pa.array(values, pa.int64() if pa.types.is_timestamp(kind) else kind).cast(kind)
