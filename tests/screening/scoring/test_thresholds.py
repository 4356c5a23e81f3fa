"""The flag is one comparison in float32, and rounds nothing."""

from __future__ import annotations

import numpy as np
import pytest

from screening.detectors.detector import Detector
from screening.scoring.thresholds import flag
from screening.transactions.schema import CARD, Transactions
from tests.artifact_factory import random_rows
from utils import get_probabilities

JUST_BELOW = np.nextafter(np.float32(0.8), np.float32(0))


@pytest.mark.security(31)
def test_the_threshold_itself_is_flagged_and_the_float32_below_it_is_not() -> None:
    probabilities = np.array([0.8, JUST_BELOW, 0.804, 0.79, 1, 0], np.float32)
    assert flag(probabilities, 0.8).tolist() == [True, False, True, False, True, False]
    assert flag(probabilities, float(JUST_BELOW)).tolist() == [True, True, True, False, True, False]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7, 0.8, 0.9, 0.05, 1 / 3, 1.0])
def test_a_probability_that_is_the_threshold_is_flagged_for_every_threshold(threshold: float) -> None:
    assert flag(np.array([threshold], np.float32), threshold).all()
    assert not flag(np.array([np.nextafter(np.float32(threshold), np.float32(0))]), threshold).any()


def test_nan_is_never_flagged_and_no_rows_give_no_flags() -> None:
    assert flag(np.array([np.nan], np.float32), 0.8).tolist() == [False]
    assert flag(np.array([], np.float32), 0.8).shape == (0,)


@pytest.mark.security(31)
def test_golden_rows_have_the_same_probability_and_flag_by_every_way(tiny: Detector) -> None:
    pd = pytest.importorskip("pandas", reason="needs requirements.txt: run `make .venv/.run`")
    rows = random_rows(600, seed=5)
    ways = {
        "batch": get_probabilities(Transactions(CARD.columns, rows), tiny),
        "frame": get_probabilities(pd.DataFrame(rows, columns=CARD.columns)[list(CARD.columns[::-1])], tiny),
        "list": get_probabilities([dict(zip(CARD.columns, row, strict=True)) for row in rows.tolist()], tiny),
        "text": get_probabilities(
            Transactions(CARD.columns, np.array([[float(repr(v)) for v in row] for row in rows.tolist()])),
            tiny,
        ),
        "one": np.concatenate(
            [get_probabilities(dict(zip(CARD.columns, row, strict=True)), tiny) for row in rows.tolist()]
        ),
    }
    for threshold in (0.8, float(JUST_BELOW), float(ways["batch"][0])):
        for way, found in ways.items():
            assert np.abs(found - ways["batch"]).max() <= 1e-6, way
            np.testing.assert_array_equal(flag(found, threshold), flag(ways["batch"], threshold), err_msg=way)
    assert flag(ways["batch"], float(ways["batch"][0]))[0]
