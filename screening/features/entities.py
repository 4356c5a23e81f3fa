"""Features of what lies before a row: of its entities, one by one and two together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from screening.features.definition import Definition
from screening.features.history import History
from screening.features.lookback import linked_pairs, pairs, partners
from screening.features.matrix import Sheet
from screening.features.meetings import Links
from screening.features.subject import Subject
from screening.features.timeline import Scene, Timeline

THREADS = 2
MANY = 20_000
"""Rows from which threads are worth their start."""
T = TypeVar("T")
R = TypeVar("R")


def fill_history(definition: Definition, timeline: Timeline, scene: Scene, sheet: Sheet) -> None:
    """Write the features that tell of earlier rows, for the asked rows of a scene."""
    _never_seen(definition, sheet)
    history = History(definition, timeline, scene)

    def meet(names: tuple[str, str]) -> Links:
        pair = Subject(history, names, sheet)
        if sheet.wants("last", *names):
            pair.last()
        return pair.links()

    def tell(name: str) -> None:
        entity = Subject(history, (name,), sheet)
        entity.last()
        entity.counts()
        entity.amounts()
        for partner in partners(definition, name):
            entity.partners(partner, links[frozenset((name, partner))])
        entity.frauds()
        entity.known_frauds()

    met = linked_pairs(definition)
    links = dict(zip(map(frozenset, met), _each(meet, met, scene), strict=True))
    _each(tell, definition.tracked, scene)


def _never_seen(definition: Definition, sheet: Sheet) -> None:
    """What holds for a row without a time, or without an entity."""
    memory = np.log1p(definition.options.memory)
    for names in (*((name,) for name in definition.tracked), *pairs(definition)):
        for statistic in ("last", "fraud", "first fraud"):
            sheet.put((statistic, *names), memory)
        sheet.put(("new", *names), 1.0)


def _each(task: Callable[[T], R], parts: Sequence[T], scene: Scene) -> list[R]:
    """Do something for each of several parts that have nothing to do with each other."""
    if len(scene.rows) < MANY or len(parts) == 1:
        return [task(part) for part in parts]
    with ThreadPoolExecutor(THREADS) as pool:  # numpy lets go of the interpreter's lock where the work is
        return list(pool.map(task, parts))
