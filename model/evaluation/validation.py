"""How a detector is tested before it is made: on later rows when there is a time, else in folds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from screening.errors import BadFile

LATER = 0.2
"""The share of rows, the latest, that a detector is tested on."""
FOLDS, FEWER_FOLDS = 5, 3
MANY_FOR_FOLDS = 5_000
"""Rows from which on fewer folds are enough: each has as many rows to test then."""
FEWEST_FRAUDS = 20
FEWEST_IN_TEST = 5
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Validation:
    """Row numbers to learn from and to test on, and in words why so."""

    kind: str
    """``time`` or ``random``."""
    words: str
    splits: tuple[tuple[Rows, Rows], ...]

    def once(self, why: str) -> Validation:
        """Return the first split alone, for a first look or for many rows."""
        if self.kind == "time":
            return self
        return replace(self, words=f"one random fold of {len(self.splits)} ({why})", splits=self.splits[:1])

    def __iter__(self) -> Iterator[tuple[Rows, Rows]]:
        return iter(self.splits)


def check_labels(label: NDArray[np.int8]) -> None:
    """Whether there is anything to learn.

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
    """The latest fifth of the rows after everything before it, or five folds without a time.

    Between what is learned from and what is tested lies the label delay, since on the first day of the test the
    frauds of the days before would not have been known (Handbook, chapter 5); it is left out where it would take
    more than half of the rows or leave too few frauds.
    """
    if time is not None:
        found = _later(label, time, delay)
        if found is not None:
            return found
    from sklearn.model_selection import StratifiedKFold

    count = FOLDS if len(label) < MANY_FOR_FOLDS else FEWER_FOLDS
    folds = StratifiedKFold(count, shuffle=True, random_state=seed).split(label, label)
    why = (
        "there is no time in the file"
        if time is None
        else "the latest rows, or those before them, have too few frauds"
    )
    return Validation("random", f"{count} random folds, since {why}", tuple(folds))


def _later(label: NDArray[np.int8], time: NDArray[np.float64], delay: float) -> Validation | None:
    start = np.quantile(time, 1 - LATER)
    test = np.flatnonzero(time >= start)
    for gap, words in ((delay, f", {delay / 86_400:g} days after the last row learned from"), (0.0, "")):
        train = np.flatnonzero(time < start - gap)
        enough = len(train) >= len(label) * (1 - LATER) / 2 and (label[train] == 1).sum() >= FEWEST_FRAUDS
        both = all(((label[test] == value).sum() >= FEWEST_IN_TEST) for value in (0, 1))
        if enough and both:
            return Validation("time", f"the latest {LATER:.0%} of the rows{words}", ((train, test),))
    return None
