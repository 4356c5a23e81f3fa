"""Rules: what a backtest over a million transactions takes, of one rule and of twenty, and one transaction's rules.

``python -m benchmarks.rules [MILLIONS]`` prints seconds and processor seconds (the median of five), and microseconds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.ledger import FILE_ROWS, month_of
from screening.ledger.filters import DecisionFilter
from screening.ledger.ledger import Ledger
from screening.ledger.rows import table_of
from screening.ledger.tables import FILE
from screening.rules.backtest import TriedRule, backtest, counterexamples
from screening.rules.facts import COMMON
from screening.rules.language.closure import compiled
from screening.rules.language.parser import parse
from screening.rules.language.tree import Fact, Type
from screening.rules.language.vocabulary import Vocabulary
from screening.rules.tables import Effect

RUNS = 5
FACTS = (
    Fact("since(signup_time)", Type.SECONDS, "n:since(signup_time)"),
    Fact("count(device, 1d)", Type.NUMBER, "n:count(device, 1d)"),
    Fact("distinct(device, address, 7d)", Type.NUMBER, "n:distinct(device, address, 7d)"),
)
VOCABULARY = Vocabulary.of((*COMMON, *FACTS), {"bad_devices": "device"})
ENTRIES = {"bad_devices": frozenset(f"d{each}" for each in range(5_000))}
ONE = "amount > 100 and probability >= 0.4"
TWENTY = [
    ONE,
    "since(signup_time) < 1min",
    "since(signup_time) < 1min and amount > 50",
    "count(device, 1d) >= 3",
    "count(device, 1d) >= 3 and amount > 100",
    "distinct(device, address, 7d) >= 3 or count(device, 1d) >= 5",
    "device in list bad_devices",
    "device in list bad_devices and amount > 100",
    'country != "DE"',
    'country in ["US", "GB"] and amount > 50',
    'country == "NL" and hour < 6',
    "hour < 6 and amount > 50",
    "weekday in [6, 7] and amount > 100",
    'browser == "Safari" and probability >= 0.4',
    'browser == "Firefox" and count(device, 1d) >= 3',
    "amount * count(device, 1d) > 500",
    "probability >= 0.4",
    "not (probability >= 0.1) and amount < 5",
    'not (country == "DE") and since(signup_time) < 1h',
    "customer is missing or amount > 1000",
]


def measure(millions: int = 1) -> dict[str, float]:
    """Return seconds by what is asked, and microseconds for one transaction."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder), "sqlite:///unused")
        rows = 0
        for number in range(-(-millions * 1_000_000 // FILE_ROWS)):
            made = replace(month_of(number), facts=_facts(number))
            ledger.segments.add(f"{number:032x}", FILE, table_of(made))
            rows += FILE_ROWS
        questions = ledger.questions
        now = datetime.now(UTC)

        def ask(texts: Sequence[str]) -> Callable[[], Any]:
            rules = [_tried(text) for text in texts]
            return lambda: backtest(rules, ENTRIES, questions, chosen=DecisionFilter(), now=now)

        asked = {
            "one_rule": ask([ONE]),
            "one_rule_of_features": ask([TWENTY[4]]),
            "twenty_rules": ask(TWENTY),
            "counterexamples": lambda: counterexamples(
                _tried(ONE), ENTRIES, questions, chosen=DecisionFilter()
            ),
        }
        found: dict[str, float] = {"rows": rows}
        for name, question in asked.items():
            wall, cpu = zip(*(_seconds(question) for _ in range(RUNS + 1)), strict=True)
            found[f"{name}_seconds"] = statistics.median(wall[1:])
            found[f"{name}_cpu_seconds"] = statistics.median(cpu[1:])
    return found | _of_one()


def _tried(text: str) -> TriedRule:
    return TriedRule(name=text, condition=parse(text, VOCABULARY), effect=Effect.FLAG)


def _of_one() -> dict[str, float]:
    """Return what one transaction's rules take, and reading them."""
    answers = [compiled(parse(text, VOCABULARY), ENTRIES) for text in TWENTY]
    row = {fact.key: "d7" if fact.type is Type.TEXT else 3.0 for fact in (*COMMON, *FACTS)}
    many = 2_000
    begun = time.process_time()
    for _ in range(many):
        for answer in answers:
            answer(row)
    asked = time.process_time() - begun
    begun = time.process_time()
    for _ in range(20):
        for text in TWENTY:
            parse(text, VOCABULARY)
    return {
        "one_transaction_one_rule_cpu_us": asked / many / len(TWENTY) * 1e6,
        "reading_a_rule_cpu_us": (time.process_time() - begun) / 20 / len(TWENTY) * 1e6,
    }


def _seconds(question: Callable[[], Any]) -> tuple[float, float]:
    begun, processor = time.perf_counter(), time.process_time()
    question()
    return time.perf_counter() - begun, time.process_time() - processor


def _facts(number: int) -> dict[str, pa.Array]:
    chance = np.random.default_rng(number + 1000)
    since = np.round(chance.lognormal(12, 4, FILE_ROWS))
    return {
        FACTS[0].key: pa.array(since, pa.float64(), mask=chance.random(FILE_ROWS) < 0.01),
        FACTS[1].key: pa.array(chance.poisson(0.7, FILE_ROWS).astype(np.float64)),
        FACTS[2].key: pa.array(chance.poisson(0.4, FILE_ROWS).astype(np.float64)),
    }


if __name__ == "__main__":
    for title, value in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1).items():
        print(f"{title:<40} {value:>12,.3f}")
