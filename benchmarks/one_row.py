"""What one row, a whole file's rows and 1,000 explanations cost in process: ``python -m benchmarks.one_row``.

Everything is measured in one run on the detector at the root, beside Keras' own calls on the same net. Keras
comes last, since TensorFlow slows nothing down that was measured before it was imported.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np

import utils
from screening.scoring.reason_codes import explain
from screening.settings import Settings
from screening.transactions.schema import Transactions

CALLS = 3000
FILE_ROWS = 284_807
"""Rows of the full ULB file."""


def microseconds(call: Callable[[], Any], calls: int = CALLS) -> float:
    """The median time of a call in µs, after a tenth as many calls to warm up."""
    for _ in range(max(calls // 10, 3)):
        call()
    taken = []
    for _ in range(calls):
        start = perf_counter_ns()
        call()
        taken.append(perf_counter_ns() - start)
    return median(taken) / 1000


def seconds(call: Callable[[], Any], calls: int = 5) -> float:
    """The best of a few calls in seconds."""
    taken = []
    for _ in range(calls):
        start = perf_counter()
        call()
        taken.append(perf_counter() - start)
    return min(taken)


def measure() -> dict[str, float]:
    """All figures by name; µs for one row, s for many."""
    detector = utils.default_detector()
    contract, spread = detector.contract, detector.vectorizer
    random = np.random.default_rng(0)
    many = spread.centre + spread.scale * random.standard_normal((FILE_ROWS, len(contract.columns)))
    file, row = Transactions(contract.columns, many), Transactions(contract.columns, many[:1])
    mapping = dict(zip(contract.columns, many[0].tolist(), strict=True))
    extra = {"Class": 0, **{f" {name.lower()}": value for name, value in reversed(mapping.items())}}
    found = {
        "one row, Transactions (µs)": microseconds(lambda: utils.get_probabilities(row)),
        "one row, mapping (µs)": microseconds(lambda: utils.get_probabilities(mapping)),
        "one row, mapping in another order and case (µs)": microseconds(
            lambda: utils.get_probabilities(extra)
        ),
        f"{FILE_ROWS:,} rows (s)": seconds(lambda: utils.get_probabilities(file)),
        "reasons for 1,000 rows (s)": seconds(
            lambda: explain(detector, Transactions(contract.columns, many[:1000]))
        ),
    }
    assert "tensorflow" not in sys.modules
    return found | _keras(spread.matrix(row), spread.matrix(file))


def _keras(row: np.ndarray, file: np.ndarray) -> dict[str, float]:
    keras = importlib.import_module("keras")
    net = keras.models.load_model(Settings.from_environ().model_file, compile=False)
    return {
        "one row, keras predict_on_batch (µs)": microseconds(lambda: net.predict_on_batch(row), 300),
        "one row, keras predict (µs)": microseconds(lambda: net.predict(row, verbose=0), 30),
        f"{FILE_ROWS:,} rows, keras predict in batches of 4,096 (s)": seconds(
            lambda: net.predict(file, batch_size=4096, verbose=0), 2
        ),
    }


def main() -> None:
    """Print the figures as a table."""
    for name, value in measure().items():
        print(f"{name:<60} {value:>12,.3f}")


if __name__ == "__main__":
    main()
