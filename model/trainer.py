"""Turns a labelled file into a detector: ``python -m model.trainer ORDER.json``.

Progress goes to standard output, one JSON object a line; the last one says what was made, or what is wrong.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data import data_quality
from model.data.data_quality import Finding
from model.data.labelled_table import Table, read_table, without
from model.data.order import Order
from model.evaluation.metrics import report
from model.evaluation.validation import Validation, check_labels, plan
from model.export.model_card import THRESHOLD
from model.export.package import Made, write_detector
from model.progress import Say, part
from model.recipes.calibration import Calibration, fit_calibration
from model.recipes.cold_start import Cold
from model.recipes.recipe import LARGE, Fitted, Recipe, fit_general
from screening.errors import ScreeningError
from screening.features import Definition, Options, Ranges, define, iterate, read_ranges

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
MOST_LEARNED = 2_000_000
"""Rows that are learned from, the latest: their features take 0.8 GB. Earlier ones still count as their past."""
SCALER_ROWS = 200_000
BLOCK = 65_536
PARTS = 3


@dataclass(frozen=True)
class Prepared:
    """Cleaned rows with their features: all (n, …), in the file's order; ``time`` is ``None`` without one."""

    table: Table
    definition: Definition
    features: Features
    label: NDArray[np.int8]
    time: Floats | None
    cleaning: dict[str, Any]


def train(order: Order, say: Say) -> dict[str, Any]:
    """Make the detector of an order; gives its card.

    Raises:
        BadFile: the file can't be read, or there is nothing to learn from it.
        OSError: the detector can't be written.
    """
    prepared = prepare(order, say)
    validation = plan(prepared.label, prepared.time, order.label_delay, order.seed)
    if order.quick:
        validation = validation.once()
    metrics, calibration, recipe = validate(
        prepared, validation, order.seed, say, recipe=Recipe.quick() if order.quick else None
    )
    say(0.6, "Learning from all rows")
    every = np.arange(len(prepared.label))
    scaler, fitted = fit(prepared, every, order.seed, part(say, 0.6, 0.95), recipe=recipe)
    say(0.96, "Writing the detector")
    sample = _sample(len(prepared.label), order.seed)
    made = Made(
        net=fitted.build(calibration),
        scaler=scaler,
        definition=prepared.definition,
        table=prepared.table,
        features=prepared.features[sample],
        feature_label=prepared.label[sample],
        metrics=metrics,
        cleaning=prepared.cleaning,
        prior=float(prepared.label.mean()),
    )
    return write_detector(made, order)


def prepare(order: Order, say: Say) -> Prepared:
    """Read, clean, and make features.

    Raises:
        BadFile: as :func:`train`.
    """
    say(0.01, "Reading the file")
    table = read_table(order)
    say(0.08, "Looking for what is wrong in it")
    cleaned = data_quality.examine(
        table.contract,
        table.values,
        table.label,
        keep_leaks=order.keep_leaks,
        chosen=order.chosen,
        set_aside=table.set_aside,
        set_aside_frauds=table.set_aside_frauds,
        problems=table.problems,
        guessed_out=table.unused,
    )
    table = without(table.rows(cleaned.keep), set(cleaned.dropped))
    check_labels(table.label)
    say(0.1, "Making features")
    ranges = None if order.ranges is None else read_ranges(order.ranges)
    definition = define(table.contract, table.values, Options(label_delay=order.label_delay), ranges)
    features = _features(definition, table, part(say, 0.1, 0.2))
    recent = _recent(table)
    table, features = table.rows(recent), features[recent]
    time = (
        None
        if table.contract.time is None
        else table.values[:, table.contract.columns.index(table.contract.time)]
    )
    found = _with_notes(_with_ranges(cleaned.report, ranges), table)
    return Prepared(table, definition, features, table.label, time, found)


def _with_notes(found: dict[str, Any], table: Table) -> dict[str, Any]:
    """The report of the cleaning with how columns were read that could have been read otherwise."""
    notes = [asdict(Finding("reading", None, found["rows"], "read so", note)) for note in table.notes]
    return {**found, "findings": [*notes, *found["findings"]]}


def _with_ranges(found: dict[str, Any], ranges: Ranges | None) -> dict[str, Any]:
    """The report of the cleaning with what was wrong in the table of addresses."""
    if ranges is None:
        return found
    damage = [asdict(problem) for problem in ranges.problems]
    return {**found, "ranges": {"used": len(ranges), "skipped": ranges.skipped, "problems": damage}}


def _features(definition: Definition, table: Table, say: Say) -> Features:
    found = np.empty((len(table.values), len(definition.names)), np.float32)
    done = 0
    for block in iterate(definition, table.values, labels=table.label, past=None, block=BLOCK):
        found[done : done + len(block)] = block
        done += len(block)
        say(done / len(found), "Making features")
    return found


def _recent(table: Table) -> NDArray[np.int64]:
    """The rows to learn from, in the file's order."""
    if len(table.values) <= MOST_LEARNED:
        return np.arange(len(table.values))
    contract = table.contract
    if contract.time is None:
        return np.sort(np.random.default_rng(0).choice(len(table.values), MOST_LEARNED, replace=False))
    time = table.values[:, contract.columns.index(contract.time)]
    return np.sort(np.argpartition(time, -MOST_LEARNED)[-MOST_LEARNED:])


