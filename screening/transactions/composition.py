"""One value that a file writes in several columns: a time in parts, an amount by debit and credit.

Files, JSON and training compose by the same rules. A row whose parts make no value is a bad row with a reason: nothing
is filled in, and no blank becomes a zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from screening.transactions import times
from screening.transactions.guards import bare
from screening.transactions.missing import missing

Floats = NDArray[np.float64]
DAY = 86_400.0
FIRST_YEAR = 1970
"""No transaction happened before it."""


class ValuePart(StrEnum):
    """Parts that a value can be composed of."""

    DATE = "date"
    CLOCK = "time"
    """The time of day."""
    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"
    MINUTE = "minute"
    SECOND = "second"
    DEBIT = "debit"
    """The amount, where money leaves the account; blank or zero elsewhere."""
    CREDIT = "credit"
    AMOUNT = "amount"
    DIRECTION = "direction"
    """A word that says whether the amount leaves or comes in."""
    DIRECTION_IN = "direction-blank-in"
    """The same, where a person has said that a blank means money that comes in."""
    DIRECTION_OUT = "direction-blank-out"
    """The same, where a blank means money that leaves."""


class PartKind(StrEnum):
    """Kinds of cells that only parts have, where no column of a detector is ever of the kind."""

    CLOCK = "time of day"
    """Seconds since midnight."""
    MONTH = "month"
    """1 to 12, as a number or a name."""
    DIRECTION = "direction"
    """1 for money that leaves, -1 for money that comes in."""
    DIRECTION_IN = "direction, or blank for money that comes in"
    DIRECTION_OUT = "direction, or blank for money that leaves"


CLOCKS: tuple[tuple[ValuePart, ...], ...] = (
    (ValuePart.CLOCK,),
    (ValuePart.HOUR,),
    (ValuePart.HOUR, ValuePart.MINUTE),
    (ValuePart.HOUR, ValuePart.MINUTE, ValuePart.SECOND),
)
YMD = (ValuePart.YEAR, ValuePart.MONTH, ValuePart.DAY)
TIMES: tuple[tuple[ValuePart, ...], ...] = (
    *((ValuePart.DATE, *clock) for clock in CLOCKS),
    YMD,
    *((*YMD, *clock) for clock in CLOCKS),
)
DIRECTIONS: Mapping[ValuePart, float | None] = {
    ValuePart.DIRECTION: None,
    ValuePart.DIRECTION_IN: -1.0,
    ValuePart.DIRECTION_OUT: 1.0,
}
"""The parts that are a word for debit or credit, and which way a blank says, if it says one."""
AMOUNTS: tuple[tuple[ValuePart, ...], ...] = (
    (ValuePart.DEBIT, ValuePart.CREDIT),
    *((ValuePart.AMOUNT, word) for word in DIRECTIONS),
)
OF_TIMES = (ValuePart.DATE, *YMD, ValuePart.CLOCK, ValuePart.HOUR, ValuePart.MINUTE, ValuePart.SECOND)
OF_AMOUNTS = (ValuePart.DEBIT, ValuePart.CREDIT, ValuePart.AMOUNT, *DIRECTIONS)
PART_WORDS: Mapping[ValuePart, str] = {
    ValuePart.DATE: "date",
    ValuePart.CLOCK: "time of day",
    ValuePart.DEBIT: "money that leaves (debit)",
    ValuePart.CREDIT: "money that comes in (credit)",
    ValuePart.DIRECTION: "the word for debit or credit",
    ValuePart.DIRECTION_IN: "the word for debit or credit; a blank means that money comes in",
    ValuePart.DIRECTION_OUT: "the word for debit or credit; a blank means that money leaves",
}
"""Parts by words of their own; any other is called as its value."""
LARGEST_PARTS: Mapping[ValuePart, int] = {ValuePart.HOUR: 23, ValuePart.MINUTE: 59, ValuePart.SECOND: 60}


LEAVES = frozenset(
    {
        *(
            "debit",
            "dr",
            "d",
            "db",
            "dbit",
            "debet",
            "debitor",
            "deb",
            "out",
            "outgoing",
            "paid out",
            "money out",
        ),
        *(
            "withdrawal",
            "payment",
            "purchase",
            "charge",
            "sale",
            "soll",
            "s",
            "belastung",
            "lastschrift",
            "ausgang",
        ),
        *("af", "debe", "cargo", "débit", "sortie", "dépense", "débito", "debito", "saída", "saida", "-"),
        *("addebito", "uscita", "dare", "uit", "expense", "minus", "−"),
    }
)
"""Words for money that leaves the account, as statements have them: ``S`` is the German Soll."""
COMES_IN = frozenset(
    {
        *(
            "credit",
            "cr",
            "c",
            "crdt",
            "kredit",
            "cred",
            "in",
            "incoming",
            "paid in",
            "money in",
            "deposit",
            "refund",
        ),
        *(
            "haben",
            "h",
            "gutschrift",
            "eingang",
            "bij",
            "haber",
            "abono",
            "crédit",
            "entrée",
            "recette",
            "crédito",
        ),
        *("credito", "entrada", "accredito", "entrata", "avere", "income", "plus", "+"),
    }
)


# A column with more different words says something other than debit or credit.
MOST_WORDS = 12


def plain_word(text: str) -> str:
    """Return a word as it is compared: in small letters, without points and spaces around it."""
    return " ".join(bare(text).casefold().strip(" .").split())


def direction_of(text: str, part: ValuePart = ValuePart.DIRECTION) -> float | None:
    """Return 1 for a word that says money leaves, -1 for one that says it comes in, ``None`` for any other.

    A blank says what ``part`` has it mean.
    """
    plain = plain_word(text)
    if plain in LEAVES:
        return 1.0
    if plain in COMES_IN:
        return -1.0
    return DIRECTIONS[part] if missing(text) else None


class BadParts(ValueError):
    """These parts make no value together."""


@dataclass(frozen=True, slots=True)
class Composition:
    """Columns of a file that one value is composed of, each with its part."""

    parts: tuple[tuple[ValuePart, str], ...]

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Composition:
        """Return the composition of columns by their parts, in any order; see :attr:`as_dict`.

        Raises:
            BadParts: they make no value together.
        """
        try:
            found = {ValuePart(part): str(column) for part, column in given.items()}
        except ValueError as problem:
            raise BadParts(f"{problem}; the parts are {', '.join(ValuePart)}") from None
        for shape in (*TIMES, *AMOUNTS):
            if set(shape) == set(found):
                return cls(tuple((part, found[part]) for part in shape))
        raise BadParts(
            f"{' and '.join(found) or 'nothing'} make no value together; these do: "
            + "; ".join(", ".join(shape) for shape in (*AMOUNTS, *TIMES))
        )

    @property
    def as_dict(self) -> dict[str, str]:
        """The columns by their parts, as JSON has them."""
        return {part.value: column for part, column in self.parts}

    @property
    def columns(self) -> tuple[str, ...]:
        """The file's columns."""
        return tuple(column for _, column in self.parts)

    @property
    def kinds(self) -> tuple[ValuePart, ...]:
        """Kinds of the parts."""
        return tuple(part for part, _ in self.parts)

    @property
    def is_amount(self) -> bool:
        """Return whether an amount is made; else it is a time."""
        return self.kinds in AMOUNTS

    @property
    def words(self) -> str:
        """Summary for a note: ``Year, Month and Day``."""
        return listed(self.columns)

    def values(self, cells: Floats) -> Floats:
        """Return the value of each row, (rows,), of its parts (rows, parts); NaN where they make none."""
        columns = {part: cells[:, place] for place, part in enumerate(self.kinds)}
        return amounts_of(columns) if self.is_amount else times_of(columns)

    def fault(self, cells: Sequence[float]) -> tuple[str, tuple[str, ...]]:
        """Return the reason why the parts of one row make no value, and the columns that are to blame."""
        found = dict(zip(self.kinds, cells, strict=True))
        called = dict(self.parts)
        blamed, words = (_amount_fault if self.is_amount else _time_fault)(found)
        return words, tuple(called[part] for part in blamed)


