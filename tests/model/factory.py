"""Small invented training files in the card columns, and what was trained on one as the app loads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from screening.detectors.detector import Detector, load_detector
from screening.transactions.schema import CARD
from tests.artifact_factory import cache_in, compile_here


def training_frame(rows: int = 900, frauds: int = 60, seed: int = 1) -> pd.DataFrame:
    """Legitimate rows around 0, frauds shifted in V14 and V4, times spread over two days."""
    generator = np.random.default_rng(seed)
    label = np.zeros(rows, np.int64)
    label[generator.choice(rows, frauds, replace=False)] = 1
    values = generator.normal(size=(rows, len(CARD.columns)))
    frame = pd.DataFrame(values, columns=list(CARD.columns))
    frame["Time"] = np.sort(generator.integers(0, 145_000, rows))
    frame["Amount"] = np.round(np.exp(values[:, -1] + 3), 2)
    frame["V14"] -= 3.0 * label
    frame["V4"] += 2.0 * label
    frame["Class"] = label
    return frame


def write_csv(folder: Path, frame: pd.DataFrame) -> Path:
    """The frame as a CSV file."""
    path = folder / "training.csv"
    frame.to_csv(path, index=False)
    return path


def load_trained(folder: Path, cache: Path) -> Detector:
    """Load the detector that was just written to a folder; its net is compiled here, beside its training."""
    net, kept = folder / "model.h5", cache_in(cache)
    assert compile_here(net, kept) == ""
    return load_detector("made", net, folder / "vectorizer.pkl", folder / "card.json", kept)
