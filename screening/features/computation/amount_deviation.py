"""Compute the deviation of each amount from those that its entity usually paid or took until then."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.amounts import Amounts
from screening.features.computation.groups import Groups, RowRanges, parts_of
from screening.features.computation.rowwise import signed_log
from screening.features.computation.timeline import Places, Timeline

# With fewer earlier amounts nothing is usual yet.
FEWEST = 3
HIGH = 1.0
"""An amount is high from so much above the usual on, as a logarithm: some 2.7 times."""

Logs = NDArray[np.float32]


def above_usual(timeline: Timeline, codes: Places, units: NDArray[np.float64], span: float) -> Logs:
    """Return the logarithm of each row's amount less that of the median of its entity's amounts before; (t,).

    NaN where fewer than ``FEWEST`` are known of the ``span`` seconds before the row, and for rows without the entity.

    Args:
        timeline: the rows.
        codes: a number for the entity of each row, -1 for a blank; (t,).
        units: the amounts; (t,).
        span: how far back the usual reaches, in seconds.
    """
    found = np.full(len(codes), np.nan, np.float32)
    stretch = timeline.whole()
    since, now = stretch.edges(span), stretch.edges(0.0)
    for keys in parts_of(codes):
        groups = Groups(stretch, keys)
        window = RowRanges(groups.places(since), groups.places(now))
        own = units[groups.rows]
        (median,) = Amounts(groups, own).medians([window])
        found[groups.rows] = np.where(window.count >= FEWEST, above(own, median), np.nan)
    return found


def above(own: NDArray[np.float64], usual: NDArray[np.float64]) -> Logs:
    """Return the logarithms of amounts less those of the usual ones, all in units and of one shape."""
    return (signed_log(own) - signed_log(usual)).astype(np.float32)
