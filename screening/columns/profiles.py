"""Profile some cells of a column: how many are numbers, dates or addresses, how often they come back, and when."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from screening.columns.vocabulary import words_of
from screening.errors import BadFile, Undecided
from screening.intake import numbers
from screening.intake.evidence import NumberEvidence, TimeEvidence
from screening.intake.forms import NOTHING_SAID, number_form, time_form
from screening.intake.numbers import NumberForm
from screening.transactions import encoding, times
from screening.transactions.missing import missing
from screening.transactions.times import CellFamily, DateOrder, TimeForm

MOSTLY = 0.98
"""The share of cells that must be of a kind for the column to be of it."""
CALENDAR = frozenset(
    {"date", "datetime", "day", "time", "timestamp", "when", "datum", "fecha", "data", "tag"}
)
"""Words that make digits a date."""
WHOLE = re.compile(r"[+-]?\d+(\.0+)?")
# ``C1000000196``, the hexadecimal digits of a hash, an IBAN: programs write such texts to name somebody.
TOKEN = re.compile(
    r"(?=(?:.*\d){4})[A-Za-z]{0,6}[-_]?\d{4,}|(?=.*\d)[0-9a-f]{8,}|(?=.*\d)[0-9A-F]{8,}|[A-Z]{2}\d{2}[A-Z0-9]{8,30}"
)


@dataclass(frozen=True)
class CellProfile:
    """Profile of some cells of a column."""

    name: str
    words: frozenset[str]
    cells: tuple[str, ...]
    """As they stand, in the order of the rows."""
    blanks: int
    number: float
    whole: float
    time: float
    dotted: float
    """Shares of the cells that aren't blank."""
    values: tuple[str, ...]
    """The different ones."""
    number_form: NumberForm
    time_form: TimeForm

    @property
    def rows(self) -> int:
        return len(self.cells)

    @property
    def distinct(self) -> int:
        return len(self.values)

    @property
    def filled(self) -> int:
        return self.rows - self.blanks

    @property
    def unique(self) -> float:
        """The share of cells that stand once only, of all that aren't blank: 1 where every one is another."""
        return self.distinct / self.filled if self.filled else 0.0

    @property
    def ordered_words(self) -> list[str]:
        """The words of the name, as they follow each other."""
        return words_of(self.name)

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The cells as numbers in the order of the rows, NaN for what is none, (rows,)."""
        return encoding.codes(
            self.cells, lambda text: math.nan if missing(text) else numbers.number(text, self.number_form)
        )

    @cached_property
    def moments(self) -> NDArray[np.float64]:
        """The cells as seconds since 1970 in the order of the rows, NaN for what is no date, (rows,)."""
        return encoding.codes(self.cells, lambda text: times.time_of(text, self.time_form))

    @cached_property
    def tokens(self) -> float:
        """The share of the different cells that look as if a program had written them to name somebody."""
        return sum(TOKEN.fullmatch(value.strip("'\"")) is not None for value in self.values) / max(
            self.distinct, 1
        )


def profile(name: str, texts: Sequence[str]) -> CellProfile:
    """Return what the cells of a column are."""
    filled = [text.strip() for text in texts if not missing(text)]
    words = frozenset(words_of(name))
    number, time = guess_number_form(filled), _time_form(filled)
    count = max(len(filled), 1)
    different = Counter(filled)

    def share(fits: Callable[[str], object]) -> float:
        return sum(often for text, often in different.items() if fits(text)) / count

    return CellProfile(
        name=name,
        words=words,
        cells=tuple(texts),
        blanks=len(texts) - len(filled),
        number=share(lambda text: numbers.number(text, number) is not None),
        whole=share(WHOLE.fullmatch),
        time=share(lambda text: is_date(text, time, words)),
        dotted=share(lambda text: text.count(".") == 3 and encoding.address_code(text) is not None),
        values=tuple(different),
        number_form=number,
        time_form=time,
    )


def guess_number_form(cells: Sequence[str]) -> NumberForm:
    """Guess the form in which some cells write their numbers, as far as they tell."""
    seen = NumberEvidence()
    for text in cells:
        seen.add(text)
    try:
        return number_form("", seen, (), NOTHING_SAID, amount=False)[0]
    except BadFile:
        return numbers.PLAIN


def _time_form(cells: Sequence[str]) -> TimeForm:
    seen = TimeEvidence()
    for text in cells:
        seen.add(text)
    try:
        return time_form("", seen, NOTHING_SAID)[0]
    except Undecided as undecided:
        return TimeForm(DateOrder(undecided.questions[0].readings[0].answer))
    except BadFile:
        return times.AUTO


def is_date(text: str, form: TimeForm, words: frozenset[str]) -> bool:
    """Return whether a cell is a date. Digits alone are one if they make a day, and less than eight if the name says
    so.
    """
    if numbers.number(text) is None:
        return times.time_of(text, form) is not None
    family = times.family_of(text)
    named = bool(words & CALENDAR)
    if family in {CellFamily.DIGITS_8, CellFamily.DIGITS_14} or (
        family in {CellFamily.DIGITS_6, CellFamily.SHEET} and named
    ):
        return times.time_of(text, form) is not None
    return False