def fit(
    prepared: Prepared,
    rows: NDArray[np.int64],
    seed: int,
    say: Say,
    *,
    weight: Floats | None = None,
    recipe: Recipe | None = None,
) -> tuple[Any, Fitted]:
    """Scale and learn from some of the rows; ``weight`` goes along them. A counted recipe is taken as it is."""
    from sklearn.preprocessing import RobustScaler

    features = prepared.features[rows]
    scaler = RobustScaler(copy=True).fit(features[_sample(len(rows), seed)].astype(np.float64))
    scaled = scaler.transform(features)
    cold = Cold.of(prepared.definition, prepared.table.values)
    fitted = fit_general(
        scaled.astype(np.float32, copy=False),
        prepared.label[rows].astype(np.int64),
        weight=weight,
        time=None if prepared.time is None else prepared.time[rows],
        recipe=recipe,
        cold=None if cold is None else cold.scaled(scaler.transform),
        seed=seed,
        say=say,
    )
    return scaler, fitted


def validate(
    prepared: Prepared, validation: Validation, seed: int, say: Say, recipe: Recipe | None = None
) -> tuple[dict[str, Any], Calibration, Recipe]:
    """Train on each split and test; gives the metrics, the calibration of the final net, and the counted recipe.

    A recipe that is given isn't counted, and only the rows of the splits are tested.

    Of a small file with a time, the rows before the tested ones are scored too, each by a net that hadn't seen it:
    what the latest weeks happen not to have would otherwise get no probability. The tested rows are then judged
    by what the earlier ones taught, calibration included.
    """
    logit = np.full(len(prepared.label), np.nan)
    count = len(validation.splits)
    for number, (learned, tested) in enumerate(validation):
        stage = (
            "Testing on later rows" if validation.kind == "time" else f"Testing, fold {number + 1} of {count}"
        )
        share = part(say, 0.2 + 0.3 * number / count, 0.2 + 0.3 * (number + 1) / count)
        share(0.0, stage)
        scaler, fitted = fit(prepared, learned, seed, share, recipe=recipe)
        logit[tested] = fitted.logits(scaler.transform(prepared.features[tested]))
    rows = np.flatnonzero(~np.isnan(logit))
    label, prior = prepared.label.astype(np.int64), float(prepared.label.mean())
    if validation.kind == "time" and len(label) < LARGE and recipe is None:
        _score_earlier(prepared, validation.splits[0][0], logit, fitted.recipe, seed, part(say, 0.5, 0.6))
        earlier = np.setdiff1d(np.flatnonzero(~np.isnan(logit)), rows)
        taught = _calibration(logit, label, earlier, float(label[earlier].mean()))
        probability = taught(logit[rows])
    else:
        probability = cross_calibrated(logit[rows], label[rows], prior, seed)
    found = report(
        label[rows],
        probability,
        np.ones(len(rows)),
        THRESHOLD,
        float(label[rows].mean()),
        draws=int(np.clip(2e7 / len(rows), 50, 500)),
        kind=validation.kind,
        name=validation.words,
        learned=int(np.mean([len(learned) for learned, _ in validation])),
    )
    if types := _recall_of_types(prepared.table.rows(rows), probability):
        found["fraud_types"] = types
    every = np.flatnonzero(~np.isnan(logit))
    return {"validation": found}, _calibration(logit, label, every, prior), fitted.recipe


def _recall_of_types(tested: Table, probability: Floats) -> list[dict[str, Any]]:
    """Of each type of fraud, how many test rows there are and which share of them is flagged; (rows,) of the test."""
    if len(tested.types) < 2:
        return []
    found = []
    for number, name in enumerate(tested.types, 1):
        of_type = tested.kind == number
        recall = float((probability[of_type] >= THRESHOLD).mean()) if of_type.any() else None
        found.append({"name": name, "rows": int(of_type.sum()), "recall": recall})
    return found


def _score_earlier(  # noqa: PLR0917 -- all of one kind of thing
    prepared: Prepared, earlier: NDArray[np.int64], logit: Floats, recipe: Recipe, seed: int, say: Say
) -> None:
    """Write the logits of some rows, each from a net that learned from the other two thirds of them."""
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(PARTS, shuffle=True, random_state=seed).split(earlier, prepared.label[earlier])
    for number, (others, third) in enumerate(folds):
        share = part(say, number / PARTS, (number + 1) / PARTS)
        share(0.0, f"Calibrating, part {number + 1} of {PARTS}")
        scaler, fitted = fit(prepared, earlier[others], seed, share, recipe=recipe)
        logit[earlier[third]] = fitted.logits(scaler.transform(prepared.features[earlier[third]]))


def _calibration(
    logit: Floats, label: NDArray[np.int64], rows: NDArray[np.int64], prior: float
) -> Calibration:
    return fit_calibration(logit[rows], label[rows], np.ones(len(rows)), prior)


def cross_calibrated(logit: Floats, label: NDArray[np.int64], prior: float, seed: int) -> Floats:
    """Each half's probabilities (rows,) from a calibration that was fitted on the other half."""
    from sklearn.model_selection import StratifiedKFold

    probability = np.empty(len(logit))
    for others, half in StratifiedKFold(2, shuffle=True, random_state=seed).split(logit, label):
        share = float(label[others].mean()) or prior
        calibration = fit_calibration(logit[others], label[others], np.ones(len(others)), share)
        probability[half] = calibration(logit[half])
    return probability


def _sample(count: int, seed: int) -> NDArray[np.int64]:
    """At most 200,000 of so many rows: their quantiles are those of all to three digits."""
    if count <= SCALER_ROWS:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, SCALER_ROWS, replace=False))


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        order = Order.read(Path((sys.argv[1:] if arguments is None else arguments)[0]))
        card = train(order, lambda share, text: _tell(progress=round(share, 3), stage=text))
    except IndexError:
        print("usage: python -m model.trainer ORDER.json", file=sys.stderr)
        return 2
    except ScreeningError as problem:
        _tell(error=problem.as_dict())
        return 1
    _tell(done={part: card[part] for part in ("name", "metrics", "cleaning", "training_data")})
    return 0


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    sys.exit(main())
