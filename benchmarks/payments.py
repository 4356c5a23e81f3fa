"""The workshop's net on the Handbook's payments, beside other models: ``python -m benchmarks.payments FILE``.

FILE: the simulated transactions of the Fraud Detection Handbook with its column names, as Parquet or CSV (Le Borgne et
al. 2022; public). For each of four weeks from 2018-08-08 on, everything that happened from 2018-05-07 to a week before
is learned from. The week is tested as the Handbook does: payments of cards whose compromise is known by then are left
out, where known means a fraud in the seven days that end a week before, and from then on day by day with that delay.
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

from model.data.order import TrainingOrder
from model.evaluation.baselines import BASELINES
from model.evaluation.card_precision import DAY, card_precision
from model.fitting import PreparedRows, fit
from model.recipes.recipe import thinned
from model.trainer import prepare

RESULTS = Path("benchmarks/results/payments.json")
FIRST = np.datetime64("2018-05-07")
WEEKS = np.datetime64("2018-08-08") + 7 * np.arange(4)
DELAY = 7
DRAWS = 100
NAMES = ("logistic regression", "random forest", "XGBoost", "LightGBM", "CatBoost")
MEASURES = ("auc", "average_precision", "card_precision_100")
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def day_number(date: np.datetime64) -> int:
    """Days since 1970."""
    return int(date.astype("datetime64[D]").astype(np.int64))


def tested_rows(prepared: PreparedRows, card: Floats, first: int) -> Rows:
    """The payments of the seven days from ``first`` on, without those of cards known to be compromised."""
    day = (np.asarray(prepared.time) // DAY).astype(np.int64)
    fraud = prepared.label == 1
    known = set(card[fraud & (day >= first - 2 * DELAY) & (day < first - DELAY)].tolist())
    found = []
    for today in range(first, first + 7):
        known |= set(card[fraud & (day == today - DELAY - 1)].tolist())
        rows = np.flatnonzero(day == today)
        found.append(rows[~np.isin(card[rows], list(known))])
    return np.concatenate(found)


def measured(prepared: PreparedRows, card: Floats, rows: Rows, score: Floats) -> dict[str, float]:
    """AUC, average precision, card precision at 100 a day."""
    label = prepared.label[rows].astype(np.int64)
    return {
        "auc": float(roc_auc_score(label, score)),
        "average_precision": float(average_precision_score(label, score)),
        "card_precision_100": card_precision(card[rows], np.asarray(prepared.time)[rows], label, score),
    }


def scores_of(
    prepared: PreparedRows, learned: Rows, tested: Rows, seed: int, names: list[str]
) -> dict[str, Floats]:
    """The scores that each model gives the tested rows; all learn from the same rows with the same weights."""

    def quiet(_share: float, text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    made = fit(prepared, learned, seed, quiet)
    found = {"this net": made.logits(prepared, tested)}
    rows, weight = thinned(prepared.label[learned].astype(np.int64), seed)
    given, label = prepared.features[learned[rows]], prepared.label[learned[rows]].astype(np.int64)
    for name in names:
        found[name] = BASELINES[name](given, label, weight, seed)(prepared.features[tested])
    return found


def gains(
    labels: list[NDArray[np.int64]], ours: list[Floats], theirs: list[Floats]
) -> dict[str, list[float]]:
    """The net's mean measure over the weeks minus another model's: 95 % interval and median, over drawn rows."""
    generator = np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):
        each = []
        for label, mine, other in zip(labels, ours, theirs, strict=True):
            rows = generator.integers(0, len(label), len(label))
            each.append(
                [measure(label[rows], mine[rows]) - measure(label[rows], other[rows])
                 for measure in (roc_auc_score, average_precision_score)]
            )  # fmt: skip
        draws.append(np.mean(each, axis=0))
    marks = np.quantile(draws, (0.025, 0.5, 0.975), axis=0)
    return {"auc": marks[:, 0].tolist(), "average_precision": marks[:, 1].tolist()}


def run(file: Path, seed: int, names: list[str]) -> dict[str, Any]:
    """All weeks, and their means."""
    order = TrainingOrder(
        file=file, out=Path("unused"), name="payments", filename=file.name, label="TX_FRAUD", seed=seed
    )
    prepared = prepare(order, lambda _share, text: print(text, file=sys.stderr, flush=True))
    card = prepared.table.values[:, prepared.table.contract.columns.index("CUSTOMER_ID")]
    day = (np.asarray(prepared.time) // DAY).astype(np.int64)
    weeks: list[dict[str, Any]] = []
    kept = []
    for week in WEEKS:
        first = day_number(week)
        learned = np.flatnonzero((day >= day_number(FIRST)) & (day < first - DELAY))
        tested = tested_rows(prepared, card, first)
        scores = scores_of(prepared, learned, tested, seed, names)
        models = {name: measured(prepared, card, tested, score) for name, score in scores.items()}
        print(week, json.dumps(models), file=sys.stderr, flush=True)
        frauds = int(prepared.label[tested].sum())
        weeks.append({"week": str(week), "rows": len(tested), "frauds": frauds, "models": models})
        kept.append((prepared.label[tested].astype(np.int64), scores))
    mean = {
        name: {key: float(np.mean([week["models"][name][key] for week in weeks])) for key in MEASURES}
        for name in ("this net", *names)
    }
    labels = [label for label, _ in kept]
    ours = [scores["this net"] for _, scores in kept]
    minus = {name: gains(labels, ours, [scores[name] for _, scores in kept]) for name in names}
    return {"weeks": weeks, "mean": mean, "net_minus": minus, "features": len(prepared.definition.names)}


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.payments", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", nargs="*", default=list(NAMES), choices=list(BASELINES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    found = run(options.file, options.seed, options.models)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, means in found["mean"].items():
        shown = "  ".join(f"{key} {means[key]:.3f}" for key in MEASURES)
        print(f"{name:22} {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
