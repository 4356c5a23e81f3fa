"""Interface of a velocity state, wherever it is kept, and what holds for each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from screening.detectors.detector import Detector
from screening.features import Definition, Past, PastRange
from screening.infra.database import Database, DriverWrite
from screening.ledger.tables import API, Segment, TailRow, VelocitySubject
from screening.ledger.velocity.entries import TrainedSubject, VelocityEntry, Viewer, places_of
from screening.transactions.schema import Matrix

# One row in so many, and so many in any case, may have a time far ahead: a few wrong clocks must not make all
# other rows old.
STRAY, LEAST_STRAY = 1_000, 100


def strays(rows: int) -> int:
    """Return how many of a state's rows may be ahead of the time that its age is counted from."""
    return max(rows // STRAY, LEAST_STRAY)


@dataclass(frozen=True, slots=True)
class VelocityExtent:
    """Extent of a detector's velocity state: what it has seen."""

    subject: TrainedSubject
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
    """Time at which it was made of the ledger, in seconds since 1970; ``None`` if it still has to be."""


@dataclass(frozen=True, slots=True)
class NumberedRows:
    """Rows of a state with their numbers, int64 (rows,), ascending: each row is there once."""

    numbers: NDArray[np.int64]
    past: Past

    def and_others(self, others: NumberedRows) -> NumberedRows:
        """Return these rows and others, of which none is here."""
        if not len(others.numbers):
            return self
        numbers = np.concatenate([self.numbers, others.numbers])
        order = np.argsort(numbers)
        values = np.concatenate([self.past.values, others.past.values])[order]
        labels = np.concatenate([self.past.labels, others.past.labels])[order]
        return NumberedRows(numbers[order], Past(values, labels))


class StateReader(Protocol):
    """Reads the state for one question."""

    def last(self, subject: TrainedSubject) -> tuple[int, bool]:
        """Return the number of the last row that was added, and whether all that the ledger has is there."""

    def rows(
        self,
        subject: TrainedSubject,
        viewer: Viewer,
        wanted: Sequence[tuple[int, PastRange]],
        known: NDArray[np.int64],
    ) -> NumberedRows:
        """Return the wanted rows that count for somebody.

        Args:
            subject: whose past.
            viewer: for whom.
            wanted: each with the place of its column.
            known: the numbers of rows that are left out, ascending.
        """

    def earliest(self, subject: TrainedSubject, viewer: Viewer, place: int, cell: float) -> float:
        """Return the time of an entity's first row that counts, of the first thousand; infinity if none does."""


class Velocity(ABC):
    """The velocity state of an instance. Which detectors it knows by which number appears in the ledger's tables."""

    def __init__(self, tables: Database) -> None:
        self._tables = tables
        self._known: dict[tuple[str, str], TrainedSubject] = {}

    def subject(self, detector: Detector, apart: str | None = None) -> TrainedSubject | None:
        """Return whose past a detector's transactions are; ``None`` for a detector that doesn't look back.

        Args:
            detector: which one.
            apart: under which name a past is kept that isn't the detector's own, if one is: no detector has a name
                with a colon.
        """
        definition = detector.vectorizer.definition
        if definition is None or not definition.looks_back:
            return None
        key = apart or detector.name, detector.fingerprint
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._enter(*key, definition)
        return found

    def _enter(self, name: str, fingerprint: str, definition: Definition) -> TrainedSubject:
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
            found = TrainedSubject(
                name, fingerprint, row.id, columns, *places_of(definition), definition.horizon
            )
            fresh = session.scalar(select(TailRow.seq).limit(1)) is None
            fresh = fresh and session.scalar(select(Segment.name).where(Segment.kind == API).limit(1)) is None
        if fresh and self.standing(found).built is None:
            # there is nothing that it could be made of
            self.is_built(found)
        return found

    def _subjects(self, detector: str | None = None) -> list[tuple[int, float]]:
        """Return the numbers of all detectors, or of those of a name, with how far they look back in seconds."""
        query = select(VelocitySubject.id, VelocitySubject.horizon)
        if detector is not None:
            query = query.where(VelocitySubject.detector == detector)
        with self._tables.read() as session:
            return [(number, horizon) for number, horizon in session.execute(query)]

    def require_ready(self) -> None:  # noqa: B027 -- what is in the ledger's tables is there when they are
        """See that the state can be read and written.

        Raises:
            NotReady: it can't.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[StateReader]:
        """Give what reads for one question."""

    @abstractmethod
    def span(self, subject: TrainedSubject, viewer: Viewer, since: float, until: float) -> Past:
        """Return all rows that count for somebody, from a time to before another."""

    @abstractmethod
    def begin(self, write: DriverWrite) -> None:
        """Let nobody else add rows until the transaction has ended, where that is how they are kept apart."""

    @abstractmethod
    def add(self, write: DriverWrite, entries: Sequence[VelocityEntry]) -> set[object]:
        """Add rows, after :meth:`begin`, but for those of companies that were stale, and return these."""

    @abstractmethod
    def take_back(self, entries: Sequence[VelocityEntry]) -> None:
        """Remove what was added, as far as it doesn't leave with the transaction that failed."""

    def settled(self, entries: Sequence[VelocityEntry]) -> None:  # noqa: B027 -- those of SQL are by then
        """Note that the transaction in which rows were added was committed."""

    def unsettled(self) -> dict[int, frozenset[str]]:
        """Return, by number of a subject, the ids of rows of which it isn't noted that they have a decision."""
        return {}

    def settle(self, subject: int, kept: Sequence[str], lost: Sequence[str]) -> None:  # noqa: B027 -- as above
        """Note of unsettled rows which have a decision, and remove those that have none."""

    @abstractmethod
    def relabel(self, labels: Sequence[tuple[str, int]]) -> None:
        """Note what transactions turned out to be, by id: 1 for fraud, 0 for legitimate."""

    @abstractmethod
    def prune(self, decided_before: float | None = None) -> int:
        """Remove rows that are too old to count for anything, and return how many.

        Old is what lies further back than features look, from the latest time on that all but one in a thousand rows,
        or all but a hundred, reach: a clock that is wrong mustn't make all others old. A smaller state has nothing old.

        Args:
            decided_before: decisions of before this moment, in seconds since 1970, are removed as well.
        """

    @abstractmethod
    def forget(self, detector: str) -> None:
        """Drop the rows of a detector of this name, whatever its fingerprint."""

    @abstractmethod
    def detach_owner(self, owner: str) -> None:
        """Give the rows of an owner to nobody; those that count for all go on doing so."""

    @abstractmethod
    def complete(self, entries: Sequence[VelocityEntry]) -> int:
        """Add those rows that aren't there, each an entry of its own, and return how many; labels are those given."""

    @abstractmethod
    def keep_only(self, subject: TrainedSubject, ids: Sequence[str], until: int) -> int:
        """Remove rows of other ids than these, up to the row ``until``, and return how many."""

    def begin_building(self, subject: TrainedSubject) -> str | None:  # noqa: ARG002 -- for Redis
        """Return what :meth:`is_built` is told, so that it sees whether the state was lost once more meanwhile."""
        return None

    @abstractmethod
    def is_built(self, subject: TrainedSubject, begun: str | None = None) -> None:
        """Note that the state of a detector is what the ledger says."""

    @abstractmethod
    def unbuilt(self) -> frozenset[int]:
        """Return the numbers of the subjects whose state isn't what the ledger says, or may not be."""

    @abstractmethod
    def standing(self, subject: TrainedSubject) -> VelocityExtent:
        """Return what a detector's state has seen."""


def past_of(cells: bytes, labels: Sequence[int], columns: int) -> Past:
    """Return rows as they were kept, one after the other and each of so many columns, as a past."""
    return Past(np.frombuffer(cells).reshape(len(labels), columns), np.array(labels, np.int8))


def unknown_of(found: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return numbers that were found, in any order and some of them twice, without known ones; ascending.

    NumPy's own ``unique`` and ``setdiff1d`` take ten times as long as sorting.
    """
    numbers = np.sort(found)
    fresh = np.ones(len(numbers), bool)
    fresh[1:] = numbers[1:] != numbers[:-1]
    if len(known):
        fresh &= known[np.minimum(np.searchsorted(known, numbers), len(known) - 1)] != numbers
    return numbers[fresh]


Kept = tuple[str, bool, bytes]
"""Owner, whether it counts for all, and cells of a row that is there."""


def sorted_out(
    entries: Sequence[VelocityEntry], since: Callable[[VelocityEntry], Sequence[Kept]]
) -> tuple[list[VelocityEntry], set[object]]:
    """Return which entries can be kept, and the companies of the others, which were stale.

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
        if news and bears_on(np.concatenate(news), entry):
            again.add(entry.company)
        before.append(entry)
    return [entry for entry in entries if entry.company not in again], again


def bears_on(news: Matrix, entry: VelocityEntry) -> bool:
    """Tell whether any of some rows is earlier than one of an entry's and shares an entity with it."""
    subject, own = entry.subject, entry.values
    earlier = news[:, [subject.time]] < own[:, subject.time]
    reach = news[:, [subject.time]] >= own[:, subject.time] - subject.horizon - 1.0
    same = np.zeros(earlier.shape, bool)
    for place in subject.tracked:
        same |= news[:, [place]] == own[:, place]
    return bool((earlier & reach & same).any())
