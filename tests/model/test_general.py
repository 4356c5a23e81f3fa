"""The net for any file: what Keras saves is what was learned, and a seed means one result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model.calibrate import fit_calibration
from model.general import Fitted, fit_general

ROWS, INPUTS = 3000, 7


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((ROWS, INPUTS)).astype(np.float32)
    features[:, 6] = features[:, 6] > 1  # a flag
    signal = features[:, 0] * features[:, 1] + 0.7 * features[:, 2] + features[:, 6]
    return features, (signal + generator.standard_normal(ROWS) * 0.3 > 2.2).astype(np.int64)


@pytest.fixture(scope="module")
def fitted(rows) -> Fitted:
    features, label = rows
    return fit_general(features[:2000], label[:2000], time=np.arange(2000.0), seed=3)


def test_it_ranks_unseen_rows(rows, fitted: Fitted) -> None:
    features, label = rows
    assert roc_auc_score(label[2000:], fitted.logits(features[2000:])) > 0.93


def test_the_same_seed_gives_the_same_net(rows, fitted: Fitted) -> None:
    features, label = rows
    again = fit_general(features[:2000], label[:2000], time=np.arange(2000.0), seed=3)
    np.testing.assert_array_equal(again.logits(features), fitted.logits(features))


def test_what_keras_saves_is_what_was_learned(rows, fitted: Fitted, tmp_path: Path) -> None:
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


def test_few_frauds_are_not_held_out(rows) -> None:
    features, label = rows
    few = np.flatnonzero(label == 1)[:25]
    chosen = np.r_[few, np.flatnonzero(label == 0)[:300]]
    made = fit_general(features[chosen], label[chosen], seed=0)
    assert made.recipe.nets.epochs == 30
    assert np.isfinite(made.logits(features)).all()
