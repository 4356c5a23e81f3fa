"""Headers in the middle of a table, as where exports were put together: the same one, or another."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from enum import Enum

from screening.errors import BadFile, CellProblem
from screening.intake.batch import ReadLimits
from screening.intake.streams import readable
from screening.intake.text.dialect import cells
from screening.intake.text.records import blocks
from screening.transactions.schema import normalise

SHARED = 2
"""Names of the header that a row must have to be a header itself."""


class RepeatedHeader(Enum):
    """Ways in which a row can repeat the header; the value is its fault."""

    SAME = "repeats the header"
    MOVED = "is the header once more with its columns in another order: the cells below it stand under the wrong names"
    OTHER = "is another header: the rows below it have other columns"


def again(row: Sequence[str], header: Sequence[str]) -> RepeatedHeader | None:
    """Tell whether a row is a header.

    Args:
        row: its cells.
        header: the names of the table, normalised.
    """
    names = [normalise(cell) for cell in row]
    if names == list(header):
        return RepeatedHeader.SAME
    filled = [name for name in names if name]
    same = sum(name in header for name in filled)
    if same < SHARED or 2 * same < len(filled):
        return None
    return RepeatedHeader.MOVED if sorted(filled) == sorted(filter(None, header)) else RepeatedHeader.OTHER


def problem_of(
    pieces: Iterator[bytes], header: Sequence[str], delimiter: str, limits: ReadLimits
) -> BadFile | None:
    """Return what is wrong with a table that has another header in its middle; ``None`` where it has none.

    It is asked where columns contradict themselves: then that is the reason.

    Args:
        pieces: what follows the header.
        header: its names.
        delimiter: of its cells.
        limits: the bounds of reading.
    """
    known = [normalise(name) for name in header]
    mark = max(known, key=len, default="").encode()
    row = 0
    for block in blocks(pieces, limits, delimiter):
        if block.overlong or block.unclosed:
            return None
        stops = block.ends().tolist()
        # else no row of it names the longest one
        if mark in readable(block.data).casefold().encode():
            start = 0
            for number, stop in enumerate(stops, start=row + 1):
                record, start = block.data[start:stop], stop
                found = kind_of(record, known, delimiter)
                if found is not None and found is not RepeatedHeader.SAME:
                    return BadFile(
                        f"Row {number:,} {found.value}.",
                        where=f"row {number:,}",
                        remedy="Send each part as a file of its own, or put the columns in one order and leave one "
                        "header.",
                        problems=[CellProblem(found.value, row=number)],
                        problem_count=1,
                    )
        row += len(stops)
    return None


def kind_of(record: bytes, header: Sequence[str], delimiter: str) -> RepeatedHeader | None:
    """Return what a record repeats of the header; ``None`` where it is none, or can't be read."""
    try:
        return again(cells(readable(record).rstrip("\r\n"), delimiter), header)
    except csv.Error:
        return None
