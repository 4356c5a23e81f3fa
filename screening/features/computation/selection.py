"""The k-th smallest of many ranges at once, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.groups import PLACE, SHIFT, Groups
from screening.features.computation.timeline import Places

Floats = NDArray[np.float64]


class Ranks:
    """The numbers of grouped rows, ready to be asked for the k-th smallest of a range of places within a group.

    A wavelet matrix (Claude and Navarro 2012) over the rank of each number in its group: level by level, from the
    highest bit of the ranks, the rows with a 0 go before those with a 1, and counting zeros tells where a range goes,
    and in which half of the values its k-th smallest is. All ranges go down together, one level at a time.
    """

    def __init__(self, groups: Groups, numbers: Floats) -> None:
        ascending = np.argsort(numbers)
        ranks = np.empty(len(numbers), np.int64)
        ranks[ascending] = np.arange(len(numbers))
        # by group and then by number: whole numbers are sorted in a third of the time of their places
        keys = np.sort((groups.codes.astype(np.int64) << SHIFT) | ranks)
        order = ascending[keys & PLACE]
        self._sorted = numbers[order]
        self._starts = groups.starts
        self._ranks = np.empty(len(numbers), np.int32)
        self._ranks[order] = np.arange(len(numbers), dtype=np.int32) - self._starts
        self._bits = int(self._ranks.max(initial=0)).bit_length()

    def select(self, low: Places, high: Places, smaller: Places) -> Floats:
        """Return the number with so many ``smaller`` ones in its range, (p,); a range is in one group and not empty."""
        asked = _Asked(low, high, smaller)
        ranks = self._ranks
        for bit in range(self._bits - 1, -1, -1):
            one = (ranks >> bit) & 1
            zeros = np.zeros(len(ranks) + 1, np.int32)
            np.cumsum(1 - one, out=zeros[1:])
            asked.descend(zeros, np.int32(1 << bit))
            ranks = np.concatenate([ranks[one == 0], ranks[one == 1]])
        found: Floats = self._sorted[self._starts[low] + asked.rank]
        return found


class _Asked:
    """Ranges on their way down: ``low`` to ``high``, how many ``smaller`` ones are still left, the ``rank`` so far."""

    def __init__(self, low: Places, high: Places, smaller: Places) -> None:
        self.low, self.high, self.smaller = low.copy(), high.copy(), smaller.copy()
        self.rank = np.zeros(len(low), np.int32)

    def descend(self, zeros: Places, value: np.int32) -> None:
        """Go one level down; ``zeros`` counts the rows before each place whose rank lacks ``value``."""
        low, high = zeros[self.low], zeros[self.high]
        below = high - low
        up = self.smaller >= below
        np.subtract(self.smaller, below, out=self.smaller, where=up)
        np.add(self.rank, value, out=self.rank, where=up)
        self.low = np.where(up, zeros[-1] + self.low - low, low)
        self.high = np.where(up, zeros[-1] + self.high - high, high)
