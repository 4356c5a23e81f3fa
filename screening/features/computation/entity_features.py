"""Compute the features of the past of a row, told of one of its entities, or of two together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.amount_deviation import HIGH
from screening.features.computation.amounts import Amounts
from screening.features.computation.distinct_counts import EntityPairs, distinct
from screening.features.computation.entity_history import HistoryStretch
from screening.features.computation.groups import Groups, RowRanges, running
from screening.features.computation.known_frauds import earliest, latest, least
from screening.features.computation.matrix import Sheet
from screening.features.computation.rowwise import signed_log
from screening.features.computation.timeline import TICKS, Places, Whole
from screening.features.definitions.lookback import count_windows, distinct_windows, fraud_windows


class EntityFeatures:
    """Writes the features of one entity, or of two together, for the asked rows of some groups."""

    def __init__(self, scene: HistoryStretch, names: tuple[str, ...], keys: Whole, sheet: Sheet) -> None:
        self._scene = scene
        self._definition = scene.definition
        self._options = scene.definition.options
        self._names = names
        self._sheet = sheet
        self._groups = Groups(scene.stretch, keys)
        self._targets = self._groups.targets
        self._places: dict[float, Places] = {}

    def _place(self, span: float) -> Places:
        """Return the first place of each asked row's group whose row is so many seconds before it, or less; (p,)."""
        if span not in self._places:
            self._places[span] = self._groups.places(self._scene.edges[span])
        return self._places[span]

    def window(self, span: float, delay: float = 0.0) -> RowRanges:
        """Return the rows from ``span`` to ``delay`` seconds before each asked row."""
        return RowRanges(self._place(span), self._place(delay))

    def put(self, statistic: str, column: Any, *more: object) -> None:
        """Add a column of the subject, (asked,), to the sheet under its statistic and ``more``, as a window."""
        self._sheet.put((statistic, *self._names, *map(str, more)), column, self._targets)

    def last(self) -> None:
        """Add the time since the entity was last seen."""
        memory = self._options.memory
        window = self.window(memory)
        since = self._groups.since(np.maximum(window.high - 1, 0)) / TICKS
        known = window.count > 0
        self.put("last", np.log1p(np.where(known, since, memory)))
        self.put("new", ~known)

    def counts(self) -> None:
        """Add the numbers of rows."""
        for span in count_windows(self._definition):
            self.put("count", np.log1p(self.window(span).count), span)

    def amounts(self) -> None:
        """Add the statistics of the amounts, and the row's own amount beside them."""
        units = self._scene.units
        if units is None or not self._sheet.wants("sum", *self._names, str(self._options.windows[0])):
            return
        amounts = Amounts(self._groups, units[self._groups.rows])
        own = units[self._groups.now]
        windows = [self.window(span) for span in self._options.windows]
        self._ever(amounts, own)
        for span, window, median in zip(
            self._options.windows, windows, amounts.medians(windows), strict=True
        ):
            total = amounts.total(window)
            self.put("sum", signed_log(total), span)
            self._usual("mean", total / np.maximum(window.count, 1), own, window, span)
            self._usual("median", median, own, window, span)
            self._usual("max", amounts.largest(window), own, window, span)
            if self._sheet.wants("score", *self._names, str(span)):
                self.put("score", np.arcsinh(amounts.scores(window, own)), span)

    def _ever(self, amounts: Amounts, own: Any) -> None:
        """Add the mean of all that is remembered, and the row's own amount beside it."""
        span = self._options.memory
        window = self.window(span)
        self._usual("mean", amounts.total(window) / np.maximum(window.count, 1), own, window, span)
        self.put("score", np.arcsinh(amounts.scores(window, own)), span)

    def _usual(self, statistic: str, units: Any, own: Any, window: RowRanges, span: float) -> None:
        logs = signed_log(units)
        self.put(statistic, logs, span)
        self.put(f"against {statistic}", np.where(window.count > 0, signed_log(own) - logs, 0.0), span)

    def high_amounts(self) -> None:
        """Add the number of times that the amount was far above the usual lately: a stolen card's is, before anybody
        knows of it.
        """
        (name,) = self._names
        if not self._sheet.wants("last high", name):
            return
        high = self._scene.unusual(name)[self._groups.rows] > HIGH
        for span in self._options.long_windows:
            self.put("high", np.log1p(self.window(span).total(running(high))), span)
        marked = np.flatnonzero(high).astype(np.int32)
        place, found = latest(marked, self.window(self._options.windows[-1]))
        since = self._groups.since(place) / TICKS
        self.put("last high", np.log1p(np.where(found, since, self._options.memory)))

    def partners(self, name: str, links: EntityPairs) -> None:
        """Add the numbers of different partners."""
        rows = self._groups.rows
        present = self._scene.codes((name,))[rows] >= 0
        start = self._groups.starts[self._groups.here]
        later, earlier = links.later[rows], links.earlier[rows]
        for number, span in enumerate(distinct_windows(self._definition)):
            count = distinct(self.window(span), start, present, later <= number, earlier <= number)
            self.put("distinct", np.log1p(count), name, span)

    def frauds(self) -> None:
        """Add the numbers of known frauds, and of rows of which the label was known."""
        labels, delay = self._scene.labels[self._groups.rows], self._options.label_delay
        frauds, known = running(labels == 1), running(labels >= 0)
        for span in fraud_windows(self._definition):
            window = self.window(delay + span, delay)
            count = window.total(frauds)
            self.put("frauds", np.log1p(count), span)
            self.put("share", count / (window.total(known) + self._options.smoothing), span)

    def known_frauds(self) -> None:
        """Add the age of the known frauds, and of what was known to be good since the last one."""
        labels, delay = self._scene.labels[self._groups.rows], self._options.label_delay
        marked = np.flatnonzero(labels == 1).astype(np.int32)
        last, found = latest(marked, self.window(self._options.memory, delay))
        first, begun = earliest(marked, self.window(delay + self._options.windows[-1], delay))
        ever, _ = earliest(marked, self.window(self._options.memory, delay))
        told = (("fraud", last, found), ("first fraud", first, begun), ("first ever", ever, found))
        for statistic, place, known in told:
            since = self._groups.since(place) / TICKS
            self.put(statistic, np.log1p(np.where(known, since, self._options.memory)))
        good = RowRanges(self._groups.after(last), self._place(delay)).total(running(labels == 0))
        self.put("good", np.log1p(good * found))
        self._run(labels, marked)

    def least_fraud(self, partner: str) -> None:
        """Add whether the known frauds had unusual amounts: those of a stolen card do, those of a bad device don't."""
        if not self._sheet.wants("least fraud", *self._names, partner):
            return
        above = self._scene.unusual(partner)[self._groups.rows]
        known = (self._scene.labels[self._groups.rows] == 1) & ~np.isnan(above)
        marked = np.flatnonzero(known).astype(np.int32)
        delay = self._options.label_delay
        window = self.window(delay + self._options.windows[-1], delay)
        self.put("least fraud", least(marked, above[marked], window), partner)

    def _run(self, labels: NDArray[np.int8], frauds: Places) -> None:
        """Add the last row known to be good, and the unbroken run of known frauds after it."""
        known = self.window(self._options.memory, self._options.label_delay)
        good, found = latest(np.flatnonzero(labels == 0).astype(np.int32), known)
        after = np.where(found, self._groups.after(good), known.low).astype(np.int32)
        run = RowRanges(np.minimum(after, known.high), known.high)
        first, begun = earliest(frauds, run)
        for statistic, place, there in (("known good", good, found), ("run", first, begun)):
            since = self._groups.since(place) / TICKS
            self.put(statistic, np.log1p(np.where(there, since, self._options.memory)))
        self.put("in a row", np.log1p(run.total(running(labels == 1))))
