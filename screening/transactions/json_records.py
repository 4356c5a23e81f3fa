"""Reads transactions as JSON and Python callers have them: mappings of column to value, or a data frame.

There is a fast way, for contracts of numbers only, and a careful way, which reads every kind of cell and is the only
place where a fault is put into words. What the fast way doesn't take at once goes through the careful one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from numbers import Real
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from screening.errors import BadTransaction, CellProblem
from screening.transactions import encoding, times
from screening.transactions.json_parts import put_together
from screening.transactions.missing import missing
from screening.transactions.schema import CellKind, Column, ColumnContract, Matrix, Transactions, normalise

PLAIN = frozenset((float, int))
NUMBERS: Any = (Real, Decimal)
BOOLEANS: Any = (bool, np.bool_)
LARGEST = float(np.finfo(np.float32).max)
SHOWN = 10
EXCERPT = 20
# A text with so many digits may be a card number, so messages don't repeat it.
CARD_DIGITS = 12
MISSING, REPEATED, TOO_LARGE = "is missing", "appears more than once", "is too large to be scored"
NONE_NEEDED = "is blank, and so are all other columns that are needed"
PLURAL = {MISSING: "are missing", REPEATED: "appear more than once"}
TYPES = {str: "text", bool: "true or false", list: "a list", dict: "an object"}
KINDS = {
    CellKind.NUMBER: "a number",
    CellKind.TEXT: "text",
    CellKind.TIME: "a date and time",
    CellKind.ADDRESS: "an IP address",
    CellKind.LENGTH: "text",
    CellKind.DOMAIN: "text",
}
REMEDIES = {
    CellKind.NUMBER: "finite numbers without quotes",
    CellKind.TEXT: "text in quotes",
    CellKind.TIME: 'times as "2025-12-31T23:59:00"',
    CellKind.ADDRESS: 'addresses as "192.0.2.1"',
    CellKind.LENGTH: "text in quotes",
    CellKind.DOMAIN: "text in quotes",
}
Read = tuple[float, str | None]
"""The number that stands for a value, and what is wrong with the value, if anything."""


def from_mapping(given: Mapping[str, Any], contract: ColumnContract) -> Transactions:
    """Return one transaction, given as a mapping of column name to value; other columns are left alone.

    Raises:
        BadTransaction: as :func:`from_mappings`.
    """
    if contract.plain and not contract.composed:
        pick = header_of(tuple(given), contract).pick
        if pick is not None:
            row = pick(tuple(given.values()))
            if PLAIN.issuperset(map(type, row)):
                try:
                    return Transactions(contract.columns, np.array((row,), np.float64))
                except OverflowError:  # a whole number beyond float64: the careful way names it
                    pass
    return from_mappings([given], contract)


def from_mappings(given: Sequence[Mapping[str, Any]], contract: ColumnContract) -> Transactions:
    """Return several transactions, given as mappings, each with its own order of columns.

    Names are compared without case and surrounding spaces. A column whose cells may be blank may be left out, or be
    ``None``: it is NaN then.

    Raises:
        BadTransaction: a column is missing or appears more than once, or a value can't be used; names row (from 1)
            and column of each fault.
    """
    if contract.composed:
        given = [
            put_together(each, contract, row) if isinstance(each, Mapping) else each
            for row, each in enumerate(given, start=1)
        ]
    try:
        values = read_matrix(given, contract, fast=contract.plain)
    except OverflowError:  # as above
        values = read_matrix(given, contract, fast=False)
    return Transactions(contract.columns, values)


def from_frame(frame: Any, contract: ColumnContract) -> Transactions:
    """Return the contract's columns of a pandas DataFrame; the index plays no part.

    Raises:
        BadTransaction: as :func:`from_mappings`; where a column is missing there is no row to name.
    """
    faults = _Faults(contract)
    header = header_of(tuple(frame.columns), contract)
    if not contract.composed:
        faults.of_header(header, None)
        faults.raise_any()
    if contract.composed or not contract.plain:
        cells = frame.astype(object).where(frame.notna(), None)
        return from_mappings(cells.to_dict("records"), contract)
    values = np.empty((len(frame), len(contract.columns)), np.float64)
    for place, (column, at) in enumerate(zip(faults.columns, header.places, strict=True)):
        series = frame.iloc[:, at]
        if series.dtype.kind in "fiu":
            values[:, place] = series.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values[:, place] = [faults.read(cell, column, row + 1) for row, cell in enumerate(series)]
    faults.raise_any()
    return Transactions(contract.columns, values)


class ColumnPlaces(NamedTuple):
    """Places of a contract's columns among some names."""

    places: tuple[int | None, ...]
    repeated: tuple[str, ...]
    pick: Callable[[tuple[Any, ...]], tuple[Any, ...]] | None
    """Takes the contract's values out of values in the order of the names, if every column is there once."""


