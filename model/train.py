"""Trains the detector ``card``: ``python -m model.train FILE`` writes model.h5, vectorizer.pkl and model/card.json.

The file is the public creditcard.csv, or a sample of it with the columns ``uniform`` and ``copies``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data.card_file import TRUE_PRIOR, TrainingFile, read_training_file
from model.data.card_splits import Split, folds, windows
from model.evaluation.metrics import mean_ranking, report
from model.export.compiled import write_compiled
from model.export.model_card import THRESHOLD, make_card, write_card
from model.recipes.calibration import Calibration, cross_calibrated, fit_calibration
from model.recipes.ensemble import PackedRecipe, train_packed
from model.recipes.network import REACH, Branches, apply, build, squash
from model.recipes.recipe import Recipe
from model.recipes.tree_layers import TreeRecipe, train_trees
from screening.errors import ScreeningError

Floats = NDArray[np.float64]
Say = Callable[[str], None]
VECTORIZER_VERSION = 1
# The decay is strong: it is what brought a plain net level with boosted trees on the later windows; see
# docs/how-a-detector-is-made.md.
RECIPE = Recipe(
    TreeRecipe(),
    PackedRecipe(
        members=2, width=32, epochs=40, batch=512, rate=2e-3, decay=1.0, dropout=0.25, smoothing=0.01, averaged=None,
        own_order=True, reach=REACH,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Scaled:
    """A trained net before calibration: the scaler, and the branches that give logits."""

    scaler: Any
    branches: Branches

    def logits(self, values: Floats) -> Floats:
        """Return uncalibrated logits (rows,) of rows in contract order."""
        return self.branches.logits(self.scaler.transform(values))


def fit(file: TrainingFile, recipe: Recipe, seed: int) -> Scaled:
    """Scale and train both branches; rows outside the uniform sample are learned from too."""
    from sklearn.preprocessing import RobustScaler

    usable = file.weight > 0
    scaler = RobustScaler().fit(file.values[usable])
    scaled = scaler.transform(file.values)
    bend = squash(scaled[usable])
    every = np.ones(len(file))
    nets = train_packed(apply([bend], scaled), file.label, every, recipe.nets, seed)
    trees = train_trees(scaled, file.label, recipe.trees, seed)
    return Scaled(scaler, Branches(bend, nets.members, trees, recipe.share))


def measure(file: TrainingFile, recipe: Recipe, seed: int, say: Say) -> tuple[dict[str, Any], Calibration]:
    """Train on each window and fold, and measure; gives the metrics and the calibration of the final net."""
    found: dict[str, Any] = {"windows": [], "folds": {}}
    held_out = np.full(len(file), np.nan)
    for split in folds(file, seed):
        say(f"training on {split.name}")
        held_out[split.test] = _logits(file, split, recipe, seed)
    rows = np.flatnonzero(~np.isnan(held_out))
    label, weight = file.label[rows], file.weight[rows]
    splits = [(split.train, split.test) for split in folds(file, seed)]
    probability = cross_calibrated(held_out, file.label, splits, weight=file.weight, prior=TRUE_PRIOR)[rows]
    each = [(file.label[s.test], held_out[s.test], file.weight[s.test]) for s in folds(file, seed)]
    found["folds"] = {**report(label, probability, weight, THRESHOLD, TRUE_PRIOR), **mean_ranking(each)}
    for split in windows(file):
        say(f"training on the time {split.name}")
        logit = _logits(file, split, recipe, seed)
        past = rows[file.time[rows] < file.time[split.test].min()]
        calibration = fit_calibration(held_out[past], file.label[past], file.weight[past], TRUE_PRIOR)
        test = file.rows(split.test)
        found["windows"].append(
            report(test.label, calibration(logit), test.weight, THRESHOLD, TRUE_PRIOR, name=split.name)
        )
    return found, fit_calibration(held_out[rows], label, weight, TRUE_PRIOR)


def _logits(file: TrainingFile, split: Split, recipe: Recipe, seed: int) -> Floats:
    return fit(file.rows(split.train), recipe, seed).logits(file.values[split.test])


def write_artefacts(
    file: TrainingFile,
    fitted: Scaled,
    calibration: Calibration,
    *,
    metrics: dict[str, Any],
    seed: int,
    folder: Path,
) -> None:
    """Write model.h5 with its compiled form, vectorizer.pkl and model/card.json below ``folder``.

    Raises:
        BadArtefact: the net can't be compiled; a form that was there is of another net then and is not used.
    """
    import joblib

    columns = list(file.contract.columns)
    net = build(fitted.branches, calibration)
    net.save(folder / "model.h5")
    vectorizer = {
        "version": VECTORIZER_VERSION,
        "columns": columns,
        "robust_scaler": fitted.scaler,
        "time_min": float(file.time.min()),
        "time_max": float(file.time.max()),
    }
    joblib.dump(vectorizer, folder / "vectorizer.pkl")
    (folder / "model").mkdir(exist_ok=True)
    card = make_card(file, folder / "model.h5", folder / "vectorizer.pkl", metrics=metrics, seed=seed)
    write_card(folder / "model" / "card.json", card)
    write_compiled(folder / "model.h5")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.train", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(), help="folder that gets the files (default: here)")
    parser.add_argument("--epochs", type=int, default=RECIPE.nets.epochs)
    parser.add_argument("--members", type=int, default=RECIPE.nets.members)
    options = parser.parse_args(arguments)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {text}", file=sys.stderr, flush=True)

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    nets = replace(RECIPE.nets, epochs=options.epochs, members=options.members)
    recipe = replace(RECIPE, nets=nets)
    try:
        file = read_training_file(options.file)
    except (ScreeningError, OSError) as problem:
        print(f"can't train on {options.file}: {problem}", file=sys.stderr)
        return 1
    say(f"{len(file)} rows, {int(file.label.sum())} of them fraud")
    metrics, calibration = measure(file, recipe, options.seed, say)
    say("training on everything")
    write_artefacts(
        file,
        fit(file, recipe, options.seed),
        calibration,
        metrics=metrics,
        seed=options.seed,
        folder=options.out,
    )
    ranks = [window["average_precision"] for window in metrics["windows"]]
    later = f"windows {np.mean(ranks):.3f}, " if ranks else ""
    say(f"average precision: {later}folds {metrics['folds']['average_precision']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
