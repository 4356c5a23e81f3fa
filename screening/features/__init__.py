"""Features of transactions: defined once, for training, for a file, and for one transaction at a time."""

from screening.features.computation.by_entity import (
    EntityMessage,
    UnorderedRows,
    assembled,
    carried_deviations,
    deviation_of,
    places_of,
    told_of,
)
from screening.features.computation.engine import compute, iterate
from screening.features.computation.past import (
    Past,
    PastIndex,
    PastRange,
    PastSource,
    wanted_for,
    wanted_of_frauds,
)
from screening.features.countries.range_files import read_ranges
from screening.features.countries.ranges import Ranges
from screening.features.definitions.definition import Definition
from screening.features.definitions.feature import Feature, Shape
from screening.features.definitions.learning import define
from screening.features.definitions.options import Options

__all__ = [
    "Definition",
    "EntityMessage",
    "Feature",
    "Options",
    "Past",
    "PastIndex",
    "PastRange",
    "PastSource",
    "Ranges",
    "Shape",
    "UnorderedRows",
    "assembled",
    "carried_deviations",
    "compute",
    "define",
    "deviation_of",
    "iterate",
    "places_of",
    "read_ranges",
    "told_of",
    "wanted_for",
    "wanted_of_frauds",
]
