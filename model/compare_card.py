"""The card net beside other models, on the same rows and weights: ``python -m model.compare_card FILE``.

Three windows in time (learn from what is before, test on what is later) and five stratified folds. Windows are the
honest measure: folds mix neighbours in time, and bursts of like frauds flatter models that remember. It
writes ``benchmarks/results/card_models.json`` and prints a table; the interval is a paired 95 % bootstrap of the net's
average precision minus the best boosted tree's, over the test rows, resampled within each class.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from model.data.card_file import TrainingFile, read_training_file
from model.data.card_splits import Split, folds, windows
from model.evaluation.metrics import Ranking, ranking, resample
from model.train import RECIPE, fit

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
Fit = Callable[[TrainingFile, int], Score]
NET = "this net"
BOOSTED = ("XGBoost", "LightGBM", "CatBoost")
DRAWS = 1000
RESULTS = Path("benchmarks/results/card_models.json")


def net(file: TrainingFile, seed: int) -> Score:
    """Return the net as :mod:`model.train` trains it; calibration doesn't change the order."""
    return fit(file, RECIPE, seed).logits


def old_plain_net(file: TrainingFile, seed: int) -> Score:
    """Return a 256-256 net on signed logs of robust-scaled inputs: what stood before."""
    import keras
    from sklearn.preprocessing import RobustScaler

    keras.utils.set_random_seed(seed)
    scaler = RobustScaler().fit(file.values[file.weight > 0])

    def prepared(values: Floats) -> NDArray[np.float32]:
        scaled = scaler.transform(values)
        return np.asarray(np.sign(scaled) * np.log1p(np.abs(scaled)), np.float32)

    dense = keras.layers.Dense
    plain = keras.Sequential([dense(256, "relu"), keras.layers.Dropout(0.3), dense(256, "relu"), dense(1)])
    plain.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    plain.fit(prepared(file.values), file.label.astype(np.float32), batch_size=512, epochs=20, verbose=0)
    return lambda values: np.asarray(plain.predict(prepared(values), verbose=0)[:, 0], np.float64)


def logistic_regression(file: TrainingFile, _seed: int) -> Score:
    """Make a logistic regression on standardised columns, classes as they are."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(file.values, file.label)
    return lambda values: np.asarray(model.decision_function(values))


def random_forest(file: TrainingFile, seed: int) -> Score:
    """Make a forest of 300 trees."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(300, n_jobs=2, random_state=seed).fit(file.values, file.label)
    return lambda values: np.asarray(model.predict_proba(values)[:, 1])


def xgboost(file: TrainingFile, seed: int) -> Score:
    """Make 800 trees of depth 3."""
    import xgboost as xgb

    model = xgb.XGBClassifier(
        n_estimators=800, max_depth=3, learning_rate=0.05, subsample=0.8, colsample_bytree=0.5, n_jobs=2,
        random_state=seed,
    ).fit(file.values, file.label)  # fmt: skip
    return lambda values: np.asarray(model.predict(values, output_margin=True), np.float64)


def lightgbm(file: TrainingFile, seed: int) -> Score:
    """Make 600 trees of 15 leaves."""
    import lightgbm as lgb

    model = lgb.LGBMClassifier(
        n_estimators=600, num_leaves=15, learning_rate=0.03, subsample=0.8, subsample_freq=1, colsample_bytree=0.5,
        n_jobs=2, verbose=-1, random_state=seed,
    ).fit(file.values, file.label)  # fmt: skip
    return lambda values: np.asarray(model.predict(values, raw_score=True), np.float64)


def catboost(file: TrainingFile, seed: int) -> Score:
    """Make 500 trees with CatBoost's defaults."""
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(
        iterations=500, verbose=0, thread_count=2, random_seed=seed, allow_writing_files=False
    )
    model.fit(file.values, file.label)
    return lambda values: np.asarray(model.predict(values, prediction_type="RawFormulaVal"), np.float64)


MODELS: dict[str, Fit] = {
    NET: net,
    "plain 256-256 net": old_plain_net,
    "logistic regression": logistic_regression,
    "random forest": random_forest,
    "XGBoost": xgboost,
    "LightGBM": lightgbm,
    "CatBoost": catboost,
}


