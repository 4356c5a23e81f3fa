"""Evidence from the cells of a column of how it writes its numbers or times.

It grows cell by cell, and that of two parts of a column can be put together: one after the other they tell what the
whole column tells, wherever it is cut. :mod:`screening.intake.forms` decides by it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from screening.intake import numbers
from screening.intake.numbers import DigitLayout
from screening.transactions import times
from screening.transactions.missing import missing
from screening.transactions.times import CellFamily, DateOrder, TimeUnit

EXAMPLES = 5
MOST_DAYS = 50_000
"""Different days that are counted: more than a century."""
# Up to this share of a column, cells of another form are mistakes; more of them are another form.
FEW = 0.01
SCIENTIFIC = re.compile(r"[+-]?\d[.,]\d{1,3}E[+-]\d{2}", re.ASCII)
"""Form in which the scientific format of a spreadsheet leaves a number."""
# So many cells may be written so by chance.
FEW_SHORT = 4
Kind = TypeVar("Kind")


@dataclass(slots=True)
class NumberEvidence:
    """Evidence from the cells of a column of numbers."""

    writings: Counter[DigitLayout] = field(default_factory=Counter)
    shown: dict[DigitLayout, list[str]] = field(default_factory=dict)
    small: int = 0
    """Whole numbers below 1000 without a mark."""
    large: int = 0
    """Whole numbers from 1000 on without a mark."""
    books: set[str] = field(default_factory=set)
    """``DR`` and ``CR`` and the like."""
    short: int = 0
    """Cells as ``1.07E+03``, which spreadsheets show in a scientific format."""
    short_cell: str = ""
    """The first of them."""
    others: int = 0
    """Numbers that are written otherwise, without zeros."""
    currencies: set[str] = field(default_factory=set)
    """Signs and codes of currencies that stand beside numbers."""

    def add(self, text: str, count: int = 1) -> None:
        """Look at a cell that stands so many times."""
        if missing(text):
            return
        written = numbers.take_apart(text)
        if written is None:
            return
        self.writings[written.writing] += count
        if SCIENTIFIC.fullmatch(text.strip()):
            self.short += count
            self.short_cell = self.short_cell or text.strip()
        elif written.digits.strip("0.,"):
            self.others += count
        self.show(written.writing, text.strip())
        if written.around in numbers.BOOKED:
            self.books.add(written.around)
        elif written.around:
            self.currencies.add(written.around)
        if written.writing is DigitLayout.INTEGER:
            if len(written.digits.lstrip("0")) > 3:
                self.large += count
            else:
                self.small += count

    def show(self, writing: DigitLayout, text: str) -> None:
        """Keep a cell as an example, if there are few of its writing."""
        keep_example(self.shown, writing, text)

    def merged(self, other: NumberEvidence) -> NumberEvidence:
        """Return the evidence of a column of which these cells come first and those of ``other`` behind them."""
        return NumberEvidence(
            writings=added(self.writings, other.writings),
            shown=shown_first(self.shown, other.shown),
            small=self.small + other.small,
            large=self.large + other.large,
            books=self.books | other.books,
            short=self.short + other.short,
            short_cell=self.short_cell or other.short_cell,
            others=self.others + other.others,
            currencies=self.currencies | other.currencies,
        )

    @property
    def shortened(self) -> bool:
        """Return whether the column is one of numbers whose digits a spreadsheet cut off: most of it is."""
        return self.short > max(self.others, FEW_SHORT)

    def beside(self, other: NumberEvidence) -> NumberEvidence:
        """Return the same with the whole numbers of another column of the same value, which it is written like."""
        return replace(self, small=self.small + other.small, large=self.large + other.large)

    @property
    def commas(self) -> int:
        """Cells whose comma can only be a decimal mark, or whose points can only part thousands."""
        return self.writings[DigitLayout.COMMA] + self.writings[DigitLayout.GROUPED_BY_POINTS]

    @property
    def points(self) -> int:
        """The other way round."""
        return self.writings[DigitLayout.POINT] + self.writings[DigitLayout.GROUPED_BY_COMMAS]

    def one(self, *writings: DigitLayout) -> str:
        """Return a cell that is written so, as it stands."""
        return next(text for writing in writings for text in self.shown.get(writing, ()))


@dataclass(slots=True)
class TimeEvidence:
    """Evidence from the cells of a column of times."""

    families: Counter[CellFamily] = field(default_factory=Counter)
    shown: dict[CellFamily, list[str]] = field(default_factory=dict)
    orders: Counter[DateOrder] = field(default_factory=Counter)
    """Of the cells whose parts may appear in several orders, how many each order fits."""
    ordered: int = 0
    differ: bool = False
    """Whether any of them means different times by different orders."""
    open_cells: list[str] = field(default_factory=list)
    shown_days: dict[str, str] = field(default_factory=dict)
    """One cell of each."""
    units: Counter[TimeUnit | None] = field(default_factory=Counter)
    shortened: str | None = None
    iso_past_twelve: bool = False
    """Whether any ISO date has a day beyond 12: then no spreadsheet turned days and months."""
    others_to_twelve: bool = False
    """Whether any cell with slashes, points or dashes has both numbers up to 12."""
    zoned: str | None = None
    """A cell whose time of day has a zone."""
    zoneless: str | None = None
    """One whose time of day has none."""
    halved: str | None = None
    """A cell whose time of day says AM or PM."""
    unhalved: str | None = None
    """One whose time of day says neither."""
    unhalved_hours: Counter[int] = field(default_factory=Counter)
    """The hours of such cells."""

    days: Counter[str] = field(default_factory=Counter)
    """Cells that begin with three numbers, without their time of day: looked at once a day, by :meth:`settle`."""

    def add(self, text: str, count: int = 1) -> None:
        """Look at a cell that stands so many times."""
        if missing(text):
            return
        plain = times.bare(text)
        self._note_zone(plain, times.has_zone)
        self._note_half(plain, count)
        day = times.date_part(plain)
        if day is not plain and len(self.days) < MOST_DAYS:
            self.days[day] += count
            self.shown_days.setdefault(day, plain)
            return
        self._look(plain, count)

    def add_clock(self, text: str) -> None:
        """Look at a time of day that has a column of its own."""
        if not missing(text):
            plain = times.bare(text)
            self._note_zone(plain, times.clock_has_zone)
            self._note_half(plain)

    def _note_zone(self, plain: str, has_zone: Callable[[str], bool | None]) -> None:
        if self.zoned is not None and self.zoneless is not None:
            return
        zone = has_zone(plain)
        if zone is True:
            self.zoned = self.zoned or plain
        elif zone is False:
            self.zoneless = self.zoneless or plain

    def _note_half(self, plain: str, count: int = 1) -> None:
        half = times.half_of_day(plain)
        if half is True:
            self.halved = self.halved or plain
        elif half is not None:
            self.unhalved = self.unhalved or plain
            self.unhalved_hours[half] += count

    def settle(self) -> None:
        """Look at the days that were only counted so far."""
        for day, count in self.days.items():
            self._look(self.shown_days[day], count)
        self.days.clear()
        self.shown_days.clear()

    def _look(self, plain: str, count: int) -> None:
        if times.SHORTENED.fullmatch(plain):
            self.shortened = plain
            return
        family = times.family_of(plain)
        if family is None:
            return
        self.families[family] += count
        keep_example(self.shown, family, plain)
        readings = times.readings_of(plain)
        if readings and family is not CellFamily.NUMBER:
            self.ordered += count
            self.orders.update(dict.fromkeys(readings, count))
            if len(set(readings.values())) > 1:
                self.differ = True
                if len(self.open_cells) < EXAMPLES and plain not in self.open_cells:
                    self.open_cells.append(plain)
        if family in {CellFamily.NUMBER, CellFamily.SHEET}:
            self.units[times.unit_of(float(plain))] += count
        self._half(plain, family)

    def _half(self, plain: str, family: CellFamily) -> None:
        """Note what tells whether a spreadsheet took a part of the cells for dates."""
        if family is CellFamily.ISO:
            self.iso_past_twelve = self.iso_past_twelve or int(plain.split("-")[2][:2].strip(" T")) > 12
        elif family in {CellFamily.POINTS, CellFamily.SLASHES, CellFamily.DASHES}:
            first, second = (int(part) for part in plain.replace(".", "/").replace("-", "/").split("/")[:2])
            self.others_to_twelve = self.others_to_twelve or max(first, second) <= 12

    def merged(self, other: TimeEvidence) -> TimeEvidence:
        """Return the evidence of a column of which these cells come first and those of ``other`` behind them."""
        found = TimeEvidence(
            families=added(self.families, other.families),
            shown=shown_first(self.shown, other.shown),
            orders=added(self.orders, other.orders),
            ordered=self.ordered + other.ordered,
            differ=self.differ or other.differ,
            open_cells=[*dict.fromkeys((*self.open_cells, *other.open_cells))][:EXAMPLES],
            shown_days={**other.shown_days, **self.shown_days},
            units=added(self.units, other.units),
            shortened=self.shortened or other.shortened,
            iso_past_twelve=self.iso_past_twelve or other.iso_past_twelve,
            others_to_twelve=self.others_to_twelve or other.others_to_twelve,
            zoned=self.zoned or other.zoned,
            zoneless=self.zoneless or other.zoneless,
            halved=self.halved or other.halved,
            unhalved=self.unhalved or other.unhalved,
            unhalved_hours=added(self.unhalved_hours, other.unhalved_hours),
            days=added(self.days, other.days),
        )
        if len(found.days) > MOST_DAYS:
            found.settle()
        return found

    def main(self) -> list[CellFamily]:
        """Return the families of more than a few cells, the most frequent first."""
        total = sum(self.families.values())
        return [family for family, count in self.families.most_common() if count > FEW * total]


def keep_example(shown: dict[Kind, list[str]], kind: Kind, text: str) -> None:
    """Keep a cell as an example of its kind, if there are few of them yet."""
    kept = shown.setdefault(kind, [])
    if len(kept) < EXAMPLES and text not in kept:
        kept.append(text)


def shown_first(one: dict[Kind, list[str]], other: dict[Kind, list[str]]) -> dict[Kind, list[str]]:
    """Return the examples of two parts of a column, those of the first one before those of the other."""
    return {
        kind: [*dict.fromkeys((*one.get(kind, ()), *other.get(kind, ())))][:EXAMPLES]
        for kind in dict.fromkeys((*one, *other))
    }


def added(one: Counter[Kind], other: Counter[Kind]) -> Counter[Kind]:
    """Return the counts of two parts of a column, in the order in which its cells were seen."""
    found = one.copy()
    found.update(other)
    return found
