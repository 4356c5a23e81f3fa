"""Says in words why a transaction was flagged: the columns that make it unlike a typical payment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.detector import Detector
from screening.schema import Transactions

ROWS = 256  # explained at a time: 60 variants a row of 30 columns, so that the working set stays below 10 MB
FAR = 3.0  # widths of the typical range beyond which a value is called far off
EDGE = 2.0**-24  # half the distance of 1 from the float32 before it: a probability of 1 has a finite logit


@dataclass(frozen=True, slots=True)
class Reason:
    """One column's part in a probability."""

    column: str
    value: float
    typical_low: float
    typical_high: float
    effect: float
    """How far the column moves the logit of the probability (log odds): 0.69 doubles the odds of fraud."""
    text: str


def explain(detector: Detector, transactions: Transactions, top: int = 3) -> list[list[Reason]]:
    """The strongest reasons that raise each row's probability, strongest first; at most ``top``, perhaps
    none.

    A column's effect is the mean of two: how far the logit falls when the row's value is replaced by the
    typical one, and how far it rises when a typical payment gets the row's value. These are the two ends of
    the Shapley value's average over all orders of columns (Shapley 1953; Lundberg and Lee 2017). Taking away
    alone finds nothing where two columns say the same, since either is enough without the other; adding alone
    overlooks what counts only together with the rest. Typical is the scaler's centre, the median of the
    training data.

    The cost is bounded: 2 k + 1 rows through the net for each row of k columns. Give the flagged rows only.

    Raises:
        BadTransaction: a row can't be scored.
    """
    found: list[list[Reason]] = []
    scaled = detector.vectorizer.matrix(transactions)
    values = detector.vectorizer.select(transactions)
    for start in range(0, len(scaled), ROWS):
        effects = _effects(detector, scaled[start : start + ROWS])
        found.extend(
            _reasons(detector, row, effect, top)
            for row, effect in zip(values[start : start + ROWS], effects, strict=True)
        )
    return found


def _effects(detector: Detector, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The effect of each column of each row on the logit, (n, k); scaled, a typical payment is all zeros."""
    count, columns = rows.shape
    every = np.arange(columns)
    without = np.repeat(rows[:, None, :], columns, axis=1)
    without[:, every, every] = 0
    alone = np.zeros_like(without)
    alone[:, every, every] = rows
    typical = np.zeros((1, columns), np.float32)
    variants = [rows, typical, without.reshape(-1, columns), alone.reshape(-1, columns)]
    probability = detector.scorer.probabilities(np.concatenate(variants))
    logit = _logit(probability)
    whole, base = logit[:count, None], logit[count]
    removed, added = logit[count + 1 :].reshape(2, count, columns)
    return ((whole - removed) + (added - base)) / 2


def _logit(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    inside = np.clip(probability.astype(np.float64), EDGE, 1 - EDGE)
    return np.log(inside / (1 - inside))


def _reasons(
    detector: Detector, values: NDArray[np.float64], effects: NDArray[np.float64], top: int
) -> list[Reason]:
    strongest = [place for place in np.argsort(-effects, kind="stable")[:top] if effects[place] > 0]
    return [
        _reason(detector, detector.contract.columns[place], values[place], effects[place])
        for place in strongest
    ]


def _reason(detector: Detector, column: str, value: float, effect: float) -> Reason:
    low, high = detector.typical[column]
    return Reason(column, float(value), low, high, float(effect), _text(detector, column, float(value)))


def _text(detector: Detector, column: str, value: float) -> str:
    """As "V14 is −9.53, far below the usual −0.43 to 0.49"."""
    low, high = detector.typical[column]
    show = (
        _clock
        if column == detector.contract.time
        else _money
        if column == detector.contract.amount
        else _number
    )
    shown = f"{column} is {show(value)}"
    if column == detector.contract.time:
        shown += " after the first payment"
    usual = f"the usual {show(low)} to {show(high)}"
    if low <= value <= high:
        return f"{shown}, within {usual}, but unusual together with the rest"
    distance = (low - value if value < low else value - high) / max(high - low, 1e-12)
    return f"{shown}, {'far ' if distance > FAR else ''}{'below' if value < low else 'above'} {usual}"


def _number(value: float) -> str:
    return (f"{value:,.2f}" if abs(value) < 1e6 else f"{value:.3g}").replace("-", "−")  # noqa: PLR2004


def _money(value: float) -> str:
    return f"{value:,.2f}".replace("-", "−")


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds since the first payment of the data, as 41:15:02."""
    if not abs(seconds) < 1e9:  # noqa: PLR2004  thirty years: not seconds since a first payment
        return f"{seconds:.3g} s".replace("-", "−")
    whole = round(abs(seconds))
    return f"{'−' if seconds < 0 else ''}{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
