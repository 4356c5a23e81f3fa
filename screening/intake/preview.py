"""The header and some rows of a file of any kind, as text: enough to guess what its columns are."""

from __future__ import annotations

import csv
import io
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.cards.evidence import CardColumns
from screening.errors import BadFile
from screening.intake import streams
from screening.intake.batch import MEGABYTE, ReadLimits
from screening.intake.conversion.convert import convert
from screening.intake.kinds import FileKind
from screening.intake.text import dialect
from screening.intake.text.arrow_table import texts
from screening.intake.text.card_watch import take_cells
from screening.intake.text.csv_file import open_table
from screening.intake.text.records import Block, blocks
from screening.transactions.missing import WORDS, missing
from screening.transactions.schema import ColumnContract, normalise

ROWS = 5000
# Rows beyond it aren't looked at, so that a file of very long rows takes no more memory than others.
MOST_BYTES = 8 * MEGABYTE
# A column with more different cells is no label, so it isn't counted any further.
MOST_COUNTED = 5000
DEFAULT = ReadLimits()
NO_COLUMNS = ColumnContract(())


def preview(
    path: Path, kind: FileKind, rows: int = ROWS, *, limits: ReadLimits = DEFAULT, scratch: Path | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns and the cells of at most ``rows`` rows, each as long as the header.

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
    with text_table(path, kind, limits, scratch) as (raw, delimiter):
        return _head(raw, delimiter, rows, limits)


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows from the whole of a file: ``rows`` are spread evenly over it, each as long as the header."""

    header: list[str]
    rows: list[list[str]]
    blanks: list[int]
    """Number of blank cells of each column, of all rows of the file."""
    total: int
    counts: Mapping[str, int]
    """Number of rows by the cells of the column that was asked about."""
    cards: CardColumns
    """Columns of the whole file that hold card numbers."""


def sample(
    path: Path,
    kind: FileKind,
    rows: int = ROWS,
    *,
    counted: str | None = None,
    limits: ReadLimits = DEFAULT,
    scratch: Path | None = None,
) -> Sample:
    """Return about ``rows`` rows, at most twice as many, and the blanks of every column of the whole file.

    What appears in the first rows alone says little: a column may be blank, or differ, only further down. The cells of
    the column called ``counted`` are counted over all rows, up to some thousand different ones.

    Raises:
        BadFile: as :func:`preview`.
    """
    with text_table(path, kind, limits, scratch) as (raw, delimiter):
        return _sampled(raw, delimiter, rows, counted, limits)


@contextmanager
def text_table(
    path: Path,
    kind: FileKind,
    limits: ReadLimits = DEFAULT,
    scratch: Path | None = None,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Iterator[bytes], str | None]]:
    """Give the bytes of a whole file of any kind as a text table, and its delimiter where that is known.

    Workbooks and Parquet files are converted into a folder below ``scratch``, which is removed again; ``waiting`` is
    called meanwhile and may raise to leave.

    Raises:
        BadFile: it can't be read.
    """
    with ExitStack() as stack:
        if not kind.streams:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="preview-", dir=scratch))
            canonical = Path(folder).resolve() / "canonical.csv"
            convert(path.resolve(), kind, canonical, limits, waiting)
            path = canonical
        raw = streams.pieces(stack.enter_context(path.open("rb")), limits.block)
        unpacked = streams.unpacked(raw, limits) if kind is FileKind.CSV_GZ else raw
        yield unpacked, None if kind.streams else ","


def _sampled(
    raw: Iterator[bytes], delimiter: str | None, rows: int, counted: str | None, limits: ReadLimits
) -> Sample:
    opened = open_table(raw, lambda _header: NO_COLUMNS, limits, copied=False, delimiter=delimiter)
    header, mark = [name.strip() for name in opened.layout.header], opened.layout.delimiter
    kept: list[list[str]] = []
    cards = CardColumns(header, range(len(header)))
    blanks, total, stride = [0] * len(header), 0, 1
    named = [place for place, name in enumerate(header) if counted and normalise(name) == normalise(counted)]
    counts: Counter[str] = Counter()
    for block in blocks(opened.pieces, limits, mark):
        if block.overlong or block.unclosed:
            # it is refused, with the row, when it is read
            break
        stops = block.ends()
        for at in range(-total % stride, len(stops), stride):
            start = int(stops[at - 1]) if at else 0
            row = cells_of(block.data[start : int(stops[at])], mark)
            if row is not None and len(row) == len(header):
                kept.append(row)
        place = named[0] if len(named) == 1 else None
        told = counts_of(block, stops, mark, cards, counted=place, before=total)
        for place, count in enumerate(told.blanks):
            blanks[place] += count
        if len(counts) <= MOST_COUNTED:
            counts.update(told.counts)
        total += len(stops)
        while len(kept) > 2 * rows:
            kept, stride = kept[::2], 2 * stride
    return Sample(header, kept, blanks, total, counts, cards)


def cells_of(record: bytes, delimiter: str) -> list[str] | None:
    """Return the cells of a record; ``None`` where its quotation marks make no sense."""
    try:
        return dialect.cells(streams.readable(record).rstrip("\r\n"), delimiter)
    except csv.Error:
        return None


@dataclass(frozen=True, slots=True)
class _Told:
    """Counts of a block: the blank cells of each column, and the rows by the cells of one of them."""

    blanks: list[int]
    counts: Mapping[str, int]


def counts_of(
    block: Block,
    stops: NDArray[np.int64],
    delimiter: str,
    cards: CardColumns,
    *,
    counted: int | None,
    before: int,
) -> _Told:
    """Return the counts of a block; its card numbers are taken into account on the way.

    Args:
        block: whole records, which end at ``stops``.
        stops: (rows,).
        delimiter: between cells.
        cards: of all columns.
        counted: place of the column by whose cells rows are counted, if one is.
        before: number of rows before the block.
    """
    pa: Any = import_module("pyarrow")
    compute: Any = import_module("pyarrow.compute")
    width = len(cards.watched)
    found = texts(block, delimiter, width, range(width))
    if found is None:
        starts = [0, *stops.tolist()]
        rows = [cells_of(block.data[start:stop], delimiter) or [] for start, stop in pairwise(starts)]
        cards.add_rows(rows)
        whole = [row for row in rows if len(row) == width]
        blanks = [sum(missing(row[place]) for row in whole) for place in range(width)]
        return _Told(blanks, {} if counted is None else Counter(row[counted] for row in whole))
    words = pa.array(["", *sorted(WORDS)])
    for place, cells in found.items():
        take_cells(cards, place, cells, before + 1)
    plain = (compute.utf8_lower(compute.utf8_trim_whitespace(found[place])) for place in range(width))
    blanks = [int(compute.sum(compute.is_in(cells, value_set=words)).as_py() or 0) for cells in plain]
    if counted is None:
        return _Told(blanks, {})
    values = compute.value_counts(found[counted])
    return _Told(blanks, {one["values"]: one["counts"] for one in values.to_pylist()})


def _head(
    raw: Iterator[bytes], delimiter: str | None, rows: int, limits: ReadLimits
) -> tuple[list[str], list[list[str]]]:
    opened = open_table(raw, lambda _header: NO_COLUMNS, limits, copied=False, delimiter=delimiter)
    header = [name.strip() for name in opened.layout.header]
    data = first_records(opened.pieces, limits)
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


def first_records(pieces: Iterator[bytes], limits: ReadLimits) -> bytes:
    """Return whole records from the beginning of the table, some megabytes at most."""
    found, size = [], 0
    for block in blocks(pieces, limits):
        if block.overlong:
            break
        found.append(block.data)
        size += len(block.data)
        if size >= MOST_BYTES:
            break
    return b"".join(found)
