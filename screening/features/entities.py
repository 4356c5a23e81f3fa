"""Features of what lies before a row: of its entities, of their pairs, and of the frauds that were known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from screening.features.catalogue import (
    count_windows,
    distinct_windows,
    fraud_windows,
    linked_pairs,
    pairs,
    partners,
)
from screening.features.definition import Definition
from screening.features.groups import Groups, running, together
from screening.features.history import History
from screening.features.matrix import Sheet
from screening.features.rowwise import signed_log
from screening.features.statistics import Amounts, Links, Window, distinct, earliest, latest, link
from screening.features.timeline import TICKS, Places, Scene, Timeline

THREADS = 2
MANY = 20_000
"""Rows from which threads are worth their start."""
Spans = dict[float, Places]
T = TypeVar("T")
R = TypeVar("R")


def fill_history(definition: Definition, timeline: Timeline, scene: Scene, sheet: Sheet) -> None:
    """Write the features that tell of earlier rows, for the asked rows of a scene."""
    unseen = np.log1p(definition.options.memory)
    for columns in (*((name,) for name in definition.tracked), *pairs(definition)):
        sheet.put(("last", *columns), unseen)
        sheet.put(("new", *columns), 1.0)
        sheet.put(("fraud", *columns), unseen)
        sheet.put(("first fraud", *columns), unseen)
    history = History(definition, timeline, scene)
    met = _each(lambda pair: _pair(history, pair, sheet), linked_pairs(definition), scene)
    links = dict(zip(map(frozenset, linked_pairs(definition)), met, strict=True))
    _each(lambda name: _entity(history, name, links, sheet), definition.tracked, scene)


def _each(task: Callable[[T], R], parts: Sequence[T], scene: Scene) -> list[R]:
    """Do something for each of several parts that have nothing to do with each other."""
    if len(scene.rows) < MANY or len(parts) < 2:
        return [task(part) for part in parts]
    with ThreadPoolExecutor(THREADS) as pool:  # numpy lets go of the interpreter's lock where the work is
        return list(pool.map(task, parts))


def _pair(history: History, names: tuple[str, str], sheet: Sheet) -> Links:
    groups = Groups(history.scene, together(history.codes[names[0]], history.codes[names[1]]))
    if sheet.wants("last", *names):
        _last(history, groups, groups.places(history.edges[0.0]), names, sheet)
    spans = np.array([round(span * TICKS) for span in distinct_windows(history.definition)], np.int64)
    return link(groups, history.scene.time, spans)


def _entity(history: History, name: str, links: dict[frozenset[str], Links], sheet: Sheet) -> None:
    groups = Groups(history.scene, history.codes[name])
    places = {span: groups.places(edges) for span, edges in history.edges.items()}
    _last(history, groups, places[0.0], (name,), sheet)
    for span in count_windows(history.definition):
        count = places[0.0] - places[span]
        sheet.put(("count", name, str(span)), np.log1p(count), groups.targets)
    if history.units is not None:
        _amounts(history, groups, places, name, sheet)
    for partner in partners(history.definition, name):
        _partners(history, groups, places, (name, partner), links[frozenset((name, partner))], sheet)
    _frauds(history, groups, places, name, sheet)


def _last(history: History, groups: Groups, before: Places, columns: tuple[str, ...], sheet: Sheet) -> None:
    scene, memory = history.scene, history.definition.options.memory
    row, same = groups.last_before(before)
    since = (scene.time[scene.asked[groups.asked]] - scene.time[row]) / TICKS
    known = same & (since <= memory)
    sheet.put(("last", *columns), np.log1p(np.where(known, since, memory)), groups.targets)
    sheet.put(("new", *columns), ~known, groups.targets)


def _amounts(history: History, groups: Groups, places: Spans, name: str, sheet: Sheet) -> None:
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
    history: History, groups: Groups, places: Spans, names: tuple[str, str], links: Links, sheet: Sheet
) -> None:
    spans = distinct_windows(history.definition)
    partner = history.codes[names[1]][groups.rows] >= 0
    for number, span in enumerate(spans):
        window = Window(places[span], places[0.0])
        count = distinct(
            window, partner, links.later[groups.rows] <= number, links.earlier[groups.rows] <= number
        )
        sheet.put(("distinct", *names, str(span)), np.log1p(count), groups.targets)


def _frauds(history: History, groups: Groups, places: Spans, name: str, sheet: Sheet) -> None:
    options, labels = history.definition.options, history.labels[groups.rows]
    frauds, known = running((labels == 1).astype(np.int64)), running((labels >= 0).astype(np.int64))
    for span in fraud_windows(history.definition):
        window = Window(places[options.label_delay + span], places[options.label_delay])
        count = window.total(frauds)
        share = count / (window.total(known) + options.smoothing)
        sheet.put(("frauds", name, str(span)), np.log1p(count), groups.targets)
        sheet.put(("share", name, str(span)), share, groups.targets)
    _known_frauds(history, groups, places, name, sheet)


def _known_frauds(history: History, groups: Groups, places: Spans, name: str, sheet: Sheet) -> None:
    """How long the known frauds of an entity are ago, and what was known to be good since the last one."""
    options, labels = history.definition.options, history.labels[groups.rows]
    time = history.scene.time
    now = time[history.scene.asked[groups.asked]]
    marked = np.flatnonzero(labels == 1)
    until = places[options.label_delay]
    last, found = latest(marked, Window(places[options.memory], until))
    first, begun = earliest(marked, Window(places[options.label_delay + options.windows[-1]], until))
    for statistic, place, known in (("fraud", last, found), ("first fraud", first, begun)):
        since = (now - time[groups.rows[place]]) / TICKS
        sheet.put((statistic, name), np.log1p(np.where(known, since, options.memory)), groups.targets)
    good = running((labels == 0).astype(np.int64))
    sheet.put(("good", name), np.log1p((good[until] - good[groups.after(last)]) * found), groups.targets)
