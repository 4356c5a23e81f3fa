"""Features of transactions: defined once, for training, for a file, and for one transaction at a time."""

from screening.features.definition import Definition
from screening.features.engine import compute, iterate
from screening.features.feature import Feature, Shape
from screening.features.learning import define
from screening.features.options import Options
from screening.features.past import Past

__all__ = ["Definition", "Feature", "Options", "Past", "Shape", "compute", "define", "iterate"]
