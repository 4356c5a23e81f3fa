"""Text that a spreadsheet would run as a formula (CWE-1236) gets an apostrophe before it; numbers do not.

Almost all blocks hold nothing of the kind: they are cleared whole, and only the others are taken apart.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from screening.intake.numbers import NUMBER, NUMBER_WITH_COMMA
from screening.intake.text.dialect import cells
from screening.intake.text.records import NEWLINE, QUOTE, RETURN, ends

# Invisible characters that may stand before a formula: white space of every script, and marks of no width.
_UNSEEN = (
    "\\s\\x00\u00ad\u034f\u061c\u115f\u1160\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0"
)
# First characters of a formula, also in the wide and small forms that a spreadsheet may take for the plain
# ones.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
_FORMULA = re.compile(f"[{_UNSEEN}]*[{_SIGNS}]|[\\t\\r]")
_ODD_CONTROLS = (b"\0", b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x1f")
# A cell that begins with one of these in UTF-8 can't be judged by its bytes: it has to be looked at as text.
_ODD_START = re.compile(
    rb"(?:\A|[,\n\"]) *(?:[\x00\x0b\x0c\x1c-\x1f]|\xc2[\x85\xa0\xad]|\xcd\x8f|\xd8\x9c"
    rb"|\xe1(?:\x85[\x9f\xa0]|\x9a\x80|\xa0[\x8b-\x8e])"
    rb"|\xe2(?:\x80[\x80-\x8f\xa8-\xaf]|\x81[\x9f-\xaf]|\xa0\x80)|\xe3(?:\x80\x80|\x85\xa4)"
    rb"|\xef(?:\xb8[\x80-\x8f]|\xb9[\xa2\xa3\xa6\xab]|\xbb\xbf|\xbc[\x8b\x8d\x9d\xa0]|\xbe\xa0))"
)
_NUMERIC = b'0123456789.,eE+-\r\n "'


def _table(chars: bytes) -> NDArray[np.bool_]:
    table = np.zeros(256, bool)
    table[list(chars)] = True
    return table


_BEGINS = _table(b',\n" ')
_DIGITS = _table(b"0123456789")
_DIGITS_POINT = _table(b"0123456789.")
_DIGITS_SIGNS = _table(b"0123456789+-")
_EXPONENT = _table(b"eE")
_STARTERS = _table(b"=@\t\r+-")
_IN_NUMBER = _table(b"0123456789.eE+- ")
_IN_QUOTED = _table(b"0123456789.,eE+- ")
_ENDS = _table(b",\r\n")


def without_formulas(data: bytes) -> bytes:
    """Return whole records (UTF-8, commas), an apostrophe before each cell that begins as a formula and is no number.

    What begins with a sign and is left as it is holds digits, marks and exponents only: nothing that computes.
    """
    if is_odd(data):
        return protected_block(data)
    codes = np.frombuffer(data, np.uint8)
    only_numeric = not data.translate(None, _NUMERIC) and b'""' not in data
    clear = signs_fit(codes) if only_numeric else starts_fit(codes)
    return data if clear else protected_block(data)


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV: commas, a newline after each row, quotation marks where a cell needs them.

    A lone carriage return is such a need. Python's own writer overlooks it (before 3.13) unless it ends lines by one.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for row in rows:
        writer.writerow(row)
        out.seek(out.tell() - 2)
        out.truncate()
        out.write("\n")
    return out.getvalue()


def is_odd(data: bytes) -> bool:
    """Return whether a block holds what the quick look at bytes doesn't know: a lone carriage return, or an odd
    beginning.
    """
    if b"\r" in data:
        quoted = b',"\r' in data or b'\n"\r' in data or data.startswith(b'"\r')  # a cell that begins with one
        if quoted or data.count(b"\r") != data.count(b"\r\n"):
            return True
    if data.isascii() and not any(control in data for control in _ODD_CONTROLS):
        return False
    return _ODD_START.search(data) is not None


def safe(cell: str) -> str:
    """Return ``cell`` as it can appear in a file that a spreadsheet opens."""
    if _FORMULA.match(cell) and not NUMBER.fullmatch(cell) and not NUMBER_WITH_COMMA.fullmatch(cell):
        return "'" + cell
    return cell


def signs_at(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return where plus and minus signs are."""
    return np.flatnonzero((codes == ord("+")) | (codes == ord("-")))


