"""Caveats about transactions that a detector can't judge well: nothing known before it, beyond its data, or what may be
cents.

A file is compared with the training data as a whole (:mod:`screening.scoring.drift`); a single transaction has only
itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.model_card import ColumnProfile
from screening.detectors.vectorizer import History
from screening.features import Definition, Past
from screening.features.definitions.feature import number
from screening.scoring.amount_scale import OTHER, profile_of
from screening.transactions.amount_units import AmountUnit, whole
from screening.transactions.schema import Matrix, Role, Transactions

FEW = 64
"""Rows."""
COMPARED = (Role.AMOUNT, Role.NUMBER)
NOTHING_KNOWN = ColumnProfile()
# Shared by nearly all rows: a list for each of ten thousand rows takes as long as their net.
NOTHING_SAID: Sequence[str] = ()
NO_PAST = (
    "No earlier transactions are remembered that this one has anything in common with: the probability rests on "
    "the transaction alone. Screen a file with its history first: then it tells much more."
)


def remarks(detector: Detector, transactions: Transactions, history: History) -> list[Sequence[str]]:
    """Return what makes each transaction's probability doubtful, in words; mostly nothing.

    ``transactions`` are in the order of the detector's columns. A past that isn't sorted is sorted here: who asks
    more than once, or for more than this, gives :meth:`History.indexed`.
    """
    said: defaultdict[int, list[str]] = defaultdict(list)
    definition = detector.vectorizer.definition
    if definition is not None and definition.looks_back:
        for row in np.flatnonzero(never_seen(definition, transactions, history)).tolist():
            said[row].append(NO_PAST)
    for row, text in warn_beyond(detector, transactions.values):
        said[row].append(text)
    for row, text in warn_smallest_units(detector, transactions.values):
        said[row].append(text)
    found: list[Sequence[str]] = [NOTHING_SAID] * len(transactions)
    for row, texts in said.items():
        found[row] = texts
    return found


def never_seen(definition: Definition, transactions: Transactions, history: History) -> NDArray[np.bool_]:
    """Tell whether nobody in a row was seen before, bool (rows,)."""
    past = history.indexed(definition).past
    alone = first_here(definition, transactions.values)
    # sorted, it is no plain past any more
    if past is None or isinstance(past, Past):
        return alone
    return alone & ~past.knows(transactions.values)


def first_here(definition: Definition, values: Matrix) -> NDArray[np.bool_]:
    """Tell whether no row of these that is earlier has an entity of each row, bool (n,)."""
    first = np.ones(len(values), bool)
    if len(values) == 1:
        return first
    if len(values) <= FEW:
        return np.array(first_of_few(definition, values))
    columns = definition.contract.columns
    times = values[:, columns.index(str(definition.contract.time))]
    for name in definition.tracked:
        _, which = np.unique(values[:, columns.index(name)], return_inverse=True, equal_nan=False)
        earliest = np.full(len(values), np.inf)
        np.fmin.at(earliest, which, times)
        first &= ~(earliest[which] < times)
    return first


def first_of_few(definition: Definition, values: Matrix) -> list[bool]:
    """Tell the same of a few rows, for which NumPy takes longer to be called than to look."""
    columns = definition.contract.columns
    times = values[:, columns.index(str(definition.contract.time))].tolist()
    first = [True] * len(times)
    for name in definition.tracked:
        cells = values[:, columns.index(name)].tolist()
        earliest: dict[float, float] = {}
        for cell, moment in zip(cells, times, strict=True):
            # a blank is like no other one, and no time is before another
            if moment < earliest.get(cell, math.inf):
                earliest[cell] = moment
        for place, (cell, moment) in enumerate(zip(cells, times, strict=True)):
            if earliest.get(cell, math.inf) < moment:
                first[place] = False
    return first


def warn_beyond(detector: Detector, values: Matrix) -> Iterator[tuple[int, str]]:
    """Warn of numbers further from the training data than these reach themselves: a net knows nothing there."""
    known = _known(_Same(detector))
    beyond = (values < known.least) | (values > known.most)
    if not beyond.any():
        return
    columns = detector.contract.columns
    for place, row in np.argwhere(beyond.T).tolist():
        value = number(float(values[row, place]))
        low, high = number(float(known.low[place])), number(float(known.high[place]))
        data = f"far beyond the training data ({low} to {high})"
        yield row, f"{columns[place]} is {value}, {data}: the probability can't be relied on."


def warn_smallest_units(detector: Detector, values: Matrix) -> Iterator[tuple[int, str]]:
    """Warn of amounts that may count cents: whole, and so large that hardly any of the training data is. One by itself
    doesn't tell, so nobody is asked and nothing is changed.
    """
    known, name = profile_of(detector), detector.contract.amount
    if known is None or name is None or not {"q50", "q99"} <= known.quantiles.keys():
        return
    amounts = values[:, detector.contract.columns.index(name)]
    least = max(known.quantiles["q99"], known.quantiles["q50"] * 10**OTHER)
    doubtful = whole(amounts) & (amounts > least)
    if not doubtful.any():
        return
    for row in np.flatnonzero(doubtful).tolist():
        value = float(amounts[row])
        meant = f"if it counts cents, send {AmountUnit.CENTS.of(value):.2f}"
        yield row, f"{name} is {number(value)}, larger than 99 % of the training data: {meant}."


class _Same:
    """A detector as what it is, and not as what it says: one that only has the name of another is another one."""

    __slots__ = ("detector",)

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.detector is other.detector

    def __hash__(self) -> int:
        return id(self.detector)


@dataclass(frozen=True, slots=True)
class _Known:
    """The training data by column, (columns,) each, NaN where nothing is compared."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    least: NDArray[np.float64]
    """As far below the lowest number as this is below the highest."""
    most: NDArray[np.float64]


@lru_cache(maxsize=16)
def _known(of: _Same) -> _Known:
    detector = of.detector
    profiles = {} if detector.card is None else detector.card.columns
    low, high = np.full((2, len(detector.contract.columns)), np.nan)
    for place, column in enumerate(detector.contract.parts()):
        then = profiles.get(column.name, NOTHING_KNOWN)
        if column.role in COMPARED and then.minimum is not None and then.maximum is not None:
            low[place], high[place] = then.minimum, then.maximum
    reach = high - low
    return _Known(low, high, low - reach, high + reach)
