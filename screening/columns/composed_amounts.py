"""Which columns of a file seem to make an amount together: debit and credit, or a number and a word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from screening.columns.file_columns import FileColumn
from screening.columns.made import HARDLY, LIKELY, PERHAPS, SURE, Made
from screening.columns.profiles import MOSTLY
from screening.columns.vocabulary import WORDS
from screening.transactions.composition import Composition, Part, direction_of
from screening.transactions.missing import missing
from screening.transactions.schema import Role

HALF = 0.5
MOST_WORDS = 12
"""Different cells of a column that says debit or credit."""
TYPES = frozenset({"type", "tipo", "soort", "art", "kind"})
"""Names of columns that may say anything."""
LETTERS = (frozenset("sh"), frozenset("dc"), frozenset("dh"))
"""Names as ``S/H``: Soll and Haben, debit and credit, debe and haber."""
SIGNS = {"+", "-"}
"""Cells that mean nothing else."""


def pairs(columns: Sequence[FileColumn]) -> Iterator[Made]:
    """Debit and credit: two columns of numbers, one of which is filled in each row."""
    debits = [each for each in columns if _only(each, Part.DEBIT, Part.CREDIT)]
    credits_ = [each for each in columns if _only(each, Part.CREDIT, Part.DEBIT)]
    for debit, credit in product(debits, credits_):
        both = (debit, credit)
        if not any(each.known.filled for each in both):
            continue
        read = [each.known.number if each.known.filled else 1.0 for each in both]
        fits = min(read) >= MOSTLY and _one_of_both(debit.cells, credit.cells) >= MOSTLY
        rests = (debit.rest(Part.DEBIT), credit.rest(Part.CREDIT))
        composition = Composition(((Part.DEBIT, debit.name), (Part.CREDIT, credit.name)))
        if fits:
            yield Made(composition, SURE if rests[0] == rests[1] else LIKELY)
        elif min(read) >= HALF and not any(rests):  # by their names they are nothing else
            yield Made(composition, HARDLY)


def _only(column: FileColumn, part: Part, other: Part) -> bool:
    return column.called(part) and not column.called(other)


def _one_of_both(first: Sequence[str], second: Sequence[str]) -> float:
    """The share of rows in which just one of two cells holds an amount."""
    pairs = [(_filled(one), _filled(other)) for one, other in zip(first, second, strict=True)]
    return sum(one != other for one, other in pairs) / max(len(pairs), 1)


def _filled(cell: str) -> bool:
    return not missing(cell) and any(map("123456789".__contains__, cell))


def with_words(columns: Sequence[FileColumn], known: str | None) -> Iterator[Made]:
    """An amount, and a column that says debit or credit."""
    words = [(each, score) for each in columns if (score := says_direction(each))]
    if not words:
        return
    amounts = [
        each
        for each in columns
        if (each.name == known if known else _amount_word(each))
        and each.known.number >= MOSTLY
        and each.known.filled
        and not each.known.blanks
    ]
    if not amounts:
        return
    amount = max(amounts, key=lambda each: (each.known.whole < 1, -each.place))
    for each, score in words:
        if each is amount:
            continue
        composition = Composition(((Part.AMOUNT, amount.name), (Part.DIRECTION, each.name)))
        yield Made(composition, score if _one_sign(amount, each) else min(score, LIKELY))


def says_direction(column: FileColumn) -> float:
    """How sure it is that a column says whether money leaves or comes in; 0 where it doesn't."""
    if not column.different - {""} or len(column.different) > MOST_WORDS:
        return 0.0
    said = [way for cell in column.cells if (way := direction_of(cell)) is not None]
    either = column.called(Part.DEBIT) or column.called(Part.CREDIT)
    both = (column.called(Part.DEBIT) and column.called(Part.CREDIT)) or column.words in LETTERS
    if len(said) < MOSTLY * len(column.cells):  # blanks may mean the other way; other words are asked about
        return HARDLY if both or (said and column.called(Part.DIRECTION)) else 0.0
    if either or column.called(Part.DIRECTION) or both or column.different == SIGNS:
        return SURE
    if len(set(said)) == 1:
        return 0.0
    return LIKELY if column.words & TYPES or any(len(cell) > 1 for cell in column.different) else PERHAPS


def _one_sign(amount: FileColumn, word: FileColumn) -> bool:
    """Whether a sign, where an amount has one, says the same as the word beside it in nearly every row."""
    read = amount.known.numbers
    ways = np.array([direction_of(cell) or 0.0 for cell in word.cells])
    minus = [(read < 0)[(ways == way) & (read != 0)] for way in (1.0, -1.0)]
    return all(min(each.mean(), 1 - each.mean()) <= 1 - MOSTLY for each in minus if len(each))


def _amount_word(column: FileColumn) -> bool:
    return bool(column.words & (WORDS[Role.AMOUNT] - {"purchase"}))
