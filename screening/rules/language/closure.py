"""A tree as a function of one row: true, false, or ``None`` where that isn't known."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from operator import add, eq, ge, gt, le, lt, mul, ne, sub
from typing import Any, TypeAlias

from screening.rules.language.texts import fold
from screening.rules.language.tree import (
    All,
    Always,
    Among,
    Arithmetic,
    Compare,
    Condition,
    Equal,
    Fact,
    Flag,
    InList,
    Missing,
    Negative,
    Not,
    Number,
    Value,
)

Row: TypeAlias = Mapping[str, Any]
"""Facts about a transaction, by their keys: numbers, texts, and nothing or ``None`` for what is missing."""
Answer: TypeAlias = Callable[[Row], bool | None]
Reckoned: TypeAlias = Callable[[Row], float | None]
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "==": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
RECKON: Mapping[str, Callable[[float, float], float]] = {"+": add, "-": sub, "*": mul}


def compiled(condition: Condition, lists: Mapping[str, Collection[str]]) -> Answer:
    """Return the function of a tree.

    Args:
        condition: the tree.
        lists: the entries of each list that it looks into, as :func:`screening.rules.language.texts.plain` has them.

    Raises:
        KeyError: a list isn't there.
    """
    if isinstance(condition, Not):
        return opposite(compiled(condition.of, lists))
    if isinstance(condition, All):
        return junction([compiled(each, lists) for each in condition.of], ends=False)
    if isinstance(condition, Compare):
        return comparison(condition)
    if isinstance(condition, Equal):
        return equality(condition)
    if isinstance(condition, Among):
        wanted: Collection[Any] = frozenset(condition.texts or condition.numbers)
        return membership(condition.fact, wanted)
    if isinstance(condition, InList):
        return membership(condition.fact, lists[condition.list])
    if isinstance(condition, Missing):
        key = condition.fact.key
        return lambda row: row.get(key) is None
    if isinstance(condition, Flag):
        return _flag(condition.fact.key)
    if isinstance(condition, Always):
        value = condition.value
        return lambda _row: value
    return junction([compiled(each, lists) for each in condition.of], ends=True)


def opposite(of: Answer) -> Answer:
    """Return the opposite answer; of what isn't known nothing is known."""

    def answer(row: Row) -> bool | None:
        found = of(row)
        return None if found is None else not found

    return answer


def junction(parts: list[Answer], *, ends: bool) -> Answer:
    """Evaluate ``and`` up to the first that is false, ``or`` up to the first that is true; else what isn't known
    counts.
    """

    def answer(row: Row) -> bool | None:
        unknown = False
        for part in parts:
            found = part(row)
            if found is None:
                unknown = True
            elif found is ends:
                return ends
        return None if unknown else not ends

    return answer


def comparison(test: Compare) -> Answer:
    """Return the answer of a comparison of two numbers; ``None`` where one isn't known."""
    left, right, compare = _finite(test.left), _finite(test.right), COMPARE[test.sign]
    if isinstance(test.left, Fact) and isinstance(test.right, Number):  # most of them
        key, number = test.left.key, test.right.value

        def quick(row: Row) -> bool | None:
            value = row.get(key)
            return None if value is None else compare(value, number)

        return quick

    def answer(row: Row) -> bool | None:
        one, other = left(row), right(row)
        return None if one is None or other is None else compare(one, other)

    return answer


def _finite(value: Value) -> Reckoned:
    reckoned = _reckoned(value)
    if isinstance(value, Fact | Number):
        return reckoned

    def finite(row: Row) -> float | None:
        found = reckoned(row)
        return found if found is not None and math.isfinite(found) else None

    return finite


def _reckoned(value: Value) -> Reckoned:
    if isinstance(value, Number):
        number = value.value
        return lambda _row: number
    if isinstance(value, Fact):
        key = value.key
        return lambda row: row.get(key)
    if isinstance(value, Negative):
        of = _reckoned(value.of)

        def negative(row: Row) -> float | None:
            found = of(row)
            return None if found is None else -found

        return negative
    return _two(value)


def _two(value: Arithmetic) -> Reckoned:
    left, right = _reckoned(value.left), _reckoned(value.right)
    if value.sign == "/":

        def divided(row: Row) -> float | None:
            one, other = left(row), right(row)
            return None if one is None or not other else one / other  # 0 and None divide nothing

        return divided
    reckon = RECKON[value.sign]

    def reckoned(row: Row) -> float | None:
        one, other = left(row), right(row)
        return None if one is None or other is None else reckon(one, other)

    return reckoned


def equality(test: Equal) -> Answer:
    """Return the answer whether two texts are the same, whatever their case."""
    key, other = test.left.key, test.right
    if isinstance(other, str):
        return membership(test.left, frozenset({other}))
    beside = other.key

    def answer(row: Row) -> bool | None:
        one, two = row.get(key), row.get(beside)
        return None if one is None or two is None else fold(one) == fold(two)

    return answer


def membership(fact: Fact, wanted: Collection[Any]) -> Answer:
    """Return the answer whether a value is one of some."""
    key = fact.key
    if fact.type.is_number:

        def number(row: Row) -> bool | None:
            value = row.get(key)
            return None if value is None else value in wanted

        return number

    def text(row: Row) -> bool | None:
        value = row.get(key)
        return None if value is None else fold(value) in wanted

    return text


def _flag(key: str) -> Answer:
    def answer(row: Row) -> bool | None:
        value = row.get(key)
        return None if value is None else value != 0

    return answer
