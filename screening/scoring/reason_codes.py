"""Says in words why a transaction was flagged: the columns that make it unlike a typical payment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.vectorizer import Inputs
from screening.scoring.reason_words import FAR, FeatureValue, Sentences
from screening.transactions.schema import Transactions

# explained at a time: 60 variants a row of 30 columns, so that the working set stays below 10 MB
ROWS = 256
# half the distance of 1 from the float32 before it: a probability of 1 has a finite logit
EDGE = 2.0**-24


@dataclass(frozen=True, slots=True)
class Reason:
    """One column's part in a probability."""

    column: str
    value: float
    typical_low: float
    typical_high: float
    effect: float
    """Effect of the column on the logit of the probability (log odds): 0.69 doubles the odds of fraud."""
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
    groups, definition = detector.vectorizer.groups, detector.vectorizer.definition
    sentences = None if definition is None else Sentences(definition)
    for inputs in (rows,) if isinstance(rows, Inputs) else detector.vectorizer.blocks(rows):
        scaled = detector.vectorizer.matrix(inputs)
        for start in range(0, len(scaled), ROWS):
            effects = effects_of(detector, scaled[start : start + ROWS], groups)
            found.extend(
                strongest_reasons(detector, sentences, row, effect, top)
                for row, effect in zip(inputs.values[start : start + ROWS], effects, strict=True)
            )
    return found


def effects_of(
    detector: Detector, rows: NDArray[np.float32], groups: tuple[tuple[int, ...], ...]
) -> NDArray[np.float64]:
    """Return the effect of each group of inputs on the logit, (n, groups); scaled, a typical payment is all zeros.

    Of a row that is typical in a group both variants are what they are compared with: the effect is 0, unasked.
    """
    count, inputs = rows.shape
    member = _members(groups, inputs)
    row, group = np.nonzero((rows != 0) @ member.T)
    without = np.where(member[group], np.float32(0), rows[row])
    alone = np.where(member[group], rows[row], np.float32(0))
    typical = np.zeros((1, inputs), np.float32)
    said = detector.scorer.probabilities(np.concatenate([rows, typical, without, alone]))
    inside = np.clip(said.astype(np.float64), EDGE, 1 - EDGE)
    logit = np.log(inside / (1 - inside))
    whole, base = logit[:count], logit[count]
    removed, added = logit[count + 1 :].reshape(2, len(row))
    effects = np.zeros((count, len(groups)))
    effects[row, group] = ((whole[row] - removed) + (added - base)) / 2
    return effects


@lru_cache(maxsize=16)
def _members(groups: tuple[tuple[int, ...], ...], inputs: int) -> NDArray[np.bool_]:
    """Return the group of each input, bool (groups, inputs); nobody may change it."""
    member = np.zeros((len(groups), inputs), bool)
    for number, places in enumerate(groups):
        member[number, list(places)] = True
    return member


def strongest_reasons(
    detector: Detector,
    sentences: Sentences | None,
    inputs: NDArray[Any],
    effects: NDArray[np.float64],
    top: int,
) -> list[Reason]:
    """Return the strongest groups of inputs that raise the logit and can be said; of those that say one thing, the
    first.
    """
    raising = [place for place in np.argsort(-effects, kind="stable") if effects[place] > 0]
    groups = detector.vectorizer.groups
    found: dict[object, Reason] = {}
    for place in raising[:MOST_LOOKED]:
        said = (
            reason_of_column(detector, inputs, groups[place], float(effects[place]))
            if sentences is None
            else reason_of_feature(detector, sentences, inputs, groups[place], float(effects[place]))
        )
        if said is not None and said[0] not in found:
            found[said[0]] = said[1]
        if len(found) == top:
            break
    if not found and raising and effects[raising[0]] >= WORTH_SAYING:
        place = groups[raising[0]][0]
        name = detector.vectorizer.inputs[place]
        low, high = detector.typical[name]
        return [Reason(name, float(inputs[place]), low, high, float(effects[raising[0]]), TOGETHER)]
    return list(found.values())


# Groups considered for a reason: those after them move the probability little.
MOST_LOOKED = 12
WORTH_SAYING = 0.1
TOGETHER = "No single value stands out; the combination does"


def reason_of_column(
    detector: Detector, inputs: NDArray[Any], group: tuple[int, ...], effect: float
) -> tuple[object, Reason] | None:
    """Return the reason for a column that is an input by itself; ``None`` where its value is a usual one."""
    place = group[0]
    name, value = detector.vectorizer.inputs[place], float(inputs[place])
    low, high = detector.typical[name]
    if low <= value <= high:
        return None
    return name, Reason(name, value, low, high, effect, text_of_column(detector, name, value))


def reason_of_feature(
    detector: Detector, sentences: Sentences, inputs: NDArray[Any], group: tuple[int, ...], effect: float
) -> tuple[object, Reason] | None:
    """Return the reason for features that belong together; ``None`` where all of them are usual."""
    amount = None if sentences.amount_place is None else float(inputs[sentences.amount_place])
    said = []
    for place in group:
        name = detector.vectorizer.inputs[place]
        low, high = detector.typical[name]
        one = FeatureValue(sentences.features[place], float(inputs[place]), low, high, amount)
        if not one.inside:
            said.append((name, one))
    if not said:
        return None
    name, one = max(said, key=lambda each: abs(each[1].value))
    family = sentences.family(one.feature)
    return family, Reason(name, one.value, one.low, one.high, effect, sentences.of(one))


def text_of_column(detector: Detector, column: str, value: float) -> str:
    """Say it as "V14 is −9.53, far below the usual −0.43 to 0.49"."""
    low, high = detector.typical[column]
    show = (
        _clock
        if column == detector.contract.time
        else money_words
        if column == detector.contract.amount
        else number_words
    )
    shown = f"{column} is {show(value)}"
    if column == detector.contract.time:
        shown += " after the first payment"
    usual = show(low) if show(low) == show(high) else f"{show(low)} to {show(high)}"
    return f"{shown}, {_side(value, low, high)} the usual {usual}"


def _side(value: float, low: float, high: float) -> str:
    distance = (low - value if value < low else value - high) / max(high - low, 1e-12)
    return f"{'far ' if distance > FAR else ''}{'below' if value < low else 'above'}"


def number_words(value: float) -> str:
    """Return a number to two decimals, a large one to three digits."""
    return (f"{value:,.2f}" if abs(value) < 1e6 else f"{value:.3g}").replace("-", "−")


def money_words(value: float) -> str:
    """Return an amount to two decimals."""
    return f"{value:,.2f}".replace("-", "−")


def _clock(seconds: float) -> str:
    """Return hours, minutes and seconds since the first payment of the data, as 41:15:02."""
    # thirty years: not seconds since a first payment
    if not abs(seconds) < 1e9:
        return f"{seconds:.3g} s".replace("-", "−")
    whole = round(abs(seconds))
    return f"{'−' if seconds < 0 else ''}{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
