"""Test a detector before it is made: what its card says, and what its probabilities are calibrated by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data.labelled_table import LabelledTable
from model.evaluation.metrics import report
from model.evaluation.validation import LATER, Validation
from model.export.model_card import THRESHOLD
from model.fitting import Floats, LearnedNet, PreparedRows, fit
from model.progress import Say, part
from model.recipes.blend import Blend, BlendChoice
from model.recipes.calibration import Calibration, cross_calibrated, fit_calibration
from model.recipes.recipe import Fitted, Recipe, blends

# How rows are kept apart where a blend is chosen on random folds first. Of 23 frauds in two waves each is too few to
# choose by: blends chosen by the stretches had an average precision of 0.05 later, by random folds 0.15.
APART = ("grouped", "stretches")


@dataclass(frozen=True)
class TestResult:
    """Result of a test: the card's metrics, the final net's calibration, and how it is to be made."""

    metrics: dict[str, Any]
    calibration: Calibration
    recipe: Recipe | Blend
    of_all: LearnedNet | None = None
    """The net of all rows, where the test made it already."""


def validate(
    prepared: PreparedRows, validation: Validation, seed: int, say: Say, recipe: Recipe | Blend | None = None
) -> TestResult:
    """Test on rows that the net hasn't seen, and calibrate by them.

    On later rows, a net learns from what came before, with a blend that was chosen there. The rows that the blend was
    chosen on are calibrated by too: what the latest weeks happen not to have would otherwise get no probability. The
    tested rows are judged by what the earlier ones taught, calibration included. Without a time, the folds that the
    blend is chosen on are the test: a second round of folds for each would take five times as long, to take out what
    choosing among eight models flatters by. Where somebody comes back, or few frauds came in waves, the blend
    that was chosen is tested once more, on folds that part nobody, or no wave. A recipe that is given isn't chosen, and
    only the splits' rows are tested.
    """
    if validation.kind == "time" or recipe is not None or not blends(recipe, len(prepared.label)):
        return test_by_splits(prepared, validation, seed, say, recipe)
    say(0.2, "Testing in folds")
    every = np.arange(len(prepared.label))
    if validation.kind in APART:
        made = fit(prepared, every, seed, part(say, 0.2, 0.45))
        # The splits' own shares are from 0.2 to 0.6, which this brings to 0.45 and on.
        tested = test_by_splits(prepared, validation, seed, part(say, 0.375, 0.75), made.net.recipe)
        return replace(tested, of_all=made)
    made = fit(prepared, every, seed, part(say, 0.2, 0.6), splits=validation.splits)
    fitted = made.net
    choice = _chosen(fitted)
    logit = np.full(len(every), np.nan)
    logit[choice.rows] = choice.logit
    label = prepared.label.astype(np.int64)
    rows = np.sort(choice.rows)
    prior = float(label.mean())
    probability = in_halves(logit[rows], label[rows], seed)
    metrics = card_metrics(prepared, validation, rows, probability, fitted)
    return TestResult(metrics, calibration_of(logit, label, rows, prior), fitted.recipe, made)


def test_by_splits(
    prepared: PreparedRows, validation: Validation, seed: int, say: Say, recipe: Recipe | Blend | None
) -> TestResult:
    """Return what nets that were learned on the rest say of the tested rows."""
    logit = np.full(len(prepared.label), np.nan)
    count = len(validation.splits)
    for number, (learned, tested) in enumerate(validation):
        stage = (
            "Testing on later rows" if validation.kind == "time" else f"Testing, fold {number + 1} of {count}"
        )
        share = part(say, 0.2 + 0.4 * number / count, 0.2 + 0.4 * (number + 1) / count)
        share(0.0, stage)
        made = fit(prepared, learned, seed, share, recipe=recipe)
        logit[tested], fitted = made.logits(prepared, tested), made.net
    rows = np.flatnonzero(~np.isnan(logit))
    label, prior = prepared.label.astype(np.int64), float(prepared.label.mean())
    if fitted.choice is not None:
        earlier = validation.splits[0][0][fitted.choice.rows]
        logit[earlier] = fitted.choice.logit
        taught = calibration_of(logit, label, earlier, float(label[earlier].mean()))
        probability = taught(logit[rows])
    else:
        probability = in_halves(logit[rows], label[rows], seed)
    every = np.flatnonzero(~np.isnan(logit))
    metrics = card_metrics(prepared, validation, rows, probability, fitted)
    return TestResult(metrics, calibration_of(logit, label, every, prior), fitted.recipe)


def _chosen(fitted: Fitted) -> BlendChoice:
    if fitted.choice is None:
        raise AssertionError("no recipe was given, so a blend was chosen")
    return fitted.choice


def card_metrics(
    prepared: PreparedRows,
    validation: Validation,
    rows: NDArray[np.int64],
    probability: Floats,
    fitted: Fitted,
) -> dict[str, Any]:
    """Return the figures of the card; ``probability`` goes along the tested ``rows``."""
    label = prepared.label.astype(np.int64)
    found = report(
        label[rows],
        probability,
        np.ones(len(rows)),
        THRESHOLD,
        float(label[rows].mean()),
        draws=int(np.clip(2e7 / len(rows), 50, 500)),
        # folds test all rows, and what comes next is fewer: of 2,700 rows it lay outside the interval for 6,300
        later=min(len(rows), max(round(LATER * len(label)), 1)),
        kind=validation.kind,
        name=validation.words,
        learned=int(np.mean([len(learned) for learned, _ in validation])),
    )
    if validation.caution is not None:
        found["caution"] = validation.caution
    if types := recall_by_type(prepared.table.rows(rows), probability):
        found["fraud_types"] = types
    told = {"blend": fitted.recipe.as_list()} if isinstance(fitted.recipe, Blend) else {}
    return {"validation": found, **told}


def recall_by_type(tested: LabelledTable, probability: Floats) -> list[dict[str, Any]]:
    """Count the test rows of each type of fraud, and the share of them that is flagged; (rows,) of the test."""
    if len(tested.types) < 2:
        return []
    found = []
    for number, name in enumerate(tested.types, 1):
        of_type = tested.kind == number
        recall = float((probability[of_type] >= THRESHOLD).mean()) if of_type.any() else None
        found.append({"name": name, "rows": int(of_type.sum()), "recall": recall})
    return found


def calibration_of(
    logit: Floats, label: NDArray[np.int64], rows: NDArray[np.int64], prior: float
) -> Calibration:
    """Return the calibration of some rows' logits."""
    return fit_calibration(logit[rows], label[rows], np.ones(len(rows)), prior)


def in_halves(logit: Floats, label: NDArray[np.int64], seed: int) -> Floats:
    """Return each half's probabilities (rows,) from a calibration that was fitted on the other half."""
    from sklearn.model_selection import StratifiedKFold

    halves = StratifiedKFold(2, shuffle=True, random_state=seed).split(logit, label)
    return cross_calibrated(logit, label, halves)