@lru_cache(maxsize=64)
def _remembered_header(names: tuple[Any, ...], contract: ColumnContract) -> ColumnPlaces:
    given = [normalise(name) for name in names]
    count = Counter(given)
    wanted = [normalise(name) for name in contract.columns]
    places = tuple(given.index(name) if count[name] else None for name in wanted)
    known = [*contract.columns, *([contract.label] if contract.label else [])]
    repeated = tuple(name for name in known if count[normalise(name)] > 1)
    there = [place for place in places if place is not None]
    if repeated or len(there) < len(places):
        return ColumnPlaces(places, repeated, None)
    # itemgetter would take out the value itself
    if len(there) == 1:
        return ColumnPlaces(places, repeated, lambda values: (values[there[0]],))
    return ColumnPlaces(places, repeated, itemgetter(*there))


def header_of(names: tuple[Any, ...], contract: ColumnContract) -> ColumnPlaces:
    if len(names) <= 4 * len(contract.columns):
        return _remembered_header(names, contract)
    # what callers send mustn't fill the memory
    return _remembered_header.__wrapped__(names, contract)


def read_matrix(given: Sequence[Mapping[str, Any]], contract: ColumnContract, *, fast: bool) -> Matrix:
    """Read mappings, float64 (rows, columns).

    Raises:
        BadTransaction: a mapping can't be used.
        OverflowError: with ``fast``, a whole number is beyond float64.
    """
    faults = _Faults(contract)
    rows: list[Sequence[float]] = []
    names: tuple[Any, ...] | None = None
    says_nothing = all(column.optional for column in faults.columns)  # may be, by the columns
    for number, mapping in enumerate(given, start=1):
        if not isinstance(mapping, Mapping):
            raise BadTransaction(
                f"A transaction is a mapping of column names to values, not a {type(mapping).__name__}.",
                where=f"row {number}",
                remedy=f'Give {{"{contract.columns[0]}": …, …}}.',
            )
        if names != (own := tuple(mapping)):
            names, header = own, header_of(own, contract)
        values = tuple(mapping.values())
        if fast and header.pick is not None:
            row = header.pick(values)
            if PLAIN.issuperset(map(type, row)):
                rows.append(row)
                continue
        faults.of_header(header, number)
        cells = [
            math.nan if place is None else faults.read(values[place], column, number)
            for column, place in zip(faults.columns, header.places, strict=True)
        ]
        if says_nothing and all(map(math.isnan, cells)):
            faults.add(NONE_NEEDED, contract.columns[0], number)
        rows.append(cells)
    faults.raise_any()
    return np.array(rows, np.float64).reshape(len(rows), len(faults.columns))


class _Faults:
    """Faults in some transactions: the first few faults, all of the first bad row, and how many there are."""

    def __init__(self, contract: ColumnContract) -> None:
        self.columns = contract.parts()
        self._problems: list[CellProblem] = []
        self._count = 0

    def add(self, problem: str, column: str, row: int | None, value: Any = None) -> None:
        """Note a fault."""
        self._count += 1
        if len(self._problems) < SHOWN or self._problems[0].row == row:
            self._problems.append(CellProblem(problem, column=column, row=row, value=excerpt(value)))

    def of_header(self, header: ColumnPlaces, row: int | None) -> None:
        """Note columns that appear more than once, and those that must be there and aren't."""
        for name in header.repeated:
            self.add(REPEATED, name, row)
        for column, place in zip(self.columns, header.places, strict=True):
            if place is None and not column.optional:
                self.add(MISSING, column.name, row)

    def read(self, value: Any, column: Column, row: int) -> float:
        """Return the number that stands for a value; NaN for a blank, and for what is noted as a fault."""
        number, problem = read_cell(value, column)
        if problem is not None:
            self.add(problem, column.name, row, value)
        return number

    def raise_any(self) -> None:
        """Raise what was noted, if anything.

        Raises:
            BadTransaction: it names the first fault, and all columns that are missing beside it.
        """
        if not self._problems:
            return
        first = self._problems[0]
        columns = [first.column]
        if first.problem in PLURAL:
            same = (one for one in self._problems if (one.problem, one.row) == (first.problem, first.row))
            columns = [one.column for one in same]
        problem = first.problem if len(columns) == 1 else PLURAL[first.problem]
        names, row = ", ".join(map(str, columns)), "" if first.row is None else f" in row {first.row}"
        raise BadTransaction(
            f"{names}{row} {problem}" + (f" ({first.value})." if first.value else "."),
            where=None if first.row is None else f"row {first.row}, column {first.column}",
            remedy=self._remedy(first.problem),
            problems=self._problems,
            problem_count=self._count,
        )

    def _remedy(self, problem: str) -> str:
        if problem in PLURAL:
            needed = ", ".join(column.name for column in self.columns if not column.optional)
            return f"Give each of these columns once, in any order: {needed}."
        remedies = dict.fromkeys(REMEDIES[kind] for kind in sorted({column.kind for column in self.columns}))
        return f"Give {', '.join(remedies)}; nothing was scored."


