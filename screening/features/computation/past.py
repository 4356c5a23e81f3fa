"""Rows that came before those which are asked about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from screening.features.definitions.definition import Definition
from screening.features.definitions.lookback import usual_of
from screening.transactions.schema import Matrix

# Looking up more cells one by one takes longer than reading all rows.
FEW = 256


@dataclass(frozen=True, slots=True)
class Past:
    """Earlier rows in any order: ``values`` float64 (rows, columns of the contract), ``labels`` int8 (rows,), -1
    where it isn't known whether it was fraud.
    """

    values: Matrix
    labels: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.values)


class PastSource(Protocol):
    """Whoever knows earlier rows, and gives those that may count for a few rows."""

    def related(self, values: Matrix) -> Past:
        """Return the rows that may count for ``values`` (n, columns of the contract)."""

    def knows(self, values: Matrix) -> NDArray[np.bool_]:
        """Tell whether any entity of each row has been seen, at whatever time, bool (n,)."""


@dataclass(frozen=True, slots=True)
class PastRange:
    """Rows that have a cell in a column, from one time to another, both included."""

    column: str
    cell: float
    since: float
    until: float


def wanted_for(definition: Definition, values: Matrix) -> list[PastRange]:
    """Return what may count for some rows: features tell of earlier rows with one of a row's entities only.

    Args:
        definition: what the features are; they look back.
        values: float64 (n, columns of the contract).
    """
    columns = definition.contract.columns
    times = values[:, columns.index(str(definition.contract.time))]
    times = times[~np.isnan(times)]
    if not len(times):
        return []
    since, until = float(times.min()) - definition.horizon - 1.0, float(times.max())
    found = []
    for name in definition.tracked:
        cells = different_cells(values[:, columns.index(name)])
        found += [PastRange(name, cell, since, until) for cell in cells]
    return found


def different_cells(cells: NDArray[np.float64]) -> list[float]:
    """Return the different cells that aren't blank, ascending; NumPy would take longer for those of one row."""
    return sorted({cell for cell in cells.tolist() if cell == cell})  # noqa: PLR0124 -- not NaN


def wanted_of_frauds(definition: Definition, past: Past) -> list[PastRange]:
    """Return what was usual for the others in known frauds among some rows: their rows of the longest window before."""
    frauds = past.values[past.labels == 1]
    if not len(frauds):
        return []
    columns = definition.contract.columns
    times = frauds[:, columns.index(str(definition.contract.time))].tolist()
    back = definition.options.windows[-1] + 1.0
    found = []
    for name in sorted(
        {partner for entity in definition.tracked for partner in usual_of(definition, entity)}
    ):
        spans: dict[float, tuple[float, float]] = {}
        for cell, moment in zip(frauds[:, columns.index(name)].tolist(), times, strict=True):
            if cell == cell and moment == moment:  # noqa: PLR0124 -- neither is NaN, a blank
                first, last = spans.get(cell, (moment, moment))
                spans[cell] = min(first, moment), max(last, moment)
        found += [PastRange(name, cell, first - back, last) for cell, (first, last) in spans.items()]
    return found


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The rows of a past that have a cell in one column, by cell and time; all (r,)."""

    cells: NDArray[np.float64]
    times: NDArray[np.float64]
    rows: NDArray[np.int64]

    def within(self, cell: float, since: float, until: float) -> NDArray[np.int64]:
        """Return the rows with this cell and a time from ``since`` to ``until``."""
        # the next larger number finds the right end, so that one call finds both
        low, high = np.searchsorted(self.cells, [cell, np.nextafter(cell, np.inf)])
        times = self.times[low:high]
        return self.rows[
            low + np.searchsorted(times, since) : low + np.searchsorted(times, until, side="right")
        ]


class PastIndex:
    """A past that is sorted once, so that a few rows can be answered without looking at all of it.

    Features of a row tell of earlier rows with one of its entities only, so that these are all that is needed: what
    :func:`~screening.features.compute` gives with an index is what it gives with the whole past.
    """

    def __init__(self, definition: Definition, past: Past) -> None:
        self._past = past
        self._definition = definition
        self._columns = definition.contract.columns
        self._sorted = {name: self._sort(name) for name in definition.tracked if definition.looks_back}

    def __len__(self) -> int:
        return len(self._past)

    def _column(self, values: Matrix, name: str | None) -> NDArray[np.float64]:
        return values[:, self._columns.index(str(name))]

    def _sort(self, name: str) -> _Sorted:
        cells = self._column(self._past.values, name)
        times = self._column(self._past.values, self._definition.contract.time)
        # by cell, then by time: lexsort takes its last key first
        order = np.lexsort((times, cells))
        order = order[~(np.isnan(cells[order]) | np.isnan(times[order]))]
        return _Sorted(cells[order], times[order], order)

    def knows(self, values: Matrix) -> NDArray[np.bool_]:
        """Return whether any entity of each row has been seen, at whatever time, bool (n,)."""
        found = np.zeros(len(values), bool)
        for name, column in self._sorted.items():
            if len(column.cells):
                cells = self._column(values, name)
                at = np.minimum(np.searchsorted(column.cells, cells), len(column.cells) - 1)
                found |= column.cells[at] == cells
        return found

    def related(self, values: Matrix) -> Past:
        """Return the rows that may count for ``values`` (n, columns of the contract), in the order of the past."""
        wanted = wanted_for(self._definition, values) if self._sorted else []
        places = self.within(wanted)
        found = self.rows(places)
        more = wanted_of_frauds(self._definition, found)
        return self.rows(np.union1d(places, self.within(more))) if more else found

    def within(self, wanted: Sequence[PastRange]) -> NDArray[np.int64]:
        """Return which rows of the past are among the wanted ones, ascending; all of them where much is wanted."""
        if any(count > FEW for count in Counter(each.column for each in wanted).values()):
            return np.arange(len(self._past))
        parts = [self._sorted[each.column].within(each.cell, each.since, each.until) for each in wanted]
        return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)

    def rows(self, places: NDArray[np.int64]) -> Past:
        """Return some rows of the past."""
        if len(places) == len(self._past):
            return self._past
        return Past(self._past.values[places], self._past.labels[places])
