"""Generated tables in the card schema."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from screening.transactions.schema import CARD

NAMES = [*CARD.columns, "Class"]


def numbers(rows: int, seed: int = 0) -> np.ndarray:
    """``rows`` random transactions in the card's column order, the label last."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, len(NAMES)))
    table[:, 0] = np.arange(rows)
    table[:, -2] = np.round(np.abs(table[:, -2]) * 100, 2)
    table[:, -1] = rng.random(rows) < 0.2
    return table


def lines(table: np.ndarray) -> list[list[str]]:
    """The table as cells: the header first."""
    rows = [[repr(float(cell)) for cell in row[:-1]] + [str(int(row[-1]))] for row in table]
    return [list(NAMES), *rows]


def text(cells: Sequence[Sequence[str]], delimiter: str = ",", end: str = "\n") -> str:
    return "".join(delimiter.join(row) + end for row in cells)
