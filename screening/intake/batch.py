"""Batches of numbers with the places of their rows, as the intake hands them on; and its bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from screening.errors import CellProblem
from screening.intake.numbers import excerpt
from screening.transactions.composition import listed
from screening.transactions.schema import Transactions

MEGABYTE = 2**20
MOST_TOLD = 3
"""Words of a column that a message names."""
FIRST_ROWS = 500
"""Rows that are looked at before it is known what the columns are."""


@dataclass(frozen=True, slots=True)
class TableHead:
    """The beginning of a table: the names of its columns, and some of its first rows, taken apart when they are asked
    for.
    """

    names: list[str]
    rows: Callable[[], list[list[str]]] = list


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """The bounds of reading one file; sizes in bytes. They bound memory whatever the size of the file."""

    block: int = 2 * MEGABYTE
    """Bytes that are read and parsed at once."""
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
    """Problems that an error carries."""
    counted: int = 100_000
    """Problems that are counted before reading stops."""


@dataclass(slots=True)
class CellWords:
    """Values of a column with few different cells, as far as it was read."""

    counts: Counter[str] = field(default_factory=Counter)
    """Number of times that each word occurs, as words are compared."""
    first: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The row of the first of each, from 1, and how it is written there."""

    def merged(self, other: CellWords, rows: int) -> CellWords:
        """Return the words of a column of which these cells, ``rows``, come first and those of ``other`` then."""
        counts = self.counts.copy()
        counts.update(other.counts)
        later = {word: (row + rows, text) for word, (row, text) in other.first.items()}
        return CellWords(counts, {**self.first, **later, **self.first})

    @property
    def last(self) -> int:
        """The first row of the word that appears last."""
        return max(row for row, _ in self.first.values())

    @property
    def told(self) -> str:
        """Different values in words, each with the row of its first occurrence."""
        order = sorted(self.first.values())[:MOST_TOLD]
        shown = [(f"“{excerpt(text)}”" if text else "nothing", row) for row, text in order]
        return listed([f"{word} from row {row:,} on" for word, row in shown])


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
    words: Mapping[str, CellWords] = field(default_factory=dict)
    """Of the columns that :attr:`ColumnContract.watched` names, with all rows up to here."""

    def __len__(self) -> int:
        return len(self.offsets)
