"""Trees on marks: rare tails can be asked for, and in the column's own numbers the answers are the same."""

from __future__ import annotations

import numpy as np
import pytest

from model.recipes.candidates import BinnedRows, Candidate, CandidateKind, make
from model.recipes.tail_bins import EVEN, FINE, FINE_TAIL, TAIL, TailBins
from model.recipes.tree_layers import TreeRecipe, train_trees

ROWS = 20_000


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    generator = np.random.default_rng(0)
    found = generator.standard_normal((ROWS, 4)).astype(np.float32)
    found[:, 1] = np.round(found[:, 1])  # few values
    found[:, 2] = found[:, 2] > 1  # a flag
    found[:, 3] = 7.0  # one value
    return found


def test_what_is_asked_of_marks_is_asked_of_the_values(features: np.ndarray) -> None:
    generator = np.random.default_rng(1)
    signal = features[:, 0] * features[:, 1] + features[:, 2] + generator.standard_normal(ROWS) * 0.3
    marks = TailBins.of(features)
    reached = marks.reached(features)
    grown = train_trees(reached, (signal > 1.5).astype(np.int64), TreeRecipe(trees=20, depth=4), 0)
    asked = marks.asked(grown)
    np.testing.assert_array_equal(asked.logits(features.astype(float)), grown.logits(reached.astype(float)))
    later = generator.standard_normal((500, 4)).astype(np.float32) * 5  # also beyond all that was seen
    by_marks = grown.logits(marks.reached(later).astype(float))
    np.testing.assert_array_equal(asked.logits(later.astype(float)), by_marks)


def test_marks_are_values_of_the_column_and_fit_in_a_byte(features: np.ndarray) -> None:
    for column, marks in zip(features.T, TailBins.of(features).columns, strict=True):
        assert np.isin(marks, column).all()
        assert (np.diff(marks) > 0).all()
        assert 1 <= len(marks) <= EVEN + 2 * TAIL <= 255


@pytest.mark.parametrize("kind", [CandidateKind.TREES, CandidateKind.SYMMETRIC])
def test_a_rule_between_two_marks_in_the_middle_is_told_by_fine_ones(kind: CandidateKind) -> None:
    """Its two values lie halfway between two of 63 even marks: a tree on these calls the rows between wrong."""
    learned, later = np.random.default_rng(5).random((2, ROWS, 2)).astype(np.float32)
    label, truth = ((rows > (40.5 / 64, 50.5 / 64)).all(axis=1) for rows in (learned, later))
    wrong = {}
    for name, marks in (("coarse", TailBins.of(learned)), ("fine", TailBins.of(learned, FINE, FINE_TAIL))):
        reached = marks.reached(learned)
        seen = BinnedRows(reached, learned, label.astype(np.int64), np.ones(ROWS))
        trees = make(Candidate(kind, depth=3, rate=0.3), 120, seen, 0).trees
        assert trees is not None
        asked = marks.asked(trees).logits(later.astype(float))
        np.testing.assert_allclose(asked, trees.logits(marks.reached(later).astype(float)), atol=1e-9)
        wrong[name] = int(((asked > 0) != truth).sum())
    assert reached.max() > 255
    assert wrong["coarse"] > 2 * wrong["fine"]
    assert wrong["fine"] < 0.001 * ROWS


def test_frauds_in_the_last_thousandth_of_a_column_are_told(features: np.ndarray) -> None:
    edge = np.quantile(features[:, 0], 0.999)
    label = (features[:, 0] > edge).astype(np.int64)
    marks, recipe = TailBins.of(features), TreeRecipe(trees=60, columns=1.0, depth=2)
    found = marks.asked(train_trees(marks.reached(features), label, recipe, 0)).logits(features)
    assert found[label == 1].min() > 0 > found[label == 0].max()


def test_a_few_rows_are_enough() -> None:
    features = np.array([[1.0], [3.0], [2.0]], np.float32)
    marks = TailBins.of(features)
    np.testing.assert_array_equal(marks.reached(features)[:, 0], [1, 3, 2])
