"""A screened file's rows given back as they were: single records, or the whole with columns added."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from screening.intake.batch import ReadLimits
from screening.intake.formulas import csv_text, safe, without_formulas
from screening.intake.streams import pieces, readable
from screening.intake.text.dialect import cells
from screening.intake.text.records import NEWLINE, RETURN, blocks, ends, first_end

BOM = b"\xef\xbb\xbf"
LIMITS = ReadLimits()


def header_of(canonical: Path) -> list[str]:
    """Return the column names of a canonical file, as they stand there."""
    return cells(readable(header_line(canonical).removeprefix(BOM)).rstrip("\r\n"), ",")


class CutOff(OSError):
    """A file that was whole when it was read first has become shorter."""


_CUT_OFF = "the file of a screening has lost its end"
# Records that hold a text somewhere are parsed to see whether a cell is it, which takes some 10 µs each.
MOST_LOOKED = 50_000


def read_records(canonical: Path, offsets: NDArray[np.int64], rows: Sequence[int]) -> list[list[str]]:
    """Return the cells of some records.

    Args:
        canonical: the upload itself, or its copy: the file that the offsets were made for.
        offsets: where each record begins, shape (rows of the file,), from the batches.
        rows: which records, as indices into ``offsets`` (data row 1 is index 0), in any order.

    Raises:
        CutOff: the file ends before one of them.
    """
    found = []
    with canonical.open("rb") as file:
        for row in rows:
            start = int(offsets[row])
            file.seek(start)
            is_last = row + 1 >= len(offsets)
            least = 1 if is_last else int(offsets[row + 1]) - start
            record = file.read(LIMITS.record if is_last else least)
            if len(record) < least:
                raise CutOff(_CUT_OFF)
            found.append(cells(readable(record[: first_end(record)]).rstrip("\r\n"), ","))
    return found


def all_records(canonical: Path, at_once: int = 4000) -> Iterator[list[list[str]]]:
    """Give the cells of all records in order, some records at a time.

    Args:
        canonical: the upload itself, or its copy.
        at_once: so many records at most are in memory.
    """
    with canonical.open("rb") as file:
        file.seek(len(header_line(canonical)))
        # cut by the same rule as when it was read: empty rows at the end were left out
        for block in blocks(pieces(file, LIMITS.block), LIMITS, ","):
            stops = ends(block.data, quoted=b'"' in block.data).tolist()
            starts = [0, *stops[:-1]]
            for begin in range(0, len(stops), at_once):
                some = zip(starts[begin : begin + at_once], stops[begin : begin + at_once], strict=True)
                yield [cells(readable(block.data[start:stop]).rstrip("\r\n"), ",") for start, stop in some]


def find_rows(canonical: Path, offsets: NDArray[np.int64], text: str, *, most: int) -> NDArray[np.int64]:
    """Return the records that have a cell with exactly this text, white space around it aside.

    Args:
        canonical: the upload itself, or its copy: the file that the offsets were made for.
        offsets: where each record begins, shape (rows of the file,).
        text: of the cell.
        most: so many are looked for, from the beginning.

    Returns:
        Indices into ``offsets``, ascending, shape (found,).
    """
    wanted = text.strip()
    if not wanted or not len(offsets):
        return np.empty(0, np.int64)
    needle = wanted.replace('"', '""').encode()
    found: list[int] = []
    with canonical.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = int(offsets[0])
        for _ in range(MOST_LOOKED):
            hit = content.find(needle, at)
            if hit < 0 or len(found) == most:
                break
            row = int(np.searchsorted(offsets, hit, "right")) - 1
            (record,) = read_records(canonical, offsets, [row])
            if any(cell.strip() == wanted for cell in record):
                found.append(row)
            if row + 1 == len(offsets):
                break
            at = int(offsets[row + 1])
    return np.array(found, np.int64)


def append_columns(canonical: Path, columns: Mapping[str, Iterable[str]]) -> Iterator[bytes]:
    """Yield the file with columns added at the right, as UTF-8 CSV in blocks; the other cells are untouched.

    Text cells that a spreadsheet would run as a formula get an apostrophe before them. A column of the input
    whose name is one of the added ones keeps its cells and is called ``<name>_input``.

    Args:
        canonical: the upload itself, or its copy.
        columns: for each name, one text for each record in order, which needs no quotes.

    Raises:
        CutOff: the file ends before the columns do.
    """
    added = zip(*columns.values(), strict=True)
    with canonical.open("rb") as file:
        yield _utf8(new_header(header_line(canonical), list(columns)))
        file.seek(len(header_line(canonical)))
        # cut by the same rule as when it was read: empty rows at the end were left out, and have no texts
        for block in blocks(pieces(file, LIMITS.block), LIMITS, ","):
            data = without_formulas(_utf8(block.data))
            stops = ends(data, quoted=b'"' in data)
            yield with_tails(data, stops, [",".join(texts) for texts in islice(added, len(stops))])
    if next(added, None) is not None:
        raise CutOff(_CUT_OFF)


def with_tails(data: bytes, stops: NDArray[np.int64], tails: list[str]) -> bytes:
    """Return records with a tail put before the end of each line.

    Raises:
        ValueError: there are fewer tails than records.
    """
    codes = np.frombuffer(data, np.uint8)
    closed = codes[stops - 1] == NEWLINE
    returns = closed & (codes[np.maximum(stops - 2, 0)] == RETURN)
    bodies = stops - closed - returns
    end = "\r\n" if returns.any() else "\n"
    starts = [0, *stops[:-1].tolist()]
    parts = [
        part
        for start, stop, tail in zip(starts, bodies.tolist(), tails, strict=True)
        for part in (data[start:stop], f",{tail}{end}".encode())
    ]
    return b"".join(parts)


def header_line(canonical: Path) -> bytes:
    """Return the first line of a file."""
    with canonical.open("rb") as file:
        head = file.read(LIMITS.record)
    return head[: first_end(head)]


def new_header(header: bytes, added: list[str]) -> bytes:
    """Return the header with the names of added columns; a column of the file that has one of them gets another."""
    names = cells(readable(header.removeprefix(BOM)).rstrip("\r\n"), ",")
    taken = {name.strip().casefold() for name in (*names, *added)}
    renamed = []
    for name in names:
        new = name
        if name.strip().casefold() in {each.casefold() for each in added}:
            new = next(each for each in _candidates(name.strip()) if each.casefold() not in taken)
            taken.add(new.casefold())
        renamed.append(safe(new))
    if renamed != names:
        header = csv_text([renamed]).encode()
    return with_tails(header, np.array([len(header)]), [",".join(added)])


def _candidates(name: str) -> Iterator[str]:
    yield f"{name}_input"
    number = 2
    while True:
        yield f"{name}_input_{number}"
        number += 1


def _utf8(data: bytes) -> bytes:
    if data.isascii():
        return data
    return readable(data).encode()
