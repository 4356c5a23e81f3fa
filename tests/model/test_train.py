"""Training on a tiny invented file gives artefacts that belong together, and the same again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from model.data.card_file import TRUE_PRIOR, read_training_file
from model.data.card_splits import WINDOWS, folds, windows
from model.recipes.network import build
from model.recipes.tree_layers import TreeRecipe
from model.train import RECIPE, fit, main, measure
from tests.artifact_factory import cache_in
from tests.model.factory import training_frame, write_csv

TINY = dataclasses.replace(
    RECIPE, trees=TreeRecipe(trees=8), nets=dataclasses.replace(RECIPE.nets, width=8, epochs=2)
)


@pytest.fixture(scope="module", autouse=True)
def few_folds() -> Iterator[None]:
    """Two folds instead of five: each is a training."""
    with patch("model.data.card_splits.FOLDS", 2):
        yield


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("data"), training_frame())


@pytest.fixture(scope="module")
def trained(csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    assert main([str(csv), "--out", str(folder), "--epochs", "2", "--members", "2"]) == 0
    return folder


@pytest.fixture(scope="module")
def card(trained: Path) -> dict[str, Any]:
    return dict(json.loads((trained / "model" / "card.json").read_text(encoding="utf-8")))


def test_the_fingerprint_ties_both_files_and_the_contract(trained: Path, card: dict[str, Any]) -> None:
    hashes = [
        hashlib.sha256((trained / name).read_bytes()).hexdigest() for name in ("model.h5", "vectorizer.pkl")
    ]
    assert hashes == [card["model_sha256"], card["vectorizer_sha256"]]
    canonical = json.dumps(card["contract"], sort_keys=True, separators=(",", ":"))
    assert card["fingerprint"] == hashlib.sha256(("".join(hashes) + canonical).encode()).hexdigest()


def test_the_card_tells_data_prior_threshold_and_metrics(csv: Path, card: dict[str, Any]) -> None:
    assert card["training_data"]["sha256"] == hashlib.sha256(csv.read_bytes()).hexdigest()
    assert (card["prior"], card["threshold"]) == (TRUE_PRIOR, 0.8)
    assert len(card["metrics"]["windows"]) == 3
    measured = [*card["metrics"]["windows"], card["metrics"]["folds"]]
    assert all(0 <= one["average_precision"] <= 1 and one["reliability"] for one in measured)
    assert all(len(points) <= 60 for one in measured for points in one["curves"].values())
    assert card["columns"]["V1"]["q01"] < card["columns"]["V1"]["q50"] < card["columns"]["V1"]["q99"]


def test_the_app_s_own_loader_takes_the_detector(trained: Path, tmp_path: Path) -> None:
    from screening.detectors.detector import load_detector
    from screening.transactions.schema import CARD, Transactions

    detector = load_detector(
        "card",
        trained / "model.h5",
        trained / "vectorizer.pkl",
        trained / "model" / "card.json",
        cache_in(tmp_path),
    )
    frame = training_frame(rows=200, frauds=20, seed=9)
    rows = Transactions(CARD.columns, frame[list(CARD.columns)].to_numpy(np.float64))
    probability = detector.probabilities(rows)
    assert ((probability >= 0) & (probability <= 1)).all()
    assert probability[frame["Class"] == 1].mean() > probability[frame["Class"] == 0].mean()


def test_the_net_is_the_same_function_as_its_branches(csv: Path) -> None:
    from model.recipes.calibration import fit_calibration

    file = read_training_file(csv)
    fitted = fit(file, TINY, seed=3)
    logit = fitted.logits(file.values)
    calibration = fit_calibration(logit, file.label, file.weight, TRUE_PRIOR)
    net = build(fitted.branches, calibration)
    scaled = fitted.scaler.transform(file.values).astype(np.float32)
    assert net.predict(scaled, verbose=0)[:, 0] == pytest.approx(calibration(logit), abs=1e-3)


def test_the_same_seed_gives_the_same_metrics(csv: Path) -> None:
    file = read_training_file(csv)
    short = dataclasses.replace(TINY, nets=dataclasses.replace(TINY.nets, epochs=1))
    with patch("model.data.card_splits.WINDOWS", WINDOWS[:1]):
        runs = [measure(file, short, 4, lambda _text: None)[0] for _ in range(2)]
    assert runs[0] == runs[1]


def test_windows_never_learn_from_what_is_later(csv: Path) -> None:
    file = read_training_file(csv)
    for split in windows(file):
        assert file.time[split.train].max() < file.time[split.test].min()


def test_every_usable_row_is_tested_in_one_fold(csv: Path) -> None:
    file = read_training_file(csv)
    tested = np.concatenate([split.test for split in folds(file)])
    assert sorted(tested) == list(range(len(file)))
