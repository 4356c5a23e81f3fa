"""Collect calculated columns: the features that a definition has, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.timeline import Places
from screening.features.definitions.definition import Definition

# Larger numbers are cut off: float32 reaches only a little further.
LARGEST = 1e37
# Cells up to which all columns are made finite at once. Column by column takes less memory, but much longer
# for a few rows.
SMALL = 65_536


def overflowing() -> np.errstate:
    """Let numbers become infinite that float32 can't hold, for a thread."""
    return np.errstate(over="ignore")


class Sheet:
    """The features of some rows while they are made: float32 (features, n), zero where nothing was put.

    Numbers that float32 can't hold are infinite until :meth:`finite`; who writes does so within :func:`overflowing`.
    """

    def __init__(self, definition: Definition, rows: int) -> None:
        self._places = definition.places
        self.cells = np.zeros((len(self._places), rows), np.float32)

    def wants(self, *key: str) -> bool:
        """Return whether the definition has a feature."""
        return key in self._places

    def put(self, key: tuple[str, ...], column: Any, rows: Places | None = None) -> None:
        """Write a column, or some rows of it; nothing happens if the definition has no such feature."""
        place = self._places.get(key)
        if place is None:
            return
        self.cells[place, slice(None) if rows is None else rows] = column

    def mark(self, places: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Write 1 into one column of each of some rows, whose place is given."""
        self.cells[places, rows] = 1

    def put_all(self, places: NDArray[np.intp], numbers: NDArray[np.float64]) -> None:
        """Write several columns, whose places are given, for all rows; ``numbers`` is (n, columns)."""
        self.cells[places] = numbers.T

    def finite(self) -> NDArray[np.float32]:
        """Return the features, (features, n): a blank is 0, and what float32 can't hold is cut off."""
        parts = (self.cells,) if self.cells.size <= SMALL else self.cells
        for column in parts:
            np.nan_to_num(column, copy=False, nan=0.0, posinf=LARGEST, neginf=-LARGEST)
        return self.cells
