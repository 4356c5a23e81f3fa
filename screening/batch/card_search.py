"""Look for card numbers in the rows of a folder, where rows of a file are looked through for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from screening.batch.lines import RaggedLines
from screening.cards.finding import LEAST
from screening.cards.masking import with_zeros
from screening.intake.conversion.arrow_csv import as_written, written_schema
from screening.intake.text.card_watch import CardWatch, take_cells
from screening.intake.text.parse import Parsed


def look_for_cards(watch: CardWatch, rows: Any, parsed: Parsed) -> None:
    """Look for card numbers in an Arrow batch, in the columns in which they are looked for in a block of a file."""
    watch.widen(parsed.values, damaged=bool(parsed.bad.any()))
    for place in watch.columns.watched:
        if place == rows.num_columns:
            continue  # of ragged rows alone
        one = rows.select([place])
        if may_have_long_digits(one.column(0)):
            cells = as_written(one, written_schema(one.schema)).column(0)
            take_cells(watch.columns, place, cells.cast(pa.string()), None)
    # what is certain by now stays so, whatever comes behind it
    watch.columns.found(at_end=False)


def look_at_ragged(watch: CardWatch, lines: list[str], ragged: RaggedLines, names: Sequence[str]) -> None:
    """Look for card numbers in ragged rows, which are written as they stand: in all columns, as in a file where a row
    can't be read.

    Args:
        watch: of the columns of ``names``, and of one behind them.
        lines: the rows.
        ragged: takes them apart.
        names: the columns that are looked at.
    """
    known = {name: place for place, name in enumerate(names)}
    places = (*(known[name] for name in ragged.header), len(names))
    for place, cells in ragged.cells(lines).items():
        at = places[place]
        watch.columns.watch([at])
        take_cells(watch.columns, at, pa.array(cells, pa.string()), None)
    watch.columns.found(at_end=False)


def may_have_long_digits(cells: Any) -> bool:
    """Return whether any cell of an Arrow array may have as many digits as a card number."""
    kind = cells.type
    if pa.types.is_boolean(kind) or pa.types.is_date(kind):
        return False
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        bounds = pc.min_max(cells).as_py()
        return bool(max(-(bounds["min"] or 0), bounds["max"] or 0) >= LEAST)
    return True


def without_card_numbers(value: Any) -> Any:
    """Return evidence, which has cells as examples, with zeros for the digits of what may be a card number."""
    if isinstance(value, Counter):
        counts: Counter[Any] = Counter()
        for key, count in value.items():
            counts[without_card_numbers(key)] += count
        return counts
    if isinstance(value, dict):
        return {without_card_numbers(key): without_card_numbers(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(map(without_card_numbers, value))
    if is_dataclass(value) and not isinstance(value, type):
        init = [each.name for each in fields(value) if each.init]
        return replace(value, **{name: without_card_numbers(getattr(value, name)) for name in init})
    return with_zeros(value) if type(value) is str else value
