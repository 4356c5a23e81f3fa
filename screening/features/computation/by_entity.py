"""Compute the features of one kind of entity after the other, where no process has all rows.

Features of a row tell of earlier rows with one of its entities only. So whoever has all rows of some customers can tell
everything of these customers, and whoever has all rows of some terminals everything of these; what they tell of a row,
put side by side, is what :func:`~screening.features.compute` gives with all rows, bit by bit.

One thing is told of two: how unusual the amounts of a terminal's known frauds were for *their customers*. It is a
number for each row that only the customer's rows tell (a *deviation*), so it is computed first, and travels with the
row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.amount_deviation import Logs
from screening.features.computation.entities import fill_history
from screening.features.computation.entity_history import EntityHistory, SingleEntityRows
from screening.features.computation.matrix import Sheet, overflowing
from screening.features.computation.past import Past
from screening.features.computation.rowwise import fill_rows
from screening.features.computation.timeline import Timeline
from screening.features.definitions.definition import Definition
from screening.features.definitions.lookback import looking_back, usual_of
from screening.transactions.schema import Matrix

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class UnorderedRows:
    """Rows in any order: ``values`` float64 (n, columns of the contract), ``labels`` int8 (n,), -1 where unknown,
    ``deviations`` of other entities, (n,) each.
    """

    values: Matrix
    labels: NDArray[np.int8]
    deviations: Mapping[str, Logs] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class EntityMessage:
    """Everything that the rows of an entity tell of rows."""

    features: Features
    """(rows, :func:`places_of`), not made finite yet."""
    deviation: Logs | None
    """Of the past rows and then of the rows, (n,); ``None`` for an entity whose amounts tell nothing."""


def places_of(definition: Definition, name: str) -> NDArray[np.intp]:
    """Return the places of the features that are told of an entity, or of a pair that begins with it."""
    keys = [feature.key for feature in looking_back(definition)]
    return np.array([definition.places[key] for key in keys if key[1] == name], np.intp)


def carried_deviations(definition: Definition) -> tuple[str, ...]:
    """Return the entities whose deviations are told of rows of another one."""
    if definition.contract.amount is None:
        return ()
    return tuple(sorted({partner for name in definition.tracked for partner in usual_of(definition, name)}))


def told_of(definition: Definition, name: str, rows: UnorderedRows, past: UnorderedRows) -> EntityMessage:
    """Return what is told of rows by the earlier ones of one of their entities.

    Args:
        definition: what the features are.
        name: the entity.
        rows: the rows that are asked about, with the deviations of all others that :func:`carried_deviations` names.
        past: other rows of the same entities: each of these must have all rows here that are at most the horizon
            earlier than those that are asked about.
    """
    timeline = Timeline(definition, rows.values, rows.labels, Past(past.values, past.labels))
    deviations = {
        other: timeline.in_order(np.concatenate([past.deviations[other], rows.deviations[other]]))
        for other in rows.deviations
        if other != name
    }
    history = EntityHistory(definition, timeline, SingleEntityRows(name, deviations))
    places = places_of(definition, name)
    features = np.empty((len(rows), len(places)), np.float32)
    for begin, end, scene in history.scenes(0, len(rows)):
        sheet = Sheet(definition, end - begin)
        fill_history(scene, sheet, name)
        features[begin:end] = sheet.cells[places].T
    own = history.unusual.get(name)
    return EntityMessage(features, None if own is None else timeline.as_given(own))


def deviation_of(definition: Definition, name: str, rows: UnorderedRows, past: UnorderedRows) -> Logs:
    """Return the deviations of an entity's amounts, of the past rows and then of the rows, (n,)."""
    timeline = Timeline(definition, rows.values, rows.labels, Past(past.values, past.labels))
    return timeline.as_given(EntityHistory(definition, timeline, SingleEntityRows(name, {})).unusual[name])


def assembled(definition: Definition, values: Matrix, told: Mapping[str, Features]) -> Features:
    """Return the features of rows, float32 (n, features), finite: what they say themselves, and what was told of them.

    Args:
        definition: what the features are.
        values: float64 (n, columns of the contract).
        told: by every tracked entity, (n, :func:`places_of`).
    """
    sheet = Sheet(definition, len(values))
    with overflowing():
        fill_rows(definition, values, sheet)
    for name, features in told.items():
        sheet.cells[places_of(definition, name)] = features.T
    return np.ascontiguousarray(sheet.finite().T)
