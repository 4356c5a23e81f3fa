"""Text that a spreadsheet would run as a formula (CWE-1236) is written with an apostrophe before it; numbers are not.

Almost all blocks hold nothing of the kind, so whole blocks are cleared at once and only the others are taken apart.
"""

from __future__ import annotations

import csv
import io
import re

import numpy as np
from numpy.typing import NDArray

from screening.intake.dialect import cells
from screening.intake.numbers import NUMBER, NUMBER_WITH_COMMA
from screening.intake.records import ends

_FORMULA = re.compile(r"[ ]*[=+\-@\t\r]")
_NUMERIC = b'0123456789.,eE+-\r\n "'


def _table(chars: bytes) -> NDArray[np.bool_]:
    table = np.zeros(256, bool)
    table[list(chars)] = True
    return table


_SIGNS = (ord("+"), ord("-"))
_BEGINS = _table(b',\n" ')
_EXPONENT = _table(b"eE")
_DIGIT = _table(b"0123456789.")
_STARTERS = _table(b"=@\t\r+-")
_IN_NUMBER = _table(b"0123456789.eE+- ")
_ENDS = _table(b',\r\n"')


def without_formulas(data: bytes) -> bytes:
    """Whole records (UTF-8, commas) with an apostrophe before each cell that begins as a formula and is no number."""
    codes = np.frombuffer(data, np.uint8)
    only_numeric = not data.translate(None, _NUMERIC)
    clear = _signs_fit(codes) if only_numeric else _starts_fit(codes)
    return data if clear else _protected(data)


def safe(cell: str) -> str:
    """``cell`` as it can stand in a file that a spreadsheet opens."""
    if _FORMULA.match(cell) and not NUMBER.fullmatch(cell) and not NUMBER_WITH_COMMA.fullmatch(cell):
        return "'" + cell
    return cell


def _signs_fit(codes: NDArray[np.uint8]) -> bool:
    """Whether each sign begins a number or an exponent, in a block of nothing but the characters of numbers."""
    at = np.flatnonzero((codes == _SIGNS[0]) | (codes == _SIGNS[1]))
    return _each_fits(codes, at)


def _each_fits(codes: NDArray[np.uint8], at: NDArray[np.int64]) -> bool:
    before = codes[np.maximum(at - 1, 0)]
    after = codes[np.minimum(at + 1, len(codes) - 1)]
    begins = (_BEGINS[before] | (at == 0)) & _DIGIT[after]
    return bool((begins | _EXPONENT[before]).all())


def _starts_fit(codes: NDArray[np.uint8]) -> bool:
    """Whether no cell of a block begins as a formula, numbers apart."""
    at = np.flatnonzero(_STARTERS[codes])
    begins = _BEGINS[codes[np.maximum(at - 1, 0)]] | (at == 0)
    following = codes[np.minimum(at + 1, len(codes) - 1)]
    at = at[begins & ~((codes[at] == ord("\r")) & (following == ord("\n")))]
    found = codes[at]
    if (
        not ((found == _SIGNS[0]) | (found == _SIGNS[1])).all()
        or not _DIGIT[codes[np.minimum(at + 1, len(codes) - 1)]].all()
    ):
        return False
    return _run_to_the_end(codes, at)


def _run_to_the_end(codes: NDArray[np.uint8], starts: NDArray[np.int64]) -> bool:
    """Whether what begins with a sign at ``starts`` is a number to the end of its cell, with signs in exponents only."""
    foreign = np.append(np.flatnonzero(~_IN_NUMBER[codes]), len(codes))
    stops = foreign[np.searchsorted(foreign, starts)]
    if not (_ENDS[codes[np.minimum(stops, len(codes) - 1)]] | (stops == len(codes))).all():
        return False
    signs = np.flatnonzero((codes == _SIGNS[0]) | (codes == _SIGNS[1]))
    inner = signs[np.searchsorted(starts, signs, side="right") > 0]
    owner = np.searchsorted(starts, inner, side="right") - 1
    inner = inner[(inner > starts[owner]) & (inner < stops[owner])] if len(starts) else inner
    return bool(_EXPONENT[codes[inner - 1]].all())


def _protected(data: bytes) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    start = 0
    for stop in ends(data, quoted=b'"' in data).tolist():
        record = data[start:stop].decode()
        row = cells(record.rstrip("\r\n"), ",")
        kept = [safe(cell) for cell in row]
        if kept == row:
            out.write(record)
        else:
            writer.writerow(kept)
        start = stop
    return out.getvalue().encode()
