"""Monitoring: what comparing a million decisions with the training data costs, and what counting a file's values does.

``python -m benchmarks.drift [THOUSANDS]`` makes so many decisions of the API with the columns of the card detector,
30 values each, over seven days (a million by default), and prints processor seconds of one comparison, by parts; and
what a file of 284,807 rows pays when it is screened.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from screening.detectors.detector import Detector
from screening.detectors.registry import load_default
from screening.ledger.identity import new_origin
from screening.ledger.ledger import Ledger
from screening.ledger.rows import SCHEMA, DecisionBatch, table_of
from screening.ledger.tables import API
from screening.monitoring.comparison import compare
from screening.scoring import drift
from screening.scoring.bins import SCORE_EDGES
from screening.settings import Settings

SEGMENT_ROWS = 100_000
FILE_ROWS, EVERY = 284_807, 16
DAYS = 7
RUNS = 5


def measure(rows: int = 1_000_000) -> dict[str, float]:
    """Return processor seconds, milliseconds and megabytes by what took them."""
    settings = Settings.from_environ()
    detector = load_default(settings)
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder), "sqlite:///unused")
        for number in range(-(-rows // SEGMENT_ROWS)):
            decided = now - timedelta(days=DAYS * number * SEGMENT_ROWS / rows, minutes=5)
            ledger.segments.add(f"{API}-{number}", API, _segment(detector, number, decided))
        name, mark = detector.name, detector.fingerprint
        since = [now - timedelta(days=days) for days in (1, 7, 37)]
        observed = ledger.observed
        parts: dict[str, Callable[[], Any]] = {
            "scores_cpu_seconds": lambda: observed.scores(name, mark, since, SCORE_EDGES),
            "values_cpu_seconds": lambda: observed.transactions(
                name, mark, since[1], one_of=rows // 10_000, most=20_000
            ),
            "days_cpu_seconds": lambda: observed.days(name, since[2]),
            "all_cpu_seconds": lambda: compare(detector, observed, settings, now),
        }
        found = {title: statistics.median(_cpu(part) for _ in range(RUNS)) for title, part in parts.items()}
    sample = np.random.default_rng(0).standard_normal((FILE_ROWS // EVERY, len(detector.contract.columns)))
    found["a_file_cpu_ms"] = 1000 * statistics.median(
        _cpu(lambda: drift.measure(detector, sample)) for _ in range(RUNS)
    )
    found["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def _cpu(part: Callable[[], Any]) -> float:
    begun = time.process_time()
    part()
    return time.process_time() - begun


def _segment(detector: Detector, number: int, decided: datetime) -> pa.Table:
    chance = np.random.default_rng(number)
    columns = detector.contract.columns
    values = chance.standard_normal((SEGMENT_ROWS, len(columns))).round(6)
    made = DecisionBatch(
        origin=new_origin(int(decided.timestamp() * 1000)),
        numbers=np.arange(1, SEGMENT_ROWS + 1, dtype=np.uint32),
        source=API,
        screening=None,
        owner="ana",
        decided_at=decided,
        detector=detector.name,
        fingerprint=detector.fingerprint,
        threshold=0.8,
        probability=chance.beta(0.2, 4, SEGMENT_ROWS).astype(np.float32),
        amount=np.abs(values[:, -1]) * 100,
        seconds=None,
        label=None,
        fields={},
        reasons=pa.nulls(SEGMENT_ROWS, pa.list_(pa.string())),
    )
    texts = [json.dumps(dict(zip(columns, row, strict=True))) for row in values.tolist()]
    return table_of(made).set_column(SCHEMA.get_field_index("values"), "values", pa.array(texts, pa.string()))


if __name__ == "__main__":
    thousands = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    for title, value in measure(thousands * 1_000).items():
        print(f"{title:<40} {value:>10,.2f}")
