"""Lay out the statistics of earlier rows in a row of plain numbers, and turn them into features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.known_frauds import UNUSUAL
from screening.features.computation.per_definition import PerDefinition
from screening.features.computation.rowwise import signed_log
from screening.features.computation.timeline import TICKS
from screening.features.definitions.definition import Definition
from screening.features.definitions.lookback import (
    count_windows,
    distinct_windows,
    fraud_windows,
    looking_back,
    pairs,
    partners,
    usual_of,
)

Floats = NDArray[np.float64]
# A statistic that the definition lacks goes to a slot that nobody reads, so no writer needs to ask whether it
# is there.
Slot = int
LOGGED = frozenset(
    ("last", "count", "high", "last high", "distinct", "frauds", "fraud", "first fraud", "first ever", "good")
) | {"known good", "run", "in a row"}
SIGNED = frozenset(("sum", "mean", "median", "max"))
SCORED = frozenset(("score",))
AGAINST = {"against mean": "mean", "against median": "median", "against max": "max"}
PLAIN = frozenset(("new", "share", "least fraud"))
DURATIONS = frozenset(("last", "last high", "fraud", "first fraud", "first ever", "known good", "run"))


class LastSlots(NamedTuple):
    """Slots for the time at which one entity, or two together, were last seen."""

    names: tuple[str, ...]
    last: Slot
    new: Slot


class AmountSlots(NamedTuple):
    """Statistics of the amounts in one window; ``edge`` is the number of its span."""

    edge: int
    total: Slot
    mean: Slot
    above_mean: Slot
    median: Slot
    above_median: Slot
    largest: Slot
    above_largest: Slot
    score: Slot


class EntitySlots(NamedTuple):
    """The statistics of one entity; the first number of each pair is that of a span."""

    name: str
    last: LastSlots
    counts: list[tuple[int, Slot]]
    amounts: list[AmountSlots]
    """None for an entity whose amounts tell nothing; the last is "ever", of which there is no median."""
    high: list[tuple[int, Slot]]
    last_high: Slot
    partners: list[tuple[str, list[tuple[int, Slot]]]]
    frauds: list[tuple[int, Slot, Slot]]
    """Of each window the number of known frauds and their share."""
    fraud: Slot
    first_fraud: Slot
    first_ever: Slot
    good: Slot
    known_good: Slot
    run: Slot
    in_a_row: Slot
    least_fraud: list[tuple[str, Slot]]


class RowLayout:
    """The order of the numbers that a row's earlier rows give, made of the very definition that ``compute`` reads.

    Raises:
        KeyError: the definition has a feature of earlier rows that nothing here is said of.
    """

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._options = definition.options
        keys = [feature.key for feature in looking_back(definition)]
        self._slots = {key: slot for slot, key in enumerate(keys)}
        self.nowhere, self.own = len(keys), len(keys) + 1
        """The slot that nobody reads, and that of the row's own amount."""
        self.features = np.array([definition.places[key] for key in keys], np.intp)
        """The place of each slot among the features."""
        self._spans: dict[float, int] = {}
        self.now, self.delay = self.edge(0.0), self.edge(self._options.label_delay)
        self.memory = self.edge(self._options.memory)
        self.longest = self.edge(self._options.windows[-1])
        self.known = self.edge(self._options.label_delay + self._options.windows[-1])
        self.entities = [self._entity(name) for name in definition.tracked]
        self.pairs = [self._last(*names) for names in pairs(definition)]
        self.backs = [round(span * TICKS) for span in self._spans]
        """Length of each span, in ticks, by its number."""
        kinds = [_kind_of(key[0]) for key in keys]
        self._logged = places_where(kind is LOGGED for kind in kinds)
        self._signed = np.append(places_where(kind is SIGNED for kind in kinds), self.own)
        self._scored = places_where(kind is SCORED for kind in kinds)
        self._against = places_where(kind is AGAINST for kind in kinds)
        bases = [self._slots[AGAINST[key[0]], *key[1:]] for key in keys if key[0] in AGAINST]
        self._bases = np.array(bases, np.intp)
        self.nothing = [self._without(key[0]) for key in keys] + [0.0, 0.0]
        """The numbers of a row that nothing came before."""

    def edge(self, span: float) -> int:
        """Return the number of a span, in seconds."""
        return self._spans.setdefault(span, len(self._spans))

    def finished(self, rows: list[list[float]]) -> Floats:
        """Return the features that some rows' numbers stand for, (rows, slots)."""
        cells = np.array(rows, np.float64).reshape(len(rows), self.own + 1)
        cells[:, self._logged] = np.log1p(cells[:, self._logged])
        cells[:, self._signed] = signed_log(cells[:, self._signed])
        cells[:, self._scored] = np.arcsinh(cells[:, self._scored])
        beside = cells[:, [self.own]] - cells[:, self._bases]
        cells[:, self._against] = np.where(cells[:, self._against] > 0, beside, 0.0)
        return cells[:, : self.nowhere]

    def _without(self, statistic: str) -> float:
        if statistic in DURATIONS:
            return self._options.memory
        return {"new": 1.0, "least fraud": UNUSUAL}.get(statistic, 0.0)

    def _slot(self, *key: object) -> Slot:
        return self._slots.get(tuple(map(str, key)), self.nowhere)

    def _last(self, *names: str) -> LastSlots:
        return LastSlots(names, self._slot("last", *names), self._slot("new", *names))

    def _entity(self, name: str) -> EntitySlots:
        delay = self._options.label_delay
        return EntitySlots(
            name=name,
            last=self._last(name),
            counts=[
                (self.edge(span), self._slot("count", name, span)) for span in count_windows(self.definition)
            ],
            amounts=self._amounts(name),
            high=[(self.edge(span), self._slot("high", name, span)) for span in self._options.long_windows],
            last_high=self._slot("last high", name),
            partners=[
                (partner, self._distinct(name, partner)) for partner in partners(self.definition, name)
            ],
            frauds=[
                (self.edge(delay + span), self._slot("frauds", name, span), self._slot("share", name, span))
                for span in fraud_windows(self.definition)
            ],
            fraud=self._slot("fraud", name),
            first_fraud=self._slot("first fraud", name),
            first_ever=self._slot("first ever", name),
            good=self._slot("good", name),
            known_good=self._slot("known good", name),
            run=self._slot("run", name),
            in_a_row=self._slot("in a row", name),
            least_fraud=[
                (partner, self._slots["least fraud", name, partner])
                for partner in usual_of(self.definition, name)
                if ("least fraud", name, partner) in self._slots
            ],
        )

    def _distinct(self, name: str, partner: str) -> list[tuple[int, Slot]]:
        spans = distinct_windows(self.definition)
        return [(self.edge(span), self._slot("distinct", name, partner, span)) for span in spans]

    def _amounts(self, name: str) -> list[AmountSlots]:
        if ("sum", name, str(self._options.windows[0])) not in self._slots:
            return []
        kinds = ("sum", "mean", "against mean", "median", "against median", "max", "against max", "score")
        return [
            AmountSlots(self.edge(span), *(self._slot(kind, name, span) for kind in kinds))
            for span in dict.fromkeys((*self._options.windows, self._options.memory))
        ]


def _kind_of(statistic: str) -> object:
    for kind in (LOGGED, SIGNED, SCORED, AGAINST, PLAIN):
        if statistic in kind:
            return kind
    raise KeyError(f"{statistic}: nobody said how it becomes a feature")


def places_where(chosen: Iterable[bool]) -> NDArray[np.intp]:
    """Return the places at which a condition holds."""
    return np.flatnonzero(list(chosen))


LAYOUTS = PerDefinition(RowLayout)
