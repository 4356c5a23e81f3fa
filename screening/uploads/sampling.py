"""Some rows of a file of any length, evenly spread over it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.transactions.schema import Matrix

Rows = NDArray[np.int64]


class EvenSample:
    """Fewer than twice so many rows, evenly spread: whenever there are twice as many, every other one is dropped, and
    from then on half as many are taken.
    """

    def __init__(self, most: int) -> None:
        self._most, self._step, self._seen = most, 1, 0
        self._rows: list[Rows] = []
        self._values: list[Matrix] = []
        self._count = 0

    def add(self, rows: Rows, values: Matrix) -> None:
        """Take further rows, with their numbers."""
        place = np.arange(-self._seen % self._step, len(rows), self._step)
        self._seen += len(rows)
        self._rows.append(rows[place])
        self._values.append(values[place])
        self._count += len(place)
        while self._count >= 2 * self._most:
            thin, dense = self.taken()
            self._rows, self._values = [thin[::2]], [dense[::2]]
            self._count, self._step = len(self._rows[0]), self._step * 2

    def taken(self) -> tuple[Rows, Matrix]:
        """Return the numbers of the rows and their values."""
        return np.concatenate(self._rows), np.concatenate(self._values)
