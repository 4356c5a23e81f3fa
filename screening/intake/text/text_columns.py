"""Some columns of a block as texts, by Arrow's reader."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from screening.intake.text.records import Block


def text_columns(block: Block, delimiter: str, width: int, places: Iterable[int]) -> dict[int, Any] | None:
    """The cells of some columns, each an Arrow array of strings, as they stand; ``None`` for a block that Arrow doesn't
    take, as one with a row that is too long or too short.

    Args:
        block: whole records.
        delimiter: what stands between cells.
        width: how many columns the table has.
        places: which of them are wanted.
    """
    pa: Any = import_module("pyarrow")
    arrow: Any = import_module("pyarrow.csv")
    names = [str(place) for place in range(width)]
    wanted = {names[place]: pa.string() for place in places}
    try:
        table = arrow.read_csv(
            pa.BufferReader(block.data),
            read_options=arrow.ReadOptions(
                column_names=names, block_size=len(block.data) + 1, use_threads=False
            ),
            parse_options=arrow.ParseOptions(
                delimiter=delimiter, newlines_in_values=block.quotes > 0, ignore_empty_lines=False
            ),
            convert_options=arrow.ConvertOptions(
                column_types=wanted, include_columns=list(wanted), strings_can_be_null=False
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    return {int(name): table.column(name) for name in wanted}
