"""Rows as they look on the first day: with nothing before them, or with a past of which no label is known.

The rows of a training file have months of known labels behind them; a detector that learned from those alone takes
what it meets on a fresh installation for what is usual. So a few rows are learned from twice more, without their past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from screening.features import Definition, compute
from screening.features.definitions.lookback import looking_back
from screening.transactions.schema import Matrix

Features = NDArray[np.float32]
Flags = NDArray[np.bool_]
LABELS = frozenset(
    ("frauds", "share", "fraud", "first fraud", "first ever", "good", "least fraud", "known good", "run", "in a row")
)  # fmt: skip
"""The statistics that tell of known labels."""


@dataclass(frozen=True)
class Cold:
    """Features of a row of which nothing is known: the same for all rows, since there is nothing to compare with.

    ``nothing`` (f,) are the features of a row with nothing before it, ``back`` (f,) says which of them tell of earlier
    rows and ``labels`` (f,) which of earlier labels; the others are the row's own.
    """

    nothing: Features
    back: Flags
    labels: Flags

    @classmethod
    def of(cls, definition: Definition, values: Matrix) -> Cold | None:
        """Return the features of nothing known for rows (n, columns of the contract), at least one; ``None`` where rows
        tell nothing of each other.
        """
        if not definition.looks_back:
            return None
        keys = {feature.key for feature in looking_back(definition)}
        back = np.array([feature.key in keys for feature in definition.features])
        told = np.array([feature.key[0] in LABELS for feature in definition.features])
        return cls(compute(definition, values[:1])[0], back, back & told)

    def scaled(self, scale: Callable[[Features], NDArray[np.floating]]) -> Cold:
        """Return them for features that were scaled column by column; ``scale`` takes and gives (rows, f)."""
        return replace(self, nothing=np.asarray(scale(self.nothing[None]), np.float32)[0])

    def alone(self, features: Features) -> Features:
        """Return copies of rows (rows, f) as they look with nothing before them."""
        return np.where(self.back, self.nothing, features)

    def unlabelled(self, features: Features) -> Features:
        """Return copies of rows (rows, f) as they look with all their past, but no label of it known."""
        return np.where(self.labels, self.nothing, features)
