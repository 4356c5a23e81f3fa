"""The shipped detectors load, are small, and find the frauds of their own generated samples."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest

from model.shipped import FOLDER, SHIPPED
from screening.detectors.detector import Detector, load_detector
from screening.transactions.json_records import from_mappings
from screening.transactions.schema import CellKind
from tests.artifact_factory import cache_in


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request: pytest.FixtureRequest, compiled: Path) -> tuple[str, Detector]:
    folder = FOLDER / request.param
    net, vectorizer, card = (folder / name for name in ("model.h5", "vectorizer.pkl", "card.json"))
    return request.param, load_detector(request.param, net, vectorizer, card, cache_in(compiled), late=True)


def test_it_belongs_to_its_card_and_is_small(shipped: tuple[str, Detector]) -> None:
    name, detector = shipped
    assert detector.card is not None
    assert detector.card.fingerprint == detector.fingerprint
    assert detector.warnings == []
    assert (FOLDER / name / "model.h5").stat().st_size < 3e6
    assert (FOLDER / name / "model.compiled.tar.xz").is_file()
    assert sum(file.stat().st_size for file in (FOLDER / name).iterdir()) < 3e6
    assert detector.card.metrics.validation is not None
    assert detector.card.metrics.validation.kind == "time"


def test_its_sample_is_generated_byte_for_byte(shipped: tuple[str, Detector]) -> None:
    name, _ = shipped
    made = SHIPPED[name].sample().to_csv(index=False)
    assert (FOLDER / name / "sample.csv").read_text(encoding="utf-8") == made


def test_it_flags_frauds_of_its_sample_and_little_else(shipped: tuple[str, Detector]) -> None:
    name, detector = shipped
    text = (FOLDER / name / "sample.csv").read_text(encoding="utf-8")
    kinds = {column.name: column.kind for column in detector.contract.parts()}
    rows = [
        {key: float(cell) if kinds.get(key) is CellKind.NUMBER else cell for key, cell in row.items()}
        for row in csv.DictReader(io.StringIO(text))
    ]
    probability = detector.probabilities(from_mappings(rows, detector.contract))
    label = pd.read_csv(io.StringIO(text))[SHIPPED[name].label].to_numpy()
    flagged = probability >= 0.8
    assert flagged.sum() >= 5
    assert label[flagged].mean() >= 0.8


def test_no_row_of_the_training_data_is_shipped() -> None:
    names = {file.name for folder in FOLDER.iterdir() for file in Path(folder).iterdir()}
    assert names == {
        "model.h5",
        "vectorizer.pkl",
        "card.json",
        "cleaning.json",
        "sample.csv",
        "rules.toml",
        "model.compiled.tar.xz",
    }
