"""A screened file's rows given back as they were: single records for pages, the whole with columns added for exports."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from screening.intake.batch import Limits
from screening.intake.dialect import cells
from screening.intake.numbers import NUMBER, NUMBER_WITH_COMMA
from screening.intake.records import blocks, ends, first_end
from screening.intake.streams import pieces, readable

BOM = b"\xef\xbb\xbf"
LIMITS = Limits()
_NUMERIC = b"0123456789.,eE+-\r\n \""
_FLAT = bytes.maketrans(b"123456789.", b"0" * 10)
_FORMULA = re.compile(r"[ ]*[=+\-@\t\r]")


def header_of(canonical: Path) -> list[str]:
    """The column names of a canonical file, as they stand there."""
    return cells(readable(_header(canonical).removeprefix(BOM)).rstrip("\r\n"), ",")


def read_records(canonical: Path, offsets: NDArray[np.int64], rows: Sequence[int]) -> list[list[str]]:
    """The cells of some records.

    Args:
        canonical: the upload itself, or its copy: the file that the offsets were made for.
        offsets: where each record begins, shape (rows of the file,), from the batches.
        rows: which records, as indices into ``offsets`` (data row 1 is index 0), in any order.
    """
    found = []
    with canonical.open("rb") as file:
        for row in rows:
            start = int(offsets[row])
            file.seek(start)
            record = file.read(int(offsets[row + 1]) - start if row + 1 < len(offsets) else LIMITS.record)
            found.append(cells(readable(record[: first_end(record)]).rstrip("\r\n"), ","))
    return found


def append_columns(canonical: Path, columns: Mapping[str, Iterable[str]]) -> Iterator[bytes]:
    """The file with columns added at the right, as UTF-8 CSV in blocks; the other cells are untouched.

    Text cells that a spreadsheet would run as a formula get an apostrophe before them. A column of the input whose
    name is one of the added ones keeps its cells and is called ``<name>_input``.

    Args:
        canonical: the upload itself, or its copy.
        columns: for each name, one text for each record in order, which needs no quotes.
    """
    added = zip(*columns.values(), strict=True)
    with canonical.open("rb") as file:
        yield _utf8(_new_header(_header(canonical), list(columns)))
        file.seek(len(_header(canonical)))
        for block in blocks(pieces(file, LIMITS.block), LIMITS):
            data = without_formulas(_utf8(block.data))
            stops = ends(data).tolist()
            tails = [",".join(texts).encode() for texts in islice(added, len(stops))]
            yield _joined(data, stops, tails)


def without_formulas(data: bytes) -> bytes:
    """Whole records with an apostrophe before each cell that is no number and begins as a formula does."""
    if not data.translate(None, _NUMERIC):
        flat = data.translate(_FLAT)
        if b"0+" not in flat and b"0-" not in flat and b"--" not in flat:
            return data
    return _protected(data) if _suspicious(data) else data


def _suspicious(data: bytes) -> bool:
    return bool(_CANDIDATE.search(data))


_CANDIDATE = re.compile(
    rb'(?:^|[,\n])"?[ ]*(?:[=@\t\r](?!\n)|[+-](?!(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[ \t]*"?(?:[,\r\n]|\Z)))'
)


def _protected(data: bytes) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    start = 0
    for stop in ends(data).tolist():
        record = data[start:stop].decode()
        row = cells(record.rstrip("\r\n"), ",")
        safe = [_safe(cell) for cell in row]
        if safe == row:
            out.write(record)
        else:
            writer.writerow(safe)
        start = stop
    return out.getvalue().encode()


def _safe(cell: str) -> str:
    if _FORMULA.match(cell) and not NUMBER.fullmatch(cell) and not NUMBER_WITH_COMMA.fullmatch(cell):
        return "'" + cell
    return cell


def _joined(data: bytes, stops: list[int], tails: list[bytes]) -> bytes:
    parts = []
    start = 0
    crlf = data.find(b"\r\n") >= 0
    for stop, tail in zip(stops, tails, strict=True):
        record = data[start:stop]
        start = stop
        if crlf and record.endswith(b"\r\n"):
            parts.append(record[:-2] + b"," + tail + b"\r\n")
        elif record.endswith(b"\n"):
            parts.append(record[:-1] + b"," + tail + b"\n")
        else:
            parts.append(record + b"," + tail + b"\n")
    return b"".join(parts)


def _header(canonical: Path) -> bytes:
    with canonical.open("rb") as file:
        head = file.read(LIMITS.record)
    return head[: first_end(head)]


def _new_header(header: bytes, added: list[str]) -> bytes:
    names = cells(readable(header.removeprefix(BOM)).rstrip("\r\n"), ",")
    taken = {name.strip().casefold() for name in (*names, *added)}
    renamed = []
    for name in names:
        new = name
        if name.strip().casefold() in {each.casefold() for each in added}:
            new = next(each for each in _candidates(name.strip()) if each.casefold() not in taken)
            taken.add(new.casefold())
        renamed.append(_safe(new))
    if renamed != names:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerow(renamed)
        header = out.getvalue().encode()
    return _joined(header, [len(header)], [",".join(added).encode()])


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
