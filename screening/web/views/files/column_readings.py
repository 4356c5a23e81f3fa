"""The ways in which a file can have a column of a detector, with some real cells and what each way makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from screening.cards.masking import masked
from screening.columns.composed import Columns
from screening.transactions.composition import (
    AMOUNTS,
    DIRECTIONS,
    OF_AMOUNTS,
    OF_TIMES,
    Composition,
    ValuePart,
    part_word,
)
from screening.transactions.schema import CellKind, Column, Role
from screening.transactions.times import EPOCH

SHOWN = 5
"""Cells of each reading."""
MOST = 4
"""Readings that are offered by themselves; any other can be put together."""
CELL_SIGNS = 24
NOTHING = "–"
"""Text for a blank cell, and for parts that make no value."""


@dataclass(frozen=True, slots=True)
class ColumnReading:
    """One way: what the form sends for it, its words, and some rows' cells with what they would be."""

    value: str
    words: str
    examples: tuple[tuple[str, str], ...]


def can_be_made(column: Column) -> bool:
    """Return whether a column of a detector may be made of several of a file's."""
    return column.role is Role.AMOUNT or (column.role is Role.TIME and column.kind is CellKind.TIME)


def parts_of(role: Role) -> tuple[tuple[ValuePart, str], ...]:
    """Return the parts that an amount or a time can be made of, each with its words."""
    of = OF_AMOUNTS if role is Role.AMOUNT else OF_TIMES
    return tuple((part, part_word(part)) for part in of)


def sent(made: Composition) -> str:
    """Return the form's value for a composition."""
    return json.dumps(made.as_dict)


def readings(
    column: Column, header: Sequence[str], rows: Sequence[Sequence[str]], chosen: str | Composition | None
) -> tuple[ColumnReading, ...]:
    """Return the plausible ways for a column that can be made of several, the chosen one among them.

    Args:
        column: of the detector.
        header: the file's names.
        rows: some of its rows.
        chosen: what was chosen or guessed.
    """
    file = Columns.of(header, rows, range(len(header)))
    made = [one.composition for one in (file.amounts() if column.role is Role.AMOUNT else file.times())]
    fits = isinstance(chosen, Composition) and chosen.is_amount is (column.role is Role.AMOUNT)
    if isinstance(chosen, Composition) and fits and set(chosen.columns) <= set(file.names):
        made.insert(0, chosen)
    made += [_turned(one) for one in made if one.kinds == AMOUNTS[0]]
    made = [way for one in made for way in (*with_blanks(one, file), one)]
    found = {sent(one): _made(one, file) for one in made}
    single = chosen if isinstance(chosen, str) else main_part(made[0]) if made else None
    if single in file.names and found:
        found = {str(single): _alone(column, str(single), file), **found}
    return tuple(list(found.values())[:MOST])


def words_of(made: Composition) -> str:
    """Return the parts of a composition, as a sum is written."""
    names = [name.strip() for name in made.columns]
    if made.kinds == AMOUNTS[0]:
        return f"{names[0]} − {names[1]}"
    if not made.is_amount:
        return " + ".join(names)
    blank = {ValuePart.DIRECTION_IN: " (blank: comes in)", ValuePart.DIRECTION_OUT: " (blank: leaves)"}
    return f"{names[0]}, signed by {names[1]}{blank.get(made.kinds[1], '')}"


def main_part(made: Composition) -> str | None:
    """Return the part that says the most by itself."""
    return next((name for part, name in made.parts if part in (ValuePart.AMOUNT, ValuePart.DATE)), None)


def with_blanks(made: Composition, file: Columns) -> list[Composition]:
    """Return the ways to read blanks among words for debit or credit: as the way that no word says; as either, if words
    say both.
    """
    if made.kinds[-1] is not ValuePart.DIRECTION:
        return []
    amount, word = made.columns
    ways = file.ways(word)
    if None not in ways:
        return []
    return [
        Composition(((ValuePart.AMOUNT, amount), (part, word)))
        for part, blank in DIRECTIONS.items()
        if blank is not None and ways - {None} != {blank}
    ]


def _turned(made: Composition) -> Composition:
    """Return debit and credit the other way round."""
    first, second = made.columns
    return Composition(((ValuePart.DEBIT, second), (ValuePart.CREDIT, first)))


def _made(made: Composition, file: Columns) -> ColumnReading:
    values = file.values(made)
    cells = [dict(zip(file.names, file.cells, strict=True))[name] for name in made.columns]
    beside = [" | ".join(shown_cell(each[row]) for each in cells) for row in range(len(values))]
    return ColumnReading(sent(made), words_of(made), examples_of(beside, values, is_time=not made.is_amount))


def _alone(column: Column, name: str, file: Columns) -> ColumnReading:
    is_time = column.kind is CellKind.TIME
    values = file.moments(name) if is_time else file.numbers(name)
    cells = dict(zip(file.names, file.cells, strict=True))[name]
    return ColumnReading(
        name, f"{name} alone", examples_of([shown_cell(cell) for cell in cells], values, is_time=is_time)
    )


def examples_of(
    cells: Sequence[str], values: NDArray[np.float64], *, is_time: bool
) -> tuple[tuple[str, str], ...]:
    """Return the first rows, and beside them one of each sign, so that a difference shows."""
    order = list(range(len(values)))
    other = next((row for row in order if np.sign(values[row]) != np.sign(values[0])), 0) if order else 0
    rows = list(dict.fromkeys([*order[: SHOWN - 1], other, *order]))[:SHOWN]
    return tuple((cells[row], _shown(float(values[row]), is_time=is_time)) for row in rows)


def shown_cell(cell: str) -> str:
    """Return a cell as a page may show it: without card numbers, and cut."""
    return masked(cell.strip())[:CELL_SIGNS] or NOTHING


def _shown(value: float, *, is_time: bool) -> str:
    if np.isnan(value):
        return NOTHING
    return f"{EPOCH + timedelta(seconds=value):%Y-%m-%d %H:%M:%S}" if is_time else f"{value:.12g}"
