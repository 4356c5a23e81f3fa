"""A transaction that a caller sends with the parts of a value in place of the value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from screening.errors import BadTransaction, CellProblem
from screening.transactions import times
from screening.transactions.composition import DIRECTIONS, Composition, ValuePart, direction_of, listed
from screening.transactions.missing import missing
from screening.transactions.schema import ColumnContract, normalise


def put_together(given: Mapping[str, Any], contract: ColumnContract, row: int) -> Mapping[str, Any]:
    """Return a transaction with each value that a contract knows in several columns, made of them where they are there
    and the value itself isn't.

    Args:
        given: column to value; names are compared without case and surrounding spaces.
        contract: the detector's.
        row: the number of the transaction, from 1, for messages.

    Raises:
        BadTransaction: the parts make no value.
    """
    if not contract.composed:
        return given
    names = {normalise(name): name for name in given}
    found: dict[str, Any] = {}
    for name, made in contract.composed:
        theirs = [names.get(normalise(column)) for column in made.columns]
        if normalise(name) not in names and None not in theirs:
            found[name] = _value(made, [given[str(column)] for column in theirs], row)
    return {**given, **found} if found else given


def _value(made: Composition, values: list[Any], row: int) -> Any:
    parts = [read_part(part, value) for (part, _), value in zip(made.parts, values, strict=True)]
    wrong = [column for (_, column), value in zip(made.parts, parts, strict=True) if value is None]
    if wrong:
        raise _bad(wrong, "can't be read as a part of the value", row)
    cells = [value for value in parts if value is not None]
    value = float(made.values(np.array([cells]))[0])
    if math.isnan(value):
        words, columns = made.fault(cells)
        raise _bad(list(columns), words, row)
    return value if made.is_amount else np.datetime64(round(value * 1000), "ms").item()


def read_part(part: ValuePart, value: Any) -> float | None:
    """Return the number that stands for a part; NaN for a debit or credit that is blank, ``None`` for what can't be
    used.
    """
    if part in (ValuePart.DEBIT, ValuePart.CREDIT) and (
        value is None or (isinstance(value, str) and missing(value))
    ):
        return math.nan
    if isinstance(value, bool):
        return None
    if part in DIRECTIONS:
        return direction_of("" if value is None else str(value), part)
    if value is None:
        return None
    if part is ValuePart.CLOCK:
        return times.clock_of(str(value))
    if part is ValuePart.MONTH:
        return times.month_of(str(value))
    if part is ValuePart.DATE:
        return times.time_of(str(value))
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    beside = part is ValuePart.AMOUNT or part in (ValuePart.DEBIT, ValuePart.CREDIT)
    # another column says which way the money goes
    return None if beside and value < 0 else float(value)


def _bad(columns: list[str], problem: str, row: int) -> BadTransaction:
    names = listed(columns)
    return BadTransaction(
        f"{names} in row {row} {problem}.",
        where=f"row {row}, column {names}",
        remedy="Give the parts as the detector's training data had them, or the value itself; nothing was scored.",
        problems=[CellProblem(problem, column=names, row=row)],
        problem_count=1,
    )
