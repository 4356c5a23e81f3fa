"""Makes the features of a few rows out of a few earlier ones, row by row in plain Python.

For one row and some hundred related ones a NumPy call costs more than its work, and the way for many rows makes a
thousand calls. Here all sums and counts are of plain lists, and NumPy is called once for all logarithms.

What a feature is has one owner all the same. Names, order and windows come from
:mod:`screening.features.definitions.lookback`, as for the other way. Amounts and times are rounded by the same
functions, and logarithms are NumPy's in both: those of Python's ``math`` differ in the last bit. A statistic of the
catalogue that nothing is said of here is refused (:class:`RowLayout`). ``tests/screening/features/test_few_rows.py``
holds that both ways give the same bits, for the definitions that come with the project and for drawn ones.
"""

from __future__ import annotations

from bisect import bisect_left
from math import sqrt

import numpy as np

from screening.features.computation.amounts import COARSE, FINE, FLOOR
from screening.features.computation.entity_rows import EntityRows, TimelineRows, median
from screening.features.computation.known_frauds import UNUSUAL
from screening.features.computation.matrix import Sheet
from screening.features.computation.row_layout import (
    LAYOUTS,
    AmountSlots,
    EntitySlots,
    LastSlots,
    RowLayout,
)
from screening.features.computation.timeline import TICKS, Timeline
from screening.features.definitions.definition import Definition

# Up to so many earlier rows plain lists beat NumPy: with 300, a row takes a sixth of the time.
ROWS = 2_000
ASKED = 50
"""Earlier rows that cost as much as one more row that is asked about."""


def is_few(asked: int, every: int) -> bool:
    """Tell whether rows are quicker told of one by one.

    Args:
        asked: how many are asked about.
        every: how many there are, those that came before them among them.
    """
    return asked * ASKED + every <= ROWS


def fill_few(definition: Definition, timeline: Timeline, start: int, stop: int, sheet: Sheet) -> None:
    """Write the features that tell of earlier rows, as :func:`~.entities.fill_history` does.

    Args:
        definition: what the features are; they look back.
        timeline: all rows.
        start: the first row that is asked about.
        stop: the row after the last one.
        sheet: takes them, for all asked rows.
    """
    layout = LAYOUTS.of(definition)
    numbers = [layout.nothing.copy() for _ in range(stop - start)]
    places, targets = timeline.places(start, stop)
    if len(places):
        since = int(timeline.time[places[0]]) - round(definition.options.windows[-1] * TICKS)
        rows = TimelineRows(definition, timeline, since)
        for place, target in zip(places.tolist(), targets.tolist(), strict=True):
            _Row(layout, rows, place, numbers[target]).tell()
    sheet.put_all(layout.features, layout.finished(numbers))


