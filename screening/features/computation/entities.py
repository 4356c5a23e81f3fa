"""Features of what lies before a row: of its entities, one by one and two together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from screening.features.computation.distinct_counts import EntityPairs
from screening.features.computation.entity_features import EntityFeatures
from screening.features.computation.entity_history import HistoryStretch
from screening.features.computation.groups import parts_of
from screening.features.computation.known_frauds import UNUSUAL
from screening.features.computation.matrix import Sheet, overflowing
from screening.features.computation.timeline import Whole
from screening.features.definitions.definition import Definition
from screening.features.definitions.lookback import pairs, partners, usual_of

THREADS = 2
# For fewer rows, starting threads takes longer than they save.
MANY = 20_000


def fill_history(scene: HistoryStretch, sheet: Sheet, alone: str | None = None) -> None:
    """Write the features that tell of earlier rows, for the asked rows of a scene.

    Args:
        scene: what the rows can look back on.
        sheet: where they are written.
        alone: the only entity whose features are wanted, with those of its pairs that begin with it.
    """
    set_never_seen(scene.definition, sheet)
    tasks: list[Callable[[], None]] = []
    for name in scene.definition.tracked if alone is None else (alone,):
        links = {partner: scene.links((name, partner)) for partner in partners(scene.definition, name)}
        parts = parts_of(scene.asked_codes((name,)))
        tasks.extend(partial(add_features, scene, name, keys, links, sheet) for keys in parts)
    for pair in pairs(scene.definition):
        if alone is not None and pair[0] != alone:
            continue
        tasks.extend(
            partial(add_pair, scene, pair, keys, sheet) for keys in parts_of(scene.asked_codes(pair))
        )
    if len(scene.stretch.time) < MANY:
        for task in tasks:
            _call(task)
        return
    # numpy lets go of the interpreter's lock where the work is
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(_call, tasks))


def _call(task: Callable[[], None]) -> None:
    with overflowing():
        task()


def add_pair(scene: HistoryStretch, pair: tuple[str, str], keys: Whole, sheet: Sheet) -> None:
    """Add the features of two entities together."""
    EntityFeatures(scene, pair, keys, sheet).last()


def add_features(
    scene: HistoryStretch, name: str, keys: Whole, links: dict[str, EntityPairs], sheet: Sheet
) -> None:
    """Add everything about some of the rows of one entity."""
    entity = EntityFeatures(scene, (name,), keys, sheet)
    entity.last()
    entity.counts()
    entity.amounts()
    entity.high_amounts()
    for partner, met in links.items():
        entity.partners(partner, met)
    entity.frauds()
    entity.known_frauds()
    for partner in usual_of(scene.definition, name):
        entity.least_fraud(partner)


def set_never_seen(definition: Definition, sheet: Sheet) -> None:
    """Set the features of rows without a time, or without an entity."""
    memory = np.log1p(definition.options.memory)
    for names in (*((name,) for name in definition.tracked), *pairs(definition)):
        for statistic in ("last", "fraud", "first fraud", "first ever", "known good", "run", "last high"):
            sheet.put((statistic, *names), memory)
        for partner in usual_of(definition, names[0]) if len(names) == 1 else ():
            sheet.put(("least fraud", *names, partner), UNUSUAL)
        sheet.put(("new", *names), 1.0)
