"""Calibration: probabilities at the true prior."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from model.recipes.calibration import LOWEST, Calibration, fit_calibration


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
    ramps = found.ramps()
    reached = np.maximum(ramps.sign * (score[:, None] - ramps.start), 0.0)
    assert expit(ramps.shift + reached @ ramps.slope) == pytest.approx(found(score))


def test_a_steep_calibration_survives_32_bits() -> None:
    """Two classes far apart make a slope of 7: written from LOWEST on, it lost 1e-5, and the net was refused."""
    steep = Calibration(starts=np.array([LOWEST, -2.2]), slopes=np.array([7.0, 1.4]), shift=-433.6)
    score = np.linspace(-4, 4, 2001)
    ramps, single = steep.ramps(), score.astype(np.float32)
    sign, start, slope = (part.astype(np.float32) for part in (ramps.sign, ramps.start, ramps.slope))
    line = np.float32(ramps.shift) + np.maximum(sign * (single[:, None] - start), np.float32(0)) @ slope
    assert line.dtype == np.float32
    assert expit(line.astype(float)) == pytest.approx(steep(score), abs=1e-6)
