"""Reads a training file in the card columns and tells what each row stands for.

Two kinds of file are understood: the public ``creditcard.csv`` (every row stands for itself) and a sample of it with
the extra columns ``uniform`` (the row belongs to a uniform sample of the legitimate payments) and ``copies`` (how
often an identical fraud row appears in the full file).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from screening.errors import BadFile
from screening.transactions.schema import CARD, ColumnContract

FULL_FILE_ROWS = 284_807
FULL_FILE_FRAUDS = 492
TRUE_PRIOR = FULL_FILE_FRAUDS / FULL_FILE_ROWS
"""Share of frauds in the full ULB file (Dal Pozzolo et al. 2015)."""
UNIFORM_ROWS = 15_240
UNIFORM_WEIGHT = (FULL_FILE_ROWS - FULL_FILE_FRAUDS) / UNIFORM_ROWS
"""Weight of a legitimate row of the uniform sample: 18.66 rows of the full file."""


@dataclass(frozen=True)
class TrainingFile:
    """A training file in time order.

    ``values`` is float64 (rows, 30) in the order of the contract, ``label`` int (rows,), ``uniform`` tells the rows
    that may be used to evaluate, ``weight`` float64 (rows,) is what a row stands for in a metric (0 where it may not
    be used), ``copies`` how often a row appears in the full file.
    """

    values: NDArray[np.float64]
    label: NDArray[np.int64]
    uniform: NDArray[np.bool_]
    copies: NDArray[np.int64]
    weight: NDArray[np.float64]
    sha256: str
    contract: ColumnContract = CARD

    def __len__(self) -> int:
        return len(self.label)

    @property
    def time(self) -> NDArray[np.float64]:
        """Seconds since the first payment, shape (rows,)."""
        return self.values[:, self.contract.columns.index(str(self.contract.time))]

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> TrainingFile:
        """Return the same file with the chosen rows only."""
        return replace(
            self,
            values=self.values[chosen],
            label=self.label[chosen],
            uniform=self.uniform[chosen],
            copies=self.copies[chosen],
            weight=self.weight[chosen],
        )


def read_training_file(path: Path) -> TrainingFile:
    """Read a CSV or Parquet file, in time order, identical frauds once with their number in ``copies``.

    Raises:
        BadFile: a column is missing, a number is not finite, or there are too few frauds to learn from.
    """
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    found = CARD.match([str(name) for name in frame.columns])
    if CARD.label not in found:
        raise BadFile(
            f"Column {CARD.label} is missing.",
            remedy="A training file says which rows were fraud (1) or not (0).",
        )
    values = frame.iloc[:, [found[name] for name in CARD.columns]].to_numpy(np.float64)
    label = frame.iloc[:, found[str(CARD.label)]].to_numpy()
    check_values(values, label)
    uniform = frame["uniform"].to_numpy(bool) if "uniform" in frame else np.ones(len(frame), bool)
    copies = frame["copies"].to_numpy(np.int64) if "copies" in frame else np.ones(len(frame), np.int64)
    weight = row_weights(label, uniform, copies)
    file = TrainingFile(values, label.astype(np.int64), uniform, copies, weight, file_sha256(path))
    return merge_equal_frauds(file.rows(np.argsort(values[:, 0], kind="stable")))


def row_weights(
    label: NDArray[np.int64], uniform: NDArray[np.bool_], copies: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the number of rows of the full file that each row stands for: a fraud for its copies, a legitimate row of
    a sample for 18.66, a row outside the uniform sample for none.
    """
    legitimate = 1.0 if uniform.all() else UNIFORM_WEIGHT
    return np.where(label == 1, copies, np.where(uniform, legitimate, 0.0)).astype(np.float64)


def file_sha256(path: Path) -> str:
    """Return SHA-256 of a file's bytes, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_values(values: NDArray[np.float64], label: NDArray[np.int64]) -> None:
    """Refuse a file whose cells or labels can't be used."""
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise BadFile(
            f"Row {row + 1} has no usable number in column {CARD.columns[column]}.",
            remedy="Fix or leave out the row.",
        )
    if not np.isin(label, (0, 1)).all():
        raise BadFile(f"Column {CARD.label} holds other values than 0 and 1.")
    if min(int((label == 1).sum()), int((label == 0).sum())) < 10:
        raise BadFile(
            "There are fewer than 10 rows of one class.", remedy="Give a file with more labelled rows."
        )


def merge_equal_frauds(file: TrainingFile) -> TrainingFile:
    """Keep the first of identical frauds, which are one event written several times, and count the others in
    ``copies``.
    """
    frauds = np.flatnonzero(file.label == 1)
    _, first, inverse = np.unique(file.values[frauds], axis=0, return_index=True, return_inverse=True)  # noqa: PD011
    copies = file.copies.copy()
    copies[frauds[first]] = np.bincount(inverse.ravel(), weights=file.copies[frauds]).astype(np.int64)
    keep = file.label == 0
    keep[frauds[first]] = True
    weight = row_weights(file.label, file.uniform, copies)
    return replace(file, copies=copies, weight=weight).rows(keep)
