"""Features of what lies before a row: of its entities, of their pairs, and of the frauds that were known."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from screening.features.catalogue import count_windows, distinct_windows, fraud_windows, pairs, partners
from screening.features.definition import Definition
from screening.features.groups import Groups, codes_of, running, together
from screening.features.matrix import Sheet
from screening.features.rowwise import signed_log
from screening.features.statistics import Amounts, Floats, Links, Window, distinct, in_units, link
from screening.features.timeline import TICKS, Places, Scene, Timeline
from screening.schema import Role

THREADS = 2
MANY = 20_000
"""Rows from which threads are worth their start."""


class History:
    """A scene with what its entities share: their codes, the edges of the windows, the amounts."""

    def __init__(self, definition: Definition, timeline: Timeline, scene: Scene) -> None:
        self.definition = definition
        self.scene = scene
        self._timeline = timeline
        entities = definition.of_role(Role.ENTITY)
        self.codes = {column.name: codes_of(self._column(column.name)) for column in entities}
        options = definition.options
        spans = {0.0, options.label_delay, options.memory, *count_windows(definition)}
        spans |= {options.label_delay + window for window in fraud_windows(definition)}
        self.edges = {span: scene.edges(span) for span in spans}
        self.labels = timeline.labels[scene.rows]
        self._pairs: dict[frozenset[str], Groups] = {}
        self._links: dict[frozenset[str], Links] = {}

    def _column(self, name: str) -> Floats:
        return self._timeline.column(name)[self.scene.rows]

    @cached_property
    def units(self) -> Floats | None:
        """The amounts of the scene's rows in units, (m,)."""
        name = self.definition.contract.amount
        if name is None:
            return None
        amounts = self._column(name)
        amounts[np.isnan(amounts)] = self.definition.fills.get(name, 0.0)
        return in_units(amounts, self.definition.unit)

    def together(self, names: tuple[str, str]) -> Groups:
        """The rows grouped by two entities."""
        key = frozenset(names)
        if key not in self._pairs:
            one, other = sorted(names)
            self._pairs[key] = Groups(self.scene, together(self.codes[one], self.codes[other]))
        return self._pairs[key]

    def links(self, names: tuple[str, str]) -> Links:
        """Which rows have the same two entities as one before."""
        key = frozenset(names)
        if key not in self._links:
            spans = np.array([round(span * TICKS) for span in distinct_windows(self.definition)], np.int64)
            self._links[key] = link(self.together(names), self.scene.time, spans)
        return self._links[key]


def fill_history(definition: Definition, timeline: Timeline, scene: Scene, sheet: Sheet) -> None:
    """Write the features that tell of earlier rows, for the asked rows of a scene."""
    unseen = np.log1p(definition.options.memory)
    for columns in (*((name,) for name in definition.tracked), *pairs(definition)):
        sheet.put(("last", *columns), unseen)
        sheet.put(("new", *columns), 1.0)
    history = History(definition, timeline, scene)
    for name in definition.tracked:
        _entity(history, name, sheet)
    for pair in pairs(definition):
        groups = history.together(pair)
        _last(history, groups, groups.places(history.edges[0.0]), pair, sheet)


def _entity(history: History, name: str, sheet: Sheet) -> None:
    groups = Groups(history.scene, history.codes[name])
    places = {span: groups.places(edges) for span, edges in history.edges.items()}
    _last(history, groups, places[0.0], (name,), sheet)
    for span in count_windows(history.definition):
        count = places[0.0] - places[span]
        sheet.put(("count", name, str(span)), np.log1p(count), groups.targets)
    if history.units is not None:
        _amounts(history, groups, places, name, sheet)
    for partner in partners(history.definition, name):
        _partners(history, groups, places, (name, partner), sheet)
    _frauds(history, groups, places, name, sheet)


def _last(history: History, groups: Groups, before: Places, columns: tuple[str, ...], sheet: Sheet) -> None:
    scene, memory = history.scene, history.definition.options.memory
    row, same = groups.last_before(before)
    since = (scene.time[scene.asked[groups.asked]] - scene.time[row]) / TICKS
    known = same & (since <= memory)
    sheet.put(("last", *columns), np.log1p(np.where(known, since, memory)), groups.targets)
    sheet.put(("new", *columns), ~known, groups.targets)


def _amounts(history: History, groups: Groups, places: dict[float, Places], name: str, sheet: Sheet) -> None:
    assert history.units is not None
    amounts = Amounts(groups, history.units[groups.rows])
    own = history.units[history.scene.asked[groups.asked]]
    windows = {span: Window(places[span], places[0.0]) for span in history.definition.options.windows}
    medians = amounts.medians(list(windows.values()))
    for (span, window), median in zip(windows.items(), medians, strict=True):
        total = amounts.total(window)
        mean = total / np.maximum(window.count, 1)
        usual = {"mean": mean, "median": median, "max": amounts.largest(window)}
        sheet.put(("sum", name, str(span)), signed_log(total), groups.targets)
        for statistic, units in usual.items():
            logs = signed_log(units)
            sheet.put((statistic, name, str(span)), logs, groups.targets)
            if sheet.wants(f"against {statistic}", name, str(span)):
                against = np.where(window.count > 0, signed_log(own) - logs, 0.0)
                sheet.put((f"against {statistic}", name, str(span)), against, groups.targets)
        if sheet.wants("score", name, str(span)):
            sheet.put(("score", name, str(span)), np.arcsinh(amounts.scores(window, own)), groups.targets)


def _partners(
    history: History, groups: Groups, places: dict[float, Places], names: tuple[str, str], sheet: Sheet
) -> None:
    spans = distinct_windows(history.definition)
    links = history.links(names)
    partner = history.codes[names[1]][groups.rows] >= 0
    for number, span in enumerate(spans):
        window = Window(places[span], places[0.0])
        count = distinct(
            window, partner, links.later[groups.rows] <= number, links.earlier[groups.rows] <= number
        )
        sheet.put(("distinct", *names, str(span)), np.log1p(count), groups.targets)


def _frauds(history: History, groups: Groups, places: dict[float, Places], name: str, sheet: Sheet) -> None:
    options, labels = history.definition.options, history.labels[groups.rows]
    frauds, known = running((labels == 1).astype(np.int64)), running((labels >= 0).astype(np.int64))
    for span in fraud_windows(history.definition):
        window = Window(places[options.label_delay + span], places[options.label_delay])
        count = window.total(frauds)
        share = count / (window.total(known) + options.smoothing)
        sheet.put(("frauds", name, str(span)), np.log1p(count), groups.targets)
        sheet.put(("share", name, str(span)), share, groups.targets)
