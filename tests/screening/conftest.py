"""Small detectors, built once for all tests of the line, and a database with tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from screening.detectors.detector import Detector
from screening.infra.database import Database
from tests.artifact_factory import build_nets, tiny_detector
from tests.shared import run_folder


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nets (good, narrow, linear, two, lambda, custom .h5); compiled forms below ``cache``."""
    return build_nets(run_folder(tmp_path_factory))


@pytest.fixture(scope="session")
def said(nets: Path) -> dict[str, str]:
    """What the compiler said of each net; nothing when it was content."""
    found: dict[str, str] = json.loads((nets / "said.json").read_text())
    return found


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    """A detector of the card columns with a small packed net of random weights."""
    return tiny_detector(run_folder(tmp_path_factory))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The app's database, empty."""
    made = Database(database_url)
    made.create_tables()
    yield made
    made.engine.dispose()
