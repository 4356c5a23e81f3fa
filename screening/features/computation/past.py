"""Rows that came before those which are asked about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.features.definitions.definition import Definition
from screening.features.definitions.lookback import usual_of
from screening.transactions.schema import Matrix

FEW = 256
"""Different cells of a column up to which they are looked for one by one; for more, all rows are taken."""


@dataclass(frozen=True, slots=True)
class Past:
    """Earlier rows in any order: ``values`` float64 (rows, columns of the contract), ``labels`` int8 (rows,), -1
    where it isn't known whether it was fraud.
    """

    values: Matrix
    labels: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The rows of a past that have a cell in one column, by cell and time; all (r,)."""

    cells: NDArray[np.float64]
    times: NDArray[np.float64]
    rows: NDArray[np.int64]

    def within(self, cell: float, since: float, until: float) -> NDArray[np.int64]:
        """The rows with this cell and a time from ``since`` to ``until``."""
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
        order = np.lexsort((times, cells))
        order = order[~(np.isnan(cells[order]) | np.isnan(times[order]))]
        return _Sorted(cells[order], times[order], order)

    def knows(self, values: Matrix) -> NDArray[np.bool_]:
        """Whether any entity of each row has been seen, at whatever time, bool (n,)."""
        found = np.zeros(len(values), bool)
        for name, column in self._sorted.items():
            cells = self._column(values, name)
            at = np.searchsorted(column.cells, cells)
            found |= (at < len(column.cells)) & (np.append(column.cells, np.nan)[at] == cells)
        return found

    def related(self, values: Matrix) -> Past:
        """The rows that may count for ``values`` (n, columns of the contract), in the order of the past."""
        times = self._column(values, self._definition.contract.time) if self._sorted else np.empty(0)
        times = times[~np.isnan(times)]
        if not len(times):
            return self._rows(np.empty(0, np.int64))
        since, until = float(times.min()) - self._definition.horizon - 1.0, float(times.max())
        parts = []
        for name, column in self._sorted.items():
            cells = np.unique(self._column(values, name))
            cells = cells[~np.isnan(cells)]
            if len(cells) > FEW:
                return self._past
            parts += [column.within(float(cell), since, until) for cell in cells]
        rows = np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)
        return self._rows(np.unique(np.concatenate([rows, *self._of_frauds(rows)])))

    def _of_frauds(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """What was usual for the others in known frauds among some rows: their rows of the longest window before."""
        frauds = self._past.values[rows[self._past.labels[rows] == 1]]
        times = self._column(frauds, self._definition.contract.time)
        back = self._definition.options.windows[-1] + 1.0
        for name in {partner for entity in self._sorted for partner in usual_of(self._definition, entity)}:
            cells = self._column(frauds, name)
            for cell in np.unique(cells[~np.isnan(cells)]):
                own = times[cells == cell]
                yield self._sorted[name].within(float(cell), float(own.min()) - back, float(own.max()))

    def _rows(self, rows: NDArray[np.int64]) -> Past:
        return Past(self._past.values[rows], self._past.labels[rows])