class _Row:
    """Tells of one row: writes the numbers of its layout, which stand for nothing yet."""

    def __init__(self, layout: RowLayout, rows: TimelineRows, place: int, numbers: list[float]) -> None:
        self._layout, self._rows, self._numbers = layout, rows, numbers
        self._place = place
        self._now = int(rows.time[place])
        self._own = float(rows.units[place])

    def tell(self) -> None:
        """Write everything."""
        self._numbers[self._layout.own] = self._own
        for slots in self._layout.entities:
            cell = float(self._rows.column(slots.name)[self._place])
            entity = self._rows.of(slots.name, cell)
            times, now = entity.times, self._now
            if not times or times[0] >= now:
                continue  # nothing came before it
            self._entity(slots, entity, [bisect_left(times, now - back) for back in self._layout.backs])
        for pair in self._layout.pairs:
            self._meet(pair)

    def _entity(self, slots: EntitySlots, entity: EntityRows, edges: list[int]) -> None:
        """Add everything about one entity; ``edges`` are where the spans of the layout begin."""
        numbers, high = self._numbers, edges[self._layout.now]
        if edges[self._layout.memory] < high:
            self._last(slots.last, entity.times[high - 1])
        for edge, slot in slots.counts:
            numbers[slot] = high - edges[edge]
        if slots.amounts:
            self._amounts(slots.amounts, entity, edges)
        if slots.last_high != self._layout.nowhere:
            self._high_amounts(slots, entity, edges)
        for name, windows in slots.partners:
            self._partners(windows, entity.partners(name), edges)
        if entity.is_labelled:
            self._frauds(slots, entity, edges)
            self._known_frauds(slots, entity, edges)

    def _last(self, slots: LastSlots, time: int) -> None:
        self._numbers[slots.last] = self._since(time)
        self._numbers[slots.new] = 0.0

    def _since(self, time: int) -> float:
        return (self._now - time) / TICKS

    def _meet(self, slots: LastSlots) -> None:
        """Add the time since two entities were last seen together."""
        one, other = slots.names
        cell = float(self._rows.column(other)[self._place])
        entity = self._rows.of(one, float(self._rows.column(one)[self._place]))
        low = bisect_left(entity.times, self._now - self._layout.backs[self._layout.memory])
        high = bisect_left(entity.times, self._now)
        partners = entity.partners(other)
        for number in range(high - 1, low - 1, -1):
            if partners[number] == cell:
                self._last(slots, entity.times[number])
                return

    def _amounts(self, windows: list[AmountSlots], entity: EntityRows, edges: list[int]) -> None:
        """Add the statistics of the amounts, and the row's own amount beside them."""
        numbers, nowhere, high = self._numbers, self._layout.nowhere, edges[self._layout.now]
        units, fine = entity.units, entity.fine
        ordered: list[float] = []
        done = high
        for slots in windows:
            low = edges[slots.edge]
            count = high - low
            if not count:
                continue
            total = (fine[high] - fine[low]) / FINE
            mean = total / count
            numbers[slots.total], numbers[slots.mean] = total, mean
            numbers[slots.above_mean] = numbers[slots.above_median] = numbers[slots.above_largest] = 1.0
            if slots.median != nowhere:
                # mostly ordered already, which is quick to sort
                ordered += units[low:done]
                ordered.sort()
                done = low
                numbers[slots.median], numbers[slots.largest] = median(ordered), ordered[-1]
            if slots.score != nowhere and count > 1:
                numbers[slots.score] = self._score(entity, low, high, mean)

    def _score(self, entity: EntityRows, low: int, high: int, mean: float) -> float:
        """Return the distance of the row's amount from the mean in standard deviations, as ``Amounts.scores`` does."""
        count = high - low
        sums, squares = entity.coarse
        rough = (sums[high] - sums[low]) / COARSE / count
        square = (squares[high] - squares[low]) / COARSE**2 / count
        variance = max(square - rough * rough, 0.0) * count / (count - 1)
        return (self._own - mean) / max(sqrt(variance), 1.0 + FLOOR * abs(mean))

    def _high_amounts(self, slots: EntitySlots, entity: EntityRows, edges: list[int]) -> None:
        marked = entity.high
        if not marked:
            return
        before = bisect_left(marked, edges[self._layout.now])
        for edge, slot in slots.high:
            self._numbers[slot] = before - bisect_left(marked, edges[edge])
        if before and marked[before - 1] >= edges[self._layout.longest]:
            self._numbers[slots.last_high] = self._since(entity.times[marked[before - 1]])

    def _partners(self, windows: list[tuple[int, int]], cells: list[float | None], edges: list[int]) -> None:
        """Add the numbers of different partners; windows grow."""
        seen: set[float | None] = {None}
        done = edges[self._layout.now]
        for edge, slot in windows:
            seen.update(cells[edges[edge] : done])
            done = edges[edge]
            self._numbers[slot] = len(seen) - 1

    def _frauds(self, slots: EntitySlots, entity: EntityRows, edges: list[int]) -> None:
        """Add the numbers of known frauds, and of rows of which the label was known."""
        high = edges[self._layout.delay]
        smoothing = self._layout.definition.options.smoothing
        for edge, number, share in slots.frauds:
            labels = entity.labels[edges[edge] : high]
            count = labels.count(1)
            self._numbers[number] = count
            self._numbers[share] = count / (len(labels) - labels.count(-1) + smoothing)

    def _known_frauds(self, slots: EntitySlots, entity: EntityRows, edges: list[int]) -> None:
        """Add the age of the known frauds, and of what was known to be good."""
        numbers, layout, times = self._numbers, self._layout, entity.times
        low, high = edges[layout.memory], edges[layout.delay]
        known = range(bisect_left(entity.frauds, low), bisect_left(entity.frauds, high))
        if known:
            last = entity.frauds[known[-1]]
            numbers[slots.fraud] = self._since(times[last])
            numbers[slots.first_ever] = self._since(times[entity.frauds[known[0]]])
            numbers[slots.good] = entity.labels[entity.after(last) : high].count(0)
        lately = entity.frauds[bisect_left(entity.frauds, edges[layout.known]) : known.stop]
        if lately:
            numbers[slots.first_fraud] = self._since(times[lately[0]])
            for partner, slot in slots.least_fraud:
                least = self._rows.least_above([entity.places[number] for number in lately], partner)
                if least is not None:
                    # in 32 bits, as the maxima of many rows are
                    below = np.float32(UNUSUAL) - np.float32(min(max(least, -UNUSUAL), UNUSUAL))
                    numbers[slot] = UNUSUAL - float(below)
        self._run(slots, entity, low, high)

    def _run(self, slots: EntitySlots, entity: EntityRows, low: int, high: int) -> None:
        """Add the last row known to be good, and the unbroken run of known frauds after it."""
        labels, times, numbers = entity.labels, entity.times, self._numbers
        start = low
        for number in range(high - 1, low - 1, -1):
            if labels[number] == 0:
                numbers[slots.known_good] = self._since(times[number])
                start = entity.after(number)
                break
        run = labels[start:high]
        count = run.count(1)
        numbers[slots.in_a_row] = count
        if count:
            numbers[slots.run] = self._since(times[start + run.index(1)])
