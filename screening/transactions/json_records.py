"""Turns what Python callers have (mappings, data frames) into :class:`Transactions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from numbers import Real
from operator import itemgetter
from typing import Any

import numpy as np

from screening.errors import BadFile, BadTransaction, CellProblem
from screening.transactions.schema import ColumnContract, Matrix, Transactions
from screening.transactions.typed_json_records import read_mappings

PLAIN = frozenset((float, int))
SHOWN = 10
EXCERPT = 20
NUMBERS: Any = (Real, Decimal)
KINDS = {
    str: "text, not a number",
    bool: "true or false, not a number",
    list: "a list, not a number",
    dict: "an object, not a number",
}
BOOLEANS: Any = (bool, np.bool_)
CARD_DIGITS = 12
"""Text with so many digits may be a card number, and isn't repeated in a message."""


def from_mapping(given: Mapping[str, Any], contract: ColumnContract) -> Transactions:
    """One transaction as a mapping of column name to number; other columns are left alone.

    Raises:
        BadTransaction: a column is missing, stands twice, or isn't a finite number; names it.
    """
    if not contract.plain:
        return Transactions(contract.columns, read_mappings([given], contract))
    values = _pick(tuple(given), contract)(tuple(given.values()))
    if not PLAIN.issuperset(map(type, values)):
        values = _numbers(values, contract, 1)
    try:
        return Transactions(contract.columns, np.array((values,), np.float64))
    except OverflowError:  # a whole number beyond float64
        return Transactions(contract.columns, np.array((_numbers(values, contract, 1),), np.float64))


def from_mappings(given: Sequence[Mapping[str, Any]], contract: ColumnContract) -> Transactions:
    """Several transactions as mappings, each with its own order of columns; rows count from 1 in messages.

    Raises:
        BadTransaction: as :func:`from_mapping`.
    """
    if not contract.plain:
        return Transactions(contract.columns, read_mappings(given, contract))
    rows: list[tuple[Any, ...]] = []
    for names, group in groupby(given, key=_names):
        pick = _pick(names, contract, len(rows) + 1)
        rows.extend(pick(tuple(mapping.values())) for mapping in group)
    for place, row in enumerate(rows):
        if not PLAIN.issuperset(map(type, row)):
            rows[place] = _numbers(row, contract, place + 1)
    try:
        values: Matrix = np.array(rows, np.float64).reshape(len(rows), len(contract.columns))
    except OverflowError:
        checked = [_numbers(row, contract, place + 1) for place, row in enumerate(rows)]
        values = np.array(checked, np.float64)
    return Transactions(contract.columns, values)


def from_frame(frame: Any, contract: ColumnContract) -> Transactions:
    """The contract's columns of a pandas DataFrame; the index plays no part.

    Raises:
        BadTransaction: as :func:`from_mapping`.
    """
    if not contract.plain:
        cells = frame.astype(object).where(frame.notna(), None)
        return from_mappings(cells.to_dict("records"), contract)
    places = _places(tuple(frame.columns), contract, None)
    values = np.empty((len(frame), len(contract.columns)), np.float64)
    for column, (name, place) in enumerate(zip(contract.columns, places, strict=True)):
        series = frame.iloc[:, place]
        if series.dtype.kind in "fiu":
            values[:, column] = series.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values[:, column] = [_number(cell, name, row + 1) for row, cell in enumerate(series)]
    return Transactions(contract.columns, values)


def _names(given: Mapping[str, Any]) -> tuple[str, ...]:
    if not isinstance(given, Mapping):
        raise BadTransaction(
            f"A transaction is a mapping of column names to numbers, not a {type(given).__name__}.",
            remedy='Give {"Time": 0, "V1": -1.36, ...}.',
        )
    return tuple(given)


def _pick(names: tuple[str, ...], contract: ColumnContract, row: int = 1) -> Any:
    """A function that takes the contract's values out of values that stand as ``names`` do."""
    places = _places(names, contract, row)
    return itemgetter(*places) if len(places) > 1 else lambda values: (values[places[0]],)


@lru_cache(maxsize=64)
def _match(names: tuple[str, ...], contract: ColumnContract) -> tuple[int, ...]:
    places = contract.match(names)
    return tuple(places[name] for name in contract.columns)


def _places(names: tuple[str, ...], contract: ColumnContract, row: int | None) -> tuple[int, ...]:
    try:
        # long headers aren't remembered: what callers send mustn't fill the memory
        return (
            _match(names, contract)
            if len(names) <= 4 * len(contract.columns)
            else _match.__wrapped__(names, contract)
        )
    except BadFile as problem:
        columns = [str(cell.column) for cell in problem.problems]
        many = "Columns" if len(columns) > 1 else "Column"
        raise BadTransaction(
            f"{many} {', '.join(columns)}: {problem.problems[0].problem}.",
            where=f"row {row}" if row else None,
            remedy=f"Give each of these once, in any order: {', '.join(contract.columns)}.",
            problems=[CellProblem(cell.problem, column=cell.column, row=row) for cell in problem.problems],
        ) from None


def _numbers(values: tuple[Any, ...], contract: ColumnContract, row: int) -> tuple[float, ...]:
    """Every value as a float; all that aren't numbers are named in one error."""
    found: list[float] = []
    problems: list[CellProblem] = []
    for name, value in zip(contract.columns, values, strict=True):
        try:
            found.append(_number(value, name, row))
        except BadTransaction as problem:
            problems.extend(problem.problems)
    if problems:
        raise _refusal(problems)
    return tuple(found)


def _number(value: Any, name: str, row: int) -> float:
    """A real number as a float. Text isn't one: ``"1,5"`` means different things to different readers."""
    try:
        if isinstance(value, NUMBERS) and not isinstance(value, BOOLEANS):
            return float(value)
        problem = "is missing" if value is None else f"is {KINDS.get(type(value), 'not a number')}"
    except (OverflowError, ValueError):
        problem = "is too large to be scored"
    raise _refusal([CellProblem(problem, column=name, row=row, value=_excerpt(value))])


def _refusal(problems: list[CellProblem]) -> BadTransaction:
    first = problems[0]
    return BadTransaction(
        f"{first.column} in row {first.row} {first.problem}" + (f" ({first.value})." if first.value else "."),
        where=f"row {first.row}, column {first.column}",
        remedy="Give a finite number, without quotes, in every column; nothing was scored.",
        problems=problems[:SHOWN],
        problem_count=len(problems),
    )


def _excerpt(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    if sum(character.isdigit() for character in value[:200]) >= CARD_DIGITS:
        return "(digits hidden)"
    return repr(value[:EXCERPT] + ("…" if len(value) > EXCERPT else ""))
