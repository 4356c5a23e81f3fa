"""The velocity state in SQL: it changes in the very transaction in which decisions are kept.

A row stands once with its cells, and once for each of its entities, by entity and time: what counts for a transaction
is a range of a primary key. Rows are numbered by their subject. Who scores reads the last number first; who commits
looks, under the lock, at what has been added since: a row that would have counted means that it has to be scored again.
So decisions are as if they had been made one after the other, whichever process made them.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from sqlalchemy import delete, false, func, select, text, update

from screening.features import Past
from screening.infra.database import DriverWrite
from screening.ledger.identity import first_id
from screening.ledger.tables import OWNER_LENGTH, VelocityEntity, VelocityRow, VelocitySubject
from screening.ledger.velocity import state
from screening.ledger.velocity.entries import TrainedSubject, VelocityEntry, Viewer
from screening.ledger.velocity.sql_reading import SqlReader
from screening.ledger.velocity.state import Kept, Velocity, VelocityExtent, past_of, sorted_out

NEWS = text("SELECT owner, shared, cells FROM ledger_velocity_rows WHERE subject = :subject AND seq > :after")
SPAN = text(
    "SELECT owner, shared, label, cells FROM ledger_velocity_rows "
    "WHERE subject = :subject AND time >= :since AND time < :until"
)
STATE = text("SELECT last, newest FROM ledger_velocity_subjects WHERE id = :subject")
COUNT = text(
    "UPDATE ledger_velocity_subjects SET last = :last, newest = :newest, late = late + :late, "
    "repeated = repeated + :repeated WHERE id = :subject"
)
ADD_ROW = text(
    "INSERT INTO ledger_velocity_rows (subject, seq, id, owner, shared, time, label, cells) "
    "VALUES (:subject, :seq, :id, :owner, :shared, :time, :label, :cells)"
)
ADD_ENTITY = text(
    "INSERT INTO ledger_velocity_entities (subject, place, cell, time, seq) "
    "VALUES (:subject, :place, :cell, :time, :seq)"
)
HAS = text("SELECT 1 FROM ledger_velocity_rows WHERE subject = :subject AND id = :id")
RELABEL = text("UPDATE ledger_velocity_rows SET label = :label WHERE subject = :subject AND id = :id")
LABEL = text("UPDATE ledger_velocity_rows SET label = :label WHERE id = :id")
KNOWN = text("SELECT 1 FROM ledger_velocity_rows WHERE id = :id LIMIT 1")
IDS = text("SELECT seq, id FROM ledger_velocity_rows WHERE subject = :subject AND seq <= :until")
DROP_ROW = text("DELETE FROM ledger_velocity_rows WHERE subject = :subject AND seq = :seq")
DROP_ENTITIES = text("DELETE FROM ledger_velocity_entities WHERE subject = :subject AND seq = :seq")
BLOCK_ROWS = 65_536


class SqlVelocity(Velocity):
    """The state in the ledger's own tables."""

    @contextmanager
    def reading(self) -> Iterator[SqlReader]:
        """Give what reads for one question."""
        with self._tables.driver_write(begin=False) as read:
            yield SqlReader(read, is_sqlite=self._tables.is_sqlite)

    def span(self, subject: TrainedSubject, viewer: Viewer, since: float, until: float) -> Past:
        """Return all rows that count for somebody, from a time to before another."""
        given = {"subject": subject.number, "since": since, "until": until}
        cells: list[bytes] = []
        labels: list[int] = []
        with self._tables.driver_write(begin=False) as read:
            rows = read.one(SPAN, given)
            while some := rows.fetchmany(BLOCK_ROWS):
                seen = [row for row in some if viewer.sees(row[0], shared=bool(row[1]))]
                cells.append(b"".join([row[3] for row in seen]))
                labels += [row[2] for row in seen]
        return past_of(b"".join(cells), labels, subject.columns)

    def begin(self, write: DriverWrite) -> None:
        """Do nothing: one transaction writes at a time."""

    def add(self, write: DriverWrite, entries: Sequence[VelocityEntry]) -> set[object]:
        """Add rows, after :meth:`begin`, but for those of companies that were stale, and return these."""
        kept, again = sorted_out(entries, lambda entry: self._since(write, entry))
        self._put(write, kept)
        return again

    def _put(self, write: DriverWrite, entries: Sequence[VelocityEntry]) -> None:
        by_subject: dict[int, list[VelocityEntry]] = defaultdict(list)
        for entry in entries:
            by_subject[entry.subject.number].append(entry)
        for number, some in by_subject.items():
            self._put_of(write, number, some)

    def take_back(self, entries: Sequence[VelocityEntry]) -> None:
        """Do nothing: what was added left with the transaction that failed."""

    def _since(self, write: DriverWrite, entry: VelocityEntry) -> list[Kept]:
        """Return what was added since an entry was scored."""
        given = {"subject": entry.subject.number, "after": entry.read_at}
        # mostly nothing was added since, which one number tells
        if SqlReader(write, is_sqlite=self._tables.is_sqlite).last(entry.subject)[0] == entry.read_at:
            return []
        return [(owner, bool(shared), cells) for owner, shared, cells in write.one(NEWS, given).fetchall()]

    def _put_of(self, write: DriverWrite, number: int, entries: Sequence[VelocityEntry]) -> None:
        last, newest = write.one(STATE, {"subject": number}).fetchone()
        newest = -np.inf if newest is None else newest
        late = 0
        rows: list[dict[str, Any]] = []
        entities: list[dict[str, Any]] = []
        for entry in entries:
            subject = entry.subject
            times = entry.values[:, subject.time].tolist()
            for place, (cells, moment) in enumerate(zip(entry.values, times, strict=True)):
                if math.isnan(moment):  # without a time it comes before and after nothing
                    continue
                last += 1
                late += moment < newest
                newest = max(newest, moment)
                rows.append(
                    {
                        "subject": number,
                        "seq": last,
                        "id": entry.ids[place],
                        "owner": entry.viewer.owner,
                        "shared": entry.shared,
                        "time": moment,
                        "label": int(entry.labels[place]),
                        "cells": cells.tobytes(),
                    }
                )
                entities += [
                    {"subject": number, "place": each, "cell": cell, "time": moment, "seq": last}
                    for each, cell in zip(subject.tracked, cells[list(subject.tracked)].tolist(), strict=True)
                    if not math.isnan(cell)  # a blank
                ]
        if not rows:
            return
        write.many(ADD_ROW, rows)
        write.many(ADD_ENTITY, entities)
        repeated = sum(entry.repeated for entry in entries)
        write.one(
            COUNT,
            {"last": last, "newest": newest, "late": late, "repeated": repeated, "subject": number},
        )

    def prune(self, decided_before: float | None = None) -> int:
        """Remove rows that are too old to count for anything, and return how many.

        Old is what lies further back than features look, from the latest time on that all but one in a thousand rows
        reach: a clock that is wrong mustn't make all others old.

        Args:
            decided_before: decisions of before this moment, in seconds since 1970, are removed as well.
        """
        gone = 0
        for number, horizon in self._subjects():
            mine = VelocityRow.subject == number
            with self._tables.write() as session:
                count = session.query(VelocityRow).where(mine).count()
                newest = session.scalar(
                    select(VelocityRow.time)
                    .where(mine)
                    .order_by(VelocityRow.time.desc())
                    .limit(1)
                    .offset(state.strays(count))
                )
                old = false() if newest is None else VelocityRow.time < newest - horizon - 1.0
                if decided_before is not None:
                    old |= VelocityRow.id < first_id(int(decided_before * 1000))
                which = select(VelocityRow.seq).where(mine, old)
                session.execute(
                    delete(VelocityEntity).where(
                        VelocityEntity.subject == number, VelocityEntity.seq.in_(which)
                    )
                )
                found: Any = session.execute(delete(VelocityRow).where(mine, old))
                gone += found.rowcount
        return gone

    def forget(self, detector: str) -> None:
        """Drop the rows of a detector of this name, whatever its fingerprint."""
        which = select(VelocitySubject.id).where(VelocitySubject.detector == detector)
        with self._tables.write() as session:
            session.execute(delete(VelocityEntity).where(VelocityEntity.subject.in_(which)))
            session.execute(delete(VelocityRow).where(VelocityRow.subject.in_(which)))
            # their numbers stay theirs: another process may know them
            emptied = update(VelocitySubject).where(VelocitySubject.detector == detector)
            session.execute(emptied.values(newest=None, built=None, late=0, repeated=0))

    def detach_owner(self, owner: str) -> None:
        """Give the rows of an owner to nobody; those that count for all go on doing so."""
        theirs = update(VelocityRow).where(VelocityRow.owner == owner)
        with self._tables.write() as session:
            session.execute(theirs.values(owner=func.substr("~" + VelocityRow.owner, 1, OWNER_LENGTH)))

    def relabel(self, labels: Sequence[tuple[str, int]]) -> None:
        """Note what transactions turned out to be, by id: 1 for fraud, 0 for legitimate."""
        # rows of files aren't here: nobody waits for their lock
        with self._tables.driver_write(begin=False) as read:
            there = [each for each in labels if read.one(KNOWN, {"id": each[0]}).fetchone() is not None]
        if there:
            with self._tables.driver_write() as write:
                write.many(LABEL, [{"id": row_id, "label": label} for row_id, label in there])

    def complete(self, entries: Sequence[VelocityEntry]) -> int:
        """Add those rows that aren't there, each an entry of its own, and return how many; labels are those given."""
        missing = []
        with self._tables.driver_write() as write:
            self.begin(write)
            for entry in entries:
                given = {"subject": entry.subject.number, "id": entry.ids[0]}
                if write.one(HAS, given).fetchone() is None:
                    missing.append(entry)
                else:
                    write.one(RELABEL, given | {"label": int(entry.labels[0])})
            self._put(write, missing)
        return len(missing)

    def keep_only(self, subject: TrainedSubject, ids: Sequence[str], until: int) -> int:
        """Remove rows of other ids than these, up to the row ``until``, and return how many."""
        known = np.unique(np.array(ids, "S36"))
        given: dict[str, Any] = {"subject": subject.number, "until": until}
        with self._tables.driver_write() as write:
            self.begin(write)
            rows = write.one(IDS, given).fetchall()
            there = np.array([row[1] for row in rows], "S36")
            strange = np.flatnonzero(~np.isin(there, known)).tolist()
            gone = [{"subject": subject.number, "seq": rows[place][0]} for place in strange]
            write.many(DROP_ENTITIES, gone)
            write.many(DROP_ROW, gone)
        return len(gone)

    def is_built(self, subject: TrainedSubject, begun: str | None = None) -> None:  # noqa: ARG002 -- for Redis
        """Note that the state of a detector is what the ledger says."""
        with self._tables.write() as session:
            session.get_one(VelocitySubject, subject.number).built = time.time()

    def unbuilt(self) -> frozenset[int]:
        """Return the numbers of the subjects whose state isn't what the ledger says, or may not be."""
        with self._tables.read() as session:
            return frozenset(
                session.scalars(select(VelocitySubject.id).where(VelocitySubject.built.is_(None)))
            )

    def standing(self, subject: TrainedSubject) -> VelocityExtent:
        """Return what a detector's state has seen."""
        with self._tables.read() as session:
            row = session.get_one(VelocitySubject, subject.number)
            count = session.query(VelocityRow).where(VelocityRow.subject == subject.number).count()
            return VelocityExtent(subject, count, row.last, row.late, row.repeated, row.newest, row.built)
