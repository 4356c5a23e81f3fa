"""Arrow's CSV reader on records: the only place that says how it is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from screening.intake.text.records import Block

BLOCK_BYTES = 1 << 22
"""Bytes of a file that are parsed at once."""


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
    # a heavy import, paid by the first upload and not by the start
    pa: Any = import_module("pyarrow")
    return _read(
        pa.BufferReader(block.data),
        types,
        reading={"column_names": plain_names(range(width)), "block_size": len(block.data) + 1},
        parsing={
            "delimiter": delimiter,
            "newlines_in_values": block.quotes > 0,
            "ignore_empty_lines": False,
        },
        converting={"null_values": list(blanks), "decimal_point": decimal},
    )


def texts(block: Block, delimiter: str, width: int, places: Iterable[int]) -> dict[int, Any] | None:
    """Return some columns by their places, each an Arrow array of strings as they stand; ``None`` if the block is
    damaged, as one with a row that is too long or too short.
    """
    pa: Any = import_module("pyarrow")
    types = dict.fromkeys(places, pa.string())
    table = read_block(block, delimiter, width, types)
    return None if table is None else dict(zip(types, table.columns, strict=True))


def bytes_of(canonical: Path, places: Iterable[int]) -> dict[int, Any] | None:
    """Return some columns of a whole file by their places, each an Arrow array of bytes with the header's first.

    ``None`` if rows have different lengths.
    """
    pa: Any = import_module("pyarrow")
    types = dict.fromkeys(places, pa.binary())
    reading = {"autogenerate_column_names": True, "block_size": BLOCK_BYTES}
    table = _read(str(canonical), types, reading=reading, parsing={"newlines_in_values": True}, converting={})
    return None if table is None else dict(zip(types, table.columns, strict=True))


def plain_names(places: Iterable[int]) -> list[str]:
    """Return the names that Arrow gives to columns without one."""
    return [f"f{place}" for place in places]


def _read(
    source: Any,
    types: Mapping[int, Any],
    *,
    reading: Mapping[str, Any],
    parsing: Mapping[str, Any],
    converting: Mapping[str, Any],
) -> Any:
    pa: Any = import_module("pyarrow")
    arrow: Any = import_module("pyarrow.csv")
    wanted = dict(zip(plain_names(types), types.values(), strict=True))
    try:
        return arrow.read_csv(
            source,
            read_options=arrow.ReadOptions(use_threads=False, **reading),
            parse_options=arrow.ParseOptions(**parsing),
            convert_options=arrow.ConvertOptions(
                column_types=wanted, include_columns=list(wanted), strings_can_be_null=False, **converting
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
