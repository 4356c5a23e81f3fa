"""Find columns of a file that make an amount together: debit and credit, or a number and a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from screening.columns.file_columns import PART_NAMES, FileColumn
from screening.columns.made import HARDLY, LIKELY, PERHAPS, SURE, CompositionGuess
from screening.columns.profiles import MOSTLY
from screening.columns.vocabulary import WORDS, words_of
from screening.transactions.composition import MOST_WORDS, Composition, ValuePart, direction_of
from screening.transactions.missing import missing
from screening.transactions.schema import Role

HALF = 0.5
TYPES = frozenset({"type", "tipo", "soort", "art", "kind"})
"""Names of columns that may say anything."""
LETTERS = (frozenset("sh"), frozenset("dc"), frozenset("dh"))
"""Names as ``S/H``: Soll and Haben, debit and credit, debe and haber."""
SIGNS = {"+", "-"}
"""Cells that mean nothing else."""
CLEAR = (PART_NAMES[ValuePart.DEBIT] | PART_NAMES[ValuePart.CREDIT]) - {"in", "out", "af", "bij"}
"""Words that mean nothing else, where a column has them and blanks."""


def pairs(columns: Sequence[FileColumn]) -> Iterator[CompositionGuess]:
    """Yield debit and credit: two columns of numbers, one of which is filled in each row."""
    debits = [each for each in columns if called_only(each, ValuePart.DEBIT, ValuePart.CREDIT)]
    credits_ = [each for each in columns if called_only(each, ValuePart.CREDIT, ValuePart.DEBIT)]
    for debit, credit in product(debits, credits_):
        both = (debit, credit)
        if not any(each.known.filled for each in both):
            continue
        read = [each.known.number if each.known.filled else 1.0 for each in both]
        fits = min(read) >= MOSTLY and _one_of_both(debit.cells, credit.cells) >= MOSTLY
        rests = (debit.rest(ValuePart.DEBIT), credit.rest(ValuePart.CREDIT))
        composition = Composition(((ValuePart.DEBIT, debit.name), (ValuePart.CREDIT, credit.name)))
        if fits:
            yield CompositionGuess(composition, SURE if rests[0] == rests[1] else LIKELY)
        elif min(read) >= HALF and not any(rests):  # by their names they are nothing else
            yield CompositionGuess(composition, HARDLY)


def called_only(column: FileColumn, part: ValuePart, other: ValuePart) -> bool:
    """Return whether a column is called like one part and not like the other, too."""
    return column.called(part) and not column.called(other)


def _one_of_both(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the share of rows in which just one of two cells holds an amount."""
    pairs = [(holds_amount(one), holds_amount(other)) for one, other in zip(first, second, strict=True)]
    return sum(one != other for one, other in pairs) / max(len(pairs), 1)


def holds_amount(cell: str) -> bool:
    """Return whether a cell holds a number other than zero."""
    return not missing(cell) and any(map("123456789".__contains__, cell))


def with_words(columns: Sequence[FileColumn], known: str | None) -> Iterator[CompositionGuess]:
    """Yield an amount, and a column that says debit or credit."""
    words = [(each, score) for each in columns if (score := says_direction(each.name, each.counts))]
    if not words:
        return
    amounts = [
        each
        for each in columns
        if (each.name == known if known else each.words & (WORDS[Role.AMOUNT] - {"purchase"}))
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
        composition = Composition(((ValuePart.AMOUNT, amount.name), (ValuePart.DIRECTION, each.name)))
        yield CompositionGuess(composition, score if _one_sign(amount, each) else min(score, LIKELY))


def says_direction(name: str, counts: Mapping[str, int]) -> float:
    """Return how sure it is that a column says whether money leaves or comes in; 0 where it doesn't.

    Args:
        name: the column's.
        counts: how often each of its cells appears in it, as :func:`plain_word` has them.
    """
    said, blank = direction_words(counts)
    if len(blank) == len(counts) or len(counts) - len(blank) > MOST_WORDS:
        return 0.0
    words = frozenset(words_of(name))
    named = {
        part for part in (ValuePart.DEBIT, ValuePart.CREDIT, ValuePart.DIRECTION) if words & PART_NAMES[part]
    }
    both = {ValuePart.DEBIT, ValuePart.CREDIT} <= named or words in LETTERS
    rows, known = sum(counts.values()), sum(map(counts.__getitem__, said))
    two_ways = len({direction_of(word) for word in said}) == 2
    # blanks may mean the other way; other words are asked about
    if known < MOSTLY * rows:
        clearly = {direction_of(word) for word in said & CLEAR}
        if both or (known and ValuePart.DIRECTION in named) or (len(clearly) == 2 and known >= HALF * rows):
            return HARDLY
        filled = rows - sum(map(counts.__getitem__, blank))
        clear = named or two_ways or words & TYPES or said & CLEAR
        return HARDLY if known >= MOSTLY * filled and clear else 0.0
    if named or both or set(counts) == SIGNS:
        return SURE
    if not two_ways:
        return 0.0
    return LIKELY if words & TYPES or any(len(word) > 1 for word in counts) else PERHAPS


def says_one_way(counts: Mapping[str, int]) -> bool:
    """Return whether some cells say one way only, beside others perhaps, or nothing: rows further down may say the
    other.
    """
    said, blank = direction_words(counts)
    only = len({direction_of(word) for word in said}) <= 1
    return only and len(counts) - len(blank) <= MOST_WORDS and (bool(said) or len(blank) == len(counts))


def direction_words(counts: Mapping[str, int]) -> tuple[set[str], set[str]]:
    """Return the words that say which way the money goes, and those that say nothing."""
    said = {word for word in counts if direction_of(word) is not None}
    return said, {word for word in counts if word not in said and missing(word)}


def _one_sign(amount: FileColumn, word: FileColumn) -> bool:
    """Return whether a sign, where an amount has one, says the same as the word beside it in nearly every row."""
    read = amount.known.numbers
    ways = np.array([direction_of(cell) or 0.0 for cell in word.cells])
    minus = [(read < 0)[(ways == way) & (read != 0)] for way in (1.0, -1.0)]
    return all(min(each.mean(), 1 - each.mean()) <= 1 - MOSTLY for each in minus if len(each))
