"""Turns a labelled file into a detector: ``python -m model.trainer ORDER.json``.

Progress goes to standard output, one JSON object a line; the last one says what was made, or what is wrong.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data import data_quality
from model.data.data_quality import QualityFinding
from model.data.labelled_table import LabelledTable, read_table, without
from model.data.order import TrainingOrder
from model.evaluation.validation import Validation, check_labels, grouped, plan
from model.export.package import FinishedTraining, write_detector
from model.fitting import Features, PreparedRows, fit, sample_of
from model.progress import Say, part
from model.recipes.blend import quick_blend
from model.testing import validate
from screening.errors import ScreeningError
from screening.features import Definition, Options, Ranges, define, iterate, read_ranges
from screening.transactions.schema import Role

# Latest rows that are learned from: their features take 0.8 GB. Earlier rows still count as their past.
MOST_LEARNED = 2_000_000
# From so many rows on one fold has enough of them to test.
ONCE = 100_000
BLOCK = 65_536


def train(order: TrainingOrder, say: Say) -> dict[str, Any]:
    """Make the detector of an order; gives its card.

    Raises:
        BadFile: the file can't be read, or there is nothing to learn from it.
        OSError: the detector can't be written.
    """
    prepared = prepare(order, say)
    validation = planned(prepared, order)
    if order.quick:
        validation = validation.once("a quick look")
    elif len(prepared.label) >= ONCE:
        validation = validation.once("of so many rows one is enough")
    tested = validate(prepared, validation, order.seed, say, recipe=quick_blend() if order.quick else None)
    say(0.6, "Learning from all rows")
    every = np.arange(len(prepared.label))
    share = part(say, 0.6, 0.95)
    learned = tested.of_all or fit(prepared, every, order.seed, share, recipe=tested.recipe)
    say(0.96, "Writing the detector")
    sample = sample_of(len(prepared.label), order.seed)
    made = FinishedTraining(
        net=learned.net.build(tested.calibration),
        scaler=learned.scaler,
        definition=learned.definition,
        table=prepared.table,
        features=learned.features(prepared, sample),
        feature_label=prepared.label[sample],
        metrics=tested.metrics,
        cleaning=prepared.cleaning,
        prior=float(prepared.label.mean()),
    )
    return write_detector(made, order)


def planned(prepared: PreparedRows, order: TrainingOrder) -> Validation:
    """Return how a detector is tested: without a time on folds that part nobody who comes back, if anybody does."""
    apart = None
    if prepared.time is None:
        contract = prepared.table.contract
        columns = {
            one.name: prepared.table.values[:, contract.columns.index(one.name)]
            for one in contract.parts()
            if one.role is Role.ENTITY
        }
        apart = grouped(prepared.label, columns, order.seed)
    return apart or plan(prepared.label, prepared.time, order.label_delay, order.seed)


def prepare(order: TrainingOrder, say: Say) -> PreparedRows:
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
    features = make_features(definition, table, part(say, 0.1, 0.2))
    recent = recent_rows(table)
    table, features = table.rows(recent), features[recent]
    time = (
        None
        if table.contract.time is None
        else table.values[:, table.contract.columns.index(table.contract.time)]
    )
    found = with_notes(with_ranges(cleaned.report, ranges), table)
    return PreparedRows(table, definition, features, table.label, time, found)


def with_notes(found: dict[str, Any], table: LabelledTable) -> dict[str, Any]:
    """Return the report of the cleaning with how columns were read that could have been read otherwise."""
    notes = [asdict(QualityFinding("reading", None, found["rows"], "read so", note)) for note in table.notes]
    return {**found, "findings": [*notes, *found["findings"]]}


def with_ranges(found: dict[str, Any], ranges: Ranges | None) -> dict[str, Any]:
    """Return the report of the cleaning with what was wrong in the table of addresses."""
    if ranges is None:
        return found
    damage = [asdict(problem) for problem in ranges.problems]
    return {**found, "ranges": {"used": len(ranges), "skipped": ranges.skipped, "problems": damage}}


def make_features(definition: Definition, table: LabelledTable, say: Say) -> Features:
    """Return the features of all rows, and say so."""
    found = np.empty((len(table.values), len(definition.names)), np.float32)
    done = 0
    for block in iterate(definition, table.values, labels=table.label, past=None, block=BLOCK):
        found[done : done + len(block)] = block
        done += len(block)
        say(done / len(found), "Making features")
    return found


def recent_rows(table: LabelledTable) -> NDArray[np.int64]:
    """Return the rows to learn from, in the file's order."""
    if len(table.values) <= MOST_LEARNED:
        return np.arange(len(table.values))
    contract = table.contract
    if contract.time is None:
        return np.sort(np.random.default_rng(0).choice(len(table.values), MOST_LEARNED, replace=False))
    time = table.values[:, contract.columns.index(contract.time)]
    return np.sort(np.argpartition(time, -MOST_LEARNED)[-MOST_LEARNED:])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        order = TrainingOrder.read(Path((sys.argv[1:] if arguments is None else arguments)[0]))
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
