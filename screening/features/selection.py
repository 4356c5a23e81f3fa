"""Medians of ranges: the exact middle amount of many windows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.features.groups import Groups
from screening.features.timeline import Places

Floats = NDArray[np.float64]
Small = NDArray[np.int32]


class Ranks:
    """The numbers of grouped rows, ready to be asked for the k-th smallest of a range of places within a group.

    A wavelet matrix (Claude and Navarro 2012) over the rank of each number in its group: level by level, from the highest
    bit of the ranks, the rows with a 0 go before those with a 1, and counting zeros tells where a range goes and in
    which half of the values its k-th smallest is. All ranges go down together, one level at a time.
    """

    def __init__(self, groups: Groups, numbers: Floats) -> None:
        starts = groups.starts()
        _, dense = np.unique(numbers, return_inverse=True)
        order = np.argsort((groups.codes << np.int64(32)) | dense)
        self._sorted = numbers[order]
        self._starts = starts
        self._ranks = np.empty(len(numbers), np.int32)
        self._ranks[order] = np.arange(len(numbers)) - starts
        self._bits = int(self._ranks.max(initial=0)).bit_length()

    def select(self, low: Places, high: Places, smaller: Places) -> Floats:
        """The number with so many ``smaller`` ones in its range, (p,); ranges are not empty and within a group."""
        start = self._starts[low]
        left, right, rest = (part.astype(np.int32) for part in (low, high, smaller))
        rank = np.zeros(len(left), np.int32)
        ranks = self._ranks
        for bit in range(self._bits - 1, -1, -1):
            ones = (ranks >> bit) & 1
            zeros = np.zeros(len(ranks) + 1, np.int32)
            np.cumsum(1 - ones, out=zeros[1:])
            _descend(zeros, left, right, rest, rank, np.int32(1 << bit))
            ranks = np.concatenate([ranks[ones == 0], ranks[ones == 1]])
        return self._sorted[start + rank]


def _descend(zeros: Small, left: Small, right: Small, rest: Small, rank: Small, value: np.int32) -> None:
    """Take every range one level down, in place."""
    before, until = zeros[left], zeros[right]
    below = until - before
    up = rest >= below
    np.subtract(rest, below, out=rest, where=up)
    np.add(rank, value, out=rank, where=up)
    left[:] = np.where(up, zeros[-1] + left - before, before)
    right[:] = np.where(up, zeros[-1] + right - until, until)
