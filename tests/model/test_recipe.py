"""The net for any file: what Keras saves is what was learned, and a seed means one result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model.progress import Say, silent
from model.recipes import recipe as recipe_module
from model.recipes.calibration import fit_calibration
from model.recipes.cold_start import Cold
from model.recipes.ensemble import PackedRecipe, TrainedMembers, train_packed
from model.recipes.recipe import COLD_SHARE, HELD_OUT, Fitted, Recipe, fit_general, with_copies
from model.recipes.tree_layers import TreeRecipe, count_trees

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
ROWS, INPUTS = 3000, 7


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((ROWS, INPUTS)).astype(np.float32)
    features[:, 6] = features[:, 6] > 1  # a flag
    signal = features[:, 0] * features[:, 1] + 0.7 * features[:, 2] + features[:, 6]
    return features, (signal + generator.standard_normal(ROWS) * 0.3 > 2.2).astype(np.int64)


@pytest.fixture(scope="module")
def fitted(rows: tuple[np.ndarray, np.ndarray]) -> Fitted:
    features, label = rows
    return fit_general(features[:2000], label[:2000], time=np.arange(2000.0), seed=3)


def test_it_ranks_unseen_rows(rows: tuple[np.ndarray, np.ndarray], fitted: Fitted) -> None:
    features, label = rows
    assert roc_auc_score(label[2000:], fitted.logits(features[2000:])) > 0.93


def test_the_same_seed_gives_the_same_net(rows: tuple[np.ndarray, np.ndarray], fitted: Fitted) -> None:
    features, label = rows
    again = fit_general(features[:2000], label[:2000], time=np.arange(2000.0), seed=3)
    np.testing.assert_array_equal(again.logits(features), fitted.logits(features))


def test_what_keras_saves_is_what_was_learned(
    rows: tuple[np.ndarray, np.ndarray], fitted: Fitted, tmp_path: Path
) -> None:
    import keras

    features, label = rows
    logit = fitted.logits(features)
    calibration = fit_calibration(logit, label, np.ones(ROWS), float(label.mean()))
    fitted.build(calibration).save(tmp_path / "net.h5")
    loaded = keras.models.load_model(tmp_path / "net.h5", compile=False)
    kinds = {type(layer).__name__ for layer in loaded.layers}
    assert kinds <= {"InputLayer", "Dense", "Reshape", "Concatenate"}
    given = loaded.predict(features, batch_size=512, verbose=0)[:, 0]
    np.testing.assert_allclose(given, calibration(logit), atol=1e-4)
    alone = loaded.predict(features[5:6], verbose=0)[0, 0]
    assert alone == pytest.approx(given[5], abs=1e-6)
    assert (tmp_path / "net.h5").stat().st_size < 3e6


@pytest.fixture(scope="module")
def cold() -> Cold:
    """Column 6 looks back, and to labels; so does column 5."""
    back = np.arange(INPUTS) >= 5
    return Cold(np.full(INPUTS, -9.0, np.float32), back, np.arange(INPUTS) == 6)


def test_copies_weigh_little_and_keep_the_prior(rows: tuple[np.ndarray, np.ndarray], cold: Cold) -> None:
    features, label = rows
    weight = np.where(label == 1, 1.0, 3.0)
    given = with_copies(features, label, weight, cold, seed=1)
    copied = np.arange(len(given.label)) >= ROWS
    np.testing.assert_array_equal(given.label, label[given.origin])
    np.testing.assert_array_equal(given.features[~copied], features)
    assert given.weight.sum() == pytest.approx(weight.sum())
    assert given.weight[copied].sum() == pytest.approx(2 * COLD_SHARE * weight.sum())
    prior = np.average(label, weights=weight)
    assert np.average(given.label[copied], weights=given.weight[copied]) == pytest.approx(prior)
    alone = copied & (given.features[:, 5] == -9)
    assert given.weight[alone].sum() == pytest.approx(COLD_SHARE * weight.sum())
    assert (given.features[copied, 6] == -9).all()
    np.testing.assert_array_equal(given.features[copied, :5], features[given.origin[copied], :5])
    again = with_copies(features, label, weight, cold, seed=1)
    np.testing.assert_array_equal(again.origin, given.origin)


def test_the_same_seed_gives_the_same_net_with_copies_too(
    rows: tuple[np.ndarray, np.ndarray], cold: Cold
) -> None:
    features, label = (part[:800] for part in rows)
    small = Recipe(TreeRecipe(trees=20), PackedRecipe(members=2, width=16, epochs=2, batch=256))
    one, other = (fit_general(features, label, recipe=small, cold=cold, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.logits(features), other.logits(features))


def test_no_copy_of_a_held_out_row_is_learned_from(
    rows: tuple[np.ndarray, np.ndarray], cold: Cold, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, label = rows
    features = features.copy()
    features[:, 0] = np.arange(ROWS)  # says which row it is
    seen: dict[str, tuple[Arrays, Arrays]] = {}

    def counted(learned: Arrays, held: Arrays, recipe: TreeRecipe, seed: int) -> tuple[int, np.ndarray]:
        seen["trees"] = learned, held
        return count_trees(learned, held, recipe, seed)

    def trained(
        values: np.ndarray,
        label: np.ndarray,
        weight: np.ndarray,
        recipe: PackedRecipe,
        seed: int,
        *,
        held: Arrays | None = None,
        say: Say = silent,
    ) -> TrainedMembers:
        if held is not None:
            seen["nets"] = (values, label, weight), held
        return train_packed(values, label, weight, replace(recipe, epochs=1), seed, held=held, say=say)

    monkeypatch.setattr(recipe_module, "count_trees", counted)
    monkeypatch.setattr(recipe_module, "train_packed", trained)
    fit_general(features, label, time=np.arange(float(ROWS)), cold=cold, seed=0)
    latest = int(ROWS * (1 - HELD_OUT))
    for learned, held in seen.values():
        assert len(learned[0]) > latest  # with copies
        assert len(held[0]) == ROWS - latest  # without
        assert learned[0][:, 0].max() <= held[0][:, 0].min()
