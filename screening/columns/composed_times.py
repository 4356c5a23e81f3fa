"""Find columns of a file that make a time together: a date and a time of day, or its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from screening.columns.file_columns import FileColumn, holds
from screening.columns.made import LIKELY, PERHAPS, SURE, CompositionGuess
from screening.columns.profiles import MOSTLY
from screening.columns.vocabulary import MOMENTS
from screening.transactions.composition import DAY, LARGEST_PARTS, YMD, Composition, ValuePart

OTHER_TIMES = MOMENTS | {"geburt", "age", "days", "week", "weekday"}
"""Words of times that aren't the transaction's."""


def is_date(column: FileColumn) -> bool:
    return column.known.filled > 0 and column.known.time >= MOSTLY


def at_midnight(column: FileColumn) -> bool:
    """Return whether no date of a column has a time of day."""
    moments = column.known.moments
    return bool((moments[~np.isnan(moments)] % DAY == 0).all())


def dated(columns: Sequence[FileColumn]) -> Iterator[CompositionGuess]:
    """Yield a date, and a time of day beside it, whole or in hours and minutes."""
    clocks = [each for each in columns if holds(each, ValuePart.CLOCK) and not is_date(each)]
    if not clocks and not any(each.called(ValuePart.HOUR) for each in columns):
        # before any column is looked at closely
        return
    for date in columns:
        if not is_date(date) or not at_midnight(date):
            continue
        for clock in clocks:
            named = clock.called(ValuePart.CLOCK)
            if not named and all(cell.isdecimal() for cell in clock.cells):
                # any four digits look like hours and minutes
                continue
            same = date.rest(ValuePart.DATE) == clock.rest(ValuePart.CLOCK)
            composition = Composition(((ValuePart.DATE, date.name), (ValuePart.CLOCK, clock.name)))
            yield CompositionGuess(composition, SURE if named and same else LIKELY if named else PERHAPS)
        hours = hours_beside(columns, date.rest(ValuePart.DATE))
        if hours:
            yield CompositionGuess(Composition(((ValuePart.DATE, date.name), *hours)), SURE)


def in_parts(columns: Sequence[FileColumn]) -> Iterator[CompositionGuess]:
    """Yield year, month and day, and what there is of the time of day."""
    for year in columns:
        if not (year.called(ValuePart.YEAR) and holds(year, ValuePart.YEAR)):
            continue
        rest = year.rest(ValuePart.YEAR)
        month, day = (part_beside(columns, part, rest) for part in (ValuePart.MONTH, ValuePart.DAY))
        if month is None or day is None:
            continue
        date = tuple((part, each.name) for part, each in zip(YMD, (year, month, day), strict=True))
        clock = part_beside(columns, ValuePart.CLOCK, rest)
        clocks = hours_beside(columns, rest) or (((ValuePart.CLOCK, clock.name),) if clock else ())
        yield CompositionGuess(Composition((*date, *clocks)), SURE)


def hours_beside(columns: Sequence[FileColumn], rest: frozenset[str]) -> tuple[tuple[ValuePart, str], ...]:
    """Return hours, with minutes, with seconds, as far as columns are called so, beside the same words."""
    found: list[tuple[ValuePart, str]] = []
    for part in LARGEST_PARTS:
        each = part_beside(columns, part, rest)
        if each is None:
            break
        found.append((part, each.name))
    return tuple(found)


def part_beside(columns: Iterable[FileColumn], part: ValuePart, rest: frozenset[str]) -> FileColumn | None:
    """Return the column that is called as a part, with the same other words, and holds it."""
    fitting = [
        each for each in columns
        if each.called(part) and each.rest(part) == rest and holds(each, part) and not is_date(each)
    ]  # fmt: skip
    return fitting[0] if len(fitting) == 1 else None
