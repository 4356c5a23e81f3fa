"""Compute the deviation of each amount from those that its entity usually paid or took until then."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.amounts import Amounts
from screening.features.computation.groups import Groups, RowRanges, parts_of
from screening.features.computation.rowwise import signed_log
from screening.features.computation.timeline import TICKS, Places, Stretch, Timeline

# With fewer earlier amounts nothing is usual yet.
FEWEST = 3
HIGH = 1.0
"""An amount is high from so much above the usual on, as a logarithm: some 2.7 times."""

Logs = NDArray[np.float32]


def above_usual(
    timeline: Timeline,
    codes: Places,
    units: NDArray[np.float64],
    span: float,
    wanted: NDArray[np.bool_] | None = None,
) -> Logs:
    """Return the logarithm of each row's amount less that of the median of its entity's amounts before; (t,).

    NaN where fewer than ``FEWEST`` are known of the ``span`` seconds before the row, for rows without the entity, and
    for those that aren't wanted.

    Args:
        timeline: the rows.
        codes: a number for the entity of each row, -1 for a blank; (t,).
        units: the amounts; (t,).
        span: how far back the usual reaches, in seconds.
        wanted: of which rows it is wanted, (t,); by default of all.
    """
    found = np.full(len(codes), np.nan, np.float32)
    stretch = timeline.whole(wanted)
    if wanted is not None:
        codes = _reached(codes, stretch, span)
    since, now = stretch.edges(span), stretch.edges(0.0)
    for keys in parts_of(codes):
        groups = Groups(stretch, keys)
        window = RowRanges(groups.places(since), groups.places(now))
        units_here = units[groups.rows]
        (median,) = Amounts(groups, units_here).medians([window])
        known = window.count >= FEWEST
        found[groups.now] = np.where(known, above(units_here[groups.here], median), np.nan)
    return found


def _reached(codes: Places, stretch: Stretch, span: float) -> Places:
    """Return codes, -1 for rows that are no asked row of their entity, nor up to ``span`` seconds before one; (t,)."""
    asked = codes[stretch.asked]
    time = stretch.time[stretch.asked]
    first = np.full(codes.max(initial=-1) + 2, np.iinfo(np.int64).max)
    last = np.full(len(first), np.iinfo(np.int64).min)
    # where one number comes several times, NumPy keeps what it is given last
    last[asked], first[asked[::-1]] = time, time[::-1] - np.int64(round(span * TICKS))
    first[-1] = np.iinfo(np.int64).max  # where a blank's code leads
    reached = (stretch.time >= first[codes]) & (stretch.time <= last[codes])
    return np.where(reached, codes, np.int32(-1))


def above(own: NDArray[np.float64], usual: NDArray[np.float64]) -> Logs:
    """Return the logarithms of amounts less those of the usual ones, all in units and of one shape."""
    return (signed_log(own) - signed_log(usual)).astype(np.float32)
