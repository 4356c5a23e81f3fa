"""Decide whether a column holds card numbers: by how many of its numbers pass Luhn's check, against how many would by
chance.

Of numbers that aren't cards' one in ten passes. So among ``n`` different numbers that begin and are as long as cards',
``k`` pass by chance with the binomial probability P(X ≥ k), X ~ B(n, 0.1); a column holds cards where that is too small
to be believed. Forty of a hundred have 2e-15; of a column of order numbers one in ten passes, and it is let be.

The evidence of two parts of a table can be put together, and tells what the whole tells. A number that was seen is kept
as a hash with a key that is drawn for each table: no digit travels with the evidence.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Self

from screening.cards.finding import as_shown, candidates, says_card
from screening.cards.masking import masked
from screening.errors import CardNumbersFound

# One digit in ten is right by chance.
CHANCE = 0.1
LEAST_SHARE = 0.25
# The bound is strict because the question is asked again and again: a file has hundreds of blocks and
# columns.
SURE = 1e-9
SURE_AT_END = 1e-6
# Up to five different numbers, which may be all that a file has, can't be surer: three of three pass.
SURE_OF_FEW, FEW = 1.001e-3, 5
# Where the column's name, the writing or a word beside it says card, less evidence is enough: one of one, or
# two of two.
SURE_IF_SAID = 1.5e-3
# Numbers after which older ones count half, so that cards which begin far down in a file are found too.
MOST_DISTINCT = 4096
KEY_BYTES = MARK_BYTES = 16
VALID, SAID = 1, 2
"""Of a number that was seen: whether it passes the check, and whether something says that it is a card's."""


def by_chance(trials: int, passed: int) -> float:
    """Return P(X ≥ passed) for X ~ B(trials, 0.1)."""
    ways = math.lgamma(trials + 1) - math.lgamma(passed + 1) - math.lgamma(trials - passed + 1)
    term = math.exp(ways + passed * math.log(CHANCE) + (trials - passed) * math.log1p(-CHANCE))
    total, at = term, passed
    while at < trials and term > total * 1e-12:
        term *= (trials - at) / (at + 1) * CHANCE / (1 - CHANCE)
        at += 1
        total += term
    return total


@dataclass(slots=True)
class _Count:
    """Number of different numbers, and of those that passed."""

    trials: int = 0
    passed: int = 0

    def add(self, *, valid: bool, times: int = 1) -> None:
        self.trials += times
        self.passed += times * valid

    def halve(self) -> None:
        self.trials //= 2
        self.passed //= 2

    def with_those_of(self, other: _Count) -> _Count:
        return _Count(self.trials + other.trials, self.passed + other.passed)

    def improbable(self, limit: float) -> bool:
        enough = self.passed and self.passed >= LEAST_SHARE * self.trials
        return bool(enough) and by_chance(self.trials, self.passed) <= limit


