"""Which columns of a file seem to make one value together: a date with a time of day, a debit with a credit.

As all guesses these are shown with how sure they are, and can be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from screening.columns.profiles import MOSTLY, Profile
from screening.columns.vocabulary import MOMENTS, NOISE, WORDS
from screening.intake import numbers
from screening.intake.numbers import NumberForm
from screening.transactions import times
from screening.transactions.composition import DAY, LARGEST_PARTS, YMD, Composition, Part, direction_of
from screening.transactions.missing import missing
from screening.transactions.schema import Role, normalise

Fits = Callable[[str], bool]
SURE, LIKELY, PERHAPS = 0.95, 0.8, 0.6
"""Names and cells say it; cells say it, and hardly mean anything else; cells alone say it."""
MOST_WORDS = 12
"""Different cells of a column that says debit or credit."""
PART_NAMES: dict[Part, frozenset[str]] = {
    part: frozenset(names.split())
    for part, names in {
        Part.DATE: "date datum fecha data day booking buchungstag buchungsdatum valuta jour",
        Part.CLOCK: "time uhrzeit zeit hora heure ora tijd clock hour",
        Part.YEAR: "year jahr año ano année annee anno jaar yyyy",
        Part.MONTH: "month monat mes mois mês mese maand mm",
        Part.DAY: "day tag día dia jour giorno dag dd",
        Part.HOUR: "hour hours stunde hora heure ora uur hh",
        Part.MINUTE: "minute minutes minuto minuut min",
        Part.SECOND: "second seconds sekunde segundo seconde secondo sec",
        Part.DEBIT: "debit debits dr soll belastung belastungen out withdrawal withdrawals cargo cargos debe débit "
        "dépenses débito debito saída saidas uscite addebiti addebito dare ausgang lastschrift af debet outflow",
        Part.CREDIT: "credit credits cr haben gutschrift gutschriften in deposit deposits abono abonos haber crédit "
        "recettes crédito credito entrada entradas entrate accrediti accredito avere eingang bij inflow",
        Part.DIRECTION: "type direction sign indicator dc drcr crdr cd sh kennzeichen sens signo tipo segno soort "
        "debitcredit creditdebit",
    }.items()
}
LETTERS = (frozenset("sh"), frozenset("dc"), frozenset("dh"))
"""Names as ``S/H``: Soll and Haben, debit and credit, debe and haber."""
OTHER_TIMES = MOMENTS | {
    "geburt",
    "dob",
    "expiry",
    "expires",
    "expiration",
    "valid",
    "age",
    "days",
    "week",
    "weekday",
}
"""Words of times that aren't the transaction's."""
GLUE = NOISE | {"amount", "betrag", "importe", "paid", "money", "value"}
"""Words that name no part."""


@dataclass(frozen=True, slots=True)
class Made:
    """A guess: what makes a value, and how sure that is, from 0 to 1."""

    composition: Composition
    score: float


@dataclass(frozen=True, slots=True)
class _Column:
    place: int
    known: Profile
    cells: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.known.name

    @property
    def words(self) -> frozenset[str]:
        return self.known.words

    def called(self, part: Part) -> bool:
        return bool(self.words & PART_NAMES[part])

    def rest(self, part: Part) -> frozenset[str]:
        """The words of the name that don't say the part: they must be those of the other parts."""
        return self.words - PART_NAMES[part] - GLUE


def guess_amount(profiles: Sequence[Profile]) -> Made | None:
    """The columns that seem to make the amount together, if any.

    Args:
        profiles: of all columns of the file, in their order.
    """
    columns = _columns(profiles)
    found = [*_pairs(columns), *_with_words(columns)]
    return max(found, key=lambda made: made.score, default=None)


