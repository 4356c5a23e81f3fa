"""Keep the data of which all entity features are made, in order of time: codes, amounts, labels, distinct counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.amount_deviation import Logs, above_usual
from screening.features.computation.amounts import units_of
from screening.features.computation.distinct_counts import EntityPairs, link
from screening.features.computation.groups import codes_of, only, together
from screening.features.computation.timeline import TICKS, Places, Stretch, Timeline
from screening.features.definitions.definition import Definition
from screening.features.definitions.lookback import (
    count_windows,
    distinct_windows,
    fraud_windows,
    linked_pairs,
)
from screening.transactions.schema import Role


@dataclass(frozen=True, slots=True)
class SingleEntityRows:
    """One kind of entity whose features are wanted, of rows that are all that each of these entities has.

    ``unusual`` is by other entities how far the amounts were above what was usual for them, in the order of time, (t,)
    each: it can't be told of rows of which the others have more.
    """

    name: str
    unusual: Mapping[str, Logs]


class EntityHistory:
    """A timeline's rows, (t,) each, as far as they tell anything of later rows.

    ``codes`` are numbers for the cells of each entity and of each two of them, -1 for a blank; ``units`` are the
    amounts, if there are any, and ``unusual`` how far they were above what was usual for each profiled entity.
    """

    def __init__(
        self,
        definition: Definition,
        timeline: Timeline,
        alone: SingleEntityRows | None = None,
        asked: slice | None = None,
    ) -> None:
        """Keep what a timeline's rows tell.

        Args:
            definition: what the features are.
            timeline: all rows.
            alone: the one kind of entity whose features are wanted, if it is one.
            asked: the rows that will be asked about, so that no more is made than these need; by default all may be.
        """
        self.definition = definition
        self._timeline = timeline
        self.labels = timeline.labels()
        self.units = units_of(definition, timeline)
        entities = [(column.name,) for column in definition.of_role(Role.ENTITY)]
        self.codes: dict[tuple[str, ...], Places] = {
            names: codes_of(timeline.column(*names)) for names in entities
        }
        self.links: dict[frozenset[str], EntityPairs] = {}
        for one, other in linked_pairs(definition):
            if alone is not None and alone.name not in {one, other}:
                continue
            codes = together(self.codes[one,], self.codes[other,])
            spans = [round(span * TICKS) for span in distinct_windows(self.definition)]
            self.links[frozenset((one, other))] = link(codes, self._timeline.time, np.array(spans, np.int64))
            self.codes[one, other] = codes
        self.unusual = self._unusual(alone, asked)

    def _unusual(self, alone: SingleEntityRows | None, asked: slice | None) -> dict[str, Logs]:
        if self.units is None:
            return {}
        span = self.definition.options.windows[-1]
        found = {} if alone is None else dict(alone.unusual)
        for name in self.definition.profiled:
            if alone is None or alone.name == name:
                codes = self.codes[name,]
                wanted = None if asked is None else self._telling(codes, asked, span)
                found[name] = above_usual(self._timeline, codes, self.units, span, wanted)
        return found

    def _telling(self, codes: Places, asked: slice, span: float) -> NDArray[np.bool_]:
        """Return which rows' amounts tell something of asked rows by how unusual they were, bool (t,).

        These are the rows of the same entities in the longest window, and known frauds, which may be of others.
        """
        time = self._timeline.time
        places, _ = self._timeline.places(asked.start, asked.stop)
        if not len(places):
            return np.zeros(len(time), bool)
        since = time[places[0]] - np.int64(round(span * TICKS))
        near = (only(codes, codes[places]) >= 0) & (time >= since)
        telling: NDArray[np.bool_] = near | (self.labels == 1)
        return telling

    def scenes(self, start: int, stop: int) -> Iterator[tuple[int, int, HistoryStretch]]:
        """Yield the rows from ``start`` to ``stop`` in parts, each with what it can look back on."""
        for begin, end, stretch in self._timeline.chunks(start, stop):
            options = self.definition.options
            delayed = {options.label_delay + window for window in fraud_windows(self.definition)}
            edges = {
                span: stretch.edges(span)
                for span in {0.0, options.label_delay, *count_windows(self.definition), *delayed}
            }
            yield begin, end, HistoryStretch(self, stretch, edges)


@dataclass(frozen=True, slots=True)
class HistoryStretch:
    """The past that a chunk of rows can look back on: a stretch of a history, its arrays (m,) each.

    ``edges`` are by span in seconds: the first row that is so long before each asked row, or less; (q,) each.
    """

    history: EntityHistory
    stretch: Stretch
    edges: dict[float, Places]

    @property
    def definition(self) -> Definition:
        """Definition of the features."""
        return self.history.definition

    @property
    def _slice(self) -> slice:
        return slice(self.stretch.low, self.stretch.high)

    @property
    def labels(self) -> NDArray[np.int8]:
        """1 for fraud, 0 for none, -1 where it isn't known."""
        return self.history.labels[self._slice]

    @property
    def units(self) -> NDArray[np.float64] | None:
        """The amounts in units, if there are any."""
        return None if self.history.units is None else self.history.units[self._slice]

    def unusual(self, name: str) -> Logs:
        """Return the logarithm of each amount less that of what was usual for its entity; NaN where nothing is."""
        return self.history.unusual[name][self._slice]

    def codes(self, names: tuple[str, ...]) -> Places:
        """Return numbers for the cells of an entity, or of two."""
        return self.history.codes[names][self._slice]

    def asked_codes(self, names: tuple[str, ...]) -> Places:
        """Return the same, -1 for those of no asked row: other entities tell nothing of these."""
        codes, asked = self.codes(names), self.stretch.asked
        return codes if len(asked) == len(codes) else only(codes, codes[asked])

    def links(self, names: tuple[str, str]) -> EntityPairs:
        """Return the links of rows to an earlier one with the same two entities."""
        return self.history.links[frozenset(names)].within(self.stretch.low, self.stretch.high)
