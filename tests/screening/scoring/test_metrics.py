from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from screening.scoring.metrics import average_precision, measure


def arrays(labels: Sequence[int], probabilities: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(labels, np.int8), np.array(probabilities, np.float32)


def test_a_confusion_matrix_by_hand() -> None:
    labels, p = arrays([1, 1, 0, 0, 1], [0.9, 0.2, 0.85, 0.1, 0.8])
    found = measure(labels, p, p >= np.float32(0.8), np.array([10.0, 20, 30, 40, 50]))
    assert found is not None
    assert (found.true_positives, found.false_positives, found.false_negatives, found.true_negatives) == (
        2,
        1,
        1,
        1,
    )
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 3)
    assert (found.caught_amount, found.missed_amount, found.false_alarm_amount) == (60, 20, 30)


def test_rows_without_label_or_score_do_not_count() -> None:
    labels, p = arrays([1, -1, 0, 1], [0.9, 0.9, 0.1, np.nan])
    found = measure(labels, p, p >= np.float32(0.8))
    assert found is not None
    assert (found.true_positives, found.false_negatives, found.true_negatives, found.unlabelled) == (
        1,
        0,
        1,
        1,
    )


def test_nothing_labelled_gives_nothing() -> None:
    labels, p = arrays([-1, -1], [0.9, 0.1])
    assert measure(labels, p, p > 1) is None


def test_no_fraud_and_no_flag_divide_by_nothing() -> None:
    labels, p = arrays([0, 0], [0.1, 0.2])
    found = measure(labels, p, p > 1)
    assert found is not None
    assert (found.precision, found.recall, found.average_precision) == (None, None, None)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=60))
def test_average_precision_agrees_with_scikit_learn_ties_included(rows: list[tuple[bool, int]]) -> None:
    fraud = np.array([row[0] for row in rows])
    p = np.array([row[1] / 10 for row in rows], np.float32)
    found = average_precision(fraud, p)
    if fraud.any():
        assert found == pytest.approx(average_precision_score(fraud, p))
    else:
        assert found is None
