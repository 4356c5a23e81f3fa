"""Card numbers in a text such as the name of a file."""

from __future__ import annotations

import pytest

from screening.cards.finding import card_numbers
from screening.cards.masking import without_card_numbers


@pytest.mark.security(25)
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("4111111111111111.csv", "[digits].csv"),
        ("export4111111111111111final.csv", "export[digits]final.csv"),
        ("4111 1111 1111 1111.csv", "[digits].csv"),
        ("4111-1111-1111-1111 may.csv", "[digits] may.csv"),
        ("4111_1111_1111_1111.csv.gz", "[digits].csv.gz"),
        ("amex 3782.822463.10005.xlsx", "amex [digits].xlsx"),
        ("2026-11-21_4111111111111111.csv", "2026-11-21_[digits].csv"),
        ("4111111111111111_5500000000000004.csv", "[digits]_[digits].csv"),
        ("4111111111111111", "[digits]"),
    ],
)
def test_a_card_number_in_a_name_is_masked(name: str, kept: str) -> None:
    assert without_card_numbers(name) == kept


@pytest.mark.parametrize(
    "name",
    [
        "payments-2026-11-21.csv",
        "20261121073200.csv",
        "20261121073200123.csv",
        "2026-11-21T07-32-00.123456.csv",
        "1763710000000000000.csv",
        "4111111111111112.csv",
        "a1b2c3.csv",
        "",
    ],
)
def test_dates_times_and_other_numbers_stay(name: str) -> None:
    assert without_card_numbers(name) == name
    assert not card_numbers(name.removesuffix(".csv"))
