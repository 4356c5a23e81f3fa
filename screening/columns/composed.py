"""Which columns of a file seem to make one value together: a date with a time of day, a debit with a credit.

As all guesses these are shown with how sure they are, and can be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from screening.columns.profiles import MOSTLY, Profile, profile
from screening.columns.vocabulary import MOMENTS, NOISE, WORDS, words_of
from screening.intake import numbers
from screening.intake.numbers import NumberForm
from screening.transactions import times
from screening.transactions.composition import (
    DAY,
    LARGEST_PARTS,
    YMD,
    Composition,
    Part,
    direction_of,
    part_word,
)
from screening.transactions.missing import missing
from screening.transactions.schema import Role, normalise

Fits = Callable[[str], bool]
SURE, LIKELY, PERHAPS, HARDLY = 0.95, 0.8, 0.6, 0.4
"""Names and cells say it; cells say it, and hardly mean anything else; cells alone say it; the name alone does."""
HALF = 0.5
CERTAIN = 0.9
"""From here on nobody need be asked."""
FIRST = 10
"""Cells that are looked at first."""
MOST_WORDS = 12
"""Different cells of a column that says debit or credit."""
PART_NAMES: dict[Part, frozenset[str]] = {
    part: frozenset(names.split())
    for part, names in {
        Part.DATE: "date datum fecha data day booking buchungstag buchungsdatum valuta jour dt datetime timestamp",
        Part.CLOCK: "time uhrzeit uhr zeit hora heure ora tijd clock hour",
        Part.YEAR: "year jahr año ano année annee anno jaar yyyy",
        Part.MONTH: "month monat mes mois mês mese maand mm",
        Part.DAY: "day tag día dia jour giorno dag dd",
        Part.HOUR: "hour hours stunde hora heure ora uur hh",
        Part.MINUTE: "minute minutes minuto minuut min",
        Part.SECOND: "second seconds sekunde segundo seconde secondo sec",
        Part.DEBIT: "debit debits dr soll belastung belastungen out withdrawal withdrawals cargo cargos debe débit "
        "dépenses débito debito saída saidas uscite addebiti addebito dare ausgang lastschrift af debet outflow "
        "auszahlung auszahlungen ausgaben débitos debitos spent expense expenses",
        Part.CREDIT: "credit credits cr haben gutschrift gutschriften in deposit deposits abono abonos haber crédit "
        "recettes crédito credito entrada entradas entrate accrediti accredito avere eingang bij inflow "
        "einzahlung einzahlungen einnahmen créditos creditos received income",
        Part.DIRECTION: "direction sign indicator dc drcr crdr cd sh kennzeichen sens signo segno vorzeichen "
        "debitcredit creditdebit sollhaben",
    }.items()
}
TYPES = frozenset({"type", "tipo", "soort", "art", "kind"})
"""Names of columns that may say anything."""
LETTERS = (frozenset("sh"), frozenset("dc"), frozenset("dh"))
"""Names as ``S/H``: Soll and Haben, debit and credit, debe and haber."""
SIGNS = {"+", "-"}
"""Cells that mean nothing else."""
OTHER_TIMES = MOMENTS | {"geburt", "age", "days", "week", "weekday"}
"""Words of times that aren't the transaction's."""
GLUE = NOISE | {"amount", "amt", "betrag", "importe", "monto", "montant", "paid", "money", "value"}
"""Words that name no part."""


@dataclass(frozen=True, slots=True)
class Made:
    """A guess: what makes a value, and how sure that is, from 0 to 1."""

    composition: Composition
    score: float

    @property
    def certain(self) -> bool:
        """Whether nobody need be asked."""
        return self.score >= CERTAIN


@dataclass(frozen=True)
class Columns:
    """Some columns of a file with some of their cells, looked at only where their names or first cells are of interest.

    ``names`` are as the file writes them; ``cells`` has those of each, in the order of the rows.
    """

    names: Sequence[str]
    cells: Sequence[Sequence[str]]

    @classmethod
    def of(cls, header: Sequence[str], rows: Sequence[Sequence[str]], places: Iterable[int]) -> Columns:
        """Those at some places of a header; rows of another length are passed over."""
        whole = [row for row in rows if len(row) == len(header)]
        chosen = list(places)
        return cls(
            [header[place].strip() for place in chosen], [[row[place] for row in whole] for place in chosen]
        )

    @cached_property
    def _each(self) -> list[_Column]:
        return [
            _Column(place, name, tuple(map(str.strip, cells)))
            for place, (name, cells) in enumerate(zip(self.names, self.cells, strict=True))
        ]

    def amounts(self, known: str | None = None) -> list[Made]:
        """What seems to make the amount, the most likely first.

        Args:
            known: the column that is called as the amount, if there is one: then nothing else is signed by a word.
        """
        found = [*_pairs(self._each), *_with_words(self._each, known)]
        return sorted(found, key=lambda made: -made.score)

    def values(self, made: Composition) -> NDArray[np.float64]:
        """What some columns make in each row, (rows,), as far as their cells can be read: NaN elsewhere."""
        each = {one.name: one for one in self._each}
        return made.values(np.stack([each[name].read(part) for part, name in made.parts], axis=1))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """The numbers of a column, (rows,), NaN for a blank."""
        return next(one for one in self._each if one.name == name).known.numbers

    def moments(self, name: str) -> NDArray[np.float64]:
        """The times of a column in seconds since 1970, (rows,), NaN for a blank."""
        return next(one for one in self._each if one.name == name).known.moments

    def times(self, known: str | None = None) -> list[Made]:
        """What seems to make the time, the most likely first; less likely where one column alone says it all.

        Args:
            known: the column that is called as the time, if there is one: then only what it is a part of.
        """
        columns = [each for each in self._each if each.name == known or not each.words & OTHER_TIMES]
        found = [*_dated(columns), *_in_parts(columns)]
        if known is not None:
            found = [made for made in found if known in made.composition.columns]
        elif found and any(_is_date(each) and not _at_midnight(each) for each in columns):
            found = [Made(made.composition, min(made.score, PERHAPS)) for made in found]
        found.sort(key=lambda made: -made.score)
        if len(found) > 1 and found[0].score == found[1].score:  # of two that are equal none is certain
            return [Made(made.composition, min(made.score, LIKELY)) for made in found]
        return found


class _Column:
    """One column, profiled when that is asked for."""

    def __init__(self, place: int, name: str, cells: tuple[str, ...]) -> None:
        self.place, self.name, self.cells = place, name, cells
        self.words = frozenset(words_of(name))

    @cached_property
    def known(self) -> Profile:
        return profile(self.name, self.cells)

    @cached_property
    def different(self) -> frozenset[str]:
        return frozenset(map(str.casefold, self.cells))

    def read(self, part: Part) -> NDArray[np.float64]:
        """The cells as a part of a value, (rows,), NaN for what is none."""
        if part is Part.DATE:
            return self.known.moments
        reader = WORD_READERS.get(part)
        if reader is None:
            return self.known.numbers
        return np.array([np.nan if (value := reader(cell)) is None else value for cell in self.cells])

    def called(self, part: Part) -> bool:
        return bool(self.words & PART_NAMES[part])

    def rest(self, part: Part) -> frozenset[str]:
        """The words of the name that don't say the part: they must be those of the other parts."""
        return self.words - PART_NAMES[part] - GLUE


