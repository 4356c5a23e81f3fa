"""Costs of thresholds, by hand and by their extremes."""

from __future__ import annotations

import numpy as np
import pytest

from model.evaluation.cost import costs

LABEL = np.array([0, 0, 0, 1, 1])
PROBABILITY = np.array([0.1, 0.2, 0.6, 0.7, 0.9])
AMOUNT = np.array([10.0, 10, 10, 40, 200])


def test_the_lowest_threshold_reviews_all_and_the_highest_misses_what_lies_below() -> None:
    found = costs(LABEL, PROBABILITY, AMOUNT, review=5)
    assert (found.flagged[0], found.missed[0], found.reviews[0]) == (5, 0, 25)
    assert (found.flagged[-1], found.missed[-1]) == (0, 240)
    assert found.threshold[-1] == 1.0


def test_the_best_threshold_weighs_reviews_against_missed_amounts() -> None:
    assert 0.6 < costs(LABEL, PROBABILITY, AMOUNT, review=5).best <= 0.7
    assert costs(LABEL, PROBABILITY, AMOUNT, review=100).best > 0.7  # 40 isn't worth a review of 100
    assert costs(LABEL, PROBABILITY, AMOUNT, review=1000).best == pytest.approx(1.0)
