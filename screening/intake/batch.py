"""What the intake hands on: batches of numbers with the places of their rows; and the bounds it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from screening.errors import CellProblem
from screening.transactions.schema import Transactions

MEGABYTE = 2**20
FIRST_ROWS = 500
"""Rows that are looked at before it is known what the columns are."""


@dataclass(frozen=True, slots=True)
class Head:
    """How a table begins: the names of its columns, and some of its first rows, taken apart when they are asked for."""

    names: list[str]
    rows: Callable[[], list[list[str]]] = list


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of reading one file; sizes in bytes. They bound memory whatever the size of the file."""

    block: int = 2 * MEGABYTE
    """How much is read and parsed at once."""
    record: int = 128 * 1024
    """The longest row. Also the longest cell that Python's csv module takes by default."""
    unpacked: int = 1024 * MEGABYTE
    """The most that a compressed file may unpack to."""
    ratio: int = 50
    """The most that it may unpack to by its own size, once it is past ``ratio_from``."""
    ratio_from: int = 64 * MEGABYTE
    child_memory: int = 2048 * MEGABYTE
    """Address space of the process that reads workbooks and Parquet files."""
    child_seconds: float = 300.0
    shown: int = 20
    """How many problems an error carries."""
    counted: int = 100_000
    """How many problems are counted before reading stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some consecutive rows of a file, in its order.

    ``first_row`` counts data rows from 1. ``offsets`` (int64) is where each row's record begins in the
    canonical file: the upload itself, or its copy when ``copied`` is true. ``labels`` (int8) is 0, 1, or -1 for
    a blank; ``None`` from any batch means that the file has no label that can be used. ``bad`` marks rows that
    are set aside: their values are NaN, and ``problems`` says why. ``notes`` are remarks that stop nothing.
    ``bad_frauds`` counts the bad rows whose label says fraud.
    """

    first_row: int
    transactions: Transactions
    labels: NDArray[np.int8] | None
    offsets: NDArray[np.int64]
    copied: bool
    bad: NDArray[np.bool_]
    problems: list[CellProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bad_frauds: int = 0
    sign_told: bool = False
    """Whether the file itself says which amounts leave an account, by DR and CR or by another column."""

    def __len__(self) -> int:
        return len(self.offsets)
