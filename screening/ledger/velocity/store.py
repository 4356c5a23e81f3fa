"""The velocity state in SQL: it changes in the very transaction in which decisions are kept.

A row stands once with its cells, and once for each of its entities, by entity and time: what counts for a transaction
is a range of a primary key. Rows are numbered by their subject. Who scores reads the last number first; who commits
looks, under the lock, at what has been added since: a row that would have counted means that it has to be scored again.
So decisions are as if they had been made one after the other, whichever process made them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import delete, func, select, text, update

from screening.detectors.detector import Detector
from screening.features import Definition, Past, Wanted
from screening.infra.database import Database, DriverWrite
from screening.ledger.identity import first_id
from screening.ledger.tables import OWNER_LENGTH, VelocityEntity, VelocityRow, VelocitySubject
from screening.ledger.velocity.entries import Subject, VelocityEntry, Viewer, places_of
from screening.transactions.schema import Matrix

LAST = text("SELECT last FROM ledger_velocity_subjects WHERE id = :subject")
LOOK = text(
    "SELECT r.seq, r.owner, r.shared, r.label, r.cells FROM ledger_velocity_entities e "
    "JOIN ledger_velocity_rows r ON r.subject = e.subject AND r.seq = e.seq "
    "WHERE e.subject = :subject AND e.place = :place AND e.cell = :cell AND e.time >= :since AND e.time <= :until"
)
SEEN = text(
    "SELECT r.owner, r.shared FROM ledger_velocity_entities e "
    "JOIN ledger_velocity_rows r ON r.subject = e.subject AND r.seq = e.seq "
    "WHERE e.subject = :subject AND e.place = :place AND e.cell = :cell LIMIT 1000"
)
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
IDS = text("SELECT seq, id FROM ledger_velocity_rows WHERE subject = :subject AND id <= :until")
DROP_ROW = text("DELETE FROM ledger_velocity_rows WHERE subject = :subject AND seq = :seq")
DROP_ENTITIES = text("DELETE FROM ledger_velocity_entities WHERE subject = :subject AND seq = :seq")
LOCK = text("SELECT pg_advisory_xact_lock(7306217)")
"""Where writers don't wait for each other by themselves."""
BLOCK_ROWS = 65_536
STRAY = 1_000
"""One of so many rows may have a time far ahead of all others: it mustn't make the others old."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the velocity state of a detector has seen."""

    subject: Subject
    rows: int
    """That are there."""
    entered: int
    """That have come in all."""
    late: int
    """That were earlier than one that had come before them."""
    repeated: int
    """That were there already, as they are."""
    newest: float | None
    """The latest time."""
    built: float | None
    """When it was made of the ledger, in seconds since 1970; ``None`` if it still has to be."""


