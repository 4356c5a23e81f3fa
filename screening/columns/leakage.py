"""Columns that tell the label by themselves: mostly filled in once the fraud was known, and so worth nothing before it.

Training leaves them out; a check of a file names them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.transactions.schema import CellKind

LEAK = 0.995
"""The AUC of one column alone from which on it is taken for a form of the label. The strongest honest columns that were
seen reach 0.96 (V14 of the ULB payments); a column that was filled in after the fraud reaches 1."""
ONE_THING = 0.9
"""The share of legitimate rows of which a form of the label says the same: no reason, no chargeback, scenario 0."""
FEW_THINGS = 20
BLANK_CODE = -2e15
"""Stands for a blank where texts are compared; no text has it as its code."""
Labels = NDArray[np.int8]
Cells = NDArray[np.float64]


def like_the_label(kind: CellKind, values: Cells, label: Labels) -> bool:
    """Whether a column that tells the label is a form of it: it says one and the same of nearly every legitimate row,
    or says only a few things. A measure that happens to part the classes, as the age of an account, is none.
    """
    legitimate = values[label == 0]
    filled = legitimate[~np.isnan(legitimate)]
    most = np.unique(filled, return_counts=True)[1].max() if len(filled) else 0
    one_thing = max(most, len(legitimate) - len(filled)) >= ONE_THING * len(legitimate)
    return bool(one_thing or kind is CellKind.TEXT or len(np.unique(values[~np.isnan(values)])) <= FEW_THINGS)


def alone(kind: CellKind, values: Cells, label: Labels) -> float:
    """How well one column alone ranks fraud, as AUC of at least 0.5.

    Numbers by their value (and by being blank); texts by the share of fraud of their value in the other half of the
    rows, so that a text that stands once tells nothing.
    """
    if not 0 < label.sum() < len(label):
        return 0.5
    if kind in (CellKind.NUMBER, CellKind.TIME):
        blank = np.isnan(values)
        shown = np.where(blank, -np.inf if not blank.any() else np.nanmin(values, initial=0.0) - 1, values)
        scores = [np.nan_to_num(shown, posinf=3e38, neginf=-3e38), blank.astype(float)]
    else:
        scores = [_cross_fitted(values, label)]
    found = [_auc(label == 1, score) for score in scores]
    return max(max(auc, 1 - auc) for auc in found)


def _auc(fraud: NDArray[np.bool_], score: Cells) -> float:
    """The chance that a fraud has a higher score than another row, ties counted half (Mann and Whitney 1947)."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    frauds = int(fraud.sum())
    above = float(rank[place][fraud].sum()) - frauds * (frauds + 1) / 2
    return above / (frauds * (len(fraud) - frauds))


def _cross_fitted(values: Cells, label: Labels) -> Cells:
    half = np.random.default_rng(0).random(len(values)) < 0.5  # one half
    _, code = np.unique(np.nan_to_num(values, nan=BLANK_CODE), return_inverse=True)
    overall = float(label.mean())
    score = np.empty(len(values))
    for other, own in ((half, ~half), (~half, half)):
        rows = np.bincount(code[other], minlength=code.max() + 1)
        frauds = np.bincount(code[other], weights=label[other], minlength=code.max() + 1)
        score[own] = ((frauds + overall) / (rows + 1))[code[own]]
    return score
