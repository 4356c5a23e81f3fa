"""The fast reader takes what the careful one takes, and gives the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.errors import BadTransaction
from screening.web.api import json_body

LEAVES = st.none() | st.booleans() | st.integers(-(10**45), 10**45) | st.floats(allow_nan=False) | st.text()
# no longer than five inside of another: depth is what a reader may stumble over, and long ones cost four times as much
VALUES: st.SearchStrategy[Any] = st.deferred(
    lambda: LEAVES | st.lists(VALUES, max_size=5) | st.dictionaries(st.text(), VALUES, max_size=5)
)
TOKENS = st.sampled_from(
    ["{", "}", "[", "]", ":", ",", '"a"', '"b"', '"\\u0061"', "1", "-0", "-0.0", "1e5", "01", "NaN", "null", " ", '"',
     "9" * 41, "-" + "9" * 40, "\\", "\ud800", "\ufeff", "1e999", "true"]
)  # fmt: skip


def outcome(read: Any, data: bytes) -> Any:
    try:
        return repr(read(data))
    except BadTransaction as problem:
        return problem.what


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(), VALUES), st.booleans())
def test_what_json_writes_is_read_alike(value: dict[str, Any], ascii_only: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert outcome(json_body.parse, data) == outcome(json_body._parse_carefully, data)


@settings(max_examples=500, deadline=None)
@given(st.lists(TOKENS, max_size=14))
def test_what_is_nearly_json_is_read_alike(tokens: list[str]) -> None:
    data = ("{" + "".join(tokens)).encode("utf-8", "surrogatepass")
    for each in (data, data + b"}", b'{"a":' + data + b"}}"):
        assert outcome(json_body.parse, each) == outcome(json_body._parse_carefully, each)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"x":{"a":"b","a":"b"}}',
        b'{"x":[{"a":1},{"a":1,"b":"\\"","a":2}]}',
        b'{"":1,"":1}',
    ],
)
def test_a_key_that_stands_twice_is_refused_wherever_it_stands(data: bytes) -> None:
    with pytest.raises(BadTransaction, match="stands twice"):
        json_body.parse(data)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(BadTransaction, match="half of a character"):
        json_body.parse(b'{"a": "\\ud800"}')
    assert json_body.parse(b'{"a": "\\ud83d\\ude00"}') == {"a": "😀"}
