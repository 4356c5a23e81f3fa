"""Candidates: what they predict is what their layers say, whatever the seed, and on some of the columns too."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model.recipes.candidates import (
    BinnedRows,
    Candidate,
    CandidateKind,
    Grown,
    losses,
    make,
    strongest,
    trace,
    widened,
)
from model.recipes.network import apply
from model.recipes.tail_bins import TailBins

ROWS, INPUTS = 1200, 6
SMALL = {
    CandidateKind.TREES: Candidate(CandidateKind.TREES, most=40, depth=4, rate=0.1),
    CandidateKind.SYMMETRIC: Candidate(CandidateKind.SYMMETRIC, most=40, depth=4, rate=0.1),
    CandidateKind.LINE: Candidate(CandidateKind.LINE, most=4),
    CandidateKind.NETS: Candidate(CandidateKind.NETS, most=25),
}


@pytest.fixture(scope="module")
def seen() -> BinnedRows:
    draw = np.random.default_rng(0)
    features = draw.standard_normal((ROWS, INPUTS)).astype(np.float32)
    signal = features[:, 4] + 0.8 * features[:, 1] * (features[:, 0] > 0)
    label = (signal + 0.4 * draw.standard_normal(ROWS) > 1.2).astype(np.int64)
    weight = draw.uniform(0.5, 2.0, ROWS)
    return BinnedRows(TailBins.of(features).reached(features), np.tanh(features), label, weight)


def logits(grown: Grown, seen: BinnedRows) -> np.ndarray:
    if grown.trees is not None:
        return grown.trees.logits(seen.reached.astype(float))
    mean: np.ndarray = np.mean([apply(member, seen.bent)[:, 0] for member in grown.members], axis=0)
    return mean


@pytest.mark.parametrize("kind", CandidateKind)
def test_a_trace_tells_the_loss_of_rows_it_has_not_seen(seen: BinnedRows, kind: CandidateKind) -> None:
    learned, held = seen.rows(np.arange(800)), seen.rows(np.arange(800, ROWS))
    found = trace(SMALL[kind], learned, held, seed=1)
    rounds = len(found.loss) if kind is CandidateKind.NETS else int(found.loss.argmin()) + 1
    logit = found.logits(rounds)
    assert np.average(losses(logit, held.label), weights=held.weight) == pytest.approx(
        found.loss[rounds - 1], abs=1e-5
    )
    assert roc_auc_score(held.label, logit) > 0.85


@pytest.mark.parametrize("kind", [CandidateKind.TREES, CandidateKind.SYMMETRIC, CandidateKind.NETS])
def test_progress_rises_while_it_learns(seen: BinnedRows, kind: CandidateKind) -> None:
    said: list[tuple[float, str]] = []
    learned, held = seen.rows(np.arange(800)), seen.rows(np.arange(800, ROWS))
    trace(SMALL[kind], learned, held, 1, lambda share, text: said.append((share, text)))
    traced = [share for share, _ in said]
    make(
        SMALL[kind],
        30 if kind is not CandidateKind.NETS else 3,
        seen,
        1,
        lambda share, text: said.append((share, text)),
    )
    made = [share for share, _ in said[len(traced) :]]
    for shares in (traced, made):
        assert len(shares) >= 2
        assert shares == sorted(shares)
        assert 0 < shares[0] < shares[-1] <= 1
    assert len({text for _, text in said}) > 2


@pytest.mark.parametrize("kind", CandidateKind)
def test_layers_of_some_columns_give_what_the_model_gives(seen: BinnedRows, kind: CandidateKind) -> None:
    columns = np.array([1, 3, 4])
    own = make(SMALL[kind], 5 if kind is CandidateKind.NETS else 4, seen.of(columns), seed=2)
    wide = widened(own, columns, INPUTS)
    np.testing.assert_allclose(logits(wide, seen), logits(own, seen.of(columns)), atol=1e-12)
    again = make(SMALL[kind], 5 if kind is CandidateKind.NETS else 4, seen.of(columns), seed=2)
    np.testing.assert_array_equal(logits(own, seen.of(columns)), logits(again, seen.of(columns)))


def test_symmetric_trees_as_gates_are_the_trees_themselves(seen: BinnedRows) -> None:
    """Against CatBoost's own prediction, with values on the borders, where yes and no are decided."""
    from catboost import CatBoostClassifier

    candidate = Candidate(CandidateKind.SYMMETRIC, depth=5, rate=0.2)
    grown = make(candidate, 30, seen, seed=4)
    model = CatBoostClassifier(
        iterations=30, depth=5, learning_rate=0.2, border_count=254, random_seed=4, thread_count=1, verbose=False,
        allow_writing_files=False,
    ).fit(seen.reached.astype(np.float32), seen.label, sample_weight=seen.weight)  # fmt: skip
    theirs = model.predict(seen.reached.astype(np.float32), prediction_type="RawFormulaVal")
    np.testing.assert_allclose(logits(grown, seen), theirs, atol=1e-9)
    assert grown.trees is not None
    borders = np.unique(grown.trees.threshold[grown.trees.column >= 0])
    near = np.nextafter(borders.astype(np.float32), np.float32(-np.inf))
    rows = np.repeat(np.r_[borders.astype(np.float32), near][:, None], INPUTS, axis=1)
    theirs = model.predict(rows, prediction_type="RawFormulaVal")
    np.testing.assert_allclose(grown.trees.logits(rows.astype(float)), theirs, atol=1e-9)


def test_features_that_tell_stand_first(seen: BinnedRows) -> None:
    assert set(strongest(seen, seed=0)[:3].tolist()) == {0, 1, 4}
