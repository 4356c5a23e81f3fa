"""Detect the dialect of a text table: its encoding, its delimiter, its decimal mark, its header."""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass

import numpy as np

from screening.errors import BadFile
from screening.intake.numbers import NUMBER
from screening.intake.streams import SINGLE_BYTE
from screening.intake.text.records import first_end

DELIMITERS = (",", ";", "\t", "|")
_BOMS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SEP = re.compile(rb'"?sep=(.)"?[ ,;\t|]*\r?\n?', re.IGNORECASE)
_SEEN = 64
MOST_ABOVE = 60
"""Records that are looked at for where a table begins."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """``delimiter`` is one ASCII character; ``header`` the cells of the first record, as they stand."""

    delimiter: str
    header: list[str]


def encoding(head: bytes) -> str:
    """Detect ``utf-8``, ``utf-8-sig``, ``utf-16``, ``utf-16-le``, ``utf-16-be`` or ``cp1252``, by the head of a file.

    Raises:
        BadFile: NUL bytes, or an encoding that isn't read.
    """
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    for mark, name in _BOMS:
        if head.startswith(mark):
            if name == "utf-32":
                raise BadFile(
                    "The file is UTF-32 text, which isn't read here.", remedy="Save it as CSV UTF-8."
                )
            return name
    if b"\0" in head[: 2 * _SEEN]:
        even, odd = head[0 : 2 * _SEEN : 2], head[1 : 2 * _SEEN : 2]
        if not any(odd) and all(even):
            return "utf-16-le"
        if not any(even) and all(odd):
            return "utf-16-be"
        raise BadFile(
            "The file holds NUL bytes: it isn't a text table.", remedy="Export it again as CSV UTF-8."
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return SINGLE_BYTE
    return "utf-8"


def preamble(head: bytes) -> tuple[int, str | None]:
    """Return the length of a ``sep=;`` line before the header, in bytes, and the delimiter that it names.

    Raises:
        BadFile: a comment or an empty line stands first, or ``sep=`` names a delimiter that isn't read.
    """
    first = head.split(b"\n", 1)[0].rstrip(b"\r")
    if first.lstrip(b' "').startswith(b"#"):
        raise BadFile(
            "The first line is a comment (it starts with #).",
            where="line 1",
            remedy="Remove the lines above the header: the first line must name the columns.",
        )
    if not first.strip(b" "):
        raise BadFile(
            "The first line is empty.", where="line 1", remedy="The first line must name the columns."
        )
    found = _SEP.match(head)
    if not found:
        return 0, None
    delimiter = found[1].decode("latin-1")
    if delimiter not in DELIMITERS:
        raise BadFile(
            "The first line (sep=) names a delimiter that isn't read here.",
            where="line 1",
            remedy="Use a comma, a semicolon, a tab or a bar (|).",
        )
    return found.end(), delimiter


def lines_above(head: bytes, delimiter: str | None) -> tuple[int, int]:
    """Return the numbers of bytes and of lines above a table's header: an account's name, the dates of a statement.

    The table is the run of records of one width at the end of what is seen; what stands above it has fewer cells, and
    its first record must look like a header. Where that isn't so, the first line is the header.
    """
    records: list[tuple[int, bytes]] = []
    at = 0
    while at < len(head) and len(records) < MOST_ABOVE:
        stop = at + first_end(head[at:])
        if stop == len(head) and not head.endswith(b"\n"):
            break  # it may go on
        records.append((at, head[at:stop]))
        at = stop
    while records and not records[-1][1].strip(b" ,;\t|\r\n"):
        records.pop()
    if len(records) < 3:
        return 0, 0
    try:
        mark = delimiter or delimiter_of(records[-1][1])
        rows = [cells(record.decode("utf-8", "replace").rstrip("\r\n"), mark) for _, record in records]
    except csv.Error:
        return 0, 0
    width = len(rows[-1])
    first = len(rows) - 1
    while first and len(rows[first - 1]) == width:
        first -= 1
    # workbooks fill short rows up with blanks
    while first < len(rows) - 1 and count_filled(rows[first]) < width - 1:
        first += 1
    above, header = rows[:first], [cell.strip() for cell in rows[first]]
    fewer = all(len(row) < width or count_filled(row) < width - 1 for row in above)
    if not above or width < 2 or first == len(rows) - 1 or not fewer or not look_like_names(header):
        return 0, 0
    return records[first][0], first


def count_filled(row: list[str]) -> int:
    """Return how many cells of a row aren't blank."""
    return sum(bool(cell.strip()) for cell in row)


def look_like_names(header: list[str]) -> bool:
    """Return whether cells can be the names of columns: none is blank or a number, none stands twice, not all have
    digits.
    """
    return (
        all(header)
        and len(set(header)) == len(header)
        and not any(map(NUMBER.fullmatch, header))
        and not all(any(map(str.isdigit, cell)) for cell in header)
    )


def delimiter_of(first: bytes) -> str:
    """Return the delimiter that stands most often in the header, outside quotes; a comma when none does."""
    codes = np.frombuffer(first, np.uint8)
    outside = codes[np.cumsum(codes == ord('"')) % 2 == 0]
    counts = {mark: int(np.count_nonzero(outside == ord(mark))) for mark in DELIMITERS}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else ","


def check_named(first: bytes, named: str) -> None:
    """Hold the delimiter of a ``sep=`` line against the header below it.

    Raises:
        BadFile: the header has none of it, and another one.
    """
    other = delimiter_of(first)
    if other != named and named.encode() not in first:
        raise BadFile(
            f"The first line says sep={named}, and the header below it is separated by {MARKS.get(other, other)}.",
            where="line 1",
            remedy="Remove the line, or name the delimiter that the file has.",
        )


MARKS = {"\t": "tabs"}


def cells(record: str, delimiter: str) -> list[str]:
    """Return the cells of one record.

    Raises:
        csv.Error: a carriage return or a quotation mark where none can be.
    """
    return next(csv.reader([record], delimiter=delimiter, strict=True), [])


def read_header(first: bytes, delimiter: str) -> Dialect:
    """Return the dialect of a file whose first record is ``first`` (UTF-8).

    Raises:
        BadFile: the record can't be a header.
    """
    try:
        header = cells(first.decode().removeprefix("\ufeff"), delimiter)
    except (csv.Error, UnicodeDecodeError):
        raise BadFile(
            "The header can't be read: a quotation mark stands inside a name, or a stray carriage return.",
            where="line 1",
            remedy="Put names that hold quotation marks into quotes and double the marks.",
        ) from None
    named = [name for name in header if name.strip()]
    if not named:
        raise BadFile(
            "The header names no column.", where="line 1", remedy="The first line must name the columns."
        )
    if all(NUMBER.fullmatch(name.replace(",", ".")) for name in named):
        raise BadFile(
            "The file has no header: its first line holds numbers only.",
            where="line 1",
            remedy="Put the names of the columns on the first line.",
        )
    return Dialect(delimiter, header)
