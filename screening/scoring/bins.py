"""The bins by which a column, or the score, is compared with the training data: fixed by the detector's card."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.model_card import QUANTILES, ColumnProfile, Pairs
from screening.transactions.schema import Role

# Highest probability of each range but the last: narrow where the probabilities of most payments lie.
SCORE_EDGES = (
    0.0001, 0.0003, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99,
    0.999,
)  # fmt: skip
# Not compared: times always move on, and returning customers are others each month.
COMPARED = (Role.AMOUNT, Role.NUMBER, Role.CATEGORY)
# Texts with a smaller share of the training data are counted together: chance moves them most.
RARE = 0.01
Cells = NDArray[np.float64]


@dataclass(frozen=True)
class Bins:
    """Bins of the values of one column, and the share of the training data in each."""

    edges: tuple[float, ...]
    """Of numbers the highest of each bin but the last, ascending; of texts their codes, one a bin, then all others."""
    shares: tuple[float, ...]
    """Of the training data, (bins,); the last bin is the blanks."""
    texts: bool = False
    exact: bool = True
    """Whether the shares were counted, not read from quantiles."""
    reach: tuple[float, ...] = ()
    """Greatest share that may lie at or below each edge, of the cells that aren't blank; the shares say how much
    does at least. Empty where nothing is open."""

    def nearest(self, now: NDArray[Any]) -> Cells:
        """Return the shares of the training data, (bins,): of those that may be right, the nearest to the present ones.

        What is open isn't taken for a change.

        Args:
            now: weights by bin.
        """
        shares = np.array(self.shares, np.float64)
        total, filled = now[:-1].sum(), 1 - shares[-1]
        if not self.reach or not total or not filled:
            return shares
        least = np.cumsum(shares[:-2]) / filled
        reached = np.clip(np.cumsum(now[:-2]) / total, least, np.maximum(self.reach, least))
        found: Cells = np.r_[np.diff(np.r_[0.0, reached, 1.0]) * filled, shares[-1]]
        return found

    def count(self, cells: Cells) -> NDArray[np.int64]:
        """Return how many cells are in each bin, (bins,); blanks are NaN."""
        filled = cells[~np.isnan(cells)]
        found: NDArray[np.int64] = np.r_[self._places(filled), len(cells) - len(filled)]
        return found

    def _places(self, filled: Cells) -> NDArray[np.int64]:
        count = len(self.shares) - 1
        if not self.texts:
            return np.bincount(np.searchsorted(self._edges, filled, side="left"), minlength=count)
        order, codes = self._codes
        if not len(codes):
            return np.array([len(filled)])
        place = np.minimum(np.searchsorted(codes, filled), len(codes) - 1)
        return np.bincount(np.where(codes[place] == filled, order[place], len(codes)), minlength=count)

    @cached_property
    def _edges(self) -> Cells:
        return np.array(self.edges, np.float64)

    @cached_property
    def _codes(self) -> tuple[NDArray[np.int64], Cells]:
        order = np.argsort(self._edges, kind="stable")
        return order, self._edges[order]


def of_detector(detector: Detector) -> Mapping[str, Bins]:
    """Return the bins of the columns that can be compared, by name in the contract's order."""
    known = {} if detector.card is None else detector.card.columns
    found = {}
    for column in detector.contract.parts():
        then = known.get(column.name)
        if column.role in COMPARED and then is not None:
            bins = of_numbers(then) if then.levels is None else _of_texts(then, then.levels)
            if bins is not None:
                found[column.name] = bins
    return found


def shape(bins: Mapping[str, Bins]) -> str:
    """Return a text that differs where the bins do: only what was counted in the same ones is added up."""
    told = repr([(name, each.edges, each.texts) for name, each in sorted(bins.items())])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _of_texts(then: ColumnProfile, levels: Pairs) -> Bins:
    frequent = [(code, share) for code, share in levels if share >= RARE]
    missing = then.missing or 0.0
    shares = [share for _, share in frequent]
    rest = max(1 - missing - sum(shares), 0.0)
    return Bins(tuple(code for code, _ in frequent), (*shares, rest, missing), texts=True)


def of_numbers(then: ColumnProfile) -> Bins | None:
    """Return the bins of a column of numbers; ``None`` where its card says too little."""
    missing = then.missing or 0.0
    if then.bins is not None:
        filled = [share * (1 - missing) for share in then.bins.shares]
        return Bins(then.bins.edges, (*filled, missing))
    # blank throughout: all that can change is that
    if not then.quantiles and then.missing == 1:
        return Bins((), (0.0, 1.0))
    if len(then.quantiles) < len(QUANTILES):
        return None
    borders = borders_of(then)
    least = [low for low, _ in borders.values()]
    shares = np.diff(np.r_[0.0, least, 1.0]) * (1 - missing)
    reach = tuple(high for _, high in borders.values()) if _many_may_have_one_value(then) else ()
    return Bins(tuple(borders), (*shares.tolist(), missing), exact=False, reach=reach)


def borders_of(then: ColumnProfile) -> dict[float, tuple[float, float]]:
    """Return the quantiles that can be borders, each with how much lies at or below it: at least, and at most.

    A quantile tells that at least its share lies at or below it. Where many rows have that very value it may be more,
    up to the share of the next larger value that is known.
    """
    known = _known(then)
    found = {}
    for name in QUANTILES:
        value = then.quantiles[name]
        least = max(share for share, mark in known if mark <= value)
        # nothing lies beyond the largest value
        if least < 1:
            found[value] = least, min(share for share, mark in known if mark > value or share == 1)
    return found


def _known(then: ColumnProfile) -> list[tuple[float, float]]:
    """Return what is known of the order of the values: shares, and the values that they reach to."""
    known = [(share, then.quantiles[name]) for name, share in QUANTILES.items()]
    known += [(place / 10, mark) for place, mark in enumerate(then.deciles) if len(then.deciles) == 11]
    known += [(0.0, then.minimum)] if then.minimum is not None else []
    return [*known, (1.0, math.inf if then.maximum is None else then.maximum)]


def _many_may_have_one_value(then: ColumnProfile) -> bool:
    """Return whether quantiles are whole numbers, or several of them one: measured values rarely are."""
    values = list(then.quantiles.values())
    return len(set(values)) < len(values) or all(value == round(value) for value in values)
