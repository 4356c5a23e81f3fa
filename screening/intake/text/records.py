"""Find the beginnings and ends of records. Quotation marks are counted, so a newline inside a cell ends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.intake.batch import ReadLimits

QUOTE, NEWLINE, RETURN = ord('"'), ord("\n"), ord("\r")
BLANK = b" \r\n"


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records, as bytes. ``overlong`` marks what never came to an end within the longest record."""

    data: bytes
    quotes: int
    """Number of quotation marks in it."""
    overlong: bool = False
    last: bool = False

    @property
    def unclosed(self) -> bool:
        """Return whether a quotation mark is opened in it and not closed."""
        return self.quotes % 2 == 1

    def ends(self) -> NDArray[np.int64]:
        """Return the end of each record: see :func:`ends`."""
        return ends(self.data, quoted=self.quotes > 0)

    def marks(self, delimiter: str) -> RecordEnds:
        """Return all that must be known of it before it is read: see :func:`marks_of`."""
        return marks_of(self.data, delimiter, quoted=self.quotes > 0)


def blocks(
    pieces: Iterator[bytes],
    limits: ReadLimits,
    delimiter: str = "",
    left_out: Callable[[int], None] = lambda _rows: None,
) -> Iterator[Block]:
    """Cut the pieces of a file again at the ends of records. Empty lines at the end of the file are dropped.

    With a ``delimiter`` so are rows of nothing but it, as spreadsheets leave them: ``left_out`` gets their count.
    """
    rest = b""
    blank = BLANK + delimiter.encode()
    for piece in pieces:
        block, rest = cut_records(rest, piece, blank)
        if block:
            yield block
        if len(rest) > limits.record:
            # not read any further: all that follows could be one record, and fill the memory
            yield Block(rest, count_quotes(rest), overlong=True)
            return
    kept = rest if rest.strip(blank) else b""
    if kept:
        solid = len(rest.rstrip(blank))
        end = rest.find(b"\n", solid)
        kept = rest if end < 0 else rest[: end + 1]
        yield Block(kept, count_quotes(kept), last=True)
    if delimiter:
        empty = sum(delimiter.encode() in line for line in rest[len(kept) :].splitlines())
        if empty:
            left_out(empty)


@dataclass(frozen=True, slots=True)
class RecordEnds:
    """Ends of the records (records,), number of newlines, and place of the first stray quotation mark."""

    ends: NDArray[np.int64]
    newlines: int
    stray: int | None


def marks_of(data: bytes, delimiter: str, *, quoted: bool) -> RecordEnds:
    """Return all that must be known of a block before it is read, in one look at it: see :func:`ends`,
    :func:`stray_quote`.
    """
    codes = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(codes == NEWLINE) + 1
    quotes = np.flatnonzero(codes == QUOTE) if quoted else None
    stray = None if quotes is None else _stray(codes, quotes, delimiter)
    return RecordEnds(ends_outside_quotes(len(codes), newlines, quotes), len(newlines), stray)


def ends(data: bytes, *, quoted: bool) -> NDArray[np.int64]:
    """Return the end of each record: past its newline, or the end of ``data`` for a last one without; (records,)."""
    codes = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(codes == QUOTE) if quoted else None
    return ends_outside_quotes(len(codes), np.flatnonzero(codes == NEWLINE) + 1, quotes)


def ends_outside_quotes(
    size: int, newlines: NDArray[np.int64], quotes: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Return the places past newlines that stand outside of quotes, and the end."""
    # a newline behind an odd number of quotation marks is inside of a cell
    found = newlines if quotes is None else newlines[np.searchsorted(quotes, newlines) % 2 == 0]
    return found if len(found) and found[-1] == size else np.append(found, size)


def cut_records(rest: bytes, piece: bytes, blank: bytes) -> tuple[Block | None, bytes]:
    """Return the whole records of ``rest`` and of the piece that follows it, if any, and what is left."""
    quotes = count_quotes(rest) + count_quotes(piece)
    end = piece.rfind(b"\n") + 1
    # an even number of quotation marks before the last newline: it ends a record
    before = quotes - piece.count(b'"', end)
    if before % 2 == 0 and (cut := end_before_blanks(piece, end, blank)):
        # the last newline ends a record, as mostly: the bytes are copied once
        return Block(b"".join((rest, memoryview(piece)[:cut])), before), piece[cut:]
    data = rest + piece
    cut = last_end(data, quotes, blank)
    left = data[cut:]
    return Block(data[:cut], quotes - count_quotes(left)) if cut else None, left


def count_quotes(data: bytes) -> int:
    """Count the quotation marks: ten times as fast where there are none."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == QUOTE)) if b'"' in data else 0


def first_end(data: bytes) -> int:
    """Return the end of the first record; the length of ``data`` when none ends."""
    at = -1
    while True:
        at = data.find(b"\n", at + 1)
        if at < 0:
            return len(data)
        if data.count(b'"', 0, at) % 2 == 0:
            return at + 1


def stray_quote(data: bytes, delimiter: str) -> int | None:
    """Return the place of the first quotation mark that neither opens nor closes a cell nor is doubled; else ``None``.

    Without such a mark, counting tells inside from outside exactly; with one, nothing after it is certain.
    """
    codes = np.frombuffer(data, np.uint8)
    return _stray(codes, np.flatnonzero(codes == QUOTE), delimiter)


def _stray(codes: NDArray[np.uint8], at: NDArray[np.int64], delimiter: str) -> int | None:
    edge = np.zeros(256, bool)
    # the mark itself, too: two in a row stand for one inside of a cell
    edge[[ord(delimiter), NEWLINE, RETURN, QUOTE]] = True
    opening, closing = at[0::2], at[1::2]
    before, after = codes[np.maximum(opening - 1, 0)], codes[np.minimum(closing + 1, len(codes) - 1)]
    wrong_open = opening[~edge[before] & (opening > 0)]
    wrong_close = closing[~edge[after] & (closing < len(codes) - 1)]
    found = np.concatenate([wrong_open, wrong_close])
    return int(found.min()) if len(found) else None


def last_end(data: bytes, quotes: int, blank: bytes) -> int:
    """Return the end of the last complete record that is more than blanks; 0 when there is none."""
    cut = data.rfind(b"\n") + 1
    if cut and quotes:
        found = ends(data, quoted=True)
        # then the last end is that of the data, and of no whole record
        found = found[: -1 if data[-1] != NEWLINE or quotes % 2 else None]
        cut = int(found[-1]) if len(found) else 0
    return end_before_blanks(data, cut, blank)


def end_before_blanks(data: bytes, cut: int, blank: bytes) -> int:
    """Return the end of the last record of ``data[:cut]`` that is more than blanks; 0 when none is."""
    # the length without blanks and empty lines at the end, which is looked at first
    near = max(cut - 64, 0)
    end = len(data[near:cut].rstrip(blank))
    solid = near + end if end else len(data[:near].rstrip(blank))
    return data.find(b"\n", solid, cut) + 1 if solid else 0
