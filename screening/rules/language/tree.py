"""The tree of a rule: what its text means, once names are resolved and types agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Type(Enum):
    """Types of values."""

    NUMBER = "a number"
    SECONDS = "a time span"
    """A number, too: a unit as in ``15min`` may stand beside it."""
    TEXT = "a text"
    FLAG = "yes or no"

    @property
    def is_number(self) -> bool:
        """Return whether it can be reckoned with."""
        return self in (Type.NUMBER, Type.SECONDS)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is known of a transaction when it is decided on: a column, a field, or a feature."""

    name: str
    """As it is written in a rule, in one spelling."""
    type: Type
    key: str
    """Under which it is kept: equal for what is the same thing in whatever way it is written."""
    words: str = ""
    """For a person."""
    entity: str | None = None
    """Of which kind the lists are that it can be looked for in."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number of the rule's own."""

    value: float


@dataclass(frozen=True, slots=True)
class Negative:
    """Minus something."""

    of: Value


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two numbers that are reckoned with: ``+ - * /``. What isn't finite, as a division by 0, is missing."""

    sign: str
    left: Value
    right: Value


Value: TypeAlias = Number | Fact | Negative | Arithmetic


@dataclass(frozen=True, slots=True)
class Compare:
    """Two numbers that are compared."""

    sign: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Equal:
    """True when two texts are the same, whatever their case."""

    left: Fact
    right: Fact | str


@dataclass(frozen=True, slots=True)
class Among:
    """True when a text or a number is one of some."""

    fact: Fact
    texts: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class InList:
    """True when a text is an entry of a list that is kept apart from the rule."""

    fact: Fact
    list: str
    """Its name, in small letters."""


@dataclass(frozen=True, slots=True)
class Missing:
    """True when nothing is known: the one condition that is never unknown itself."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Flag:
    """A value that is yes or no by itself."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Always:
    """``true`` or ``false``."""

    value: bool


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite; of what isn't known, nothing is known."""

    of: Condition


@dataclass(frozen=True, slots=True)
class All:
    """Each of some."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """One of some, or more."""

    of: tuple[Condition, ...]


Test: TypeAlias = Compare | Equal | Among | InList | Missing | Flag | Always
Condition: TypeAlias = Test | Not | All | Some


def tests(condition: Condition) -> Iterator[Test]:
    """Yield what is asked of a row, each as often as the rule asks it."""
    if isinstance(condition, Not):
        yield from tests(condition.of)
    elif isinstance(condition, All | Some):
        for part in condition.of:
            yield from tests(part)
    else:
        yield condition


def facts(condition: Condition) -> Iterator[Fact]:
    """Yield what a rule needs to know, each as often as it is named."""
    for test in tests(condition):
        if isinstance(test, Compare):
            yield from facts_of_value(test.left)
            yield from facts_of_value(test.right)
        elif isinstance(test, Equal):
            yield test.left
            if isinstance(test.right, Fact):
                yield test.right
        elif not isinstance(test, Always):
            yield test.fact


def lists(condition: Condition) -> Iterator[str]:
    """Yield the names of the lists that a rule looks into."""
    return (test.list for test in tests(condition) if isinstance(test, InList))


def facts_of_value(value: Value) -> Iterator[Fact]:
    """Yield the facts that a value is made of."""
    if isinstance(value, Fact):
        yield value
    elif isinstance(value, Negative):
        yield from facts_of_value(value.of)
    elif isinstance(value, Arithmetic):
        yield from facts_of_value(value.left)
        yield from facts_of_value(value.right)
