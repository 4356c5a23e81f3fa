"""The ledger: what entering a file costs, and what each question costs over a million rows or ten.

``python -m benchmarks.ledger [MILLIONS]`` prints processor milliseconds (the median of five) of each question of the
data API, the memory of the process that asked them all, and the processor seconds that 284,807 rows take to enter.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from screening.ledger.filters import Basis, DecisionFilter, TrendInterval
from screening.ledger.identity import TransactionId, new_origin
from screening.ledger.ledger import Ledger
from screening.ledger.rows import DecisionBatch, table_of
from screening.ledger.tables import FILE

FILE_ROWS = 284_807
DEVICES, CUSTOMERS = 50_000, 5_000
RUNS = 5


def measure(millions: int = 1) -> dict[str, float]:
    """Return milliseconds of processor time by question, megabytes, and seconds for a file."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder), "sqlite:///unused")
        files = -(-millions * 1_000_000 // FILE_ROWS)
        entered = []
        for number in range(files):
            made = month_of(number)
            begun = time.process_time()
            ledger.segments.add(f"{number:032x}", FILE, table_of(made))
            entered.append(time.process_time() - begun)
        segment = ledger.segments.all()[-1]
        found = {"enter_a_file_cpu_seconds": statistics.median(entered)}
        asked = ledger.questions
        every = DecisionFilter()
        origin = bytes.fromhex(str(segment.origin))
        questions: dict[str, Callable[[], Any]] = {
            "summary": lambda: asked.summary(every),
            "trends": lambda: asked.trends(every, TrendInterval.DAY),
            "countries": lambda: asked.by("country", every),
            "devices": lambda: asked.by("device_id", every),
            "browsers": lambda: asked.by("browser", every),
            "confirmed": lambda: asked.summary(DecisionFilter(basis=Basis.CONFIRMED)),
            "latest_100": lambda: asked.rows(every, limit=100),
            "one_customer": lambda: asked.rows(DecisionFilter(entity=("customer", "C77")), limit=100),
            "one_row": lambda: asked.one(TransactionId(origin, 777), None),
        }
        for name, question in questions.items():
            found[f"{name}_cpu_ms"] = statistics.median(_cpu(question) for _ in range(RUNS + 1))
        found["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def _cpu(question: Callable[[], Any]) -> float:
    begun = time.process_time()
    question()
    return (time.process_time() - begun) * 1000


def month_of(number: int) -> DecisionBatch:
    """One file of a month, as of a shop."""
    chance = np.random.default_rng(number)
    first = datetime(2025, 1, 1, tzinfo=UTC).timestamp() + number * 30 * 86_400
    probability = chance.beta(0.2, 4, FILE_ROWS).astype(np.float32)
    return DecisionBatch(
        origin=new_origin(int(time.time() * 1000)),
        numbers=np.arange(1, FILE_ROWS + 1, dtype=np.uint32),
        source=FILE,
        screening=f"{number:032x}",
        owner="ana",
        decided_at=datetime.now(UTC),
        detector="payments",
        fingerprint="f" * 64,
        threshold=0.8,
        probability=probability,
        amount=np.round(chance.lognormal(3, 1, FILE_ROWS), 2),
        seconds=first + np.sort(chance.random(FILE_ROWS)) * 30 * 86_400,
        label=(chance.random(FILE_ROWS) < probability).astype(np.int8),
        fields={
            "country": pa.array(chance.choice(["DE", "FR", "US", "GB", "NL"], FILE_ROWS)),
            "browser": pa.array(chance.choice(["Chrome", "Safari", "Firefox"], FILE_ROWS)),
            "device": pa.array([f"d{each}" for each in chance.integers(0, DEVICES, FILE_ROWS)]),
            "customer": pa.array([f"c{each}" for each in chance.integers(0, CUSTOMERS, FILE_ROWS)]),
        },
        reasons=pa.nulls(FILE_ROWS, pa.list_(pa.string())),
    )


if __name__ == "__main__":
    for title, value in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1).items():
        print(f"{title:<40} {value:>10,.1f}")
