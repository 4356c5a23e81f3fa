"""Features of transactions: defined once, for training, for a file, and for one transaction at a time."""

from screening.features.computation.engine import compute, compute_apart, iterate
from screening.features.computation.past import Past, PastIndex
from screening.features.countries.range_files import read_ranges
from screening.features.countries.ranges import Ranges
from screening.features.definitions.definition import Definition
from screening.features.definitions.feature import Feature, Shape
from screening.features.definitions.learning import define
from screening.features.definitions.options import Options

__all__ = [
    "Definition",
    "Feature",
    "Options",
    "Past",
    "PastIndex",
    "Ranges",
    "Shape",
    "compute",
    "compute_apart",
    "define",
    "iterate",
    "read_ranges",
]
