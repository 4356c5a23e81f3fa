"""Features and scoring as files grow: ``python -m benchmarks.features`` writes the table's figures and the plot.

The payments are generated: 180 days of cards that pay about 1.7 times a day at terminals near them, so that a file
that is ten times as long is of a bank that is ten times as large. The detector has a dense net of random weights,
256-256-128, on the features that such a file gets by default. Each size runs in a process of its own, for its memory.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from screening.detectors.compilation.cache import CompiledCache
from screening.detectors.detector import Detector, load_detector
from screening.features import Definition, Past, PastIndex, compute, define, iterate
from screening.features.definitions.definition import VERSION
from screening.settings import ROOT
from screening.transactions.schema import CellKind, Column, ColumnContract, Matrix, Role

SIZES = (100_000, 1_000_000, 10_000_000)
FOLDER = ROOT / "build" / f"features-{VERSION}"
CACHE = CompiledCache(FOLDER / "cache", lambda: b"nothing here is worth a secret")
RESULTS = ROOT / "benchmarks" / "results" / "features.json"
PLOT = ROOT / "docs" / "features-scaling.svg"
DAYS, DAY = 180, 86_400
EPOCH = 1_700_000_000
ROWS_OF_A_CARD, ROWS_OF_A_TERMINAL = 300, 150
HIDDEN = (256, 256, 128)

CONTRACT = ColumnContract.of(
    (
        Column("time", Role.TIME, CellKind.TIME),
        Column("card", Role.ENTITY, CellKind.TEXT),
        Column("terminal", Role.ENTITY, CellKind.TEXT),
        Column("amount", Role.AMOUNT),
        Column("fraud", Role.LABEL),
    )
)


def payments(rows: int, seed: int = 0) -> tuple[Matrix, np.ndarray]:
    """Generated payments in the order of time, (rows, 4), and which are fraud, int8 (rows,)."""
    rng = np.random.default_rng(seed)
    cards, terminals = max(rows // ROWS_OF_A_CARD, 10), max(rows // ROWS_OF_A_TERMINAL, 10)
    values = np.empty((rows, 4))
    values[:, 0] = np.floor(np.sort(rng.uniform(EPOCH, EPOCH + DAYS * DAY, rows)))
    card = rng.integers(0, cards, rows)
    values[:, 1] = card
    values[:, 2] = (
        card * 2 + np.rint(rng.normal(0, 20, rows))
    ) % terminals  # a card has some 50 terminals about it
    usual = rng.lognormal(3.5, 0.6, cards)
    values[:, 3] = np.round(usual[card] * rng.lognormal(0, 0.5, rows), 2)
    return values, (rng.random(rows) < 0.008).astype(np.int8)


def detector() -> Detector:
    """A detector of such payments, made once and kept in build/."""
    if not (FOLDER / "vectorizer.pkl").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "benchmarks.features", "make"], cwd=ROOT, check=True)
    found = load_detector("scaling", FOLDER / "model.h5", FOLDER / "vectorizer.pkl", None, CACHE)
    found.scorer.probabilities(
        np.zeros((1, len(found.vectorizer.inputs)), np.float32)
    )  # compiled from now on
    return found


def make() -> None:
    """Write the detector: needs Keras, so it is done in a process of its own."""
    import joblib
    import keras
    from sklearn.preprocessing import RobustScaler

    values, labels = payments(50_000)
    definition = define(CONTRACT, values)
    scaler = RobustScaler().fit(compute(definition, values, labels=labels).astype(np.float64))
    keras.utils.set_random_seed(0)
    layers = [keras.Input((len(definition.names),))]
    layers += [keras.layers.Dense(width, activation="relu") for width in HIDDEN]
    net = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
    net.save(FOLDER / "model.h5")
    joblib.dump(
        {"robust_scaler": scaler, "columns": list(definition.names), "definition": definition.as_dict()},
        FOLDER / "vectorizer.pkl",
    )


def run(rows: int) -> dict[str, float]:
    """What one size costs, in this process."""
    made = detector()
    definition = made.vectorizer.definition
    assert isinstance(definition, Definition)
    values, labels = payments(rows)
    start = peak()
    features, scoring = 0.0, 0.0
    busy = process_time()
    began = perf_counter()
    for block in iterate(definition, values, labels=labels):
        features += perf_counter() - began
        began = perf_counter()
        assert np.isfinite(made.scorer.probabilities(made.vectorizer.scaled(block))).all()
        scoring += perf_counter() - began
        began = perf_counter()
    busy = process_time() - busy
    held = peak()
    return {
        "rows": rows,
        "features": len(definition.names),
        "features seconds": features,
        "scoring seconds": scoring,
        "microseconds a row": (features + scoring) / rows * 1e6,
        "features microseconds a row": features / rows * 1e6,
        "processor microseconds a row": busy / rows * 1e6,
        "peak MB": held,
        "input MB": (values.nbytes + labels.nbytes) / 1e6,
        "MB before": start,
        "bytes a row": (held - start) / rows * 1e6,
    }


def peak() -> float:
    """What this process held at most so far, in MB of 10^6 bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def few(earlier: int = 1_500_000) -> dict[str, float]:
    """What a few transactions cost that are made against many remembered ones, processor time in ms."""
    values, labels = payments(earlier)
    definition = define(CONTRACT, values[:50_000])
    index = PastIndex(definition, Past(values, labels))
    chosen = np.random.default_rng(1).choice(earlier, 240)
    asked = values[chosen]
    asked[:, 0] = EPOCH + DAYS * DAY + np.arange(len(asked))
    related = [float(len(index.related(row[np.newaxis]))) for row in asked]
    found = {"earlier rows that count": statistics.median(related)}
    for together in (1, 16):
        taken = []
        for start in range(0, len(asked), together):
            busy = process_time()
            compute(definition, asked[start : start + together], past=index)
            taken.append((process_time() - busy) / together * 1e3)
        found[f"ms a row, {together} together"] = statistics.median(taken)
    return found


