"""A number that a person types into a field: one meaning, or none."""

from __future__ import annotations

import pytest

from screening.intake import numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12.0),
        ("12.5", 12.5),
        ("12,5", 12.5),
        ("0.125", 0.125),
        ("07.30", 7.3),
        ("1 070,10", 1070.1),
        ("1'070.10", 1070.1),
        ("1.070,10", 1070.1),
        ("1,070.10", 1070.1),
        ("1,070,000", 1_070_000.0),
        ("−1", -1.0),
        ("12 EUR", 12.0),
    ],
)
def test_one_meaning_is_read(text: str, value: float) -> None:
    assert numbers.typed(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    ["1,070", "1.070", "1_000", "nan", "inf", "-Infinity", "1e400", "1e39", "0x10", "１２", "١", "12%", "x"],
)
def test_two_meanings_or_none_are_refused(text: str) -> None:
    assert numbers.typed(text) is None
