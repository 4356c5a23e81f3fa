"""The blend: chosen by rows that it hasn't seen, copies of held-out rows left out, and written as one net exactly."""

from __future__ import annotations

import numpy as np
import pytest

from model.progress import Say, silent
from model.recipes import blend as module
from model.recipes.blend import (
    ENOUGH,
    Blend,
    BlendShare,
    candidates,
    choose,
    closeness,
    deepened,
    joined,
    learn,
    quick_blend,
    splits_of,
    weights,
)
from model.recipes.candidates import BinnedRows, Candidate, CandidateKind, Trace, trace
from model.recipes.network import apply
from model.recipes.recipe import bend_rows, wide_squash
from model.recipes.tail_bins import TailBins
from model.recipes.tree_layers import Trees

ROWS, INPUTS = 900, 5


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, INPUTS)).astype(np.float32)


@pytest.fixture(scope="module")
def seen(features: np.ndarray) -> BinnedRows:
    noise = np.random.default_rng(1).standard_normal(ROWS)
    label = (features[:, 0] + 0.5 * noise > 1.0).astype(np.int64)
    return BinnedRows(
        TailBins.of(features).reached(features),
        bend_rows(wide_squash(features), features),
        label,
        np.ones(ROWS),
    )


def test_what_is_chosen_ranks_rows_by_models_that_had_not_seen_them(seen: BinnedRows) -> None:
    splits = splits_of(seen.label, None, seed=0)
    choice = choose(seen, np.arange(ROWS), splits, 0, silent)
    assert np.sort(choice.rows).tolist() == list(range(ROWS)), "folds hold out each row once"
    assert sum(part.weight for part in choice.blend.parts) == pytest.approx(1)
    assert any(
        part.candidate.kind in {CandidateKind.TREES, CandidateKind.SYMMETRIC} for part in choice.blend.parts
    )
    frauds = choice.logit[seen.label[choice.rows] == 1]
    assert (frauds[:, None] > choice.logit[seen.label[choice.rows] == 0]).mean() > 0.9
    shuffled = BinnedRows(
        seen.reached, seen.bent, np.random.default_rng(3).permutation(seen.label), seen.weight
    )
    chance = choose(shuffled, np.arange(ROWS), splits, 0, silent)
    ranks = (
        chance.logit[shuffled.label[chance.rows] == 1][:, None]
        > chance.logit[shuffled.label[chance.rows] == 0]
    )
    assert 0.4 < ranks.mean() < 0.6, "labels without a cause are told by nothing"


def test_no_copy_of_a_held_out_row_is_learned_from(seen: BinnedRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy behind the rows that says the opposite of a held-out row must not be seen while that is held out."""
    origin = np.r_[np.arange(ROWS), np.arange(0, ROWS, 3)]
    both = seen.rows(origin)
    learned_from = []

    def watched(
        candidate: Candidate, learned: BinnedRows, held: BinnedRows, seed: int, say: Say = silent
    ) -> Trace:
        learned_from.append(len(learned))
        return trace(candidate, learned, held, seed, say)

    monkeypatch.setattr(module, "trace", watched)
    splits = [(np.arange(600), np.arange(600, ROWS))]
    choose(both, origin, splits, 0, silent)
    assert set(learned_from) == {600 + 200}


def test_the_latest_rows_are_held_out_where_they_have_frauds_enough() -> None:
    time = np.random.default_rng(0).permutation(5_000).astype(float)
    label = np.zeros(5_000, np.int64)
    label[np.argsort(time)[:: 5_000 // (6 * ENOUGH)]] = 1
    ((before, after),) = splits_of(label, time, seed=0)
    assert time[before].max() < time[after].min()
    assert len(after) == 1_000
    label[time >= 4_000] = 0
    assert len(splits_of(label, time, seed=0)) == 3, "folds, if there is nothing to tell by"
    assert len(splits_of(label[:900], None, seed=0)) == 5


def test_a_candidate_counts_by_how_close_it_comes() -> None:
    draw = np.random.default_rng(0)
    label = (draw.random(4_000) < 0.3).astype(np.int64)
    good = np.where(label == 1, 1.0, -1.0) + 0.5 * draw.standard_normal(4_000)
    other = np.where(label == 1, 1.0, -1.0) + 0.5 * draw.standard_normal(4_000)
    logit = np.column_stack([good, other, np.zeros(4_000)])
    close = closeness(logit, label, np.ones(4_000))
    assert close.max() == 1
    assert close[:2].min() > 0.1
    assert close[2] < 1e-6
    np.testing.assert_allclose(
        weights(np.array([1.0, 1.0, 1e-9]), np.array([True, True, False])), [0.5, 0.5, 0]
    )


def test_of_each_sort_three_count_and_one_has_trees() -> None:
    trees = np.array([True] * 5 + [False] * 2)
    found = weights(np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.9, 0.01]), trees)
    assert (found > 0).tolist() == [True, True, True, False, False, True, False]
    found = weights(np.array([0.01, 0.02, 0, 0, 0, 1.0, 0.5]), trees)
    assert found[1] == pytest.approx(0.1 / 1.1, rel=0.05)
    assert found.sum() == pytest.approx(1)


def test_the_parts_are_one_net_exactly(features: np.ndarray, seen: BinnedRows) -> None:
    parts = (
        BlendShare(Candidate(CandidateKind.TREES, 3, depth=3, rate=0.2), 8, 0.3),
        BlendShare(Candidate(CandidateKind.SYMMETRIC, depth=4, rate=0.2), 6, 0.5),
        BlendShare(Candidate(CandidateKind.LINE), 4, 0.2),
    )
    bend, marks = wide_squash(features), TailBins.of(features)
    branches = learn(Blend(parts), seen, (marks, bend), 0, silent)
    alone = [
        learn(Blend((BlendShare(one.candidate, one.rounds, 1.0),)), seen, (marks, bend), 0, silent)
        for one in parts[:2]
    ]
    line = learn(Blend((parts[0], BlendShare(parts[2].candidate, 4, 1.0))), seen, (marks, bend), 0, silent)
    told = apply(line.members[0], bend_rows(bend, features))[:, 0]
    expected = 0.3 * alone[0].trees.logits(features) + 0.5 * alone[1].trees.logits(features) + 0.2 * told
    np.testing.assert_allclose(branches.logits(features), expected, atol=1e-5)


def test_trees_of_two_depths_stand_together() -> None:
    shallow = Trees(np.array([[0]]), np.array([[0.5]]), np.array([[1.0, -1.0]]), 0.25)
    deep = Trees(np.array([[1, 0, 0]]), np.array([[0.0, 1.0, 2.0]]), np.array([[1.0, 2.0, 3.0, 4.0]]), 0.0)
    rows = np.array([[0.0, -1.0], [0.7, -1.0], [1.5, 1.0], [3.0, 1.0]])
    both = joined([(2.0, deepened(shallow, 2)), (0.5, deep)])
    np.testing.assert_allclose(both.logits(rows), 2 * shallow.logits(rows) + 0.5 * deep.logits(rows))


def test_what_is_tried_depends_on_the_file() -> None:
    kinds = {rows: {one.kind for one in candidates(rows, 100)} for rows in (700, 10_000, 80_000)}
    assert CandidateKind.NETS not in kinds[700]
    assert CandidateKind.NETS in kinds[10_000]
    assert CandidateKind.NETS not in kinds[80_000]
    assert len(quick_blend().parts) == 1
