"""What the statistics of all entities are made of: a scene with its codes, window edges, amounts and labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.features.amounts import in_units
from screening.features.definition import Definition
from screening.features.groups import codes_of
from screening.features.lookback import count_windows, fraud_windows
from screening.features.timeline import Scene, Timeline
from screening.schema import Role


class History:
    """A scene's rows in the order of time, (m,), as far as they tell anything of later rows.

    ``codes`` are numbers for the cells of each entity, -1 for a blank; ``edges`` are by span, in seconds: the first
    row that is so long before each asked row, or less, (q,); ``units`` are the amounts, if there are any.
    """

    def __init__(self, definition: Definition, timeline: Timeline, scene: Scene) -> None:
        self.definition = definition
        self.scene = scene
        entities = definition.of_role(Role.ENTITY)
        self.codes = {entity.name: codes_of(timeline.column(entity.name)[scene.rows]) for entity in entities}
        self.edges = {span: scene.edges(span) for span in _spans(definition)}
        self.labels = timeline.labels[scene.rows]
        self.units = self._units(timeline, definition.contract.amount)

    def _units(self, timeline: Timeline, name: str | None) -> NDArray[np.float64] | None:
        if name is None:
            return None
        amounts = timeline.column(name)[self.scene.rows]
        amounts = np.where(np.isnan(amounts), self.definition.fills.get(name, 0.0), amounts)
        return in_units(amounts, self.definition.unit)


def _spans(definition: Definition) -> set[float]:
    options = definition.options
    delayed = {options.label_delay + window for window in fraud_windows(definition)}
    return {0.0, options.label_delay, *count_windows(definition), *delayed}