@dataclass(slots=True)
class CardEvidence:
    """Findings about one column."""

    named: bool
    """Whether the column's name says card."""
    every: _Count = field(default_factory=_Count)
    said: _Count = field(default_factory=_Count)
    where: int | None = None
    """The row in which the first number stands that passes, from 1; ``None`` where that isn't known."""
    sure: bool = False
    """Whether chance was ruled out at any time, whatever came later."""
    key: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_BYTES), repr=False)
    known: dict[bytes, int] = field(default_factory=dict, repr=False)
    """What the numbers are that were seen, by keyed hashes of them."""

    def add(self, text: str) -> bool:
        """Take a cell into account; gives whether the first number that passes appears in it."""
        before = self.every.passed
        for one in candidates(as_shown(text)):
            mark = blake2b(one.digits.encode("ascii"), key=self.key, digest_size=MARK_BYTES).digest()
            self._take(mark, VALID * one.valid | SAID * (self.named or one.said))
        return self.where is None and self.every.passed > before

    def _take(self, mark: bytes, bits: int) -> None:
        """Count a number that wasn't seen before, or of which nothing said before that it is a card's."""
        seen = self.known.get(mark)
        if seen is None and len(self.known) >= MOST_DISTINCT:
            self.age()
        valid = bool(bits & VALID)
        if seen is None:
            self.every.add(valid=valid)
        if bits & SAID and not (seen or 0) & SAID:
            self.said.add(valid=valid)
        self.known[mark] = bits | (seen or 0)

    def age(self) -> None:
        """Have the numbers so far count half, so that later ones are seen."""
        self.known.clear()
        self.every.halve()
        self.said.halve()

    def merged(self, other: Self) -> Self:
        """Return the evidence of both parts of a column, which have one key.

        It is that of the whole column, wherever it was cut, up to :data:`MOST_DISTINCT` different numbers.
        """
        every, said = self.every.with_those_of(other.every), self.said.with_those_of(other.said)
        known = dict(self.known)
        for mark, bits in other.known.items():
            seen = known.get(mark)
            if seen is not None:
                every.add(valid=bool(bits & VALID), times=-1)
                if seen & bits & SAID:
                    said.add(valid=bool(bits & VALID), times=-1)
            known[mark] = bits | (seen or 0)
        where = other.where if self.where is None else self.where
        both = type(self)(self.named, every, said, where, self.sure or other.sure, self.key, known)
        both.rule_out()
        if len(known) > MOST_DISTINCT:
            both.age()
        return both

    def rule_out(self) -> None:
        """Note if chance can be ruled out by now."""
        self.sure = self.sure or self.every.improbable(SURE) or self.said.improbable(SURE)

    def holds_cards(self, *, at_end: bool) -> bool:
        """Return whether chance can be ruled out; ``at_end``: no more will come."""
        self.rule_out()
        if self.sure:
            return True
        if not at_end:
            return False
        said = self.said
        if said.trials <= 2:
            told = 0 < said.trials == said.passed
        else:
            told = said.improbable(SURE_IF_SAID if said.trials <= 4 * FEW else SURE_AT_END)
        return told or self.every.improbable(SURE_OF_FEW if self.every.trials <= FEW else SURE_AT_END)

    @property
    def doubtful(self) -> bool:
        """Return whether a few numbers appear in it of which some may be a card's: too few to tell."""
        return self.every.passed > 0 and self.every.trials <= FEW


class CardColumns:
    """Watches some columns of a table."""

    def __init__(self, header: Sequence[str], watched: Iterable[int], key: bytes | None = None) -> None:
        """Say which columns are watched.

        Args:
            header: the names of all.
            watched: places of those that are watched.
            key: by which numbers are kept; the same one for all parts of a table.
        """
        self._header = header
        self._key = secrets.token_bytes(KEY_BYTES) if key is None else key
        self.seen: dict[int, CardEvidence] = {}
        """Evidence by the places of the columns."""
        self.watch(watched)

    @property
    def watched(self) -> tuple[int, ...]:
        """The places of the columns that are watched."""
        return tuple(self.seen)

    def watch(self, places: Iterable[int]) -> None:
        """Watch further columns."""
        for place in places:
            if place not in self.seen:
                self.seen[place] = CardEvidence(says_card(self._header[place]), key=self._key)

    def merged(self, other: Self) -> Self:
        """Return the evidence of both parts of a table, which have one key."""
        both = type(self)(self._header, (), self._key)
        both.seen = dict(self.seen)
        for place, seen in other.seen.items():
            mine = both.seen.get(place)
            both.seen[place] = seen if mine is None else mine.merged(seen)
        return both

    def add(self, place: int, texts: Iterable[str], row_of: Callable[[str], int | None]) -> None:
        """Take some cells of a column into account; ``row_of`` gives the row of one, from 1."""
        seen = self.seen[place]
        for text in texts:
            if seen.add(text):
                seen.where = row_of(text)

    def add_rows(self, rows: Iterable[Sequence[str]]) -> None:
        """Take some rows into account; shorter ones as far as they go."""
        for row in rows:
            for place, seen in self.seen.items():
                if place < len(row):
                    seen.add(row[place])

    def found(self, *, at_end: bool = True) -> tuple[int, ...]:
        """Return the places of the columns that hold card numbers."""
        return tuple(sorted(place for place, seen in self.seen.items() if seen.holds_cards(at_end=at_end)))

    def check(self, *, at_end: bool = True) -> None:
        """Refuse a table of card numbers. No digit is shown.

        Raises:
            CardNumbersFound: some columns hold them.
        """
        if places := self.found(at_end=at_end):
            raise CardNumbersFound.of([self.name(place) for place in places], places)

    def name(self, place: int) -> str:
        """Return the name of a column as messages give it."""
        return masked(self._header[place].strip()) or f"number {place + 1}"

    @property
    def notes(self) -> list[str]:
        """Notes on columns that hold too few such numbers to tell."""
        return [
            f"Column {self.name(place)} may hold a card number"
            + (f" in row {seen.where:,}" if seen.where else "")
            + ": one in ten numbers of such a form passes the check by chance, so it was kept as it stands."
            for place, seen in self.seen.items()
            if seen.doubtful
        ]
