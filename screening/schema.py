"""The column contract: the only list of columns in the project, and how a header is matched with it.

Names decide, never positions: the old project trained on one order and served another, and nobody noticed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import BadFile, CellProblem

Matrix = NDArray[np.float64]
SHOWN_NAMES = 8


@dataclass(frozen=True, slots=True)
class Transactions:
    """Numbers with their names: ``values`` is float64 of shape (rows, len(columns))."""

    columns: tuple[str, ...]
    values: Matrix

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> Matrix:
        """One column, shape (rows,)."""
        return self.values[:, self.columns.index(name)]


@dataclass(frozen=True, slots=True)
class ColumnContract:
    """Which columns a detector needs, in the order that its net was trained in, and which play a part."""

    columns: tuple[str, ...]
    label: str | None = None
    time: str | None = None
    amount: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The contract as JSON types; hashed into the detector's fingerprint."""
        return {"columns": list(self.columns), "label": self.label, "time": self.time, "amount": self.amount}

    def match(self, header: Sequence[str]) -> dict[str, int]:
        """Where each contract column (and the label, when there) stands in ``header``.

        Names are compared without case and surrounding spaces.

        Raises:
            BadFile: a column is missing or stands twice; ``problems`` names each.
        """
        names = [normalise(name) for name in header]
        count = Counter(names)
        wanted = [*self.columns, *([self.label] if self.label else [])]
        twice = [name for name in wanted if count[normalise(name)] > 1]
        if twice:
            raise BadFile(
                f"{_listed('Column', twice)} more than once in the header.",
                remedy="Keep one column of each name; it can't be guessed which one is meant.",
                problems=[CellProblem("stands more than once", column=name) for name in twice],
            )
        missing = [name for name in self.columns if not count[normalise(name)]]
        if missing:
            raise BadFile(
                f"{_listed('Column', missing)} missing. {_seen(header)}",
                remedy=f"The first line must name these columns, in any order: {_short(self.columns)}.",
                problems=[CellProblem("is missing", column=name) for name in missing],
            )
        return {name: names.index(normalise(name)) for name in wanted if count[normalise(name)]}


def normalise(name: object) -> str:
    """A column name as it is compared: no surrounding white space, no byte order mark, no case."""
    return str(name).strip().strip("\ufeff").strip().casefold()


def _listed(word: str, names: Sequence[str]) -> str:
    return f"{word} {names[0]} is" if len(names) == 1 else f"{word}s {', '.join(names)} are"


def _short(names: Sequence[str]) -> str:
    return ", ".join(names)


def _seen(header: Sequence[str]) -> str:
    shown = ", ".join(str(name).strip()[:30] or "(no name)" for name in list(header)[:SHOWN_NAMES])
    more = f" and {len(header) - SHOWN_NAMES} more" if len(header) > SHOWN_NAMES else ""
    return f"The file has: {shown}{more}." if header else "The file has no columns."


CARD = ColumnContract(
    columns=("Time", *(f"V{number}" for number in range(1, 29)), "Amount"),
    label="Class",
    time="Time",
    amount="Amount",
)
"""The ULB card columns, in the order that the old project's notebook trained in."""