def listed(names: Sequence[str]) -> str:
    """Return ``A``, ``A and B``, ``A, B and C``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def part_word(part: ValuePart) -> str:
    """Return the name of a part on pages."""
    return PART_WORDS.get(part, part.value)


def amounts_of(parts: Mapping[ValuePart, Floats]) -> Floats:
    """Return positive for money that leaves, negative for money that comes in."""
    for word in DIRECTIONS:
        if word in parts:
            signed: Floats = parts[ValuePart.AMOUNT] * parts[word]
            return signed + 0.0  # no negative zero
    debit, credit = parts[ValuePart.DEBIT], parts[ValuePart.CREDIT]
    out, back = np.nan_to_num(debit), np.nan_to_num(credit)
    known = ~(np.isnan(debit) & np.isnan(credit)) & ~((out != 0) & (back != 0))
    return np.where(known, out - back, np.nan)


def _amount_fault(parts: Mapping[ValuePart, float]) -> tuple[tuple[ValuePart, ...], str]:
    both = (ValuePart.DEBIT, ValuePart.CREDIT)
    filled = [part for part in both if parts.get(part) and not np.isnan(parts[part])]
    if len(filled) == 2:
        return both, "are both filled: whether the money left or came in can't be told"
    return both, "are both blank: the amount can't be told"


def times_of(parts: Mapping[ValuePart, Floats]) -> Floats:
    """Return seconds since 1970."""
    day = parts[ValuePart.DATE] if ValuePart.DATE in parts else days_of(parts) * DAY
    good = day % DAY == 0
    seconds = parts.get(ValuePart.CLOCK, np.zeros(len(day)))
    for part, each in ((ValuePart.HOUR, 3600), (ValuePart.MINUTE, 60), (ValuePart.SECOND, 1)):
        if part in parts:
            good &= (parts[part] >= 0) & (parts[part] < LARGEST_PARTS[part] + 1)
            good &= (part is ValuePart.SECOND) | (parts[part] == np.floor(parts[part]))
            seconds = seconds + parts[part] * each
    return np.where(good, day + seconds, np.nan)


def days_of(parts: Mapping[ValuePart, Floats]) -> Floats:
    """Return days since 1970 of year, month and day; NaN where there is no such day."""
    year, month, day = (parts[part] for part in YMD)
    with np.errstate(invalid="ignore"):
        good = (year >= FIRST_YEAR) & (year < times.LAST_YEAR) & (month >= 1) & (month <= 12)
        good &= (day >= 1) & (day <= 31)
        good &= (year == np.floor(year)) & (month == np.floor(month)) & (day == np.floor(day))
    y, m, d = (np.where(good, part, 1).astype(np.int64) for part in (year, month, day))
    months = (y - 1970) * 12 + (m - 1)
    first = months.astype("datetime64[M]").astype("datetime64[D]")
    found = first + (d - 1)
    good &= found.astype("datetime64[M]").astype(np.int64) == months
    return np.where(good, found.astype(np.int64).astype(np.float64), np.nan)


def _time_fault(parts: Mapping[ValuePart, float]) -> tuple[tuple[ValuePart, ...], str]:
    if ValuePart.DATE in parts and parts[ValuePart.DATE] % DAY:
        return (ValuePart.DATE,), "has a time of day itself, beside the other column's"
    for part in (*YMD, *LARGEST_PARTS):
        if part not in parts:
            continue
        value, whole = parts[part], parts[part] == np.floor(parts[part]) or part is ValuePart.SECOND
        low, high = {
            ValuePart.YEAR: (FIRST_YEAR, times.LAST_YEAR - 1),
            ValuePart.MONTH: (1, 12),
            ValuePart.DAY: (1, 31),
        }.get(part, (0, LARGEST_PARTS.get(part, 0)))
        if not whole or not low <= value < high + 1:
            return (part,), f"is no {part} ({value:.6g}): it must be from {low} to {high}"
    year, month, day = (int(parts[part]) for part in YMD)
    return YMD, f"make no date: there is no day {day} in month {month} of {year}"
