"""The sample is invented, repeats byte for byte, and shows the shipped net at work."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from model.data.card_sample import SAMPLE, STATISTICS, generate, write_sample
from screening.transactions.schema import CARD, Transactions
from tests.artifact_factory import cache_in


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with SAMPLE.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_committed_sample_is_what_the_generator_writes(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    write_sample(path, generate(json.loads(STATISTICS.read_text(encoding="utf-8"))))
    assert path.read_bytes() == SAMPLE.read_bytes()


def test_another_seed_gives_other_rows() -> None:
    statistics = json.loads(STATISTICS.read_text(encoding="utf-8"))
    assert generate(statistics, seed=1) != generate(statistics)


def test_it_has_the_card_columns_in_time_order(rows: list[dict[str, str]]) -> None:
    assert tuple(rows[0]) == (*CARD.columns, "Class")
    times = [int(row["Time"]) for row in rows]
    assert times == sorted(times)
    assert 150 <= len(rows) <= 250
    assert all(len(row["Amount"].split(".")[1]) == 2 and float(row["Amount"]) >= 0 for row in rows)


def test_the_shipped_net_flags_most_of_its_frauds_and_nearly_none_of_the_rest(
    rows: list[dict[str, str]], compiled: Path
) -> None:
    from screening.detectors.detector import load_detector
    from screening.settings import ROOT

    detector = load_detector(
        "card", ROOT / "model.h5", ROOT / "vectorizer.pkl", ROOT / "model" / "card.json", cache_in(compiled)
    )
    values = np.array([[float(row[name]) for name in CARD.columns] for row in rows])
    flagged = detector.probabilities(Transactions(CARD.columns, values)) >= np.float32(0.8)
    fraud = np.array([row["Class"] == "1" for row in rows])
    assert 8 <= fraud.sum() <= 15
    assert flagged[fraud].mean() > 0.5
    assert flagged[~fraud].sum() <= 2
