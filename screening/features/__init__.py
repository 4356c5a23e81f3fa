"""Features of transactions: defined once, for training, for a file, and for one transaction at a time."""

from screening.features.countries import Ranges
from screening.features.definition import Definition
from screening.features.engine import compute, iterate
from screening.features.feature import Feature, Shape
from screening.features.learning import define
from screening.features.options import Options
from screening.features.past import Past, PastIndex
from screening.features.rangefiles import read_ranges

__all__ = [
    "Definition",
    "Feature",
    "Options",
    "Past",
    "PastIndex",
    "Ranges",
    "Shape",
    "compute",
    "define",
    "iterate",
    "read_ranges",
]
