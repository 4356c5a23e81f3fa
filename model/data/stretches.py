"""Stretches of time between which no fraud happened for long: folds that part no wave of fraud."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def stretches(
    label: NDArray[np.int8] | NDArray[np.int64], time: NDArray[np.float64], gap: float, most: int, fewest: int
) -> list[Rows]:
    """Return the rows of each stretch, in the order of time; one stretch where there is nowhere to cut.

    Frauds come in waves, and rows of one wave tell each other's label. The longest times without a fraud are cut at
    first, in their middle.

    Args:
        label: 0 or 1, (rows,).
        time: seconds, (rows,).
        gap: seconds without a fraud that a cut needs at least, more than 0.
        most: stretches at most.
        fewest: frauds, and other rows, of each at least.
    """
    fraud = np.sort(time[label == 1])
    gaps = np.diff(fraud)
    cuts: list[float] = []
    for place in np.argsort(-gaps, kind="stable"):
        if gaps[place] < gap or len(cuts) + 1 >= most:
            break
        tried = np.sort([*cuts, (fraud[place] + fraud[place + 1]) / 2])
        of = np.searchsorted(tried, time, side="right")
        counts = [np.bincount(of[label == value], minlength=len(tried) + 1) for value in (0, 1)]
        if min(map(min, counts)) >= fewest:
            cuts = tried.tolist()
    of = np.searchsorted(np.array(cuts), time, side="right")
    return [np.flatnonzero(of == number) for number in range(len(cuts) + 1)]
