"""The workshop's net on e-commerce orders, beside other models: ``python -m benchmarks.ecommerce FILE``.

FILE: the public exercise data "Fraud_Data" with its column names, as CSV or Parquet. What was bought before 2015-06-20
is learned from, what was bought from then to 2015-08-19 is tested; and, as most published figures are of that kind, a
fifth of the rows drawn at random. Each model is trained with three seeds: chance moves these AUC by 0.01.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split

from model.data.order import TrainingOrder
from model.evaluation.baselines import BASELINES
from model.fitting import PreparedRows, fit
from model.trainer import prepare

RESULTS = Path("benchmarks/results/ecommerce.json")
SPLIT = float(np.datetime64("2015-06-20", "s").astype(np.int64))
SEEDS = 3
DRAWS = 300
NAMES = ("logistic regression", "random forest", "gradient boosting", "XGBoost", "LightGBM", "CatBoost")
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def splits(prepared: PreparedRows) -> dict[str, tuple[Rows, Rows]]:
    """Rows to learn from and to test on, by the name of the split."""
    time = np.asarray(prepared.time)
    every = np.arange(len(time))
    drawn = train_test_split(every, test_size=0.2, random_state=0, stratify=prepared.label)
    return {
        "bought from 2015-06-20 on": (np.flatnonzero(time < SPLIT), np.flatnonzero(time >= SPLIT)),
        "drawn at random": (np.sort(drawn[0]), np.sort(drawn[1])),
    }


def scores(prepared: PreparedRows, learned: Rows, tested: Rows, name: str, seed: int) -> Floats:
    """What one model, trained with one seed, gives the tested rows."""
    if name == "this net":
        return fit(prepared, learned, seed, lambda _share, _text: None).logits(prepared, tested)
    label = prepared.label[learned].astype(np.int64)
    model = BASELINES[name](prepared.features[learned], label, np.ones(len(label)), seed)
    return model(prepared.features[tested])


def run(file: Path) -> dict[str, Any]:
    """Both splits, every model: the mean over the seeds, and of the net the paired interval against each model."""
    order = TrainingOrder(file=file, out=Path("unused"), name="ecommerce", filename=file.name, label="class")
    prepared = prepare(order, lambda _share, _text: None)
    found = {}
    for split, (learned, tested) in splits(prepared).items():
        label = prepared.label[tested].astype(np.int64)
        each = {
            name: [scores(prepared, learned, tested, name, seed) for seed in range(SEEDS)]
            for name in ("this net", *NAMES)
        }
        models: dict[str, dict[str, Any]] = {
            name: {
                "auc": float(np.mean([roc_auc_score(label, score) for score in given])),
                "auc_by_seed": [float(roc_auc_score(label, score)) for score in given],
                "average_precision": float(
                    np.mean([average_precision_score(label, score) for score in given])
                ),
            }
            for name, given in each.items()
        }
        print(split, json.dumps({name: round(m["auc"], 4) for name, m in models.items()}), file=sys.stderr)
        minus = {name: _gain(label, each["this net"], each[name]) for name in NAMES}
        found[split] = {
            "rows": len(tested),
            "frauds": int(label.sum()),
            "models": models,
            "net_minus_auc": minus,
        }
    return found


def _gain(label: Rows, ours: list[Floats], theirs: list[Floats]) -> list[float]:
    """The net's AUC minus another model's, mean of the seeds: 95 % interval and median over drawn rows."""
    generator = np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):
        rows = generator.integers(0, len(label), len(label))
        pairs = zip(ours, theirs, strict=True)
        draws.append(
            np.mean(
                [roc_auc_score(label[rows], a[rows]) - roc_auc_score(label[rows], b[rows]) for a, b in pairs]
            )
        )
    marks: list[float] = np.quantile(draws, (0.025, 0.5, 0.975)).tolist()
    return marks


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ecommerce", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    found = run(options.file)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for split, measured in found.items():
        print(split)
        for name, model in measured["models"].items():
            print(f"  {name:20} AUC {model['auc']:.3f}  average precision {model['average_precision']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
