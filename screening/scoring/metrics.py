"""Measure flags against the labels that a file brings. Labels are never used to make flags."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 1.959963984540054
"""Standard deviations of a 95 % interval."""


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, 0 to 1 (Wilson 1927, "Probable Inference").

    Unlike the usual one it stays within 0 and 1, and is honest about few rows, and about none or all of them.

    Raises:
        ValueError: there was no trial.
    """
    if not 0 <= hits <= trials or not trials:
        raise ValueError(f"{hits} of {trials} is no share")
    share, extra = hits / trials, LEVEL**2 / trials
    middle = (share + extra / 2) / (1 + extra)
    reach = LEVEL * math.sqrt(share * (1 - share) / trials + extra / (4 * trials)) / (1 + extra)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


@dataclass(frozen=True, slots=True)
class Quality:
    """A confusion matrix with what follows from it; amounts are in the file's own currency.

    ``precision``, ``recall`` and ``average_precision`` are ``None`` where they would divide by zero.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    precision: float | None
    recall: float | None
    average_precision: float | None
    caught_amount: float | None
    missed_amount: float | None
    false_alarm_amount: float | None
    unlabelled: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)


def measure(
    labels: NDArray[np.int8],
    probabilities: NDArray[np.float32],
    flagged: NDArray[np.bool_],
    amounts: NDArray[np.float64] | None = None,
) -> Quality | None:
    """Compare flags with labels (1 fraud, 0 legitimate, -1 unknown); all arrays have shape (rows,).

    Rows without a label or without a probability (NaN: set aside) don't count. ``None`` when nothing is labelled.
    """
    known = (labels >= 0) & np.isfinite(probabilities)
    if not known.any():
        return None
    fraud, flag = labels[known] == 1, flagged[known]
    caught, missed, alarm = fraud & flag, fraud & ~flag, ~fraud & flag
    tp, fn, fp = int(caught.sum()), int(missed.sum()), int(alarm.sum())

    def total(chosen: NDArray[np.bool_]) -> float | None:
        return None if amounts is None else round(float(amounts[known][chosen].sum()), 2)

    return Quality(
        true_positives=tp,
        false_positives=fp,
        false_negatives=fn,
        true_negatives=int(known.sum()) - tp - fp - fn,
        precision=tp / (tp + fp) if tp + fp else None,
        recall=tp / (tp + fn) if tp + fn else None,
        average_precision=average_precision(fraud, probabilities[known]),
        caught_amount=total(caught),
        missed_amount=total(missed),
        false_alarm_amount=total(alarm),
        unlabelled=int((labels < 0).sum()),
    )


def average_precision(fraud: NDArray[np.bool_], probabilities: NDArray[np.float32]) -> float | None:
    """Return the mean of the precisions at each fraud found, going down by probability; ties share one threshold.

    The step-wise sum over recall, as scikit-learn's ``average_precision_score``: no interpolation, which would flatter.
    """
    positives = int(fraud.sum())
    if not positives:
        return None
    # in any order among ties: their last one counts
    order = np.argsort(-probabilities)
    ranked, hits = probabilities[order], np.cumsum(fraud[order])
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    hits, seen = hits[last_of_tie], np.flatnonzero(last_of_tie) + 1
    return float(np.sum(np.diff(hits, prepend=0) / positives * hits / seen))
