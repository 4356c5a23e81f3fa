"""Test a detector before it is made: on later rows when there is a time, else in folds.

Folds keep whoever comes back together where there is no time: customers who were learned from would make the test of
their other rows easier than that of new ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.data.stretches import stretches
from screening.errors import BadFile

LATER = 0.2
"""The share of rows, the latest, that a detector is tested on."""
OTHER_SHARES = (0.3, 0.4, 0.5, 0.1)
"""Shares that are tried where the latest fifth, or what lies before it, has too few frauds."""
# From this AUC of the time alone on, in either direction, folds would measure when a row was and not what it
# is.
APART = 0.9
FEWEST_GROUPS, MOST_ROWS_EACH = 50, 20
"""Values of a column, and rows of each on average, of which others will come: of customers, and not of shops."""
LARGEST_GROUP = 0.1
"""The share of the rows that one group may have where folds are grouped by it."""
COMES_BACK = 0.5
"""The share of the rows whose group has another row, from which on folds are grouped by it."""
FOLDS, FEWER_FOLDS = 5, 3
# From so many rows on fewer folds are enough: each then has as many rows to test.
MANY_FOR_FOLDS = 5_000
FEWEST_FRAUDS = 20
DAY = 86_400.0
FEWEST_IN_TEST = 5
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Validation:
    """Row numbers to learn from and to test on, and in words why so."""

    kind: str
    """``time``, ``stretches`` (of it), ``random`` or ``grouped``."""
    words: str
    splits: tuple[tuple[Rows, Rows], ...]
    caution: str | None = None
    """Reason why later rows will hardly keep what the test shows, where that is known."""

    def once(self, why: str) -> Validation:
        """Return the first split alone, for a first look or for many rows."""
        if self.kind == "time":
            return self
        fold = {"random": "random fold", "stretches": "stretch of time"}.get(
            self.kind, "fold with nobody of the others"
        )
        return replace(self, words=f"one {fold} of {len(self.splits)} ({why})", splits=self.splits[:1])

    def __iter__(self) -> Iterator[tuple[Rows, Rows]]:
        return iter(self.splits)


def check_labels(label: NDArray[np.int8]) -> None:
    """Raise an error if the labels leave nothing to learn.

    Raises:
        BadFile: one class only, or fewer than 20 frauds.
    """
    frauds, others = int((label == 1).sum()), int((label == 0).sum())
    if not frauds or not others:
        raise BadFile(
            f"Every labelled row is {'legitimate' if not frauds else 'fraud'}: there is nothing to tell apart.",
            remedy="Give a file with both kinds of rows.",
        )
    if min(frauds, others) < FEWEST_FRAUDS:
        few = f"{frauds} frauds" if frauds < FEWEST_FRAUDS else f"{others} legitimate rows"
        raise BadFile(
            f"There are only {few}; a detector needs at least {FEWEST_FRAUDS}.",
            remedy="Give a file with more labelled rows: what is learned from a handful is chance.",
        )


def plan(label: NDArray[np.int8], time: NDArray[np.float64] | None, delay: float, seed: int) -> Validation:
    """Return the latest fifth of the rows after everything before it, or five folds without a time.

    Between what is learned from and what is tested lies the label delay, since on the first day of the test the
    frauds of the days before would not have been known (Handbook, chapter 5); it is left out where it would take
    more than half of the rows or leave too few frauds. Where the latest fifth can't be the test, another share of
    the latest rows is, if it can; else stretches of time are folds, so that no wave of fraud is on both sides.
    """
    if time is not None:
        for share in (LATER, *OTHER_SHARES):
            found = later_rows(label, time, delay, share)
            if found is not None:
                return found
        parts = stretches(label, time, delay or DAY, FOLDS, FEWEST_IN_TEST)
        if len(parts) > 1:
            return stretches_of(parts)
    from sklearn.model_selection import StratifiedKFold

    count = _folds(len(label))
    folds = StratifiedKFold(count, shuffle=True, random_state=seed).split(label, label)
    why = (
        "there is no time in the file"
        if time is None
        else "the latest rows, or those before them, have too few frauds"
    )
    caution = None if time is None else caution_of_folds(label, time)
    return Validation("random", f"{count} random folds, since {why}", tuple(folds), caution)


def grouped(
    label: NDArray[np.int8], groups: Mapping[str, NDArray[np.float64]], seed: int
) -> Validation | None:
    """Return folds that part no group, by the column in which most rows come back; ``None`` where none does.

    Args:
        label: 0 or 1, (rows,).
        groups: of each column that says who or what a row is of, its cells, (rows,), NaN for a blank.
        seed: of the folds.
    """
    best, most = None, COMES_BACK
    for name, cells in groups.items():
        _, place, size = np.unique(cells, return_inverse=True, return_counts=True, equal_nan=False)
        share = float((size[place] > 1).mean())
        many = len(size) >= max(FEWEST_GROUPS, len(cells) / MOST_ROWS_EACH)
        if many and size.max() <= LARGEST_GROUP * len(cells) and share > most:
            best, most = (name, place), share
    if best is None:
        return None
    from sklearn.model_selection import StratifiedGroupKFold

    count = _folds(len(label))
    splits = tuple(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(label, label, best[1]))
    if any(len(np.unique(label[rows])) < 2 for pair in splits for rows in pair):
        return None
    words = f"{count} folds, none of which has a {best[0]} of another, since there is no time in the file"
    return Validation("grouped", words, splits)


def stretches_of(parts: Sequence[Rows]) -> Validation:
    """Return a test of each stretch of time by what is learned from the others."""
    every = np.sort(np.concatenate(parts))
    words = (
        f"{len(parts)} stretches of time, each by what was learned from the others, since the latest rows, or those "
        "before them, have too few frauds"
    )
    splits = tuple((np.setdiff1d(every, tested, assume_unique=True), tested) for tested in parts)
    return Validation("stretches", words, splits)


def _folds(rows: int) -> int:
    return FOLDS if rows < MANY_FOR_FOLDS else FEWER_FOLDS


def caution_of_folds(label: NDArray[np.int8], time: NDArray[np.float64]) -> str | None:
    """Return what folds can't tell where frauds and other rows lie apart in time."""
    from sklearn.metrics import roc_auc_score

    alone = float(roc_auc_score(label, time))
    if max(alone, 1 - alone) < APART:
        return None
    when = "late" if alone > 0.5 else "early"
    return (
        f"Nearly all frauds are {when} in the file, and no part of it is later than frauds and has others: when a "
        "row was tells them apart, and later rows will hardly keep these figures."
    )


def later_rows(
    label: NDArray[np.int8], time: NDArray[np.float64], delay: float, share: float
) -> Validation | None:
    """Return the rows to test and those to learn from where the test is later; ``None`` if too few frauds are."""
    start = np.quantile(time, 1 - share)
    test = np.flatnonzero(time >= start)
    apart = f", {delay / 86_400:g} days after the last row learned from" if delay else ""
    for gap, words in ((delay, apart), (0.0, "")):
        train = np.flatnonzero(time < start - gap)
        enough = len(train) >= len(label) * (1 - share) / 2 and (label[train] == 1).sum() >= FEWEST_FRAUDS
        both = all(((label[test] == value).sum() >= FEWEST_IN_TEST) for value in (0, 1))
        if enough and both:
            return Validation("time", f"the latest {share:.0%} of the rows{words}", ((train, test),))
    return None
