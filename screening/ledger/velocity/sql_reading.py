"""Reads the velocity state in SQL: first which rows are wanted, by entity and time, and then these, each once.

A list of two thousand transactions is compared with some hundreds of thousands of rows. So none of them becomes an
object of its own for longer than it takes to put its cells beside the others', and a row that several entities of a
list have is fetched once, with its neighbours. SQLite is fastest when it is asked for one entity after the other, and
for some hundred rows; PostgreSQL, which may be on another machine, for all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import TextClause, text

from screening.features import Past, PastRange
from screening.infra.database import DriverWrite
from screening.ledger.velocity.entries import TrainedSubject, Viewer
from screening.ledger.velocity.state import NumberedRows, past_of, unknown_of

LAST = text("SELECT last, built FROM ledger_velocity_subjects WHERE id = :subject")
SEEN = text(
    "SELECT r.owner, r.shared, e.time FROM ledger_velocity_entities e "
    "JOIN ledger_velocity_rows r ON r.subject = e.subject AND r.seq = e.seq "
    "WHERE e.subject = :subject AND e.place = :place AND e.cell = :cell ORDER BY e.time LIMIT 1000"
)
# as Viewer.sees has it
COUNTS = "(r.owner = :owner OR (r.shared AND :shared) OR :everybody)"
RANGE = (
    "FROM ledger_velocity_entities "
    "WHERE subject = :subject AND place = :place{0} AND cell = :cell{0} AND time >= :since{0} AND time <= :until{0}"
)
NUMBERS = text(f"SELECT group_concat(seq) {RANGE.format('')}")
# a cross join keeps SQLite's planner to this order
FETCHED = f"CROSS JOIN ledger_velocity_rows r WHERE r.subject = :subject AND r.seq = n.seq AND {COUNTS}"
CELLS = "SELECT r.seq, r.label, r.cells FROM"
ROWS = text(f"{CELLS} (SELECT value AS seq FROM json_each(:numbers)) n {FETCHED}")  # noqa: S608 -- names of ours
# an offset keeps PostgreSQL's planner from joining otherwise than by the primary key, one range after the other
MANY_NUMBERS = text(
    "SELECT string_agg(int8send(e.seq), '') FROM unnest(CAST(:places AS smallint[]), "
    "CAST(:cells AS double precision[]), CAST(:since AS double precision[]), CAST(:until AS double precision[])) "
    "AS w (place, cell, since, until) CROSS JOIN LATERAL (SELECT seq FROM ledger_velocity_entities WHERE "
    "subject = :subject AND place = w.place AND cell = w.cell AND time >= w.since AND time <= w.until OFFSET 0) e"
)
MANY_ROWS = text(
    "SELECT string_agg(int8send(r.seq) || int2send(r.label) || r.cells, '') "  # noqa: S608 -- names of ours
    "FROM unnest(CAST(:numbers AS bigint[])) AS n (seq) CROSS JOIN LATERAL (SELECT seq, owner, shared, label, cells "
    f"FROM ledger_velocity_rows WHERE subject = :subject AND seq = n.seq OFFSET 0) r WHERE {COUNTS}"
)
FEW_RANGES = 8
"""So many are asked for by one statement, as for one transaction."""
TOGETHER, MANY_TOGETHER = 512, 16_384
"""Rows that SQLite is asked for at a time, and PostgreSQL."""

Numbers = NDArray[np.int64]
NO_NUMBERS: Numbers = np.empty(0, np.int64)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[int]).decode


class SqlReader:
    """Reads for one question.

    Args:
        read: a transaction.
        is_sqlite: whether it is one of SQLite; else it is one of PostgreSQL.
    """

    def __init__(self, read: DriverWrite, *, is_sqlite: bool) -> None:
        self._read, self._is_sqlite = read, is_sqlite

    def last(self, subject: TrainedSubject) -> tuple[int, bool]:
        """Return the number of the last row that was added, and whether all that the ledger has is there."""
        last, built = self._read.one(LAST, {"subject": subject.number}).fetchone()
        return last, built is not None

    def rows(
        self, subject: TrainedSubject, viewer: Viewer, wanted: Sequence[tuple[int, PastRange]], known: Numbers
    ) -> NumberedRows:
        """Return the wanted rows that count for somebody, without those of known numbers."""
        given: dict[str, Any] = {"subject": subject.number, **viewer._asdict()}
        if not wanted:
            return NumberedRows(NO_NUMBERS, past_of(b"", [], subject.columns))
        if len(wanted) <= FEW_RANGES:
            return without(self._few(subject.columns, wanted, given), known)
        if self._is_sqlite:
            return self._rows(subject.columns, unknown_of(self._numbers(wanted, given), known), given)
        return self._many_rows(subject.columns, unknown_of(self._many_numbers(wanted, given), known), given)

    def _few(
        self, columns: int, wanted: Sequence[tuple[int, PastRange]], given: dict[str, Any]
    ) -> NumberedRows:
        for number, (place, each) in enumerate(wanted):
            given[f"place{number}"], given[f"cell{number}"] = place, each.cell
            given[f"since{number}"], given[f"until{number}"] = each.since, each.until
        rows = self._read.one(rows_of_few(len(wanted)), given).fetchall()
        numbers, labels, cells = zip(*rows, strict=True) if rows else ((), (), ())
        return in_order(NumberedRows(np.array(numbers, np.int64), past_of(b"".join(cells), labels, columns)))

    def _numbers(self, wanted: Sequence[tuple[int, PastRange]], given: dict[str, Any]) -> Numbers:
        parts: list[str] = []
        for place, each in wanted:
            one = {"place": place, "cell": each.cell, "since": each.since, "until": each.until}
            (found,) = self._read.one(NUMBERS, given | one).fetchone()
            if found is not None:
                parts.append(found)
        return np.array(_decode(f"[{','.join(parts)}]"), np.int64)

    def _rows(self, columns: int, numbers: Numbers, given: dict[str, Any]) -> NumberedRows:
        found = [NO_NUMBERS]
        labels: list[int] = []
        cells: list[bytes] = []
        for start in range(0, len(numbers), TOGETHER):
            some = numbers[start : start + TOGETHER]
            listed = some.tolist()
            rows = self._read.one(ROWS, given | {"numbers": _encode(listed).decode()}).fetchall()
            if rows:
                # nothing of a row stays but what is kept of it
                numbers_here, labels_here, cells_here = zip(*rows, strict=True)
                every = numbers_here == tuple(listed)
                found.append(some if every else np.array(numbers_here, np.int64))
                labels += labels_here
                cells.append(b"".join(cells_here))
        return in_order(NumberedRows(np.concatenate(found), past_of(b"".join(cells), labels, columns)))

    def _many_numbers(self, wanted: Sequence[tuple[int, PastRange]], given: dict[str, Any]) -> Numbers:
        ranges = {
            "places": [place for place, _ in wanted],
            "cells": [each.cell for _, each in wanted],
            "since": [each.since for _, each in wanted],
            "until": [each.until for _, each in wanted],
        }
        (found,) = self._read.one(MANY_NUMBERS, given | ranges).fetchone()
        return np.frombuffer(found or b"", ">i8").astype(np.int64)

    def _many_rows(self, columns: int, numbers: Numbers, given: dict[str, Any]) -> NumberedRows:
        parts: list[bytes] = []
        for start in range(0, len(numbers), MANY_TOGETHER):
            some = numbers[start : start + MANY_TOGETHER].tolist()
            (found,) = self._read.one(MANY_ROWS, given | {"numbers": some}).fetchone()
            parts.append(found or b"")
        packed = np.dtype([("number", ">i8"), ("label", ">i2"), ("cells", np.float64, (columns,))])
        rows = np.frombuffer(b"".join(parts), packed)
        past = Past(np.ascontiguousarray(rows["cells"]), rows["label"].astype(np.int8))
        return in_order(NumberedRows(rows["number"].astype(np.int64), past))

    def earliest(self, subject: TrainedSubject, viewer: Viewer, place: int, cell: float) -> float:
        """Return the time of an entity's first row that counts, of the first thousand; infinity if none does."""
        given = {"subject": subject.number, "place": place, "cell": cell}
        for owner, shared, moment in self._read.one(SEEN, given):
            if viewer.sees(owner, shared=bool(shared)):
                return float(moment)
        return np.inf


@lru_cache(maxsize=FEW_RANGES)
def rows_of_few(ranges: int) -> TextClause:
    """Return the statement that reads the rows of so many ranges, each row once."""
    numbers = " UNION ".join(f"SELECT seq {RANGE.format(number)}" for number in range(ranges))
    return text(f"{CELLS} ({numbers}) n {FETCHED}")


def without(rows: NumberedRows, known: Numbers) -> NumberedRows:
    """Return rows but for those of known numbers, ascending."""
    if not len(known):
        return rows
    left = ~np.isin(rows.numbers, known)
    return NumberedRows(rows.numbers[left], Past(rows.past.values[left], rows.past.labels[left]))


def in_order(rows: NumberedRows) -> NumberedRows:
    """Return rows by their numbers, as they mostly are already: no database promises it."""
    if (rows.numbers[1:] > rows.numbers[:-1]).all():
        return rows
    order = np.argsort(rows.numbers)
    return NumberedRows(rows.numbers[order], Past(rows.past.values[order], rows.past.labels[order]))
