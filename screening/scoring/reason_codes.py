"""Says in words why a transaction was flagged: the columns that make it unlike a typical payment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.vectorizer import Inputs
from screening.transactions.schema import Transactions

if TYPE_CHECKING:
    from screening.features import Feature

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


def explain(detector: Detector, rows: Transactions | Inputs, top: int = 3) -> list[list[Reason]]:
    """Return the strongest reasons that raise each row's probability, strongest first; at most ``top``, perhaps none.

    An input's effect is the mean of two: how far the logit falls when the row's value is replaced by the
    typical one, and how far it rises when a typical payment gets the row's value. These are the two ends of
    the Shapley value's average over all orders of inputs (Shapley 1953; Lundberg and Lee 2017). Taking away
    alone finds nothing where two inputs say the same, since either is enough without the other; adding alone
    overlooks what counts only together with the rest. Typical is the scaler's centre, the median of the
    training data. Inputs that say one thing together, as the levels of a category, are replaced together.

    The cost is bounded: at most 2 k + 1 rows through the net for each row of k groups, less where a row is typical
    already, for nothing is replaced there. Give the flagged rows only.

    Args:
        detector: whose net is asked.
        rows: what the net saw of the rows. Transactions are taken as all there is: nothing lies before them.
        top: the most reasons of a row.

    Raises:
        BadFile: a column is missing.
        BadTransaction: a row can't be scored.
    """
    found: list[list[Reason]] = []
    groups = detector.vectorizer.groups
    for inputs in (rows,) if isinstance(rows, Inputs) else detector.vectorizer.blocks(rows):
        scaled = detector.vectorizer.matrix(inputs)
        for start in range(0, len(scaled), ROWS):
            effects = _effects(detector, scaled[start : start + ROWS], groups)
            found.extend(
                _reasons(detector, row, effect, top)
                for row, effect in zip(inputs.values[start : start + ROWS], effects, strict=True)
            )
    return found


def _effects(
    detector: Detector, rows: NDArray[np.float32], groups: tuple[tuple[int, ...], ...]
) -> NDArray[np.float64]:
    """The effect of each group of inputs on the logit, (n, groups); scaled, a typical payment is all zeros.

    Of a row that is typical in a group both variants are what they are compared with: the effect is 0, unasked.
    """
    count, inputs = rows.shape
    member = _members(groups, inputs)
    row, group = np.nonzero((rows != 0) @ member.T)
    without = np.where(member[group], np.float32(0), rows[row])
    alone = np.where(member[group], rows[row], np.float32(0))
    typical = np.zeros((1, inputs), np.float32)
    logit = _logit(detector.scorer.probabilities(np.concatenate([rows, typical, without, alone])))
    whole, base = logit[:count], logit[count]
    removed, added = logit[count + 1 :].reshape(2, len(row))
    effects = np.zeros((count, len(groups)))
    effects[row, group] = ((whole[row] - removed) + (added - base)) / 2
    return effects


@lru_cache(maxsize=16)
def _members(groups: tuple[tuple[int, ...], ...], inputs: int) -> NDArray[np.bool_]:
    """Which inputs are in which group, bool (groups, inputs); nobody may change it."""
    member = np.zeros((len(groups), inputs), bool)
    for number, places in enumerate(groups):
        member[number, list(places)] = True
    return member


def _logit(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    inside = np.clip(probability.astype(np.float64), EDGE, 1 - EDGE)
    return np.log(inside / (1 - inside))


def _reasons(
    detector: Detector, inputs: NDArray[Any], effects: NDArray[np.float64], top: int
) -> list[Reason]:
    strongest = [place for place in np.argsort(-effects, kind="stable")[:top] if effects[place] > 0]
    return [
        _reason(detector, inputs, detector.vectorizer.groups[place], effects[place]) for place in strongest
    ]


def _reason(detector: Detector, inputs: NDArray[Any], group: tuple[int, ...], effect: float) -> Reason:
    definition = detector.vectorizer.definition
    place = max(group, key=lambda each: abs(inputs[each]))
    name, value = detector.vectorizer.inputs[place], float(inputs[place])
    low, high = detector.typical[name]
    text = (
        _text(detector, name, value)
        if definition is None
        else _of_feature(definition.features[place], value, low, high)
    )
    return Reason(name, value, low, high, float(effect), text)


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
    return f"{shown}, {_side(value, low, high)} {usual}"


def _side(value: float, low: float, high: float) -> str:
    distance = (low - value if value < low else value - high) / max(high - low, 1e-12)
    return f"{'far ' if distance > FAR else ''}{'below' if value < low else 'above'}"


def _of_feature(feature: Feature, value: float, low: float, high: float) -> str:
    """As "number of payments of the card in 1 day before is 14, far above the usual 0 to 2"."""
    if feature.is_never(value):
        return feature.never
    shown = feature.show(value)
    if shown is None:  # a level of a category, or a yes: there is no more or less of it
        return feature.words
    said = f"{feature.words} is {shown}"
    usual = f"the usual {feature.show(low)} to {feature.show(high)}"
    if low <= value <= high:
        return f"{said}, within {usual}, but unusual together with the rest"
    return f"{said}, {_side(value, low, high)} {usual}"


def _number(value: float) -> str:
    return (f"{value:,.2f}" if abs(value) < 1e6 else f"{value:.3g}").replace("-", "−")


def _money(value: float) -> str:
    return f"{value:,.2f}".replace("-", "−")


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds since the first payment of the data, as 41:15:02."""
    if not abs(seconds) < 1e9:  # thirty years: not seconds since a first payment
        return f"{seconds:.3g} s".replace("-", "−")
    whole = round(abs(seconds))
    return f"{'−' if seconds < 0 else ''}{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