def read_cell(value: Any, column: Column) -> Read:
    """Return the number that stands for a column's value, NaN for a blank; and what is wrong with it, if anything."""
    if column.kind is CellKind.NUMBER and type(value) in PLAIN and -LARGEST <= value <= LARGEST:
        # nearly every cell, also of a row that has one odd number
        return float(value) * column.scale, None
    if value is None:
        return math.nan, None if column.optional else MISSING
    if isinstance(value, str) and missing(value):  # as in a file
        return math.nan, None if column.optional else MISSING if value.strip() else "is empty"
    number, problem = READERS[column.kind](value)
    if problem is None and column.least is not None and number < column.least:
        problem = "is before 1970"
    return number * column.scale, problem


def read_number(value: Any) -> Read:
    """Read a real number. Text isn't one: ``"1,5"`` means different things to different readers."""
    if isinstance(value, BOOLEANS) or not isinstance(value, NUMBERS):
        return math.nan, not_a(CellKind.NUMBER, value)
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return math.nan, TOO_LARGE
    if math.isnan(number):
        return number, "is not a number"
    return number, TOO_LARGE if abs(number) > LARGEST else None


def _text(value: Any) -> Read:
    if isinstance(value, str) and times.SHORTENED.fullmatch(value.strip()):
        return math.nan, "was shortened by a spreadsheet"
    return _of_text(value, CellKind.TEXT, encoding.text_code)


def read_length(value: Any) -> Read:
    """Read the length of a text."""
    return _of_text(value, CellKind.LENGTH, encoding.text_length)


def read_domain(value: Any) -> Read:
    """Read the domain of an e-mail address."""
    return _of_text(value, CellKind.DOMAIN, encoding.domain_code)


def _of_text(value: Any, kind: CellKind, number: Callable[[str], float]) -> Read:
    if isinstance(value, BOOLEANS) or not isinstance(value, (str, *NUMBERS)):
        return math.nan, not_a(kind, value)
    return number(str(value)), None


def _time(value: Any) -> Read:
    found: float | None = None
    if isinstance(value, datetime):
        found = times.time_of(value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat())
    elif isinstance(value, (str, date)):
        found = times.time_of(str(value))
    else:
        number, problem = read_number(value)
        found = None if problem else times.seconds_of(number)
    return (math.nan, not_a(CellKind.TIME, value)) if found is None else (found, None)


def _address(value: Any) -> Read:
    found: float | None = None
    if isinstance(value, str):
        found = encoding.address_code(value)
    else:
        number, problem = read_number(value)
        found = None if problem else encoding.address_code(repr(number))
    return (math.nan, not_a(CellKind.ADDRESS, value)) if found is None else (found, None)


READERS: Mapping[CellKind, Callable[[Any], Read]] = {
    CellKind.NUMBER: read_number,
    CellKind.TEXT: _text,
    CellKind.TIME: _time,
    CellKind.ADDRESS: _address,
    CellKind.LENGTH: read_length,
    CellKind.DOMAIN: read_domain,
}


def not_a(kind: CellKind, value: Any) -> str:
    """Say that a value is nothing of a kind, and what it is instead where that alone is wrong."""
    word = TYPES.get(type(value))
    if word is None or (isinstance(value, str) and kind is not CellKind.NUMBER):
        return f"is not {KINDS[kind]}"
    return f"is {word}, not {KINDS[kind]}"


def excerpt(value: Any) -> str | None:
    """Shorten a value for a message; never one that may be a card number."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if not isinstance(value, str):
        return None
    if sum(character.isdigit() for character in value[:200]) >= CARD_DIGITS:
        return "digits hidden"
    return repr(value[:EXCERPT] + ("…" if len(value) > EXCERPT else ""))