class Velocity:
    """The velocity state of an instance."""

    def __init__(self, tables: Database) -> None:
        self._tables = tables
        self._known: dict[tuple[str, str], Subject] = {}
        self._locks = tables.engine.dialect.name != "sqlite"

    def subject(self, detector: Detector) -> Subject | None:
        """Return whose past a detector's transactions are; ``None`` for a detector that doesn't look back."""
        definition = detector.vectorizer.definition
        if definition is None or not definition.looks_back:
            return None
        key = detector.name, detector.fingerprint
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._enter(*key, definition)
        return found

    def _enter(self, name: str, fingerprint: str, definition: Definition) -> Subject:
        with self._tables.write() as session:
            row = session.scalar(
                select(VelocitySubject).where(
                    VelocitySubject.detector == name, VelocitySubject.fingerprint == fingerprint
                )
            )
            if row is None:
                row = VelocitySubject(
                    detector=name, fingerprint=fingerprint, last=0, late=0, repeated=0, horizon=0.0
                )
                session.add(row)
            row.horizon = definition.horizon
            session.flush()
            columns = len(definition.contract.columns)
            return Subject(name, fingerprint, row.id, columns, *places_of(definition), definition.horizon)

    @contextmanager
    def reading(self) -> Iterator[DriverWrite]:
        """Give a transaction that reads."""
        with self._tables.driver_write(begin=False) as read:
            yield read

    def last(self, read: DriverWrite, subject: Subject) -> int:
        """Return the number of the last row that was added."""
        found: int = read.one(LAST, {"subject": subject.number}).fetchone()[0]
        return found

    def rows(
        self, read: DriverWrite, subject: Subject, viewer: Viewer, wanted: Sequence[tuple[int, Wanted]]
    ) -> dict[int, tuple[bytes, int]]:
        """Return the wanted rows that count for somebody, by their numbers: cells and label.

        Args:
            read: the transaction.
            subject: whose past.
            viewer: for whom.
            wanted: each with the place of its column.
        """
        found: dict[int, tuple[bytes, int]] = {}
        given: dict[str, Any] = {"subject": subject.number}
        for place, each in wanted:
            given |= {"place": place, "cell": each.cell, "since": each.since, "until": each.until}
            for seq, owner, shared, label, cells in read.one(LOOK, given):
                if viewer.sees(owner, shared=bool(shared)):
                    found[seq] = cells, label
        return found

    def has_seen(self, read: DriverWrite, subject: Subject, viewer: Viewer, place: int, cell: float) -> bool:
        """Tell whether an entity has been seen, at whatever time; of a thousand rows, if it has more."""
        given = {"subject": subject.number, "place": place, "cell": cell}
        return any(viewer.sees(owner, shared=bool(shared)) for owner, shared in read.one(SEEN, given))

    def span(self, subject: Subject, viewer: Viewer, since: float, until: float) -> Past:
        """Return all rows that count for somebody, from a time to before another."""
        given = {"subject": subject.number, "since": since, "until": until}
        parts = [past_of([], subject.columns)]
        with self.reading() as read:
            rows = read.one(SPAN, given)
            while some := rows.fetchmany(BLOCK_ROWS):
                seen = [
                    (cells, label)
                    for owner, shared, label, cells in some
                    if viewer.sees(owner, shared=bool(shared))
                ]
                parts.append(past_of(seen, subject.columns))
        return Past(
            np.concatenate([part.values for part in parts]), np.concatenate([part.labels for part in parts])
        )

    # called by the tail, under its lock

    def begin(self, write: DriverWrite) -> None:
        """Let nobody else add rows until the transaction has ended."""
        if self._locks:
            write.one(LOCK, {})

    def add(self, write: DriverWrite, entries: Sequence[VelocityEntry]) -> set[object]:
        """Add rows, after :meth:`begin`, but for those of companies that were overtaken, and return these."""
        kept, again = sorted_out(entries, lambda entry: self._since(write, entry))
        by_subject: dict[int, list[VelocityEntry]] = defaultdict(list)
        for entry in kept:
            by_subject[entry.subject.number].append(entry)
        for number, some in by_subject.items():
            self._add(write, number, some)
        return again

    def take_back(self, entries: Sequence[VelocityEntry]) -> None:
        """Do nothing: what was added left with the transaction that failed."""

    def _since(self, write: DriverWrite, entry: VelocityEntry) -> list[Kept]:
        """Return what was added since an entry was scored."""
        given = {"subject": entry.subject.number, "after": entry.read_at}
        if self.last(write, entry.subject) == entry.read_at:
            return []
        return [(owner, bool(shared), cells) for owner, shared, cells in write.one(NEWS, given).fetchall()]

    def _add(self, write: DriverWrite, number: int, entries: Sequence[VelocityEntry]) -> None:
        last, newest = write.one(STATE, {"subject": number}).fetchone()
        newest = -np.inf if newest is None else newest
        late = 0
        rows: list[dict[str, Any]] = []
        entities: list[dict[str, Any]] = []
        for entry in entries:
            subject = entry.subject
            times = entry.values[:, subject.time].tolist()
            for place, (cells, moment) in enumerate(zip(entry.values, times, strict=True)):
                if moment != moment:  # noqa: PLR0124 -- NaN: without a time it comes before and after nothing
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
                    if cell == cell  # noqa: PLR0124 -- not NaN, a blank
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

    # kept small, and true

    def prune(self, decided_before: float | None = None) -> int:
        """Remove rows that are too old to count for anything, and return how many.

        Old is what lies further back than features look, from the latest time on that all but one in a thousand rows
        reach: a clock that is wrong mustn't make all others old.

        Args:
            decided_before: decisions of before this moment, in seconds since 1970, are removed as well.
        """
        gone = 0
        with self._tables.read() as session:
            subjects = session.scalars(select(VelocitySubject)).all()
        for subject in subjects:
            mine = VelocityRow.subject == subject.id
            with self._tables.write() as session:
                count = session.query(VelocityRow).where(mine).count()
                newest = session.scalar(
                    select(VelocityRow.time)
                    .where(mine)
                    .order_by(VelocityRow.time.desc())
                    .limit(1)
                    .offset(count // STRAY)
                )
                if newest is None:
                    continue
                old = VelocityRow.time < newest - subject.horizon - 1.0
                if decided_before is not None:
                    old |= VelocityRow.id < first_id(int(decided_before * 1000))
                which = select(VelocityRow.seq).where(mine, old)
                session.execute(
                    delete(VelocityEntity).where(
                        VelocityEntity.subject == subject.id, VelocityEntity.seq.in_(which)
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

    def part(self, owner: str) -> None:
        """Give the rows of an owner to nobody; those that count for all go on doing so."""
        theirs = update(VelocityRow).where(VelocityRow.owner == owner)
        with self._tables.write() as session:
            session.execute(theirs.values(owner=func.substr("~" + VelocityRow.owner, 1, OWNER_LENGTH)))

    def relabel(self, labels: Sequence[tuple[str, int]]) -> None:
        """Note what transactions turned out to be, by id: 1 for fraud, 0 for legitimate."""
        with self._tables.driver_write() as write:
            write.many(LABEL, [{"id": row_id, "label": label} for row_id, label in labels])

    def clock(self, subject: Subject) -> str:
        """Return the greatest id that is there: what is decided from now on has a greater one, or is in the ledger."""
        with self._tables.read() as session:
            mine = VelocityRow.subject == subject.number
            return session.scalar(select(func.max(VelocityRow.id)).where(mine)) or ""

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
            self.add(write, missing)
        return len(missing)

    def keep_only(self, subject: Subject, ids: Sequence[str], until: str) -> int:
        """Remove rows of other ids than these, up to the id ``until``, and return how many."""
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

    def is_built(self, subject: Subject) -> None:
        """Note that the state of a detector is what the ledger says."""
        with self._tables.write() as session:
            session.get_one(VelocitySubject, subject.number).built = time.time()

    def standing(self, subject: Subject) -> Standing:
        """Return what a detector's state has seen."""
        with self._tables.read() as session:
            row = session.get_one(VelocitySubject, subject.number)
            count = session.query(VelocityRow).where(VelocityRow.subject == subject.number).count()
            return Standing(subject, count, row.last, row.late, row.repeated, row.newest, row.built)


def past_of(rows: Sequence[tuple[bytes, int]], columns: int) -> Past:
    """Return rows as they were kept as a past; each has so many columns."""
    cells = np.frombuffer(b"".join(row[0] for row in rows)).reshape(len(rows), columns)
    return Past(cells, np.array([row[1] for row in rows], np.int8))


Kept = tuple[str, bool, bytes]
"""Owner, whether it counts for all, and cells of a row that is there."""


def sorted_out(
    entries: Sequence[VelocityEntry], since: Callable[[VelocityEntry], Sequence[Kept]]
) -> tuple[list[VelocityEntry], set[object]]:
    """Return which entries can be kept, and the companies of the others, which were overtaken.

    Args:
        entries: what is to be added at a time.
        since: tells what was added since an entry was scored.
    """
    again: set[object] = set()
    before: list[VelocityEntry] = []
    for entry in entries:
        if entry.company in again:
            continue
        viewer = entry.viewer
        news = [
            np.frombuffer(cells)[np.newaxis]
            for owner, shared, cells in since(entry)
            if viewer.sees(owner, shared=shared)
        ]
        news += [
            each.values
            for each in before
            if each.company is not entry.company
            and each.subject.number == entry.subject.number
            and viewer.sees(each.viewer.owner, shared=each.shared)
        ]
        if news and _tells(np.concatenate(news), entry):
            again.add(entry.company)
        before.append(entry)
    return [entry for entry in entries if entry.company not in again], again


def _tells(news: Matrix, entry: VelocityEntry) -> bool:
    """Tell whether any of some rows is earlier than one of an entry's and shares an entity with it."""
    subject, own = entry.subject, entry.values
    earlier = news[:, [subject.time]] < own[:, subject.time]
    reach = news[:, [subject.time]] >= own[:, subject.time] - subject.horizon - 1.0
    same = np.zeros(earlier.shape, bool)
    for place in subject.tracked:
        same |= news[:, [place]] == own[:, place]
    return bool((earlier & reach & same).any())
