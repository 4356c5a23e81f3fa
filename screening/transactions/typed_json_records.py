"""Transactions given as mappings, for contracts whose columns are texts, times and addresses as well as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from screening.errors import BadTransaction, CellProblem
from screening.transactions import encoding
from screening.transactions.schema import CellKind, Column, ColumnContract, Matrix, normalise

SHOWN = 10
LARGEST = 3e38
KINDS = {CellKind.NUMBER: "a number", CellKind.TIME: "a date and time", CellKind.ADDRESS: "an IP address"}
REMEDIES = {
    CellKind.NUMBER: "numbers without quotes",
    CellKind.TEXT: "texts in quotes",
    CellKind.TIME: 'times as "2025-12-31T23:59:00"',
    CellKind.ADDRESS: 'addresses as "192.0.2.1"',
}


def read_mappings(given: Sequence[Mapping[str, Any]], contract: ColumnContract) -> Matrix:
    """The contract's columns of some mappings, float64 (rows, columns); a blank optional one is NaN.

    Names are compared without case and surrounding spaces.

    Raises:
        BadTransaction: a column is missing or stands twice, or a value can't be used; names row (from 1) and column.
    """
    problems: list[CellProblem] = []
    values = np.full((len(given), len(contract.columns)), np.nan)
    parts = [(normalise(column.name), column) for column in contract.parts()]
    for row, mapping in enumerate(given):
        named = _named(mapping, row + 1, problems)
        for place, (name, column) in enumerate(parts):
            value = named.get(name)
            read, problem = (math.nan, "is missing") if value is None else _read(value, column)
            if problem and not (column.optional and math.isnan(read) and value is None):
                problems.append(CellProblem(problem, column=column.name, row=row + 1))
            values[row, place] = read
    if problems:
        raise _refusal(problems, contract)
    return values


def _named(mapping: Mapping[str, Any], row: int, problems: list[CellProblem]) -> dict[str, Any]:
    if not isinstance(mapping, Mapping):
        raise BadTransaction(
            f"A transaction is a mapping of column names to values, not a {type(mapping).__name__}.",
            where=f"row {row}",
        )
    named: dict[str, Any] = {}
    for key, value in mapping.items():
        name = normalise(key)
        if name in named:
            problems.append(CellProblem("stands more than once", column=str(key)[:40], row=row))
        named[name] = value
    return named


def _read(value: Any, column: Column) -> tuple[float, str | None]:
    """The number that stands for a value, and what is wrong with it, if anything."""
    read = {
        CellKind.NUMBER: _number,
        CellKind.TEXT: _text,
        CellKind.TIME: _time,
        CellKind.ADDRESS: _address,
    }[column.kind](value)
    if read is None:
        return math.nan, f"is not {KINDS.get(column.kind, 'a text')}"
    return read, None


def _number(value: Any) -> float | None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (Real, Decimal)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= LARGEST else None


def _text(value: Any) -> float | None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (str, Real, Decimal)):
        return None
    text = str(value)
    return encoding.text_code(text) if text.strip() else None


def _time(value: Any) -> float | None:
    if isinstance(value, datetime):
        return encoding.time_of(value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat())
    if isinstance(value, (str, date)):
        return encoding.time_of(str(value))
    number = _number(value)
    return None if number is None else encoding.seconds_of(number)


def _address(value: Any) -> float | None:
    if isinstance(value, str):
        return encoding.address_code(value)
    number = _number(value)
    return None if number is None else encoding.address_code(repr(number))


def _refusal(problems: list[CellProblem], contract: ColumnContract) -> BadTransaction:
    first = problems[0]
    kinds = sorted({column.kind for column in contract.parts()})
    return BadTransaction(
        f"{first.column} in row {first.row} {first.problem}.",
        where=f"row {first.row}, column {first.column}",
        remedy=f"Give {', '.join(REMEDIES[kind] for kind in kinds)}; nothing was scored.",
        problems=problems[:SHOWN],
        problem_count=len(problems),
    )