def compare(file: TrainingFile, seed: int = 0) -> dict[str, Any]:
    """Score every model on every split, and measure the scores: {"splits": [...], "mean_of_windows": {...}}."""
    found: list[dict[str, Any]] = []
    for split in windows(file):
        scores = {name: score_test(name, file, split, seed) for name in MODELS}
        found.append(measure_scores(file, split.name, split.test, scores))
    found.append(compare_by_folds(file, seed))
    return {"splits": found, "mean_of_windows": means_of(found[:-1])}


def score_test(name: str, file: TrainingFile, split: Split, seed: int) -> Floats:
    """Return what a model says of the tested rows, and print how long it took."""
    began = time.monotonic()
    score = MODELS[name](file.rows(split.train), seed)(file.values[split.test])
    print(f"{split.name}: {name} {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return score


def compare_by_folds(file: TrainingFile, seed: int) -> dict[str, Any]:
    """Return the mean over the folds of each measure; scores of different folds aren't compared with one another."""
    each = [
        measure_scores(file, split.name, split.test, {n: score_test(n, file, split, seed) for n in MODELS})
        for split in folds(file, seed)
    ]
    models = {
        name: {
            key: float(np.mean([one["models"][name][key] for one in each])) for key in each[0]["models"][name]
        }
        for name in MODELS
    }
    gains = {tree: _mean_gain(each, tree) for tree in BOOSTED}
    return {"name": "five folds", "models": models, "net_minus": gains}


def measure_scores(
    file: TrainingFile, name: str, test: NDArray[np.int64], scores: dict[str, Floats]
) -> dict[str, Any]:
    """Return the figures of one model on the tested rows."""
    rows = file.rows(test)
    models = {model: vars_of(ranking(rows.label, score, rows.weight)) for model, score in scores.items()}
    draws = {tree: draw_gains(rows, scores[NET], scores[tree]) for tree in BOOSTED}
    gains = {
        tree: [float(mark) for mark in np.quantile(draw, (0.025, 0.5, 0.975))] for tree, draw in draws.items()
    }
    return {
        "name": name,
        "frauds": int(rows.label.sum()),
        "models": models,
        "net_minus": gains,
        "draws": draws,
    }


def vars_of(measured: Ranking) -> dict[str, float]:
    """Return a measure's fields as a dict."""
    from dataclasses import asdict

    return asdict(measured)


def draw_gains(rows: TrainingFile, ours: Floats, theirs: Floats) -> Floats:
    """Draw how far the average precision of one model lies above the other's, (draws,)."""
    generator = np.random.default_rng(0)
    found = np.empty(DRAWS)
    for draw in range(DRAWS):
        chosen = resample(rows.label, generator)
        label, weight = rows.label[chosen], rows.weight[chosen]
        found[draw] = average_precision_score(
            label, ours[chosen], sample_weight=weight
        ) - average_precision_score(label, theirs[chosen], sample_weight=weight)
    return found


def _mean_gain(parts: list[dict[str, Any]], tree: str) -> list[float]:
    mean = np.mean([part["draws"][tree] for part in parts], axis=0)
    return [float(mark) for mark in np.quantile(mean, (0.025, 0.5, 0.975))]


def means_of(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the means of the figures over the parts, and of what the net gains."""
    models = {
        name: {
            key: float(np.mean([part["models"][name][key] for part in parts]))
            for key in parts[0]["models"][name]
        }
        for name in MODELS
    }
    return {"models": models, "net_minus": {tree: _mean_gain(parts, tree) for tree in BOOSTED}}


def table(found: dict[str, Any]) -> str:
    """Return a table in Markdown: average precision / AUC / recall at 0.1 % false positives."""
    columns = [*found["splits"], {"name": "mean of the windows", **found["mean_of_windows"]}]
    lines = [
        "| model | " + " | ".join(column["name"] for column in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name in MODELS:
        cells = []
        for column in columns:
            m = column["models"][name]
            cells.append(
                f"{m['average_precision']:.3f} / {m['auc']:.3f} / {m['recall_at_0_1_percent_fpr']:.3f}"
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for tree in BOOSTED:
        cells = ["{1:+.3f} ({0:+.3f} to {2:+.3f})".format(*column["net_minus"][tree]) for column in columns]
        lines.append(f"| this net minus {tree}, AP | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.compare_card", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    found = compare(read_training_file(options.file), options.seed)
    for split in found["splits"]:
        split.pop("draws", None)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
