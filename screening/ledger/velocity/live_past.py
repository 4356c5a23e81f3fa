"""The past of a transaction that is decided now: rows of files, and what the API was asked a moment ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.features import Definition, Past, PastIndex, PastRange, wanted_for, wanted_of_frauds
from screening.ledger.history import joined, row_hashes
from screening.ledger.velocity.entries import TrainedSubject, Viewer
from screening.ledger.velocity.state import StateReader, Velocity, past_of
from screening.transactions.schema import Matrix


@dataclass(frozen=True, slots=True)
class LiveRows:
    """Rows that came through the API, for a file: as one more file of its past."""

    velocity: Velocity
    subject: TrainedSubject
    viewer: Viewer

    def within(self, since: float, until: float) -> Past:
        """Return the rows from a time to before another."""
        return self.velocity.span(self.subject, self.viewer, since, until)

    def __bool__(self) -> bool:
        with self.velocity.reading() as read:
            return read.last(self.subject)[0] > 0


class LivePast:
    """Gives a few transactions what may count for them.

    A row that appears in a file and came through the API counts once, as one that appears in two files does.

    Args:
        definition: what the features are.
        files: rows of files, sorted.
        velocity: rows of the API.
        subject: the detector's.
        viewer: for whom they count.
    """

    def __init__(
        self,
        definition: Definition,
        files: PastIndex | None,
        velocity: Velocity,
        subject: TrainedSubject,
        viewer: Viewer,
    ) -> None:
        self._definition, self.files = definition, files
        self._velocity = velocity
        self.subject, self.viewer = subject, viewer
        self.read_at = 0
        """The last row of the API that was there when :meth:`related` was asked last."""
        self.is_whole = True
        """Whether everything that the API was asked was there."""
        self.repeated: NDArray[np.bool_] = np.empty(0, bool)
        """Of the rows that it was asked about, those that were there already, as they are."""
        self._met: Past | None = None
        """Rows that :meth:`related` has found last."""
        columns = definition.contract.columns
        self._places = {name: place for place, name in enumerate(columns)}

    @property
    def whose(self) -> tuple[int, Viewer, int]:
        """Key that two requests share if the same rows count for them."""
        return self.subject.number, self.viewer, id(self.files)

    def related(self, values: Matrix) -> Past:
        """Return the rows that may count for ``values`` (n, columns of the contract)."""
        wanted = wanted_for(self._definition, values)
        with self._velocity.reading() as read:
            self.read_at, self.is_whole = read.last(self.subject)
            live = self._look(read, wanted)
            recent = self._past(live)
            self.repeated = self._stand_in(values, recent)
            places = self._within(wanted)
            found = self._both(places, recent)
            more = wanted_of_frauds(self._definition, found)
            if more:
                found = self._both(
                    np.union1d(places, self._within(more)), self._past(live | self._look(read, more))
                )
        self._met = found
        return found

    def _stand_in(self, values: Matrix, recent: Past) -> NDArray[np.bool_]:
        """Tell which rows are among others as they are; only those of the same times are looked at."""
        times = set(values[:, self.subject.time].tolist())
        same = [
            place for place, time in enumerate(recent.values[:, self.subject.time].tolist()) if time in times
        ]
        if not same:
            return np.zeros(len(values), bool)
        return np.isin(row_hashes(values), row_hashes(recent.values[same]))

    def _within(self, wanted: Sequence[PastRange]) -> NDArray[np.int64]:
        return np.empty(0, np.int64) if self.files is None else self.files.within(wanted)

    def _look(self, read: StateReader, wanted: Sequence[PastRange]) -> dict[int, tuple[bytes, int]]:
        placed = [(self._places[each.column], each) for each in wanted]
        return read.rows(self.subject, self.viewer, placed)

    def _past(self, live: dict[int, tuple[bytes, int]]) -> Past:
        return past_of([live[seq] for seq in sorted(live)], len(self._places))

    def _both(self, places: NDArray[np.int64], recent: Past) -> Past:
        if self.files is None or not len(places):
            return recent
        files = self.files.rows(places)
        return joined([files, recent]) if len(recent) else files

    def knows(self, values: Matrix) -> NDArray[np.bool_]:
        """Tell whether an entity of each row was seen, bool (n,): in a file, or by the API before the row's time."""
        found = self._has_met(values)
        if not found.all() and self.files is not None:
            found |= self.files.knows(values)
        if not found.all():
            self._ask(values, found)
        return found

    def _has_met(self, values: Matrix) -> NDArray[np.bool_]:
        """Tell for which rows :meth:`related` has just found an earlier one of an entity of theirs: mostly for all."""
        found = np.zeros(len(values), bool)
        if self._met is None or not len(self._met):
            return found
        times, met_at = (rows[:, self.subject.time].tolist() for rows in (values, self._met.values))
        for place in self.subject.tracked:
            first: dict[float, float] = {}
            for cell, moment in zip(self._met.values[:, place].tolist(), met_at, strict=True):
                first[cell] = min(moment, first.get(cell, moment))
            cells = values[:, place].tolist()
            found |= [first.get(cell, np.inf) < moment for cell, moment in zip(cells, times, strict=True)]
        return found

    def _ask(self, values: Matrix, found: NDArray[np.bool_]) -> None:
        """Note in ``found`` which of the other rows have an entity that the API was asked about before their time."""
        times = values[:, self.subject.time]
        with self._velocity.reading() as read:
            for place in self.subject.tracked:
                cells = values[:, place]
                for cell in np.unique(cells[~found & ~np.isnan(cells)]).tolist():
                    first = read.earliest(self.subject, self.viewer, place, cell)
                    found |= (cells == cell) & (first < times)