def guess_time(profiles: Sequence[Profile]) -> Made | None:
    """The columns that seem to make the time together; none where a single one says day and time of day.

    Args:
        profiles: of all columns of the file, in their order.
    """
    columns = [each for each in _columns(profiles) if not each.words & OTHER_TIMES]
    if any(_is_date(each) and not _at_midnight(each) for each in columns):
        return None
    return max([*_dated(columns), *_in_parts(columns)], key=lambda made: made.score, default=None)


def contradicted(made: Composition, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    """The part whose cells say that it is something else, in words; ``None`` where nearly all fit."""
    names = list(map(normalise, header))
    for part, column in made.parts:
        place = names.index(normalise(column))
        filled = [row[place] for row in rows if not missing(row[place])]
        if filled and sum(map(_FITS[part], filled)) < MOSTLY * len(filled):
            return f"{column} doesn't hold the {part}"
    return None


def _columns(profiles: Sequence[Profile]) -> list[_Column]:
    return [_Column(place, each, tuple(map(str.strip, each.cells))) for place, each in enumerate(profiles)]


def _pairs(columns: Sequence[_Column]) -> Iterator[Made]:
    """Debit and credit: two columns of numbers, one of which is filled in each row."""
    amounts = [each for each in columns if each.known.number >= MOSTLY or not each.known.filled]
    for debit, credit in product(amounts, repeat=2):
        named = _only(debit, Part.DEBIT, Part.CREDIT) and _only(credit, Part.CREDIT, Part.DEBIT)
        if debit is credit or not named or not (debit.known.filled or credit.known.filled):
            continue
        fits = _one_of_both(debit.cells, credit.cells) >= MOSTLY
        same = debit.rest(Part.DEBIT) == credit.rest(Part.CREDIT)
        composition = Composition(((Part.DEBIT, debit.name), (Part.CREDIT, credit.name)))
        yield Made(composition, (SURE if same else LIKELY) if fits else 0.4)


def _only(column: _Column, part: Part, other: Part) -> bool:
    return column.called(part) and not column.called(other)


def _one_of_both(first: Sequence[str], second: Sequence[str]) -> float:
    """The share of rows in which just one of two cells holds an amount."""
    pairs = [(_filled(one), _filled(other)) for one, other in zip(first, second, strict=True)]
    return sum(one != other for one, other in pairs) / max(len(pairs), 1)


def _filled(cell: str) -> bool:
    return not missing(cell) and bool(cell.strip("0.,-+ ")) and any(map(str.isdigit, cell))


def _with_words(columns: Sequence[_Column]) -> Iterator[Made]:
    """An amount, and a column that says debit or credit."""
    amounts = [
        each
        for each in columns
        if each.known.number >= MOSTLY and each.known.filled and _amount_word(each) and not each.known.blanks
    ]
    if not amounts:
        return
    amount = max(amounts, key=lambda each: (each.known.whole < 1, -each.place))
    for each in columns:
        different = set(map(str.casefold, each.cells))
        if each is amount or not each.cells or len(different) > MOST_WORDS:
            continue
        ways = {direction_of(cell) for cell in different}
        named = any(map(each.called, (Part.DIRECTION, Part.DEBIT, Part.CREDIT))) or each.words in LETTERS
        if not ways <= {1.0, -1.0} or (len(ways) == 1 and not named):
            continue
        short = all(len(cell) < 2 for cell in different)
        composition = Composition(((Part.AMOUNT, amount.name), (Part.DIRECTION, each.name)))
        yield Made(composition, SURE if named else PERHAPS if short else LIKELY)


def _amount_word(column: _Column) -> bool:
    return bool(column.words & (WORDS[Role.AMOUNT] - {"purchase"}))


def _is_date(column: _Column) -> bool:
    return column.known.filled > 0 and column.known.time >= MOSTLY


def _at_midnight(column: _Column) -> bool:
    """Whether no date of a column has a time of day."""
    moments = column.known.moments
    return bool((moments[~np.isnan(moments)] % DAY == 0).all())


def _dated(columns: Sequence[_Column]) -> Iterator[Made]:
    """A date, and a time of day beside it, whole or in hours and minutes."""
    for date in filter(_is_date, columns):
        for clock in columns:
            if clock is date or not _all(clock, Part.CLOCK) or clock.known.time >= MOSTLY:
                continue
            named = clock.called(Part.CLOCK)
            if not named and all(cell.isdecimal() for cell in clock.cells):
                continue  # any four digits look like hours and minutes
            same = date.rest(Part.DATE) == clock.rest(Part.CLOCK)
            composition = Composition(((Part.DATE, date.name), (Part.CLOCK, clock.name)))
            yield Made(composition, SURE if named and same else LIKELY if named else PERHAPS)
        for found, rest in _clocks(columns, date.rest(Part.DATE)):
            yield Made(Composition(((Part.DATE, date.name), *found)), SURE if rest else LIKELY)


def _in_parts(columns: Sequence[_Column]) -> Iterator[Made]:
    """Year, month and day, and what there is of the time of day."""
    for year in columns:
        if not (year.called(Part.YEAR) and _all(year, Part.YEAR)):
            continue
        rest = year.rest(Part.YEAR)
        month, day = (_part(columns, part, rest) for part in (Part.MONTH, Part.DAY))
        if month is None or day is None:
            continue
        date = tuple((part, each.name) for part, each in zip(YMD, (year, month, day), strict=True))
        yield Made(Composition(date), LIKELY)
        for found, same in _clocks(columns, rest):
            yield Made(Composition((*date, *found)), SURE if same else LIKELY)


def _clocks(
    columns: Sequence[_Column], rest: frozenset[str]
) -> Iterator[tuple[tuple[tuple[Part, str], ...], bool]]:
    """Times of day: one column, or hours with minutes with seconds; with whether their names go with the date's."""
    clock = _part(columns, Part.CLOCK, rest)
    if clock is not None:
        yield ((Part.CLOCK, clock.name),), True
    found: list[tuple[Part, str]] = []
    for part in LARGEST_PARTS:
        each = _part(columns, part, rest)
        if each is None:
            break
        found.append((part, each.name))
    if found and clock is None:
        yield tuple(found), True


def _part(columns: Iterable[_Column], part: Part, rest: frozenset[str]) -> _Column | None:
    """The column that is called as a part, with the same other words, and holds it."""
    fitting = [
        each for each in columns
        if each.called(part) and each.rest(part) == rest and _all(each, part) and not _is_date(each)
    ]  # fmt: skip
    return fitting[0] if len(fitting) == 1 else None


def _all(column: _Column, part: Part) -> bool:
    filled = [cell for cell in column.cells if not missing(cell)]
    return bool(filled) and sum(map(_FITS[part], filled)) >= MOSTLY * len(filled)


def _whole(low: int, high: int) -> Fits:
    def fits(cell: str) -> bool:
        value = numbers.number(cell)
        return value is not None and value == int(value) and low <= value <= high

    return fits


def _number(cell: str) -> bool:
    return numbers.number(cell) is not None or numbers.number(cell, NumberForm(",")) is not None


_FITS: dict[Part, Fits] = {
    Part.DATE: lambda cell: times.family_of(cell) is not None,
    Part.CLOCK: lambda cell: times.clock_of(cell) is not None,
    Part.YEAR: _whole(times.FIRST_YEAR, times.LAST_YEAR - 1),
    Part.MONTH: lambda cell: 1 <= (times.month_of(cell) or 0) <= 12,
    Part.DAY: _whole(1, 31),
    Part.HOUR: _whole(0, 23),
    Part.MINUTE: _whole(0, 59),
    Part.SECOND: lambda cell: 0 <= (value if (value := numbers.number(cell)) is not None else -1) < 61,
    **dict.fromkeys((Part.DEBIT, Part.CREDIT, Part.AMOUNT), _number),
    Part.DIRECTION: lambda cell: direction_of(cell) is not None,
}
