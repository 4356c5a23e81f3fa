"""Arrow's CSV reader on one block of records: the only place that says how it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from screening.intake.text.records import Block


def read_block(
    block: Block,
    delimiter: str,
    width: int,
    types: Mapping[int, Any],
    *,
    decimal: str = ".",
    blanks: Sequence[str] = (),
) -> Any:
    """Return the chosen columns of a block as an Arrow table, in the order of ``types``; ``None`` if it is damaged.

    Blank lines count as rows, and texts are never null.

    Args:
        block: whole records.
        delimiter: between cells.
        width: how many cells each record must have.
        types: what to read, by the place in the record.
        decimal: the decimal mark of numbers.
        blanks: cells of numbers that say nothing.
    """
    pa: Any = import_module("pyarrow")  # a heavy import, paid by the first upload and not by the start
    arrow: Any = import_module("pyarrow.csv")
    names = [str(place) for place in range(width)]
    wanted = {names[place]: kind for place, kind in types.items()}
    try:
        return arrow.read_csv(
            pa.BufferReader(block.data),
            read_options=arrow.ReadOptions(
                column_names=names, block_size=len(block.data) + 1, use_threads=False
            ),
            parse_options=arrow.ParseOptions(
                delimiter=delimiter, newlines_in_values=block.quotes > 0, ignore_empty_lines=False
            ),
            convert_options=arrow.ConvertOptions(
                column_types=wanted,
                include_columns=list(wanted),
                null_values=list(blanks),
                decimal_point=decimal,
                strings_can_be_null=False,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None


def texts(block: Block, delimiter: str, width: int, places: Sequence[int]) -> Any:
    """Return some columns as texts; ``None`` if the block is damaged."""
    pa: Any = import_module("pyarrow")
    return read_block(block, delimiter, width, dict.fromkeys(places, pa.string()))
