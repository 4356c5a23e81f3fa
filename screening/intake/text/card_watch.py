"""Looks for card numbers in the blocks of a table while it is read: at every cell of the columns that may hold texts.

A column that a detector wants numbers of is looked at only where a number is as large as a card's, so that files of
plain numbers pay one comparison a cell.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.cards.evidence import CardColumns
from screening.cards.finding import LEAST
from screening.cards.issuers import SHORTEST
from screening.intake.text.arrow_table import texts
from screening.intake.text.parse import Layout, sampled
from screening.intake.text.records import Block
from screening.transactions.schema import CellKind, Matrix

# Different cells of a column taken apart per block: a column of long numbers has thousands.
MOST_LOOKED_AT = 256
SAMPLE = 64
"""Records that are looked at in a block that Arrow doesn't take."""
# What every card number has, in the words of RE2; other numbers have it, too. ``\p{Nd}`` for the digits would
# take a hundred times as long.
LONG = r"[0-9](?:[^0-9A-Za-z]{0,3}[0-9]){12}|^0x[0-9a-f]{24}"
ZEROS = (
    *(
        0x0660,
        0x06F0,
        0x07C0,
        0x0966,
        0x09E6,
        0x0A66,
        0x0AE6,
        0x0B66,
        0x0BE6,
        0x0C66,
        0x0CE6,
        0x0D66,
        0x0E50,
        0x0ED0,
    ),
    *(0x0F20, 0x1040, 0x17E0, 0x1810, 0xFF10),
)
OTHER_DIGITS = "[" + "".join(f"\\x{{{zero:X}}}-\\x{{{zero + 9:X}}}" for zero in ZEROS) + "]"
"""Digits of other scripts, and wide ones."""


# Kinds of cells that may hold card numbers: none that is read as a number, a date or an address is one.
UNREAD = (CellKind.TEXT, CellKind.LENGTH, CellKind.DOMAIN)


class CardWatch:
    """Watches the columns of one table."""

    def __init__(self, layout: Layout, key: bytes | None = None) -> None:
        self._layout = layout
        whole = [source for source in layout.sources if source.part is None]
        known = {source.place for source in whole if source.kind not in UNREAD}
        self._numbers = [(source.column, source.place) for source in whole if source.kind is CellKind.NUMBER]
        others = [at for at in range(len(layout.header)) if at not in known and at != layout.label]
        # parts, too: what they make doesn't show their size
        self.columns = CardColumns(layout.header, others, key)

    def look(
        self, block: Block, stops: NDArray[np.int64], first_row: int, values: Matrix, *, damaged: bool
    ) -> None:
        """Look at a block.

        Args:
            block: whole records, which end at ``stops``.
            stops: (rows,).
            first_row: the number of the first record, from 1.
            values: the contract's columns of them, (rows, columns).
            damaged: whether some of their cells can't be used; all columns are watched from then on.

        Raises:
            CardNumbersFound: a column holds card numbers, as far as was read.
        """
        self.widen(values, damaged=damaged)
        if self.columns.watched:
            take(self.columns, block, stops, self._layout, first_row)
            self.columns.check(at_end=False)

    def widen(self, values: Matrix, *, damaged: bool) -> None:
        """Watch further columns, as :meth:`look` does before it looks."""
        if damaged:
            self.columns.watch(range(len(self._layout.header)))
        elif (values >= LEAST).any():
            self.columns.watch(at for index, at in self._numbers if (values[:, index] >= LEAST).any())


def take(
    columns: CardColumns, block: Block, stops: NDArray[np.int64], layout: Layout, first_row: int
) -> None:
    """Take the cells of a block into account; ``first_row`` is the number of its first record, from 1."""
    found = texts(block, layout.delimiter, len(layout.header), columns.watched)
    if found is None:
        columns.add_rows(sampled(block.data, stops, layout.delimiter, SAMPLE))
        return
    for place, cells in found.items():
        take_cells(columns, place, cells, first_row)


def take_cells(columns: CardColumns, place: int, cells: Any, first_row: int | None) -> None:
    """Take the cells of a column, an Arrow array, into account.

    Args:
        columns: those of the table.
        place: of the column.
        cells: texts.
        first_row: number of the row of the first cell, from 1; ``None`` where it isn't known.
    """
    compute: Any = import_module("pyarrow.compute")
    sizes = compute.binary_length(cells)
    if (compute.max(sizes).as_py() or 0) < SHORTEST:
        return
    long = compute.match_substring_regex(cells, pattern=LONG)
    if compute.sum(sizes).as_py() > compute.sum(compute.utf8_length(cells)).as_py():  # not ASCII throughout
        long = compute.or_(long, compute.match_substring_regex(cells, pattern=OTHER_DIGITS))
    if not compute.any(long).as_py():
        return
    different = compute.unique(cells.filter(long)).to_pylist()

    def row_of(text: str) -> int | None:
        return None if first_row is None else first_row + int(compute.index(cells, text).as_py())

    columns.add(place, _spread(different), row_of)


def _spread(texts: list[str]) -> list[str]:
    if len(texts) <= MOST_LOOKED_AT:
        return texts
    return [texts[at] for at in np.linspace(0, len(texts) - 1, MOST_LOOKED_AT).astype(int).tolist()]
