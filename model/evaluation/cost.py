"""Costs of a threshold: every flag is a review, every missed fraud its amount."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Costs:
    """At each threshold (points,), rising: rows flagged, the price of their reviews, and the amounts missed."""

    threshold: Floats
    flagged: NDArray[np.int64]
    reviews: Floats
    missed: Floats

    @property
    def total(self) -> Floats:
        """Reviews and missed amounts together, (points,)."""
        return self.reviews + self.missed

    @property
    def best(self) -> float:
        """The threshold with the lowest total; the highest of several."""
        return float(self.threshold[len(self.total) - 1 - int(np.argmin(self.total[::-1]))])


def costs(
    label: NDArray[np.int64], probability: Floats, amount: Floats, *, review: float, points: int = 200
) -> Costs:
    """Return the cost of each threshold on labelled rows.

    Args:
        label: 0 or 1, (rows,).
        probability: (rows,).
        amount: what a missed fraud loses, (rows,).
        review: the price of looking at one flagged row, in the unit of ``amount``.
        points: how many thresholds, as quantiles of the probabilities, so that each moves as many rows.
    """
    threshold = np.unique(np.r_[np.quantile(probability, 1 - np.geomspace(1, 1 / len(label), points)), 1.0])
    order = np.argsort(probability, kind="stable")
    below = np.searchsorted(probability[order], threshold, side="left")
    lost = np.r_[0.0, np.cumsum((amount * (label == 1))[order])]
    flagged = len(label) - below
    return Costs(threshold, flagged, flagged.astype(np.float64) * review, lost[below])