def contradicted(made: Composition, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    """The part whose cells say that it is something else, in words; ``None`` where nearly all fit."""
    names = list(map(normalise, header))
    for part, column in made.parts:
        place = names.index(normalise(column))
        filled = [row[place] for row in rows if len(row) == len(header) and not missing(row[place])]
        if filled and sum(map(_FITS[part], filled)) < MOSTLY * len(filled):
            return f"{column} doesn't hold what it was said to hold ({part_word(part)})"
    return None


def _pairs(columns: Sequence[_Column]) -> Iterator[Made]:
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


def _only(column: _Column, part: Part, other: Part) -> bool:
    return column.called(part) and not column.called(other)


def _one_of_both(first: Sequence[str], second: Sequence[str]) -> float:
    """The share of rows in which just one of two cells holds an amount."""
    pairs = [(_filled(one), _filled(other)) for one, other in zip(first, second, strict=True)]
    return sum(one != other for one, other in pairs) / max(len(pairs), 1)


def _filled(cell: str) -> bool:
    return not missing(cell) and any(map("123456789".__contains__, cell))


def _with_words(columns: Sequence[_Column], known: str | None) -> Iterator[Made]:
    """An amount, and a column that says debit or credit."""
    words = [(each, score) for each in columns if (score := _says_direction(each))]
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


def _says_direction(column: _Column) -> float:
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


def _one_sign(amount: _Column, word: _Column) -> bool:
    """Whether a sign, where an amount has one, says the same as the word beside it in nearly every row."""
    read = amount.known.numbers
    ways = np.array([direction_of(cell) or 0.0 for cell in word.cells])
    minus = [(read < 0)[(ways == way) & (read != 0)] for way in (1.0, -1.0)]
    return all(min(each.mean(), 1 - each.mean()) <= 1 - MOSTLY for each in minus if len(each))


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
    clocks = [each for each in columns if _all(each, Part.CLOCK) and not _is_date(each)]
    if not clocks and not any(each.called(Part.HOUR) for each in columns):
        return  # before any column is looked at closely
    for date in columns:
        if not _is_date(date) or not _at_midnight(date):
            continue
        for clock in clocks:
            named = clock.called(Part.CLOCK)
            if not named and all(cell.isdecimal() for cell in clock.cells):
                continue  # any four digits look like hours and minutes
            same = date.rest(Part.DATE) == clock.rest(Part.CLOCK)
            composition = Composition(((Part.DATE, date.name), (Part.CLOCK, clock.name)))
            yield Made(composition, SURE if named and same else LIKELY if named else PERHAPS)
        hours = _hours(columns, date.rest(Part.DATE))
        if hours:
            yield Made(Composition(((Part.DATE, date.name), *hours)), SURE)


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
        clock = _part(columns, Part.CLOCK, rest)
        clocks = _hours(columns, rest) or (((Part.CLOCK, clock.name),) if clock else ())
        yield Made(Composition((*date, *clocks)), SURE)


def _hours(columns: Sequence[_Column], rest: frozenset[str]) -> tuple[tuple[Part, str], ...]:
    """Hours, with minutes, with seconds, as far as there are columns that are called so, beside the same words."""
    found: list[tuple[Part, str]] = []
    for part in LARGEST_PARTS:
        each = _part(columns, part, rest)
        if each is None:
            break
        found.append((part, each.name))
    return tuple(found)


def _part(columns: Iterable[_Column], part: Part, rest: frozenset[str]) -> _Column | None:
    """The column that is called as a part, with the same other words, and holds it."""
    fitting = [
        each for each in columns
        if each.called(part) and each.rest(part) == rest and _all(each, part) and not _is_date(each)
    ]  # fmt: skip
    return fitting[0] if len(fitting) == 1 else None


def _all(column: _Column, part: Part) -> bool:
    filled = [cell for cell in column.cells if not missing(cell)]
    some = filled[:FIRST]  # nearly always they tell
    if not any(map(_FITS[part], some)):
        return False
    return sum(map(_FITS[part], filled)) >= MOSTLY * len(filled)


def _whole(low: int, high: int) -> Fits:
    def fits(cell: str) -> bool:
        value = numbers.number(cell)
        return value is not None and value == int(value) and low <= value <= high

    return fits


def _number(cell: str) -> bool:
    return numbers.number(cell) is not None or numbers.number(cell, NumberForm(",")) is not None


WORD_READERS: dict[Part, Callable[[str], float | None]] = {
    Part.CLOCK: times.clock_of,
    Part.MONTH: times.month_of,
    Part.DIRECTION: direction_of,
}
"""Of the parts that are neither numbers nor dates."""
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
