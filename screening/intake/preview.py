"""The header and the first rows of a file of any kind, as text: enough to guess what its columns are."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from screening.errors import BadFile
from screening.intake import streams
from screening.intake.batch import MEGABYTE, Limits
from screening.intake.conversion.convert import convert
from screening.intake.kinds import Kind
from screening.intake.text.csv_file import open_table
from screening.intake.text.records import blocks
from screening.transactions.schema import ColumnContract

ROWS = 5000
MOST_BYTES = 8 * MEGABYTE
"""Rows beyond it aren't looked at, so that a file of very long rows takes no more memory than others."""
DEFAULT = Limits()
NO_COLUMNS = ColumnContract(())


def preview(
    path: Path, kind: Kind, rows: int = ROWS, *, limits: Limits = DEFAULT, scratch: Path | None = None
) -> tuple[list[str], list[list[str]]]:
    """The names of the columns and the cells of at most ``rows`` rows, each as long as the header.

    Rows that are longer or shorter are left out; cells are as they stand.

    Args:
        path: the whole file.
        kind: what it is, from :func:`screening.intake.identify`.
        rows: how many rows at most.
        limits: the bounds of reading.
        scratch: a folder for the copy of a workbook or Parquet file, which is removed again.

    Raises:
        BadFile: it has no header, or can't be read.
    """
    if kind.streams:
        with path.open("rb") as stream:
            raw = streams.pieces(stream, limits.block)
            return _head(streams.unpacked(raw, limits) if kind is Kind.CSV_GZ else raw, None, rows, limits)
    with tempfile.TemporaryDirectory(prefix="preview-", dir=scratch) as folder:
        canonical = Path(folder).resolve() / "canonical.csv"
        convert(path.resolve(), kind, canonical, limits)
        with canonical.open("rb") as stream:
            return _head(streams.pieces(stream, limits.block), ",", rows, limits)


def _head(
    raw: Iterator[bytes], delimiter: str | None, rows: int, limits: Limits
) -> tuple[list[str], list[list[str]]]:
    opened = open_table(raw, lambda _header: NO_COLUMNS, limits, copied=False, delimiter=delimiter)
    header = [name.strip() for name in opened.layout.header]
    data = _first(opened.pieces, limits)
    mark = opened.layout.delimiter
    reader = csv.reader(io.StringIO(streams.readable(data), newline=""), delimiter=mark)
    try:
        found = list(islice((row for row in reader if len(row) == len(header)), rows))
    except csv.Error:
        raise BadFile(
            "The first rows can't be read: a cell is too long, or a quotation mark isn't closed.",
            remedy="Export the file again as CSV UTF-8.",
        ) from None
    return header, found


def _first(pieces: Iterator[bytes], limits: Limits) -> bytes:
    """Whole records from the beginning of the table, some megabytes at most."""
    found, size = [], 0
    for block in blocks(pieces, limits):
        if block.overlong:
            break
        found.append(block.data)
        size += len(block.data)
        if size >= MOST_BYTES:
            break
    return b"".join(found)
