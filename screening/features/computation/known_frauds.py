"""The last and the first of some marked rows in each window."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.amounts import largest
from screening.features.computation.groups import RowRanges
from screening.features.computation.timeline import Places

UNUSUAL = 5.0
"""The logarithm of the most that an amount is held to be above the usual, and what stands for no fraud at all."""
Found = tuple[Places, NDArray[np.bool_]]


def latest(marked: Places, window: RowRanges) -> Found:
    """Return the last of the marked places, ascending, in each window, and whether there is one; (p,) each."""
    return _chosen(marked, np.searchsorted(marked, window.high) - 1, window)


def earliest(marked: Places, window: RowRanges) -> Found:
    """Return the first of the marked places, ascending, in each window, and whether there is one; (p,) each."""
    return _chosen(marked, np.searchsorted(marked, window.low), window)


def least(marked: Places, numbers: NDArray[np.floating[Any]], window: RowRanges) -> NDArray[np.float64]:
    """Return the smallest number of the marked places in each window, within ``UNUSUAL``, (p,); so too where there is
    none.

    ``marked`` (r,) are places, ascending, with a number each.
    """
    inside = RowRanges(
        np.searchsorted(marked, window.low).astype(np.int32),
        np.searchsorted(marked, window.high).astype(np.int32),
    )
    below = UNUSUAL - np.clip(numbers, -UNUSUAL, UNUSUAL)
    return UNUSUAL - largest(below, inside)


def _chosen(marked: Places, number: NDArray[np.int64], window: RowRanges) -> Found:
    if not len(marked):
        return np.zeros(len(window), np.int32), np.zeros(len(window), bool)
    place = marked[np.clip(number, 0, len(marked) - 1)]
    return place, (place >= window.low) & (place < window.high)