def exponents_at(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return where the letter of an exponent is."""
    return np.flatnonzero((codes | 0x20) == ord("e"))


def characters_before(codes: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the characters before; a newline before the first."""
    return np.where(at > 0, codes[np.maximum(at - 1, 0)], np.uint8(NEWLINE))


def characters_after(codes: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the characters after; a newline after the last."""
    last = len(codes) - 1
    return np.where(at < last, codes[np.minimum(at + 1, last)], np.uint8(NEWLINE))


def signs_fit(codes: NDArray[np.uint8]) -> bool:
    """Return whether each sign begins a number or an exponent, in a block that holds characters of numbers only."""
    at = signs_at(codes)
    before = characters_before(codes, at)
    fit = (_BEGINS[before] | _EXPONENT[before]) & _DIGITS[characters_after(codes, at)]
    return bool(fit.all()) and exponents_fit(codes, exponents_at(codes))


def exponents_fit(codes: NDArray[np.uint8], at: NDArray[np.int64]) -> bool:
    """Return whether each letter of an exponent stands between a digit and a digit or sign."""
    return bool(
        (_DIGITS_POINT[characters_before(codes, at)] & _DIGITS_SIGNS[characters_after(codes, at)]).all()
    )


def starts_fit(codes: NDArray[np.uint8]) -> bool:
    """Return whether no cell of a block begins as a formula, numbers apart."""
    at = np.flatnonzero(_STARTERS[codes])
    at = at[_BEGINS[characters_before(codes, at)]]
    at = at[(codes[at] != RETURN) | (characters_after(codes, at) != NEWLINE)]
    signed = (codes[at] == ord("+")) | (codes[at] == ord("-"))
    return bool((signed & _DIGITS[characters_after(codes, at)]).all()) and runs_fit(codes, at)


def runs_fit(codes: NDArray[np.uint8], starts: NDArray[np.int64]) -> bool:
    """Return whether what begins with a sign at ``starts`` goes on as a number to the end of its cell.

    In a quoted cell a comma may be part of it (``"-1,5"``), and only the closing mark ends it.
    """
    before = characters_before(codes, starts)
    quoted = before == QUOTE
    if (before == ord(" ")).any() and (codes == QUOTE).any():
        # a quoted cell or not: let the slow way see
        return False
    lines = starts[before == NEWLINE]
    if len(lines) and (marks := codes == QUOTE).any() and (np.cumsum(marks)[lines] % 2).any():
        # a line break inside of a quoted cell, whose beginning it may be
        return False
    stops = np.where(quoted, first_not_of(codes, starts, _IN_QUOTED), first_not_of(codes, starts, _IN_NUMBER))
    ended = _ENDS[characters_after(codes, stops - 1)]
    closed = (characters_after(codes, stops - 1) == QUOTE) & _ENDS[characters_after(codes, stops)]
    if not np.where(quoted, closed, ended).all():
        return False
    inner = inside_runs(signs_at(codes), starts, stops)
    fit = _EXPONENT[characters_before(codes, inner)] & _DIGITS[characters_after(codes, inner)]
    return bool(fit.all()) and exponents_fit(codes, inside_runs(exponents_at(codes), starts, stops))


def first_not_of(
    codes: NDArray[np.uint8], at: NDArray[np.int64], inside: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the place of the first character after each of ``at`` that is not one of ``inside``."""
    foreign = np.append(np.flatnonzero(~inside[codes]), len(codes))
    return foreign[np.searchsorted(foreign, at)]


def inside_runs(
    at: NDArray[np.int64], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return those of ``at`` that stand inside a run, its first character apart."""
    if not len(starts):
        return starts
    run = np.searchsorted(starts, at) - 1
    return at[(run >= 0) & (at < stops[np.maximum(run, 0)])]


def protected_block(data: bytes) -> bytes:
    """Return a block whose cells can't be taken for formulas."""
    parts = []
    start = 0
    for stop in ends(data, quoted=b'"' in data).tolist():
        record = data[start:stop].decode()
        row = cells(record.rstrip("\r\n"), ",")
        kept = [safe(cell) for cell in row]
        parts.append(record if kept == row else csv_text([kept]))
        start = stop
    return "".join(parts).encode()
