"""Which detectors a visitor may see, which were trained here, and which have a sample file."""

from __future__ import annotations

from pathlib import Path

from screening.detectors.detector import Detector
from screening.detectors.registry import DEFAULT
from screening.settings import ROOT
from screening.training.training_job import detectors_of
from screening.web.http.sessions import may
from screening.web.services import services

SHIPPED = ROOT / "model" / "detectors"


def is_shown(name: str) -> bool:
    """Whether this visitor may see a detector's card: one that was trained here tells of the bank's own files (their
    columns, how many rows were fraud), and that is no business of somebody without an account.
    """
    return may("see") or name == DEFAULT or name in {path.name for path in SHIPPED.iterdir()}


def shown() -> list[Detector]:
    """The detectors that this visitor may see and that can be loaded."""
    return [detector for detector in services().detectors.all() if is_shown(detector.name)]


def is_own(name: str) -> bool:
    """Whether a detector was trained here, and so may be removed."""
    shipped = name == DEFAULT or (SHIPPED / name).is_dir()
    return not shipped and (detectors_of(services().settings.instance) / name).is_dir()


def sample_of(name: str) -> Path | None:
    """The generated file that ships with a detector."""
    file = ROOT / "transactions_data.csv" if name == DEFAULT else SHIPPED / name / "sample.csv"
    return file if file.is_file() else None


def samples() -> list[str]:
    """The names of the detectors that have a sample file."""
    return [name for name in services().detectors.names() if sample_of(name)]
