"""Calibration: probabilities at the true prior."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from model.recipes.calibration import fit_calibration


def drawn(rows: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    score = generator.normal(-2, 3, rows)
    return score, (generator.random(rows) < expit(score)).astype(np.int64)


def test_the_mean_probability_becomes_the_prior() -> None:
    score, label = drawn()
    prior = 0.004
    found = fit_calibration(score, label, np.ones(len(label)), prior)
    fraud_weight = prior / (1 - prior) * (label == 0).sum() / (label == 1).sum()
    weight = np.where(label == 1, fraud_weight, 1.0)
    assert np.average(found(score), weights=weight) == pytest.approx(prior, rel=1e-6)


def test_true_logits_are_left_nearly_alone_at_their_own_prior() -> None:
    score, label = drawn()
    found = fit_calibration(score, label, np.ones(len(label)), float(label.mean()))
    for value in (-4.0, 0.0, 2.0):
        assert logit(found(np.array([value]))[0]) == pytest.approx(value, abs=0.6)


def test_a_higher_logit_never_has_a_lower_probability() -> None:
    score, label = drawn()
    found = fit_calibration(score, label, np.ones(len(label)), 0.001)
    probability = found(np.linspace(-30, 30, 500))
    assert (np.diff(probability) >= 0).all()
    assert probability[0] < 1e-4
    assert probability[-1] > 0.5


def test_the_bends_are_the_same_function_as_the_pieces() -> None:
    score, label = drawn()
    found = fit_calibration(score, label, np.ones(len(label)), 0.01)
    ramps = np.maximum(score[:, None] - found.starts, 0.0)
    assert expit(found.shift + ramps @ found.bends) == pytest.approx(found(score))
