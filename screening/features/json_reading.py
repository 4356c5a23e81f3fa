"""Reads plain JSON strictly: a definition comes out of a file that anybody may bring."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from screening.transactions.schema import ColumnContract, Role

T = TypeVar("T")
# A list with more entries is no definition's.
MOST = 100_000


def record(given: object, what: str, known: set[str]) -> Mapping[str, Any]:
    """Return a JSON object with exactly these keys.

    Raises:
        TypeError, ValueError: it isn't one.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} is no JSON object")
    keys = set(given)
    if keys - known:
        raise ValueError(f"{what} has an unknown key, {min(map(str, keys - known))}")
    if known - keys:
        raise ValueError(f"{what} lacks {min(known - keys)}")
    return given


def number(given: object, what: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number within bounds.

    Raises:
        TypeError, ValueError: it isn't one.
    """
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
        raise ValueError(f"{what} is no finite number")
    if not low <= given <= high:
        raise ValueError(f"{what} is {given:g}, not within {low:g} to {high:g}")
    return float(given)


def count(given: object, what: str, high: int) -> int:
    """Return a whole number from 0 to ``high``.

    Raises:
        TypeError, ValueError: it isn't one.
    """
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"{what} is no whole number")
    return int(number(given, what, 0, high))


def listed(given: object, what: str) -> list[Any]:
    """Return a JSON list.

    Raises:
        TypeError, ValueError: it isn't one.
    """
    if not isinstance(given, (list, tuple)) or len(given) > MOST:
        raise ValueError(f"{what} is no list")
    return list(given)


def names(given: object, what: str) -> tuple[str, ...]:
    """Return a list of texts, each once.

    Raises:
        TypeError, ValueError: it isn't one.
    """
    found = listed(given, what)
    if not all(isinstance(name, str) for name in found) or len(set(found)) != len(found):
        raise ValueError(f"{what} is no list of different names")
    return tuple(found)


def mapping(given: object, what: str, read: Callable[[object, str], T]) -> dict[str, T]:
    """Return a JSON object whose values ``read`` accepts.

    Raises:
        TypeError, ValueError: it isn't one.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} are no JSON object")
    return {str(name): read(value, f"{what} of {name}") for name, value in given.items()}


def level_shares(given: object, what: str) -> tuple[tuple[float, float], ...]:
    """Return a list of pairs: a level, each once, and its share from 0 to 1.

    Raises:
        TypeError, ValueError: it isn't one.
    """
    return level_numbers(given, what, 0, 1)


def level_numbers(
    given: object, what: str, low: float = -math.inf, high: float = math.inf
) -> tuple[tuple[float, float], ...]:
    """Return a list of pairs: a level, each once, and a number within bounds.

    Raises:
        TypeError, ValueError: it isn't one.
    """
    found = []
    for pair in listed(given, what):
        # more or fewer than two are a ValueError
        level, told = listed(pair, what)
        found.append((number(level, f"a level of {what}"), number(told, f"a number of {what}", low, high)))
    if len({level for level, _ in found}) != len(found):
        raise ValueError(f"{what} names a level twice")
    return tuple(found)


def contract(given: object) -> ColumnContract:
    """Return a contract whose parts agree.

    Raises:
        KeyError, TypeError, ValueError: it isn't one.
    """
    if not isinstance(given, Mapping):
        raise TypeError("the contract is no JSON object")
    known = {"columns", "label", "time", "amount", "kinds", "roles", "optional", "since", "composed", "apart"}
    unknown = set(given) - known
    if unknown:
        raise ValueError(f"the contract has an unknown key, {min(map(str, unknown))}")
    columns = names(given["columns"], "the contract's columns")
    found = ColumnContract.from_dict(given)
    if not columns or not set(found.optional) <= set(columns):
        raise ValueError("the contract's columns don't hold its optional ones, or are none")
    if not {name for name, _ in found.composed} <= set(columns):
        raise ValueError("the contract says of a column that it doesn't have what it is made of")
    by_role = {Role.TIME: found.time, Role.AMOUNT: found.amount}
    for role, name in by_role.items():
        if [part.name for part in found.parts() if part.role is role] != ([] if name is None else [name]):
            raise ValueError(f"the contract names another column as {role} than its roles do")
    return found
