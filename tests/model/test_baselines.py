"""Baselines learn, and treatments of the imbalance do what they say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model.evaluation.baselines import BASELINES, TREATMENTS, treat


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((1500, 6)).astype(np.float32)
    label = (features[:, 0] + features[:, 1] * 0.5 + generator.standard_normal(1500) * 0.5 > 2).astype(
        np.int64
    )
    return features, label


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.filterwarnings("ignore")
def test_every_rival_ranks_unseen_rows(name: str, rows: tuple[np.ndarray, np.ndarray]) -> None:
    for library in ("xgboost", "lightgbm", "catboost"):
        pytest.importorskip(library, reason="needs requirements/train.txt: run `make .venv/.train`")
    features, label = rows
    score = BASELINES[name](features[:1000], label[:1000], np.ones(1000), 0)(features[1000:])
    assert score.shape == (500,)
    assert roc_auc_score(label[1000:], score) > 0.85


def test_treatments_change_the_share_of_frauds_and_keep_every_fraud(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    label = np.r_[np.ones(30, int), np.zeros(3000, int)]
    frauds = {how: treat(label, how, 0) for how in TREATMENTS}
    assert all(set(range(30)) <= set(treated.rows.tolist()) for treated in frauds.values())
    assert len(frauds["under"].rows) == 330
    assert label[frauds["over"].rows].sum() == 300
    weights = frauds["weights"]
    assert weights.weight[label == 1].sum() == pytest.approx(weights.weight[label == 0].sum())
    assert (frauds["none"].weight == 1).all()
    with pytest.raises(ValueError, match="is none of"):
        treat(label, "magic", 0)
