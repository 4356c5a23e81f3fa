"""The last and the first of some marked rows in each window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.features.groups import Window
from screening.features.timeline import Places

Found = tuple[Places, NDArray[np.bool_]]


def latest(marked: Places, window: Window) -> Found:
    """The last of the marked places, ascending, in each window, and whether there is one; (p,) each."""
    return _chosen(marked, np.searchsorted(marked, window.high) - 1, window)


def earliest(marked: Places, window: Window) -> Found:
    """The first of the marked places, ascending, in each window, and whether there is one; (p,) each."""
    return _chosen(marked, np.searchsorted(marked, window.low), window)


def _chosen(marked: Places, number: NDArray[np.int64], window: Window) -> Found:
    if not len(marked):
        return np.zeros(len(window), np.int32), np.zeros(len(window), bool)
    place = marked[np.clip(number, 0, len(marked) - 1)]
    return place, (place >= window.low) & (place < window.high)
