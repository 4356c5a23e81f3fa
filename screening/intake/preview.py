"""The header and some rows of a file of any kind, as text: enough to guess what its columns are."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from screening.errors import BadFile
from screening.intake import streams
from screening.intake.batch import MEGABYTE, Limits
from screening.intake.conversion.convert import convert
from screening.intake.kinds import Kind
from screening.intake.text import dialect
from screening.intake.text.arrow_table import texts
from screening.intake.text.csv_file import Opened, open_table
from screening.intake.text.records import Block, blocks
from screening.transactions.missing import WORDS, missing
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
    with _opened(path, kind, limits, scratch) as opened:
        return _head(opened, rows, limits)


@contextmanager
def _opened(path: Path, kind: Kind, limits: Limits, scratch: Path | None) -> Iterator[Opened]:
    """The table of a whole file of any kind, with its header read; a copy that it needs is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="preview-", dir=scratch) as folder:
        delimiter = None
        if not kind.streams:
            canonical = Path(folder).resolve() / "canonical.csv"
            convert(path.resolve(), kind, canonical, limits)
            path, delimiter = canonical, ","
        with path.open("rb") as stream:
            raw = streams.pieces(stream, limits.block)
            if kind is Kind.CSV_GZ:
                raw = streams.unpacked(raw, limits)
            yield open_table(raw, lambda _header: NO_COLUMNS, limits, copied=False, delimiter=delimiter)


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows from the whole of a file: ``rows`` are spread evenly over it, each as long as the header."""

    header: list[str]
    rows: list[list[str]]
    blanks: list[int]
    """How many cells of each column say nothing, of all rows of the file."""
    total: int


def sample(
    path: Path, kind: Kind, rows: int = ROWS, *, limits: Limits = DEFAULT, scratch: Path | None = None
) -> Sample:
    """About ``rows`` rows, at most twice as many, and the blanks of every column of the whole file.

    What stands in the first rows alone says little: a column may be blank, or differ, only further down.

    Raises:
        BadFile: as :func:`preview`.
    """
    with _opened(path, kind, limits, scratch) as opened:
        return _sampled(opened, rows, limits)


def _sampled(opened: Opened, rows: int, limits: Limits) -> Sample:
    header, mark = [name.strip() for name in opened.layout.header], opened.layout.delimiter
    kept: list[list[str]] = []
    blanks, total, stride = [0] * len(header), 0, 1
    for block in blocks(opened.pieces, limits, mark):
        if block.overlong or block.unclosed:
            break  # it is refused, with the row, when it is read
        stops = block.ends()
        for at in range(-total % stride, len(stops), stride):
            start = int(stops[at - 1]) if at else 0
            row = _cells(block.data[start : int(stops[at])], mark)
            if row is not None and len(row) == len(header):
                kept.append(row)
        total += len(stops)
        while len(kept) > 2 * rows:
            kept, stride = kept[::2], 2 * stride
        for place, count in enumerate(_blanks(block, mark, len(header))):
            blanks[place] += count
    return Sample(header, kept, blanks, total)


def _cells(record: bytes, delimiter: str) -> list[str] | None:
    try:
        return dialect.cells(streams.readable(record).rstrip("\r\n"), delimiter)
    except csv.Error:
        return None


def _blanks(block: Block, delimiter: str, width: int) -> list[int]:
    """How many cells of each column of a block say nothing."""
    pa: Any = import_module("pyarrow")
    compute: Any = import_module("pyarrow.compute")
    table = texts(block, delimiter, width, range(width))
    if table is None:
        stops = [0, *block.ends().tolist()]
        rows = [_cells(block.data[start:stop], delimiter) or [] for start, stop in pairwise(stops)]
        return [sum(len(row) == width and missing(row[place]) for row in rows) for place in range(width)]
    words = pa.array(["", *sorted(WORDS)])
    plain = (compute.utf8_lower(compute.utf8_trim_whitespace(column)) for column in table.columns)
    return [int(compute.sum(compute.is_in(cells, value_set=words)).as_py() or 0) for cells in plain]


def _head(opened: Opened, rows: int, limits: Limits) -> tuple[list[str], list[list[str]]]:
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
