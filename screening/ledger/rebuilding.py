"""Makes the velocity state of the ledger, where it was lost or never made: what is missing comes, what has no decision
goes. Nothing that is right leaves meanwhile, so transactions can be decided at the same time.

Where it is outside of the database, single rows may be left without a decision by a process that was killed, or by a
host that was cut off. :class:`Settling` looks up those of which nobody has noted that their decision was kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import select

from screening.detectors.detector import Detector
from screening.errors import ScreeningError
from screening.infra.database import Database
from screening.ledger.identity import TransactionId, parse
from screening.ledger.queries.questions import Questions
from screening.ledger.sealing import Sealing
from screening.ledger.segments import Segments
from screening.ledger.tables import API, Label
from screening.ledger.velocity.entries import TrainedSubject, VelocityEntry, Viewer
from screening.ledger.velocity.state import Velocity
from screening.transactions.json_records import from_mappings

NEEDED = ("origin", "number", "owner", "decided_at", "detector", "label", "values")
# Rows per transaction, so that nobody waits long for its lock.
ROWS = 2_000
# A row whose decision was kept is mostly noted with the next one. Those that stay open for longer are looked up.
OPEN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RebuiltState:
    """Result of a rebuilding."""

    added: int
    removed: int
    unreadable: int
    """Rows of the ledger that the detector doesn't read any more: its columns were others."""


class Rebuilding:
    """Makes velocity states of an instance's decisions.

    Args:
        tables: the ledger's.
        segments: what is sealed.
        sealing: reads what isn't yet.
        velocity: what is made.
    """

    def __init__(self, tables: Database, segments: Segments, sealing: Sealing, velocity: Velocity) -> None:
        self._tables, self._segments, self._sealing = tables, segments, sealing
        self._velocity = velocity

    def rebuild(self, detector: Detector, shares: Callable[[str], bool]) -> RebuiltState:
        """Make the velocity state of a detector what the ledger says, by decisions of all detectors of its name.

        Args:
            detector: whose; it looks back.
            shares: tells of an owner whether its transactions count for all.

        Raises:
            ScreeningError: the ledger's segments changed while they were read.
        """
        subject = self._velocity.subject(detector)
        if subject is None:
            return RebuiltState(0, 0, 0)
        added = unreadable = 0
        known: list[str] = []
        begun = self._velocity.begin_building(subject)
        # of no row up to this one a decision may still come: its row would be gone from the state for good
        with self._tables.write(), self._velocity.reading() as read:
            last, _ = read.last(subject)
        for table in self._decisions(detector.name):
            for start in range(0, len(table), ROWS):
                part = table.slice(start, ROWS).to_pylist()
                rows = {str(TransactionId(row["origin"], row["number"])): row for row in part}
                known += rows
                for row_id, label in self._later(list(rows)):
                    rows[row_id]["label"] = label
                entries = [entry_of(row_id, row, detector, subject) for row_id, row in rows.items()]
                good = [
                    replace(entry, shared=shares(entry.viewer.owner))
                    for entry in entries
                    if entry is not None
                ]
                unreadable += len(entries) - len(good)
                added += self._velocity.complete(good)
        removed = self._velocity.keep_only(subject, known, last)
        self._velocity.is_built(subject, begun)
        return RebuiltState(added, removed, unreadable)

    def _decisions(self, detector: str) -> Iterator[pa.Table]:
        """Yield the API's decisions of a detector, those of the tail first: what is sealed meanwhile comes again."""
        with self._tables.read() as session:
            yield ordered(self._sealing.rows(session).select(NEEDED), detector)
        for segment in self._segments.all():
            if segment.kind != API:
                continue
            try:
                with self._segments.reading([segment]):
                    table = pq.read_table(self._segments.path(segment.name), columns=list(NEEDED))
            except FileNotFoundError:  # put together with others in this moment
                raise ScreeningError(
                    "The ledger's segments changed while they were read.", remedy="Do it again."
                ) from None
            yield ordered(table, detector)

    def _later(self, ids: list[str]) -> list[tuple[str, int]]:
        """Return what was said later of some transactions."""
        with self._tables.read() as session:
            rows = session.execute(select(Label.id, Label.label).where(Label.id.in_(ids)))
            return [(row_id, label) for row_id, label in rows]


class Settling:
    """Settles what stays open.

    Args:
        tables: the ledger's.
        questions: know which decisions there are.
        velocity: of which rows are open.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        tables: Database,
        questions: Questions,
        velocity: Velocity,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tables, self._questions, self._velocity, self._clock = tables, questions, velocity, clock
        self._seen: dict[tuple[int, str], float] = {}
        """Times at which rows were found open first, by the subject's number and their id."""

    def step(self) -> int:
        """Settle what has been open for long enough; return how many rows had no decision and were removed."""
        found = {(number, row_id) for number, ids in self._velocity.unsettled().items() for row_id in ids}
        now = self._clock()
        self._seen = {each: self._seen.get(each, now) for each in found}
        due = [each for each, since in self._seen.items() if now - since >= OPEN_SECONDS]
        if not due:
            return 0
        # whoever added them has ended the transaction, or lost it, once somebody else can write
        with self._tables.write():
            pass
        asked = {row_id: parse(row_id) for _, row_id in due}
        there = self._questions.known([each for each in asked.values() if each is not None], None)
        gone = 0
        for number in {number for number, _ in due}:
            mine = [row_id for of, row_id in due if of == number]
            lost = [row_id for row_id in mine if asked[row_id] not in there]
            self._velocity.settle(number, [row_id for row_id in mine if row_id not in set(lost)], lost)
            gone += len(lost)
        return gone


def ordered(table: pa.Table, detector: str) -> pa.Table:
    """Return the rows of a detector in the order in which they were decided."""
    mine = table.filter(pc.equal(table["detector"], detector))
    return mine.sort_by([("decided_at", "ascending"), ("origin", "ascending"), ("number", "ascending")])


def entry_of(
    row_id: str, row: Mapping[str, Any], detector: Detector, subject: TrainedSubject
) -> VelocityEntry | None:
    """Return a decision as the velocity state has it; ``None`` where the detector doesn't read it any more."""
    try:
        values = from_mappings([json.loads(row["values"] or "{}")], detector.contract).values
    except (ScreeningError, ValueError):
        return None
    return VelocityEntry(
        subject=subject,
        viewer=Viewer(row["owner"]),
        shared=False,
        values=values,
        labels=np.array([-1 if row["label"] is None else row["label"]], np.int8),
        ids=(row_id,),
        read_at=0,
    )
