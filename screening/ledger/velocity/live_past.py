"""The past of a transaction that is decided now: rows of files, and what the API was asked a moment ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.features import Definition, Past, PastIndex, PastRange, wanted_for, wanted_of_frauds
from screening.ledger.history import joined, row_hashes
from screening.ledger.velocity.entries import TrainedSubject, Viewer
from screening.ledger.velocity.state import NumberedRows, StateReader, Velocity
from screening.transactions.schema import Matrix

NONE = np.empty(0, np.int64)
FEW = 4
LEAST_MET, GROWTH = 512, 4
"""Rows that are looked at first, and how many times as many after them."""


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
            live = self._look(read, wanted, NONE)
            self.repeated = self._stand_in(values, live.past)
            places = self._within(wanted)
            found = self._both(places, live.past)
            more = wanted_of_frauds(self._definition, found)
            if more:
                both = live.and_others(self._look(read, more, live.numbers))
                found = self._both(np.union1d(places, self._within(more)), both.past)
        self._met = found
        return found

    def _stand_in(self, values: Matrix, recent: Past) -> NDArray[np.bool_]:
        """Tell which rows are among others as they are; only those of the same times are looked at."""
        times, asked = recent.values[:, self.subject.time], np.sort(values[:, self.subject.time])
        same = asked[np.minimum(np.searchsorted(asked, times), len(asked) - 1)] == times
        if not same.any():
            return np.zeros(len(values), bool)
        return np.isin(row_hashes(values), row_hashes(recent.values[same]))

    def _within(self, wanted: Sequence[PastRange]) -> NDArray[np.int64]:
        return np.empty(0, np.int64) if self.files is None else self.files.within(wanted)

    def _look(self, read: StateReader, wanted: Sequence[PastRange], known: NDArray[np.int64]) -> NumberedRows:
        placed = [(self._places[each.column], each) for each in wanted]
        return read.rows(self.subject, self.viewer, placed, known)

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
        if self._met is None:
            return found
        time, start, size = self.subject.time, 0, max(len(values), LEAST_MET)
        # those that came first, mostly the earliest, tell it of nearly all rows
        while start < len(self._met) and not found.all():
            met, left = self._met.values[start : start + size], np.flatnonzero(~found)
            for place in self.subject.tracked:
                found[left] |= are_later(values[left], met, place, time)
            start += size
            size *= GROWTH
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


def are_later(values: Matrix, met: Matrix, place: int, time: int) -> NDArray[np.bool_]:
    """Return whether each row has a cell that an earlier one of others has, bool (n,).

    Args:
        values: (n, columns).
        met: the others, (m, columns).
        place: of the column.
        time: the place of the time.
    """
    if len(values) <= FEW:
        return np.array(
            [((met[:, place] == row[place]) & (met[:, time] < row[time])).any() for row in values], bool
        )
    cells = np.sort(values[:, place])
    at = np.minimum(np.searchsorted(cells, met[:, place]), len(cells) - 1)
    has = (cells[at] == met[:, place]) & ~np.isnan(met[:, time])
    first = np.full(len(cells), np.inf)
    np.minimum.at(first, at[has], met[has, time])
    found: NDArray[np.bool_] = first[np.searchsorted(cells, values[:, place])] < values[:, time]
    return found
