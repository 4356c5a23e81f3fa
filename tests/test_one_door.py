"""utils.get_probabilities is the one door to a score: whoever replaces it replaces what everything answers."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask

import app as composed
import utils
from screening.settings import ROOT, Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person

CERTAIN = 0.9375
"""A probability that no row of the sample has by itself, and that float32 holds exactly."""


@pytest.fixture
def app(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The app as the root composes it, from the environment."""
    monkeypatch.setenv("INSTANCE_PATH", str(settings.instance))
    monkeypatch.setenv("USERS_FILE", str(settings.users_file))
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SECRET_KEY", settings.secret_key or "")
    built = composed.create_app()
    yield built
    built.extensions["screening"].database.engine.dispose()


@pytest.fixture
def worker(settings: Settings, services: Services) -> Iterator[Worker]:
    """The worker as ``python app.py worker`` composes it."""
    working = Worker(settings, services.screenings, services.detectors, probabilities=composed.probabilities)
    thread = threading.Thread(target=working.loop)
    thread.start()
    yield working
    working.stop()
    thread.join(timeout=30)
    assert not thread.is_alive()


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were asked about, by call."""
    asked: list[int] = []

    def certain(transactions: Any, detector: Any = None, history: Any = None) -> np.ndarray:
        asked.append(len(transactions))
        return np.full(len(transactions), CERTAIN, np.float32)

    monkeypatch.setattr(utils, "get_probabilities", certain)
    return asked


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("file", ["transactions_data.csv", "model/detectors/payments/sample.csv"])
def test_the_page_asks_it(file: str, analyst: Person, services: Services, replaced: list[int]) -> None:
    services.detectors.get("payments").prepare()  # so that the upload's page needn't wait for the compiler
    few = (
        (ROOT / file).read_bytes().splitlines(keepends=True)[:201]
    )  # each flagged row is explained, which takes its time
    answer = analyst.upload(b"".join(few))
    place = answer.headers["Location"]
    text = analyst.client.get(f"{place}/scores.csv").get_data(as_text=True)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows
    assert {float(row["fraud_probability"]) for row in rows} == {CERTAIN}
    assert {row["flagged"] for row in rows} == {"true"}
    assert sum(replaced) == len(rows)


def test_the_api_asks_it_once_for_all_rows(analyst: Person, replaced: list[int], sample: bytes) -> None:
    rows = [
        {name: float(cell) for name, cell in row.items() if name != "Class"}
        for row in list(csv.DictReader(io.StringIO(sample.decode())))[:5]
    ]
    headers = {"X-CSRFToken": analyst.token("/upload")}
    answer = analyst.client.post("/detect_fraud", json={"transactions": rows}, headers=headers)
    results = answer.get_json()["results"]
    assert [one["fraud_probability"] for one in results] == [CERTAIN] * 5
    assert all(one["fraud"] for one in results)
    assert replaced == [5]


def test_the_command_line_asks_it(app: Flask, replaced: list[int], sample: bytes, tmp_path: Path) -> None:
    file, scores = tmp_path / "payments.csv", tmp_path / "scores.csv"
    file.write_bytes(sample)
    done = app.test_cli_runner().invoke(args=["screen", str(file), "-o", str(scores)])
    assert done.exit_code == 0, done.output
    with scores.open(encoding="utf-8") as opened:
        assert {float(row["fraud_probability"]) for row in csv.DictReader(opened)} == {CERTAIN}
    assert sum(replaced) == 200


def test_an_unknown_order_to_the_root_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert composed.main(["serve"]) == 2
    assert "usage: python app.py [worker [NUMBER | trainer]]" in capsys.readouterr().err
    assert composed.main(["worker", "first"]) == 1
    assert "A worker takes its number" in capsys.readouterr().err
