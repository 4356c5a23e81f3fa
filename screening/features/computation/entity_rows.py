"""The rows of one entity as plain lists, for a few rows that are asked about."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from operator import mul

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.amount_deviation import FEWEST, HIGH, above
from screening.features.computation.amounts import coarse_steps, fine_steps, units_of
from screening.features.computation.timeline import TICKS, Timeline, Whole
from screening.features.definitions.definition import Definition

Floats = NDArray[np.float64]


def median(ordered: Sequence[float]) -> float:
    """Return the median of numbers in their order; of an even number the mean of the middle two."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


class TimelineRows:
    """All rows of a timeline, (t,) in its order, and those of one entity at a time.

    Args:
        definition: what the features are.
        timeline: the rows; few.
        since: from when on it matters whether an amount is high, in ticks.
    """

    def __init__(self, definition: Definition, timeline: Timeline, since: int) -> None:
        self._timeline = timeline
        self._columns: dict[str, Floats] = {}
        self._entities: dict[tuple[str, float], EntityRows] = {}
        self.since = since
        self.usual_span = round(definition.options.windows[-1] * TICKS)
        """Span of the usual amount, in ticks."""
        self.time, self.labels = timeline.time, timeline.labels()
        units = units_of(definition, timeline)
        self.units = np.zeros(len(self.time)) if units is None else units
        self.fine, self.coarse = fine_steps(self.units), coarse_steps(self.units)

    def column(self, name: str) -> Floats:
        """Return the cells of a column, NaN for a blank."""
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = self._timeline.column(name)
        return found

    def of(self, name: str, cell: float) -> EntityRows:
        """Return the rows that have a cell in a column; of a blank there are none."""
        found = self._entities.get((name, cell))
        if found is None:
            found = self._entities[name, cell] = EntityRows(self, np.flatnonzero(self.column(name) == cell))
        return found

    def least_above(self, places: Sequence[int], name: str) -> float | None:
        """Return the least that the amounts of some rows were above what was usual for an entity of theirs.

        ``None`` where nothing was usual yet in any of them.
        """
        own, usual = [], []
        for place, cell in zip(places, self.column(name)[places].tolist(), strict=True):
            known = self.of(name, cell).usual(int(self.time[place]))
            if known is not None:
                own.append(float(self.units[place]))
                usual.append(known)
        return float(above(np.array(own), np.array(usual)).min()) if own else None


class EntityRows:
    """The rows of a timeline that have one entity, (r,) each, in the order of time."""

    def __init__(self, rows: TimelineRows, places: Whole) -> None:
        self._rows = rows
        self._places = places
        self._partners: dict[str, list[float | None]] = {}
        self.places: list[int] = places.tolist()
        self.times: list[int] = rows.time[places].tolist()
        self.labels: list[int] = rows.labels[places].tolist()
        self.frauds = [number for number, label in enumerate(self.labels) if label == 1]
        self.is_labelled = bool(self.frauds) or 0 in self.labels

    @cached_property
    def units(self) -> list[float]:
        """The amounts in units."""
        found: list[float] = self._rows.units[self._places].tolist()
        return found

    @cached_property
    def fine(self) -> list[int]:
        """Running sums of the amounts in steps, (r + 1,)."""
        return list(accumulate(self._rows.fine[self._places].tolist(), initial=0))

    @cached_property
    def coarse(self) -> tuple[list[int], list[int]]:
        """Running sums of the amounts in coarse steps, and of their squares, (r + 1,) each."""
        steps = self._rows.coarse[self._places].tolist()
        return list(accumulate(steps, initial=0)), list(accumulate(map(mul, steps, steps), initial=0))

    def partners(self, name: str) -> list[float | None]:
        """Return the cells of another entity, ``None`` for a blank."""
        found = self._partners.get(name)
        if found is None:
            cells = self._rows.column(name)[self._places].tolist()
            found = self._partners[name] = [None if cell != cell else cell for cell in cells]  # noqa: PLR0124 -- NaN
        return found

    def usual(self, time: int) -> float | None:
        """Return the median of the amounts of the longest window before a time; ``None`` of too few."""
        low, high = bisect_left(self.times, time - self._rows.usual_span), bisect_left(self.times, time)
        return median(sorted(self.units[low:high])) if high - low >= FEWEST else None

    @cached_property
    def high(self) -> list[int]:
        """The numbers of the rows whose amount was far above what was usual then; of those that matter."""
        times, units, span = self.times, self.units, self._rows.usual_span
        numbers, usual = [], []
        start = bisect_left(times, self._rows.since)
        low = high = bisect_left(times, self._rows.since - span)
        ordered: list[float] = []
        for number in range(start, len(times)):
            now = times[number]
            while times[high] < now:
                insort(ordered, units[high])
                high += 1
            while times[low] < now - span:
                del ordered[bisect_left(ordered, units[low])]
                low += 1
            # half of the rows are below the middle, and needn't be looked at any closer
            if high - low >= FEWEST and units[number] > ordered[(high - low - 1) // 2]:
                numbers.append(number)
                usual.append(median(ordered))
        if not numbers:
            return []
        own = np.array([units[number] for number in numbers])
        return [numbers[place] for place in np.flatnonzero(above(own, np.array(usual)) > HIGH).tolist()]

    def after(self, number: int) -> int:
        """Return the first row that is later than one."""
        return bisect_right(self.times, self.times[number])
