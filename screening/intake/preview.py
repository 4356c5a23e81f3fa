"""The header and some rows of a file of any kind, as text: enough to guess what its columns are."""

from __future__ import annotations

import csv
import io
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
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
from screening.intake.text.csv_file import open_table
from screening.intake.text.records import Block, blocks
from screening.transactions.missing import WORDS, missing
from screening.transactions.schema import ColumnContract, normalise

ROWS = 5000
MOST_BYTES = 8 * MEGABYTE
"""Rows beyond it aren't looked at, so that a file of very long rows takes no more memory than others."""
MOST_COUNTED = 5000
"""Different cells after which a column isn't counted any further: it is no label."""
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


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows from the whole of a file: ``rows`` are spread evenly over it, each as long as the header."""

    header: list[str]
    rows: list[list[str]]
    blanks: list[int]
    """How many cells of each column say nothing, of all rows of the file."""
    total: int
    counts: Mapping[str, int]
    """How many rows have each cell of the column that was asked about."""


def sample(
    path: Path,
    kind: Kind,
    rows: int = ROWS,
    *,
    counted: str | None = None,
    limits: Limits = DEFAULT,
    scratch: Path | None = None,
) -> Sample:
    """About ``rows`` rows, at most twice as many, and the blanks of every column of the whole file.

    What stands in the first rows alone says little: a column may be blank, or differ, only further down. The cells of
    the column called ``counted`` are counted over all rows, up to some thousand different ones.

    Raises:
        BadFile: as :func:`preview`.
    """
    if kind.streams:
        with path.open("rb") as stream:
            raw = streams.pieces(stream, limits.block)
            raw = streams.unpacked(raw, limits) if kind is Kind.CSV_GZ else raw
            return _sampled(raw, None, rows, counted, limits)
    with tempfile.TemporaryDirectory(prefix="preview-", dir=scratch) as folder:
        canonical = Path(folder).resolve() / "canonical.csv"
        convert(path.resolve(), kind, canonical, limits)
        with canonical.open("rb") as stream:
            return _sampled(streams.pieces(stream, limits.block), ",", rows, counted, limits)


def _sampled(
    raw: Iterator[bytes], delimiter: str | None, rows: int, counted: str | None, limits: Limits
) -> Sample:
    opened = open_table(raw, lambda _header: NO_COLUMNS, limits, copied=False, delimiter=delimiter)
    header, mark = [name.strip() for name in opened.layout.header], opened.layout.delimiter
    kept: list[list[str]] = []
    blanks, total, stride = [0] * len(header), 0, 1
    named = [place for place, name in enumerate(header) if counted and normalise(name) == normalise(counted)]
    counts: Counter[str] = Counter()
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
        told = _told(block, mark, len(header), named[0] if len(named) == 1 else None)
        for place, count in enumerate(told.blanks):
            blanks[place] += count
        if len(counts) <= MOST_COUNTED:
            counts.update(told.counts)
    return Sample(header, kept, blanks, total, counts)


def _cells(record: bytes, delimiter: str) -> list[str] | None:
    try:
        return dialect.cells(streams.readable(record).rstrip("\r\n"), delimiter)
    except csv.Error:
        return None


@dataclass(frozen=True, slots=True)
class _Told:
    """How many cells of each column of a block say nothing, and how many rows have each cell of one of them."""

    blanks: list[int]
    counts: Mapping[str, int]


def _told(block: Block, delimiter: str, width: int, counted: int | None) -> _Told:
    pa: Any = import_module("pyarrow")
    arrow: Any = import_module("pyarrow.csv")
    compute: Any = import_module("pyarrow.compute")
    names = [str(place) for place in range(width)]
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
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        stops = [0, *block.ends().tolist()]
        rows = [_cells(block.data[start:stop], delimiter) or [] for start, stop in pairwise(stops)]
        whole = [row for row in rows if len(row) == width]
        blanks = [sum(missing(row[place]) for row in whole) for place in range(width)]
        return _Told(blanks, {} if counted is None else Counter(row[counted] for row in whole))
    words = pa.array(["", *sorted(WORDS)])
    plain = (compute.utf8_lower(compute.utf8_trim_whitespace(table.column(name))) for name in names)
    blanks = [int(compute.sum(compute.is_in(cells, value_set=words)).as_py() or 0) for cells in plain]
    if counted is None:
        return _Told(blanks, {})
    values = compute.value_counts(table.column(names[counted]))
    return _Told(blanks, {one["values"]: one["counts"] for one in values.to_pylist()})


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
