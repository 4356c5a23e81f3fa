"""What is to be said of a transaction that a detector can't judge well: nothing known before it, or beyond its data.

A file is compared with the training data as a whole (:mod:`screening.scoring.drift`); a single transaction has only
itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.model_card import Profile
from screening.detectors.vectorizer import Seen
from screening.features import PastIndex
from screening.features.definitions.feature import number
from screening.transactions.schema import Matrix, Role, Transactions

COMPARED = (Role.AMOUNT, Role.NUMBER)
NOTHING_KNOWN = Profile()
NO_PAST = (
    "No earlier transactions are remembered that this one has anything in common with: the probability rests on "
    "the transaction alone. Screen a file with its history first: then it tells much more."
)


def remarks(detector: Detector, transactions: Transactions, history: Seen) -> list[list[str]]:
    """Return what makes each transaction's probability doubtful, in words; mostly nothing.

    ``transactions`` are in the order of the detector's columns. A past that isn't sorted is sorted here: who asks
    more than once, or for more than this, gives :meth:`Seen.indexed`.
    """
    found: list[list[str]] = [[] for _ in range(len(transactions))]
    for row in np.flatnonzero(_alone(detector, transactions, history)).tolist():
        found[row].append(NO_PAST)
    for row, text in _beyond(detector, transactions.values):
        found[row].append(text)
    return found


def _alone(detector: Detector, transactions: Transactions, history: Seen) -> NDArray[np.bool_]:
    """Tell whether nobody in a row was seen before, bool (rows,); never where rows tell nothing of each other."""
    definition = detector.vectorizer.definition
    if definition is None or not definition.looks_back:
        return np.zeros(len(transactions), bool)
    past = history.indexed(definition).past
    if not isinstance(past, PastIndex):
        return np.ones(len(transactions), bool)
    return ~past.knows(transactions.values)


def _beyond(detector: Detector, values: Matrix) -> Iterator[tuple[int, str]]:
    """Numbers further from the training data than these reach themselves: a net's answer there is no knowledge."""
    known = {} if detector.card is None else detector.card.columns
    for place, column in enumerate(detector.contract.parts()):
        then = known.get(column.name, NOTHING_KNOWN)
        low, high = then.minimum, then.maximum
        if column.role not in COMPARED or low is None or high is None:
            continue
        reach = high - low
        for row in np.flatnonzero((values[:, place] < low - reach) | (values[:, place] > high + reach)):
            value = number(float(values[row, place]))
            data = f"far beyond the training data ({number(low)} to {number(high)})"
            yield int(row), f"{column.name} is {value}, {data}: the probability can't be relied on."
