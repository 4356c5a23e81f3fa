"""Split the rows into those to learn from and those to test on: three windows in time, and five folds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from model.data.card_file import TrainingFile

WINDOWS = ((60_000, 86_400), (86_400, 120_000), (110_000, 145_247))
"""(first second of the test, its end): everything before the first is learned from."""
FOLDS = 5


@dataclass(frozen=True)
class Split:
    """Row numbers to learn from and to test on; tests hold uniform rows and frauds only."""

    name: str
    train: NDArray[np.int64]
    test: NDArray[np.int64]


def windows(file: TrainingFile) -> Iterator[Split]:
    """Yield the time windows that have frauds on both sides: later payments are never learned from."""
    usable = file.weight > 0
    for start, end in WINDOWS:
        train = np.flatnonzero(file.time < start)
        test = np.flatnonzero((file.time >= start) & (file.time < end) & usable)
        if file.label[train].any() and file.label[test].any():
            yield Split(f"before {start} s, tested to {end} s", train, test)


def folds(file: TrainingFile, seed: int = 0) -> Iterator[Split]:
    """Yield five stratified folds over uniform rows and frauds; other rows are always learned from, never tested on."""
    usable, others = np.flatnonzero(file.weight > 0), np.flatnonzero(file.weight == 0)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for number, (train, test) in enumerate(splitter.split(usable, file.label[usable]), start=1):
        yield Split(f"fold {number}", np.concatenate([usable[train], others]), usable[test])
