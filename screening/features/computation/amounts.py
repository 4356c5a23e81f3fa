"""Statistics of the amounts in windows of an entity's earlier rows, each for all asked rows at once.

Sums are differences of running sums, and these are of whole numbers: amounts are rounded to a millionth of a usual one,
so that neither the order of the rows nor where the past begins moves a bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.groups import Groups, RowRanges, running
from screening.features.computation.selection import Ranks
from screening.features.computation.timeline import Timeline, Whole
from screening.features.definitions.definition import Definition

Floats = NDArray[np.float64]

# Steps per unit (a unit is a 64th of a usual amount). Sums of whole steps are exact, in whatever order.
FINE = 2.0**14
# In units, a million usual amounts: then 2**23 of them in one window fit into the 64 bits of their sum.
LARGEST = 2.0**26
COARSE = 2.0**5
"""Steps of a unit in sums of squares."""
# In units, two thousand usual amounts: then the squares of half a million of them fit into the 64 bits of
# their sum.
LARGEST_SQUARED = 2.0**17
# Least standard deviation, as a share of the mean, and as one unit: with equal amounts it would be nought.
FLOOR = 0.02
MIDDLE_TWO = 2


def in_units(amounts: Floats, unit: float) -> Floats:
    """Return amounts in units, cut off and rounded as the sums take them, without a minus zero; the same shape."""
    return np.rint(np.clip(amounts / unit, -LARGEST, LARGEST) * FINE) / FINE + 0.0


def units_of(definition: Definition, timeline: Timeline) -> Floats | None:
    """Return the amounts of a timeline's rows in units, (t,), blanks filled; ``None`` where there are no amounts."""
    name = definition.contract.amount
    if name is None:
        return None
    amounts = timeline.column(name)
    amounts[np.isnan(amounts)] = definition.fills.get(name, 0.0)
    return in_units(amounts, definition.unit)


def fine_steps(units: Floats) -> Whole:
    """Return the amounts, in units, as they are summed: in whole steps; the same shape."""
    return (units * FINE).astype(np.int64)


def coarse_steps(units: Floats) -> Whole:
    """Return the amounts, in units, as they are squared and summed: in whole steps; the same shape."""
    return np.rint(np.clip(units, -LARGEST_SQUARED, LARGEST_SQUARED) * COARSE).astype(np.int64)


def largest(numbers: Floats, window: RowRanges) -> Floats:
    """Return the largest of ``numbers`` (r,) in each window, (p,); 0 where it is empty.

    Maxima over 2, 4, 8, … rows are made one from the other, and two of them cover any window
    (the sparse table of Bender and Farach-Colton 2000, one level at a time).
    """
    found = np.zeros(len(window))
    level = np.frexp(window.count.astype(np.float64))[1].astype(np.int8)  # 0 where it is empty
    order = np.argsort(level, kind="stable")
    ends = np.searchsorted(level[order], np.arange(level.max(initial=0) + 2))
    table = numbers
    for number in range(1, len(ends) - 1):
        size = 1 << (number - 1)
        chosen = order[ends[number] : ends[number + 1]]
        found[chosen] = np.maximum(table[window.low[chosen]], table[window.high[chosen] - size])
        table = np.maximum(table[:-size], table[size:])
    return found


class Amounts:
    """The amounts of the rows of ``groups`` in their order, in units, (r,)."""

    def __init__(self, groups: Groups, units: Floats) -> None:
        self.groups = groups
        self.units = units
        self._sums = running(fine_steps(units))
        coarse = coarse_steps(units)
        self._coarse = running(coarse)
        self._squares = running(coarse * coarse)

    def total(self, window: RowRanges) -> Floats:
        """Return sums in units."""
        return window.total(self._sums) / FINE

    def scores(self, window: RowRanges, units: Floats) -> Floats:
        """Return the distance of ``units`` (p,) from the mean in standard deviations; 0 where fewer than two rows are
        known.
        """
        count = np.maximum(window.count, 1)
        # in the same steps as the squares, or the difference of the two would be rounding
        rough = window.total(self._coarse) / COARSE / count
        square = window.total(self._squares) / COARSE**2 / count
        variance = np.maximum(square - rough * rough, 0.0) * count / np.maximum(count - 1, 1)
        mean = self.total(window) / count
        least = 1.0 + FLOOR * np.abs(mean)
        found = (units - mean) / np.maximum(np.sqrt(variance), least)
        return np.where(window.count > 1, found, 0.0)

    def largest(self, window: RowRanges) -> Floats:
        """Return the largest in each window, 0 where it is empty."""
        return largest(self.units, window)

    def medians(self, windows: Sequence[RowRanges]) -> list[Floats]:
        """Return the median of each window of several lists; of an even number the mean of the middle two."""
        low = np.concatenate([window.low for window in windows])
        high = np.concatenate([window.high for window in windows])
        count = high - low
        found = np.zeros(len(low))
        few = (count > 0) & (count <= MIDDLE_TWO)
        found[few] = (self.units[low[few]] + self.units[high[few] - 1]) / 2
        many = np.flatnonzero(count > MIDDLE_TWO)
        if len(many):
            even = many[count[many] % 2 == 0]
            asked = np.concatenate([many, even])
            smaller = np.concatenate([(count[many] - 1) // 2, count[even] // 2])
            middle = Ranks(self.groups, self.units).select(low[asked], high[asked], smaller)
            found[many] = middle[: len(many)]
            found[even] = (found[even] + middle[len(many) :]) / 2
        return np.split(found, len(windows))
