"""Totals of the ledger: how many rows were decided, by detector and source, since it began.

They only grow, whatever is deleted or expires, and a row counts once. Rows of files are counted in the transaction that
enters their segment, those of the API and of streams in the one that seals them. Until then the tail has them, and
whoever asks reads both in one statement: counting costs a decision nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import CursorResult, LargeBinary, null, select, text, type_coerce, union_all
from sqlalchemy.orm import Session

from screening.infra.database import Database
from screening.ledger.tables import TailRow, Total

if TYPE_CHECKING:
    import pyarrow as pa  # web processes do without it

# Highest probability of each range. Totals only grow, so an edge that is added later counts from then on.
EDGES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_EDGES = np.array(EDGES, np.float32)
GROW = text(
    "INSERT INTO ledger_totals (detector, source, up_to, rows, flagged, probability) "
    "VALUES (:detector, :source, :up_to, :rows, :flagged, :probability) "
    "ON CONFLICT (detector, source, up_to) DO UPDATE SET rows = ledger_totals.rows + excluded.rows, "
    "flagged = ledger_totals.flagged + excluded.flagged, "
    "probability = ledger_totals.probability + excluded.probability"
)
NOTE = text("INSERT INTO ledger_counted (screening) VALUES (:screening) ON CONFLICT (screening) DO NOTHING")


@dataclass(slots=True)
class Totals:
    """Counts of one detector and source."""

    detector: str
    source: str
    rows: NDArray[np.int64]
    """(ranges,): how many rows have a probability in each of :data:`EDGES`' ranges."""
    flagged: int = 0
    probability: float = 0.0
    """The sum of all probabilities."""

    @classmethod
    def none(cls, detector: str, source: str) -> Totals:
        """Return those of a detector that has decided nothing."""
        return cls(detector, source, np.zeros(len(EDGES), np.int64))

    @property
    def count(self) -> int:
        """The number of rows."""
        return int(self.rows.sum())


@dataclass(frozen=True, slots=True)
class TotalPart:
    """Rows of one detector, source and range, as they appear in the table of totals."""

    detector: str
    source: str
    up_to: float
    rows: int
    flagged: int
    probability: float


def parts_of(table: pa.Table) -> list[TotalPart]:
    """Return what a segment adds to the totals.

    Args:
        table: as :data:`screening.ledger.rows.SCHEMA`.
    """
    flagged = table.column("flagged").to_numpy()
    probability = table.column("probability").to_numpy()
    detector, source = (_codes(table.column(name)) for name in ("detector", "source"))
    parts = [
        part
        for code, name in enumerate(detector[1])
        for other, kind in enumerate(source[1])
        if (chosen := (detector[0] == code) & (source[0] == other)).any()
        for part in _parts(name, kind, probability[chosen], flagged[chosen])
    ]
    # in one order in every process: two that wait for each other's rows would wait for ever
    return sorted(parts, key=lambda each: (each.detector, each.source, each.up_to))


def grow(session: Session, parts: Sequence[TotalPart], screening: str | None = None) -> None:
    """Add the rows of a segment, in the transaction that enters it; of a screening only once.

    Args:
        session: of that transaction.
        parts: of the segment.
        screening: whose rows they are, if they are a screening's or a job's.
    """
    if screening is not None and not note_counted(session, screening):
        return
    for part in parts:
        session.execute(GROW, asdict(part))


def note_counted(session: Session, screening: str) -> bool:
    """Note that the rows of a screening or job are in the totals; ``False`` where that is noted already."""
    noted = session.execute(NOTE, {"screening": screening})
    return isinstance(noted, CursorResult) and bool(noted.rowcount)


def read(tables: Database) -> list[Totals]:
    """Return all totals as of one moment, by detector and source."""
    sealed = select(
        Total.detector,
        Total.source,
        Total.up_to,
        Total.rows,
        Total.flagged,
        Total.probability,
        type_coerce(null(), LargeBinary).label("payload"),
    )
    tail = select(null(), null(), null(), null(), null(), null(), TailRow.payload)
    # one statement, since rows move from the one to the other
    both: Any = union_all(sealed, tail)
    with tables.read() as session:
        found: Sequence[Any] = session.execute(both).all()
    parts = [TotalPart(*row[:6]) for row in found if row.payload is None]
    parts += parts_of_tail([bytes(row.payload) for row in found if row.payload is not None])
    totals: dict[tuple[str, str], Totals] = {}
    for part in parts:
        key = part.detector, part.source
        one = totals.setdefault(key, Totals.none(*key))
        one.rows[min(bisect_left(EDGES, part.up_to), len(EDGES) - 1)] += part.rows
        one.flagged += part.flagged
        one.probability += part.probability
    return [totals[key] for key in sorted(totals)]


class _Same(msgspec.Struct):
    detector: str
    source: str


class _Columns(msgspec.Struct):
    probability: list[float]
    flagged: list[bool]


class _Kept(msgspec.Struct):
    """Of :class:`screening.ledger.tail.Kept` what is counted."""

    same: _Same
    columns: _Columns


_decode = msgspec.json.Decoder(_Kept).decode


def parts_of_tail(payloads: Sequence[bytes]) -> Iterator[TotalPart]:
    """Yield the totals of entries of the tail."""
    found: dict[tuple[str, str], tuple[list[float], list[bool]]] = {}
    for payload in payloads:
        kept = _decode(payload)
        probability, flagged = found.setdefault((kept.same.detector, kept.same.source), ([], []))
        probability += kept.columns.probability
        flagged += kept.columns.flagged
    for (detector, source), (probability, flagged) in found.items():
        yield from _parts(detector, source, np.array(probability, np.float32), np.array(flagged, np.bool_))


def _parts(
    detector: str, source: str, probability: NDArray[np.float32], flagged: NDArray[np.bool_]
) -> Iterator[TotalPart]:
    place = np.minimum(np.searchsorted(_EDGES, probability, side="left"), len(EDGES) - 1)
    most = len(EDGES)
    rows = np.bincount(place, minlength=most)
    flags = np.bincount(place, weights=flagged, minlength=most)
    sums = np.bincount(place, weights=probability.astype(np.float64), minlength=most)
    for number in np.flatnonzero(rows).tolist():
        yield TotalPart(
            detector, source, EDGES[number], int(rows[number]), int(flags[number]), float(sums[number])
        )


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    coded: Any = column.dictionary_encode().combine_chunks()
    return coded.indices.to_numpy(), coded.dictionary.to_pylist()
