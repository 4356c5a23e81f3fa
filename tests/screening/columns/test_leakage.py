"""What a column that tells the label looks like, and what doesn't look like one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from screening.columns.leakage import LEAK, Suspicion, alone, judge, like_the_label
from screening.transactions.schema import CellKind

Labelled = tuple[np.ndarray, np.random.Generator]


@pytest.fixture
def labelled() -> Labelled:
    generator = np.random.default_rng(0)
    return (generator.random(2000) < 0.05).astype(np.int8), generator


@pytest.mark.parametrize("decimals", [0, 3])
def test_the_rank_of_fraud_is_the_area_under_the_curve_also_with_ties(
    labelled: Labelled, decimals: int
) -> None:
    label, generator = labelled
    values = np.round(generator.standard_normal(2000) - label, decimals)
    expected = roc_auc_score(label, -values)
    assert alone(CellKind.NUMBER, values, label) == pytest.approx(expected)
    assert alone(CellKind.NUMBER, -values, label) == pytest.approx(expected), "either direction tells"


def test_being_blank_tells_too(labelled: Labelled) -> None:
    label, generator = labelled
    values = np.where(label == 1, generator.random(2000), np.nan)
    assert alone(CellKind.NUMBER, values, label) == 1
    assert like_the_label(CellKind.NUMBER, values, label)


def test_a_text_tells_by_its_rows_in_the_other_half_and_one_that_stands_once_tells_nothing(
    labelled: Labelled,
) -> None:
    label, _ = labelled
    assert alone(CellKind.TEXT, 7.0 + label, label) >= LEAK
    assert alone(CellKind.TEXT, np.arange(2000.0), label) == pytest.approx(0.5, abs=0.1)


def test_a_measure_that_parts_the_classes_is_no_form_of_the_label(labelled: Labelled) -> None:
    label, generator = labelled
    values = generator.random(2000) + 5 * label
    assert alone(CellKind.NUMBER, values, label) == 1
    assert not like_the_label(CellKind.NUMBER, values, label)


def test_one_class_alone_tells_nothing() -> None:
    assert alone(CellKind.NUMBER, np.arange(9.0), np.zeros(9, np.int8)) == 0.5


def test_who_comes_back_is_no_form_of_the_label_though_only_rings_come_back(labelled: Labelled) -> None:
    """A device of many orders is a ring's, and was known to be before anybody said fraud; a reason wasn't."""
    drawn, generator = labelled
    label = generator.permutation(drawn)  # the halves are drawn as the labels of the fixture are
    device = np.where(label == 1, generator.integers(0, 8, 2000), 1000 + np.arange(2000)).astype(float)
    assert alone(CellKind.TEXT, device, label) >= LEAK
    assert not like_the_label(CellKind.TEXT, device, label)
    reason = np.where(
        label == 1, generator.integers(0, 8, 2000), 1000 + generator.integers(0, 60, 2000)
    ).astype(float)
    assert like_the_label(CellKind.TEXT, reason, label), (
        "sixty texts of thirty rows each are what somebody wrote down"
    )


def test_where_most_fraud_happens_is_no_form_of_the_label_where_honest_payments_happen_too() -> None:
    """Two of fifty merchants had nearly all fraud; leaving the column out cost 0.13 of average precision."""
    generator = np.random.default_rng(3)
    merchant = generator.integers(0, 50, 40_000)
    label = np.where(merchant < 1, generator.random(40_000) < 0.6, generator.random(40_000) < 5e-6).astype(
        np.int8
    )
    found = judge("merchant", CellKind.TEXT, merchant.astype(float), label)
    assert found is not None
    assert found.auc >= LEAK
    assert found.suspicion is Suspicion.TELLING, "kept, and told"
    share = np.array([label[merchant == one].mean() for one in range(50)])[merchant]
    assert average_precision_score(label, share) == pytest.approx(0.6, abs=0.03)


def test_a_state_that_only_frauds_have_is_a_form_of_the_label() -> None:
    generator = np.random.default_rng(4)
    label = (generator.random(20_000) < 0.02).astype(np.int8)
    state = np.where(label == 1, 7, generator.integers(0, 4, 20_000)).astype(float)
    state[:20] = 7
    found = judge("state", CellKind.TEXT, state, label)
    assert found is not None
    assert found.suspicion is Suspicion.LEAK
