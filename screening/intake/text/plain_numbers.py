"""Take the cells of a column of numbers as evidence, all at once: one by one a column of thirty would cost as much as
scoring it.

Plain cells, digits with a sign before them and at most one point or comma, are told apart by counting bytes. All others
are taken one by one, each different one once.
"""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.intake.evidence import EXAMPLES, NumberEvidence
from screening.intake.numbers import DigitLayout

Ints = NDArray[np.int64]
MARK, SIGN, ODD, SIGNIFICANT = 1, 1 << 8, 1 << 16, 1 << 24
"""What a byte counts as, so that one sum over a cell counts them all: a point or comma, a sign, anything else that no
plain number has, a digit from 1 to 9; a zero counts as nothing."""
LONGEST = 255
"""Bytes of the longest cell whose counts are right; a block with a longer one is taken cell by cell."""
WEIGHTS = np.full(256, ODD, np.int64)
WEIGHTS[ord("0")] = 0
WEIGHTS[list(b"123456789")] = SIGNIFICANT
WEIGHTS[list(b".,")] = MARK
WEIGHTS[list(b"+-")] = SIGN
THOUSAND = 3
"""Digits from which on a number without a mark is one of thousands; and as many stand behind a mark that parts them."""


def take_numbers(seen: NumberEvidence, cells: Any) -> None:
    """Add the cells of a column, an Arrow array of texts without nulls, as if each were added by itself."""
    if not len(cells):
        return
    writings = (
        DigitLayout.INTEGER,
        DigitLayout.POINT,
        DigitLayout.LONE_POINT,
        DigitLayout.COMMA,
        DigitLayout.LONE_COMMA,
    )
    kinds, zeros, long = told_apart(cells)
    plain = kinds >= 0
    counts = np.bincount(kinds[plain], minlength=len(writings))
    examples: list[tuple[int, DigitLayout, str]] = []
    for kind in np.flatnonzero(counts).tolist():
        writing = writings[kind]
        seen.writings[writing] += int(counts[kind])
        if len(seen.shown.get(writing, ())) < EXAMPLES:
            examples += [(place, writing, text) for place, text in firsts(cells, kinds == kind, EXAMPLES)]
    seen.others += int(np.count_nonzero(plain & ~zeros))
    whole = kinds == 0
    seen.large += int(np.count_nonzero(whole & long))
    seen.small += int(np.count_nonzero(whole & ~long))
    odd: dict[int, tuple[str, int]] = {}
    if not plain.all():
        places = np.flatnonzero(~plain)
        texts = cells.take(import_module("pyarrow").array(places)).to_pylist()
        first: dict[str, int] = {}
        for place, text in zip(places.tolist(), texts, strict=True):
            first.setdefault(text, place)
        odd = {first[text]: (text, count) for text, count in Counter(texts).items()}
    shown = {place: (writing, text) for place, writing, text in examples}
    # examples are the first ones, whichever way they were found
    for place in sorted({*odd, *shown}):
        if place in odd:
            seen.add(*odd[place])
        else:
            seen.show(*shown[place])


def told_apart(cells: Any) -> tuple[NDArray[np.int8], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return of each cell, (n,): its writing (0 whole, 1 point, 2 a lone point, 3 comma, 4 a lone comma; -1 for a cell
    that isn't plain); whether it is zero; whether a whole number has more than three digits.
    """
    starts, stops, data = bytes_of(cells)
    if (stops - starts).max(initial=0) > LONGEST:
        # their counts would run over into others'
        nothing = np.zeros(len(cells), bool)
        return np.full(len(cells), -1, np.int8), nothing, nothing
    # a byte behind the last one, which no plain cell has: so each cell has a first one
    weights = np.append(WEIGHTS[data], ODD)
    sums = np.zeros(len(data) + 1, np.int64)
    np.cumsum(weights[:-1], out=sums[1:])
    counted, length = sums[stops] - sums[starts], stops - starts
    marks, signs, odd, significant = ((counted >> shift) & LONGEST for shift in (0, 8, 16, 24))
    signed = (weights[starts] == SIGN).astype(np.int64)
    digits = length - marks - signs
    plain = (odd == 0) & (signs == signed) & (marks <= 1) & (digits > 0)
    marked = np.flatnonzero(plain & (marks == 1))
    # of the marks of all cells, each one's own
    own = np.flatnonzero(weights[:-1] == MARK)[(np.cumsum(marks) - marks)[marked]]
    at = length.copy()
    at[marked] = own - starts[marked]
    before, behind, leading = at - signed, length - at - 1, weights[np.minimum(starts + signed, len(data))]
    # leading zeros don't count as digits of a whole number
    plain &= ~((marks == 0) & (leading == 0) & (digits > THOUSAND))
    lone = (before >= 1) & (before <= THOUSAND) & (behind == THOUSAND) & (leading == SIGNIFICANT)
    comma = np.zeros(len(length), bool)
    comma[marked] = data[own] == ord(",")
    found = np.where(marks == 0, 0, 1 + lone + 2 * comma)
    return np.where(plain, found, -1).astype(np.int8), significant == 0, digits > THOUSAND


def bytes_of(cells: Any) -> tuple[Ints, Ints, NDArray[np.uint8]]:
    """Return where each cell begins and ends, (n,), and the bytes of all."""
    _, offsets, data = cells.buffers()
    ends = np.frombuffer(offsets, np.int32)[cells.offset : cells.offset + len(cells) + 1].astype(np.int64)
    found = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
    ends -= ends[0]
    return ends[:-1], ends[1:], found


def firsts(cells: Any, chosen: NDArray[np.bool_], count: int) -> list[tuple[int, str]]:
    """Return the first different cells of those that are chosen: their places and texts."""
    pa: Any = import_module("pyarrow")
    places = np.flatnonzero(chosen)
    # most columns have other cells in each row: the first few tell
    for some in (places[: 2 * count], places):
        coded = cells.take(pa.array(some)).dictionary_encode()
        if len(coded.dictionary) >= count or len(some) == len(places):
            break
    codes = coded.indices.to_numpy()
    return [
        (int(some[np.argmax(codes == code)]), text)
        for code, text in enumerate(coded.dictionary[:count].to_pylist())
    ]
