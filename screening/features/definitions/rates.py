"""Learn how often each value of a category was fraud: known of the rows learned from, and of a row never its own label.

A tree tells forty values of a column apart by a question for each; of a thousand shops it would need a thousand. What
is told of a value instead is how its share of fraud compares with that of all rows, drawn towards it by ten rows
without news (Micci-Barreca 2001). For the rows learned from, the share is that of earlier rows whose labels were known
by then, as it will be for rows to come; without a time it is that of the other folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.features.definitions.specification import Levels

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]
# Pseudo-rows with the usual share of fraud, added to those of a value: a rare value keeps close to the usual
# share.
SMOOTHING = 10.0
MOST_LEVELS = 5_000
"""Values of a column that are told of, the most frequent."""
FOLDS = 5
# Least different values of a column that is told of, and least rows of each on average: shares of fewer rows
# are chance.
FEWEST_LEVELS, ROWS_EACH = 3, 3


@dataclass(frozen=True, slots=True)
class Rates:
    """Values of a column, ascending, and the logarithm of how their share of fraud compares, (k,) each."""

    cells: Floats
    logs: Floats

    @classmethod
    def read(cls, levels: Levels) -> Rates:
        """Return the rates that a definition holds."""
        cells, logs = np.array(levels, np.float64).reshape(-1, 2).T
        order = np.argsort(cells)
        return cls(cells[order], logs[order])

    @classmethod
    def learn(cls, cells: Floats, label: Labels) -> Rates:
        """Return the rates of values that appear in more than one row; (rows,) both, a blank is no value."""
        known = np.isfinite(cells)
        levels, place, count = np.unique(cells[known], return_inverse=True, return_counts=True)
        frauds = np.bincount(place, weights=label[known] == 1, minlength=len(levels))
        kept = np.argsort(-count, kind="stable")[:MOST_LEVELS]
        kept = np.sort(kept[count[kept] > 1])
        return cls(levels[kept], _logs(frauds[kept], count[kept], float((label == 1).mean())))

    def of(self, cells: Floats) -> Floats:
        """Return the rates of cells, (rows,); 0, which is no news, of a value that isn't known."""
        if not len(self.cells):
            return np.zeros(len(cells))
        place = np.minimum(np.searchsorted(self.cells, cells), len(self.cells) - 1)
        return np.where(self.cells[place] == cells, self.logs[place], 0.0)

    def levels(self) -> Levels:
        """Return the levels for a definition."""
        return tuple(zip(self.cells.tolist(), self.logs.tolist(), strict=True))


def _logs(frauds: Floats | NDArray[np.int64], count: NDArray[np.int64], usual: float | Floats) -> Floats:
    usual = np.clip(usual, 1e-9, 1.0)
    return np.asarray(np.log((frauds + SMOOTHING * usual) / (count + SMOOTHING) / usual))


def as_known_then(cells: Floats, label: Labels, time: Floats | None, delay: float, seed: int) -> Floats:
    """Return what could be told of each row without its own label, (rows,).

    Args:
        cells: of one column, (rows,), NaN for a blank.
        label: 0 or 1, (rows,).
        time: seconds, (rows,): a label counts for rows later than its own by the delay. Without it, folds do.
        delay: seconds until a label is known.
        seed: of the folds.
    """
    if time is not None:
        return earlier_rates(cells, label, time, delay)
    found = np.empty(len(cells))
    fold = np.random.default_rng(seed).permutation(len(cells)) % FOLDS
    for number in range(FOLDS):
        own = fold == number
        found[own] = Rates.learn(cells[~own], label[~own]).of(cells[own])
    return found


def earlier_rates(cells: Floats, label: Labels, time: Floats, delay: float) -> Floats:
    """Return for each row the rows of its value, against those of all values, whose labels were known before it."""
    order = np.argsort(time, kind="stable")
    when, frauds = time[order], np.r_[0, np.cumsum(label[order] == 1)]
    # rows whose label was known before this one
    seen = np.searchsorted(when, time - delay, side="left")
    usual = (frauds[seen] + SMOOTHING * float((label == 1).mean())) / (seen + SMOOTHING)
    found = np.zeros(len(cells))
    known = np.flatnonzero(np.isfinite(cells))
    known = known[np.lexsort((time[known], cells[known]))]
    starts = np.flatnonzero(np.diff(cells[known])) + 1
    for rows in np.split(known, starts):
        if len(rows) > 1:
            own = np.searchsorted(time[rows], time[rows] - delay, side="left")
            told = np.r_[0, np.cumsum(label[rows] == 1)][own]
            found[rows] = _logs(told, own, usual[rows])
    return found


def rated(names: Sequence[str], columns: Sequence[Floats]) -> tuple[str, ...]:
    """Return the columns whose values come back often enough to be told of."""
    kept = []
    for name, cells in zip(names, columns, strict=True):
        known = cells[np.isfinite(cells)]
        different = len(np.unique(known))
        if different >= FEWEST_LEVELS and len(known) >= ROWS_EACH * different:
            kept.append(name)
    return tuple(kept)
