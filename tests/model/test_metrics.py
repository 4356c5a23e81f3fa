"""Measures against values worked out by hand."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from model.evaluation.metrics import (
    Resampled,
    at_prior,
    bootstrap_ranking,
    flagged,
    ranking,
    rates,
    recall_at_fpr,
    reliability,
    resample,
)

LABEL = np.array([1, 0, 1, 0, 0])
SCORE = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
WEIGHT = np.array([1.0, 2.0, 1.0, 2.0, 2.0])


def test_rates_of_five_rows_by_hand() -> None:
    false, recall, precision = rates(LABEL, SCORE, WEIGHT)
    assert false == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1])
    assert recall == pytest.approx([0.5, 0.5, 1, 1, 1])
    assert precision == pytest.approx([1, 1 / 3, 0.5, 1 / 3, 0.25])


def test_average_precision_weighs_a_false_alarm_for_all_it_stands_for() -> None:
    assert ranking(LABEL, SCORE, WEIGHT).average_precision == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert ranking(LABEL, SCORE, np.ones(5)).average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_area_under_the_curve_by_hand() -> None:
    assert ranking(LABEL, SCORE, WEIGHT).auc == pytest.approx(5 / 6)  # 5 of 6 pairs in order


@pytest.mark.parametrize("ties", [3, 40, 10_000])
def test_the_measures_of_a_draw_are_those_of_its_rows(ties: int) -> None:
    generator = np.random.default_rng(ties)
    label = (generator.random(300) < 0.1).astype(np.int64)
    score = np.round((generator.random(300) + label * generator.random(300)) * ties) / ties
    weight = generator.choice([1.0, 2.5], 300)
    sampled = Resampled.of(label, score, weight)
    for _ in range(40):
        rows = resample(label, generator)
        expected = list(asdict(ranking(label[rows], score[rows], weight[rows])).values())
        assert sampled.ranking(rows) == pytest.approx(expected, abs=1e-12)


def test_recall_is_the_best_within_the_allowed_false_positives() -> None:
    assert recall_at_fpr(LABEL, SCORE, WEIGHT, 0.0) == 0.5
    assert recall_at_fpr(LABEL, SCORE, WEIGHT, 0.34) == 1.0


def test_rows_of_one_score_are_flagged_together() -> None:
    false, recall, _ = rates(np.array([1, 0]), np.array([0.5, 0.5]), np.ones(2))
    assert (len(false), false[0], recall[0]) == (1, 1.0, 1.0)


def test_precision_and_recall_of_the_flagged_rows() -> None:
    found = flagged(LABEL, SCORE, WEIGHT, 0.8)
    assert found["precision"] == pytest.approx(1 / 3)
    assert (found["recall"], found["rows_flagged"]) == (0.5, 2)


def test_a_row_at_the_threshold_is_flagged() -> None:
    assert flagged(np.array([1, 0]), np.array([0.8, 0.1]), np.ones(2), 0.8)["recall"] == 1.0


def test_reliability_covers_honest_probabilities_and_not_false_ones() -> None:
    generator = np.random.default_rng(0)
    honest = generator.choice([0.02, 0.3, 0.6, 0.9], 4000)
    label = (generator.random(4000) < honest).astype(np.int64)
    assert all(one["covers"] for one in reliability(label, honest, np.ones(4000)))
    assert not all(one["covers"] for one in reliability(label, honest**0.2, np.ones(4000)))


def test_reliability_knows_that_a_missing_legitimate_row_would_have_weighed_much() -> None:
    label, weight = np.array([1] * 50 + [0] * 50), np.array([1.0] * 50 + [20.0] * 50)
    probability = np.where(label == 1, 0.9, 0.0)
    sure = next(one for one in reliability(label, probability, weight) if one["frauds"])
    assert (sure["observed"], sure["covers"]) == (1.0, True)
    assert sure["low"] < 0.5  # 50 frauds and none else, yet one unseen row would stand for 20


def test_bootstrap_intervals_hold_the_measured_value_and_repeat() -> None:
    generator = np.random.default_rng(3)
    label = (generator.random(400) < 0.2).astype(np.int64)
    score = label + generator.normal(size=400)
    first = bootstrap_ranking(label, score, np.ones(400), draws=60)
    low, high = first["auc"]
    assert low < ranking(label, score, np.ones(400)).auc < high
    assert first == bootstrap_ranking(label, score, np.ones(400), draws=60)


def test_weights_at_the_prior_change_the_frauds_alone() -> None:
    changed = at_prior(LABEL, WEIGHT, 0.01)
    assert changed[LABEL == 0].tolist() == [2.0, 2.0, 2.0]
    assert changed[LABEL == 1].sum() / changed.sum() == pytest.approx(0.01)


@pytest.mark.parametrize("rows", [500, 150])
def test_intervals_for_later_rows_hold_the_figures_of_later_rows(rows: int) -> None:
    """Of 60 files of one kind, the interval of 500 rows holds the figure of those that follow in 95 %, about."""
    from model.evaluation.metrics import later_intervals, ranking

    held, narrow = 0, 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        label = (draw.random(1_000) < 0.06).astype(np.int64)
        score = 1 / (1 + np.exp(-(1.5 * label + draw.standard_normal(1_000))))
        first, second = slice(0, 500), slice(500, 500 + rows)
        later = ranking(label[second], score[second], np.ones(rows)).average_precision
        low, high = later_intervals(label[first], score[first], np.ones(500), rows=rows, draws=100)[
            "average_precision"
        ]
        held += low <= later <= high
        low, high = bootstrap_ranking(label[first], score[first], np.ones(500), draws=100)[
            "average_precision"
        ]
        narrow += low <= later <= high
    assert held >= 53
    assert narrow < held, "the interval of the tested rows' own figure is too narrow for that"


def test_a_report_without_a_flag_tells_the_threshold_that_flags_as_many_rows_as_there_were_frauds() -> None:
    from model.evaluation.metrics import report

    draw = np.random.default_rng(0)
    label = (np.arange(500) % 10 == 0).astype(np.int64)
    probability = np.clip(0.05 + 0.2 * label + 0.05 * draw.standard_normal(500), 0.001, 0.6)
    found = report(label, probability, np.ones(500), 0.8, 0.1, draws=20)
    assert found["as_many"]["rows_flagged"] in {50, 51}, "its threshold has four digits"
    assert found["as_many"]["precision"] > 0.8
    assert "as_many" not in report(label, probability, np.ones(500), 0.2, 0.1, draws=20)
