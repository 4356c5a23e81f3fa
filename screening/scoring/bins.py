"""The bins by which a column, or the score, is compared with the training data: fixed by the detector's card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.model_card import QUANTILES, Pairs, Profile
from screening.transactions.schema import Role

SCORE_EDGES = (
    0.0001, 0.0003, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99,
    0.999,
)  # fmt: skip
"""The highest probability of each range but the last: narrow where the probabilities of most payments lie."""
COMPARED = (Role.AMOUNT, Role.NUMBER, Role.CATEGORY)
"""Times always move on, and who comes back is somebody else each month."""
RARE = 0.01
"""Texts with a smaller share of the training data are counted together with all others: chance moves them most."""
SURE = 0.01
"""How far a share at a border may be unknown."""
Cells = NDArray[np.float64]


@dataclass(frozen=True)
class Bins:
    """Where the values of one column fall, and which share of the training data fell there."""

    edges: tuple[float, ...]
    """Of numbers the highest of each bin but the last, ascending; of texts their codes, one a bin, then all others."""
    shares: tuple[float, ...]
    """Of the training data, (bins,); the last bin is the blanks."""
    texts: bool = False
    exact: bool = True
    """Whether the shares were counted, not read from quantiles."""

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
            bins = _of_numbers(then) if then.levels is None else _of_texts(then, then.levels)
            if bins is not None:
                found[column.name] = bins
    return found


def shape(bins: Mapping[str, Bins]) -> str:
    """Return a text that differs where the bins do: only what was counted in the same ones is added up."""
    told = repr([(name, each.edges, each.texts) for name, each in sorted(bins.items())])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _of_texts(then: Profile, levels: Pairs) -> Bins:
    frequent = [(code, share) for code, share in levels if share >= RARE]
    missing = then.missing or 0.0
    shares = [share for _, share in frequent]
    rest = max(1 - missing - sum(shares), 0.0)
    return Bins(tuple(code for code, _ in frequent), (*shares, rest, missing), texts=True)


def _of_numbers(then: Profile) -> Bins | None:
    missing = then.missing or 0.0
    if then.bins is not None:
        filled = [share * (1 - missing) for share in then.bins.shares]
        return Bins(then.bins.edges, (*filled, missing))
    if not then.quantiles and then.missing == 1:  # blank throughout: all that can change is that
        return Bins((), (0.0, 1.0))
    if len(then.quantiles) < len(QUANTILES):
        return None
    borders = _borders(then)
    reached = np.diff(np.r_[0.0, list(borders.values()), 1.0]) * (1 - missing)
    return Bins(tuple(borders), (*reached.tolist(), missing), exact=False)


def _borders(then: Profile) -> dict[float, float]:
    """Return the quantiles that can be borders, each with the share that lies at or below it.

    Where several are one number, many rows have that very value, and how many isn't known: at least the highest of
    these shares, less than that of the next quantile. Such a border is left out, unless the two are close.
    """
    marks = [(then.quantiles[name], share) for name, share in QUANTILES.items()]
    if then.minimum is not None:
        marks.insert(0, (then.minimum, 0.0))
    if then.maximum is not None:
        marks.append((then.maximum, 1.0))
    values = [value for value, _ in marks]
    highest = dict(marks)
    found = {}
    for place, (value, share) in enumerate(highest.items()):
        following = list(highest.values())[place + 1 :] or [1.0]
        if share in (0.0, 1.0):
            continue  # the ends are no borders: nothing lies beyond them
        if values.count(value) == 1 or following[0] - share <= SURE:
            found[value] = share
    return found
