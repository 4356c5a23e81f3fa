"""Decide whether a column holds card numbers: by how many of its numbers pass Luhn's check, against how many would by
chance.

Of numbers that aren't cards' one in ten passes. So among ``n`` different numbers that begin and are as long as cards',
``k`` pass by chance with the binomial probability P(X ≥ k), X ~ B(n, 0.1); a column holds cards where that is too small
to be believed. Forty of a hundred have 2e-15; of a column of order numbers one in ten passes, and it is let be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from screening.cards.finding import candidates, says_card
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

    def add(self, *, valid: bool) -> None:
        self.trials += 1
        self.passed += valid

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
    """The row in which the first number stands that passes, from 1."""
    _known: set[str] = field(default_factory=set)

    def add(self, text: str) -> bool:
        """Take a cell into account; gives whether the first number that passes appears in it."""
        before = self.every.passed
        for one in candidates(text):
            if one.digits in self._known:
                continue
            if len(self._known) >= MOST_DISTINCT:
                self._known.clear()
                for count in (self.every, self.said):
                    count.trials //= 2
                    count.passed //= 2
            self._known.add(one.digits)
            self.every.add(valid=one.valid)
            if self.named or one.said:
                self.said.add(valid=one.valid)
        return self.where is None and self.every.passed > before

    def holds_cards(self, *, at_end: bool) -> bool:
        """Return whether chance can be ruled out; ``at_end``: no more will come."""
        if self.every.improbable(SURE) or self.said.improbable(SURE):
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

    def __init__(self, header: Sequence[str], watched: Iterable[int]) -> None:
        self._header = header
        self._seen: dict[int, CardEvidence] = {}
        self.watch(watched)

    @property
    def watched(self) -> tuple[int, ...]:
        """The places of the columns that are watched."""
        return tuple(self._seen)

    def watch(self, places: Iterable[int]) -> None:
        """Watch further columns."""
        for place in places:
            self._seen.setdefault(place, CardEvidence(says_card(self._header[place])))

    def add(self, place: int, texts: Iterable[str], row_of: Callable[[str], int]) -> None:
        """Take some cells of a column into account; ``row_of`` gives the row of one, from 1."""
        seen = self._seen[place]
        for text in texts:
            if seen.add(text):
                seen.where = row_of(text)

    def add_rows(self, rows: Iterable[Sequence[str]]) -> None:
        """Take some rows into account; shorter ones as far as they go."""
        for row in rows:
            for place, seen in self._seen.items():
                if place < len(row):
                    seen.add(row[place])

    def found(self, *, at_end: bool = True) -> tuple[int, ...]:
        """Return the places of the columns that hold card numbers."""
        return tuple(place for place, seen in self._seen.items() if seen.holds_cards(at_end=at_end))

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
            for place, seen in self._seen.items()
            if seen.doubtful
        ]
