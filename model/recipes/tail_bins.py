"""Split points of trees: marks on each column, dense in its tails, so that what is rare can be told from what is usual.

Growing on histograms puts at most 256 marks on a column, at even shares of the rows. Of a column whose last 0.2 % are
frauds the last mark then lies before them, and no tree can ask for them. Trees are grown on how many marks a value has
reached instead, and their questions are put back into the column's own numbers: exactly the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.recipes.tree_layers import Trees

Features = NDArray[np.float32]
Reached = NDArray[np.uint8] | NDArray[np.uint16]
# Marks at even shares of the rows, and more in each tail: 255 together, so that there are 256 answers.
EVEN, TAIL = 63, 96
# The same where a rule may stand anywhere: what lies between two marks can't be parted.
FINE, FINE_TAIL = 511, 64


@dataclass(frozen=True)
class TailBins:
    """``columns``: of each column its marks, ascending and different, float32 (marks,); they are values of it."""

    columns: tuple[Features, ...]

    @classmethod
    def of(cls, features: Features, even: int = EVEN, tail: int = TAIL) -> TailBins:
        """Return the marks of columns (rows, f): ``even`` at even shares of the rows, ``tail`` more in each tail.

        The shares in a tail fall by even factors, down to a single row.
        """
        first = 1.0 / (even + 1)
        rare = np.geomspace(min(1.0 / len(features), first / 2), first, tail, endpoint=False)
        shares = np.sort(np.r_[np.arange(1, even + 1) * first, rare, 1 - rare])
        return cls(
            tuple(
                np.unique(np.quantile(column, shares, method="nearest")).astype(np.float32)
                for column in features.T
            )
        )

    @property
    def most(self) -> int:
        """The most marks that a column has."""
        return max(map(len, self.columns), default=0)

    def reached(self, features: Features) -> Reached:
        """Return how many marks of its column each value of (rows, f) has reached; the same shape."""
        found = np.empty(features.shape, np.uint8 if self.most <= np.iinfo(np.uint8).max else np.uint16)
        for place, marks in enumerate(self.columns):
            found[:, place] = np.searchsorted(marks, features[:, place], side="right")
        return found

    def asked(self, trees: Trees) -> Trees:
        """Return trees that were grown on :meth:`reached`, as trees on the columns' own numbers.

        Fewer than t marks are reached where the value is below the t-th of them.
        """
        column, threshold = trees.column.copy(), np.zeros_like(trees.threshold)
        for gate in zip(*np.nonzero(column >= 0), strict=True):
            marks, number = self.columns[column[gate]], int(np.ceil(trees.threshold[gate]))
            # nothing reaches so many: always yes
            if number > len(marks):
                column[gate] = -1
            else:
                threshold[gate] = marks[max(number, 1) - 1]
        return replace(trees, column=column, threshold=threshold)
