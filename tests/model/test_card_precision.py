"""Card precision, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from model.evaluation.card_precision import DAY, card_precision


def test_each_day_the_most_suspect_cards_are_looked_at_once() -> None:
    card = np.array([1, 1, 2, 3, 4, 1, 2, 3.0])
    day = np.array([0, 0, 0, 0, 0, 1, 1, 1.0])
    label = np.array([0, 1, 0, 1, 0, 1, 1, 0])
    score = np.array([0.1, 0.9, 0.8, 0.2, 0.1, 0.99, 0.5, 0.4])
    # day 0: cards 1 and 2 on top, 1 is fraud: 1/2. Day 1: card 1 is known, 3 wasn't looked at: 2 and 3, 2 is fraud: 1/2
    assert card_precision(card, day * DAY, label, score, k=2) == pytest.approx(0.5)
    # k = 1: day 0 finds card 1, day 1 card 2
    assert card_precision(card, day * DAY, label, score, k=1) == pytest.approx(1.0)


def test_fewer_cards_than_are_looked_at_still_count_against_the_k() -> None:
    assert card_precision(
        np.array([1.0]), np.array([0.0]), np.array([1]), np.array([0.5]), k=4
    ) == pytest.approx(0.25)


def test_without_rows_there_is_nothing_found() -> None:
    nothing = np.zeros(0)
    assert card_precision(nothing, nothing, nothing.astype(int), nothing) == 0.0
