"""Columns that tell the label by themselves: mostly filled in once the fraud was known, and so worth nothing before it.

:func:`judge` is the one rule. The guess of the roles, the training and a check of a file ask it: training leaves out
what is a leak and tells of the rest, and whoever knows better can overrule it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from screening.columns.vocabulary import speaks_of_fraud
from screening.transactions.schema import CellKind

# AUC of one column from which on it is taken for a form of the label. The strongest honest columns seen reach
# 0.96 (V14 of the ULB payments); a column filled in after the fraud reaches 1.
LEAK = 0.995
ONE_THING = 0.9
"""The share of legitimate rows of which a form of the label says the same: no reason, no chargeback, scenario 0."""
FEW_THINGS = 20
# With so many rows for each text on average, even many different texts count as few: somebody wrote them down
# afterwards.
ROWS_A_THING = 20
# Code of a blank where texts are compared: no text has it.
BLANK_CODE = -2e15
# A merchant at which most of the fraud happens says one of a few things, too, but of honest payments as well: the one
# of a generated bank file had an AUC of 0.9956 and 0.64 here, and without it a detector had an average precision of
# 0.85 in place of 0.99.
PURE = 0.9
"""Average precision of the values' own shares of fraud from which on few things are a form of the label."""
Labels = NDArray[np.int8]
Cells = NDArray[np.float64]
# With fewer rows that say something unusual their share of fraud means nothing.
FEWEST_ODD = 5
ONLY_FRAUD = 0.9
"""The share of fraud among them from which on a column that is named after fraud was filled in with the label."""


class Suspicion(StrEnum):
    """Reasons to look at a column."""

    LEAK = "leak"
    """It seems to have been filled in once the fraud was known: nothing can be learned from it."""
    TELLING = "telling"
    """It parts the classes, as a strong measure may."""
    NAME = "name"
    """Its name speaks of fraud, its values don't give the label away."""


@dataclass(frozen=True, slots=True)
class LeakVerdict:
    """Suspicion against a column: its kind, the AUC, and words to be read after the column's name."""

    suspicion: Suspicion
    auc: float
    words: str


def judge(name: str, kind: CellKind, values: Cells, label: Labels) -> LeakVerdict | None:
    """Return what is suspected of a column; ``None`` for one like any other.

    It is a leak if it alone ranks fraud nearly without fault and is a form of the label; where its name speaks of
    fraud, already if whatever else than the usual it says stands at frauds alone.

    Args:
        name: the column's.
        kind: what its cells are.
        values: its cells as numbers, NaN for a blank, (rows,).
        label: 0 or 1, (rows,).
    """
    auc, named = alone(kind, values, label), speaks_of_fraud(name)
    if auc >= LEAK:
        tells = f"alone tells fraud from the rest (AUC {auc:.4f})"
        if like_the_label(kind, values, label):
            return LeakVerdict(Suspicion.LEAK, auc, f"{tells}, as if filled in afterwards")
        return LeakVerdict(Suspicion.TELLING, auc, f"{tells}; make sure that it is known when it is needed")
    if named and only_at_frauds(values, label):
        words = "is named after fraud and says something else than usual at frauds alone, as if filled in afterwards"
        return LeakVerdict(Suspicion.LEAK, auc, words)
    if named:
        words = f"is named after fraud, but doesn't give it away (AUC {auc:.2f}); make sure that it is known in time"
        return LeakVerdict(Suspicion.NAME, auc, words)
    return None


def only_at_frauds(values: Cells, label: Labels) -> bool:
    """Return whether nearly all legitimate rows say one thing, and nearly all rows that say another one are frauds."""
    legitimate = values[label == 0]
    if not len(legitimate):
        return False
    told, count = np.unique(legitimate, return_counts=True)  # all NaN are one value
    if count.max() < ONE_THING * len(legitimate):
        return False
    usual = told[count.argmax()]
    odd = ~np.isnan(values) if np.isnan(usual) else values != usual
    return bool(odd.sum() >= FEWEST_ODD and label[odd].mean() >= ONLY_FRAUD)


def like_the_label(kind: CellKind, values: Cells, label: Labels) -> bool:
    """Return whether a column that tells the label is a form of it.

    It is one if it says one and the same of nearly every legitimate row, or says only a few things, those of frauds
    of hardly anything else. A measure that happens to part the classes, as the age of an account, is none. Neither is
    who or what comes back: that a device of many orders is a ring's was known before the label was; nor is where most
    fraud happens, beside honest payments.
    """
    legitimate = values[label == 0]
    filled = legitimate[~np.isnan(legitimate)]
    most = np.unique(filled, return_counts=True)[1].max() if len(filled) else 0
    one_thing = max(most, len(legitimate) - len(filled)) >= ONE_THING * len(legitimate)
    different = len(np.unique(values[~np.isnan(values)]))
    few = (
        max(FEW_THINGS, len(values) // ROWS_A_THING)
        if kind in (CellKind.TEXT, CellKind.DOMAIN)
        else FEW_THINGS
    )
    return bool(one_thing or (different <= few and _purity(values, label) >= PURE))


def _purity(values: Cells, label: Labels) -> float:
    """Return the average precision of ranking rows by the share of fraud of their value in the other half, 0 to 1."""
    score = cross_fit(values, label)
    order = np.argsort(-score, kind="stable")
    _, last = np.unique(-score[order], return_index=True)
    # after the last row of each tie, as if its rows had come at once
    ends = np.r_[last[1:], len(order)] - 1
    frauds = np.cumsum(label[order] == 1)[ends]
    return float(np.sum(np.diff(frauds, prepend=0) * frauds / (ends + 1)) / max(frauds[-1], 1))


def alone(kind: CellKind, values: Cells, label: Labels) -> float:
    """Return how well one column alone ranks fraud, as an AUC of at least 0.5.

    Numbers by their value (and by being blank); texts by the share of fraud of their value in the other half of the
    rows, so that a text that stands once tells nothing.
    """
    if not 0 < label.sum() < len(label):
        return 0.5
    if kind in (CellKind.NUMBER, CellKind.TIME, CellKind.LENGTH):
        blank = np.isnan(values)
        shown = np.where(blank, -np.inf if not blank.any() else np.nanmin(values, initial=0.0) - 1, values)
        scores = [np.nan_to_num(shown, posinf=3e38, neginf=-3e38), blank.astype(float)]
    else:
        scores = [cross_fit(values, label)]
    found = [_auc(label == 1, score) for score in scores]
    return max(max(auc, 1 - auc) for auc in found)


def _auc(fraud: NDArray[np.bool_], score: Cells) -> float:
    """Return the chance that a fraud has a higher score than another row, ties counted half (Mann and Whitney 1947)."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    frauds = int(fraud.sum())
    above = float(rank[place][fraud].sum()) - frauds * (frauds + 1) / 2
    return above / (frauds * (len(fraud) - frauds))


def cross_fit(values: Cells, label: Labels) -> Cells:
    """Return for each row the share of fraud among the other half's rows of its value, (rows,)."""
    half = np.random.default_rng(0).random(len(values)) < 0.5  # one half
    _, code = np.unique(np.nan_to_num(values, nan=BLANK_CODE), return_inverse=True)
    overall = float(label.mean())
    score = np.empty(len(values))
    for other, own in ((half, ~half), (~half, half)):
        rows = np.bincount(code[other], minlength=code.max() + 1)
        frauds = np.bincount(code[other], weights=label[other], minlength=code.max() + 1)
        score[own] = ((frauds + overall) / (rows + 1))[code[own]]
    return score
