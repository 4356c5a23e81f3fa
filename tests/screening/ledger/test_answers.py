"""Answers that are kept: the same ones until the ledger changes, never those of another state, never too many."""

from __future__ import annotations

import pyarrow as pa
import pytest

from screening.ledger.queries import answers
from screening.ledger.queries.answers import AnswerCache, state_of


def test_what_was_kept_is_a_copy() -> None:
    kept = AnswerCache()
    given = {"a": [{"n": 1}]}
    kept.put("key", given)
    given["a"][0]["n"] = 2
    first = kept.get("key")
    assert first == {"a": [{"n": 1}]}
    first["a"].clear()
    assert kept.get("key") == {"a": [{"n": 1}]}
    assert kept.get("other") is None


def test_no_more_rows_are_kept_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_ROWS", 10)
    kept = AnswerCache()
    kept.put("large", {"a": [{}] * 6})
    assert kept.get("large") is None
    for name in "abc":
        kept.put(name, {name: [{}] * 4})
    assert [name for name in "abc" if kept.get(name)] == ["b", "c"]
    kept.put("b", {"b": [{}] * 5})  # again, and now the latest
    kept.put("d", {"d": [{}] * 4})
    assert [name for name in "abcd" if kept.get(name)] == ["b", "d"]


def test_another_view_of_the_same_memory_is_another_state() -> None:
    whole = pa.table({"n": [1, 1, 2]})
    assert state_of([], [whole.slice(0, 2)]) != state_of([], [whole.slice(1, 2)])
    assert state_of([], [whole]) == state_of([], [pa.table({"n": [1, 1, 2]})])
    assert state_of([], [whole, pa.table({"l": [1]})]) != state_of([], [whole, pa.table({"l": [0]})])
