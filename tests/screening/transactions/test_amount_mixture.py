"""Amounts of two systems in one column: found however they lie, and never in the amounts of one system."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from screening.transactions.amount_mixture import mixture, turn, unlike

Floats = NDArray[np.float64]


def one_system(seed: int, rows: int, *, round_share: float = 0.1) -> Floats:
    """Amounts as customers pay them: log-normal, with cents, some of them round."""
    random = np.random.default_rng(seed)
    amounts = np.round(random.lognormal(3.5, 1.2, rows), 2)
    is_round = random.random(rows) < round_share
    return np.where(is_round, np.ceil(amounts), amounts)


def cents(amounts: Floats) -> Floats:
    return np.round(amounts * 100)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 0.5, 0.9, 1.0])
def test_one_system_is_no_mixture(share: float) -> None:
    for seed in range(100):
        amounts = one_system(seed, 40 + 5 * seed, round_share=share)
        assert mixture(amounts) is None
        assert turn(amounts) is None


@pytest.mark.parametrize("whole_first", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.25])
def test_a_second_half_in_cents_is_found_with_the_row_where_it_turns(whole_first: bool, share: float) -> None:
    for seed in range(20):
        amounts = one_system(seed, 200, round_share=share)
        half = slice(0, 80) if whole_first else slice(80, None)
        amounts[half] = cents(amounts[half])
        found = mixture(amounts)
        assert found is not None
        assert found.power == pytest.approx(2, abs=0.6)
        assert found.row == pytest.approx(81, abs=6)


def test_cents_between_the_others_are_found_without_a_row() -> None:
    amounts = one_system(1, 400)
    random = np.random.default_rng(2).random(400) < 0.4
    amounts[random] = cents(amounts[random])
    found = mixture(amounts)
    assert found is not None
    assert found.row is None
    assert found.whole + found.others == 400


def test_a_few_in_cents_are_found() -> None:
    amounts = one_system(4, 200, round_share=0)
    amounts[::12] = cents(amounts[::12])
    found = mixture(amounts)
    assert found is not None
    assert found.whole == 17


def test_rows_that_were_set_aside_count_as_rows_and_zeros_as_none() -> None:
    amounts = one_system(3, 200, round_share=0)
    amounts[100:] = cents(amounts[100:])
    amounts[10:30] = np.nan
    amounts[30:40] = 0
    found = mixture(amounts)
    assert found is not None
    assert (found.row, found.whole, found.others) == (101, 100, 70)


def test_a_turn_is_found_where_all_amounts_are_whole() -> None:
    amounts = np.ceil(np.random.default_rng(1).lognormal(3.5, 0.5, 200))
    amounts[120:] *= 100
    found = turn(amounts)
    assert found is not None
    assert found.row == 121
    assert found.power == pytest.approx(2, abs=0.3)
    assert mixture(amounts) is None
    (note,) = unlike("amount", amounts)
    assert note.startswith("amount is about 100 times as large as before from about row 121 on;")
    (note,) = unlike("amount", amounts[::-1])
    assert "about 100 times smaller than before from about row 81 on;" in note


def test_a_file_that_is_sorted_by_amount_has_no_turn() -> None:
    amounts = np.sort(np.concatenate([np.arange(1.0, 101), np.arange(10_000.0, 10_100)]))
    assert turn(amounts) is None
    assert turn(amounts[::-1]) is None


@pytest.mark.parametrize("amounts", [[], [0.0], [1.0], [1.5, 100.0], [np.nan] * 50, [0.0] * 50, [1.0] * 50])
def test_few_equal_or_no_amounts_are_no_mixture(amounts: list[float]) -> None:
    assert unlike("amount", np.array(amounts, np.float64)) == []