def measure(sizes: Sequence[int] = SIZES[:2]) -> dict[str, float]:
    """The figures of ``make bench``: without the ten million rows, which take minutes."""
    found = [_apart(rows) for rows in sizes]
    table = {
        f"{each['rows']:,.0f} rows, {name}": each[name]
        for each in found
        for name in ("microseconds a row", "peak MB")
    }
    return table | {
        "time a row, last to first": found[-1]["microseconds a row"] / found[0]["microseconds a row"]
    }


def _apart(rows: int) -> dict[str, float]:
    detector()
    command = [sys.executable, "-m", "benchmarks.features", str(rows)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def plot(found: Sequence[dict[str, float]], path: Path) -> None:
    """Time a row and memory over the number of rows."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    rows = [each["rows"] for each in found]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    left.plot(rows, [each["microseconds a row"] for each in found], marker="o", label="features and scoring")
    left.plot(
        rows, [each["features microseconds a row"] for each in found], marker="s", ls="--", label="features"
    )
    left.set(xscale="log", xlabel="rows", ylabel="µs a row", title="Time a row")
    left.set_ylim(0, 1.5 * max(each["microseconds a row"] for each in found))
    left.legend(frameon=False, loc="upper right")
    right.plot(rows, [each["peak MB"] for each in found], marker="o", label="peak of the process")
    whole = [each["rows"] * each["features"] * 4 / 1e6 for each in found]
    right.plot(rows, whole, color="grey", ls=":", label="the matrix of features, never made")
    right.set(xscale="log", yscale="log", xlabel="rows", ylabel="MB", title="Memory")
    right.legend(frameon=False, loc="upper left")
    mpl.rcParams["svg.hashsalt"] = "features"
    figure.savefig(path, metadata={"Date": None})


def main(arguments: Sequence[str]) -> None:
    """Measure all sizes, or do one part in this process."""
    if arguments == ["make"]:
        make()
    elif arguments == ["few"]:
        print("  ".join(f"{name}: {value:,.2f}" for name, value in few().items()))
    elif arguments:
        print(json.dumps(run(int(arguments[0]))))
    else:
        found = [_apart(rows) for rows in SIZES]
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        plot(found, PLOT)
        for each in found:
            print("  ".join(f"{name}: {value:,.2f}" for name, value in each.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
