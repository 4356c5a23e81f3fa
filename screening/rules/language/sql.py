"""Trees as SQL for DuckDB: each distinct condition of many rules once, values as parameters, lists as tables.

SQL's own logic of three values is that of :mod:`screening.rules.language.closure`: what isn't known is ``NULL``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from screening.rules.language.tree import (
    All,
    Among,
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
    Some,
    Test,
    Value,
    facts,
    lists,
    tests,
)

SIGNS = {"==": "=", "!=": "<>"}


@dataclass
class Statement:
    """The SQL of some rules over one table.

    ``SELECT …, {conditions} FROM …`` gives each distinct condition a column; over those columns ``rules`` are what each
    rule says, in the order in which they were given.
    """

    conditions: list[str] = field(default_factory=list)
    """``… AS c0``: over columns that are named as the keys of facts."""
    rules: list[str] = field(default_factory=list)
    """Over ``c0`` and so on: true, false, or ``NULL``."""
    given: dict[str, Any] = field(default_factory=dict)
    """The values of the parameters."""
    lists: dict[str, pa.Table] = field(default_factory=dict)
    """Tables with the column ``entry``, by the names that the SQL calls them by."""
    facts: dict[str, Fact] = field(default_factory=dict)
    """Facts that are needed, by key."""


def statement(
    rules: Sequence[Condition],
    entries: Mapping[str, Collection[str]],
    written: Mapping[str, str] | None = None,
) -> Statement:
    """Return the SQL of some rules.

    Args:
        rules: their trees.
        entries: of each list that they look into.
        written: SQL of facts that aren't columns by themselves, by key.
    """
    return _Writer(entries, written or {}).statement(rules)


class _Writer:
    def __init__(self, entries: Mapping[str, Collection[str]], written: Mapping[str, str]) -> None:
        self._entries, self._written = entries, written
        self._made = Statement()
        self._known: dict[Test, str] = {}

    def statement(self, rules: Sequence[Condition]) -> Statement:
        for rule in rules:
            for fact in facts(rule):
                self._made.facts.setdefault(fact.key, fact)
            for name in lists(rule):
                self._table(name)
            for test in tests(rule):
                if test not in self._known:
                    self._known[test] = f"c{len(self._known)}"
                    self._made.conditions.append(f"{self._test(test)} AS {self._known[test]}")
            self._made.rules.append(self._rule(rule))
        return self._made

    def _rule(self, condition: Condition) -> str:
        if isinstance(condition, Not):
            return f"(NOT {self._rule(condition.of)})"
        if isinstance(condition, All | Some):
            word = " AND " if isinstance(condition, All) else " OR "
            return f"({word.join(self._rule(each) for each in condition.of)})"
        return self._known[condition]

    def _test(self, test: Test) -> str:
        if isinstance(test, Compare):
            return f"({self._finite(test.left)} {SIGNS.get(test.sign, test.sign)} {self._finite(test.right)})"
        if isinstance(test, Equal):
            other = self._text(test.right) if isinstance(test.right, Fact) else self._value(test.right)
            return f"({self._text(test.left)} = {other})"
        if isinstance(test, Among):
            side = self._text(test.fact) if test.texts else self._fact(test.fact)
            wanted: Sequence[Any] = test.texts or test.numbers
            return f"({side} IN ({', '.join(self._value(each) for each in wanted)}))"
        if isinstance(test, InList):
            return f"({self._text(test.fact)} IN (SELECT entry FROM {self._table(test.list)}))"
        if isinstance(test, Missing):
            return f"({self._fact(test.fact)} IS NULL)"
        if isinstance(test, Flag):
            return f"({self._fact(test.fact)} <> 0)"
        return "TRUE" if test.value else "FALSE"

    def _finite(self, value: Value) -> str:
        written = self._reckoned(value)
        if isinstance(value, Fact | Number):
            return written
        return f"(CASE WHEN isfinite({written}) THEN {written} END)"

    def _reckoned(self, value: Value) -> str:
        if isinstance(value, Number):
            return self._value(value.value)
        if isinstance(value, Fact):
            return self._fact(value)
        if isinstance(value, Negative):
            return f"(-{self._reckoned(value.of)})"
        left, right = self._reckoned(value.left), self._reckoned(value.right)
        return f"({left} {value.sign} {f'NULLIF({right}, 0)' if value.sign == '/' else right})"

    def _fact(self, fact: Fact) -> str:
        return self._written.get(fact.key) or quoted(fact.key)

    def _text(self, fact: Fact) -> str:
        return f"lower({self._fact(fact)})"

    def _value(self, value: str | float) -> str:
        name = f"r{len(self._made.given)}"
        self._made.given[name] = value
        return f"${name}" if isinstance(value, str) else f"${name}::DOUBLE"

    def _table(self, name: str) -> str:
        called = f"list_{sorted(self._entries).index(name)}"
        if called not in self._made.lists:
            self._made.lists[called] = pa.table({"entry": pa.array(sorted(self._entries[name]), pa.string())})
        return called


def quoted(name: str) -> str:
    """Return a name as SQL has it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
