"""Measure the drift of columns from the data that a detector was trained on, by :func:`stability.psi`.

A file is told of it at once; :mod:`screening.monitoring` adds up the same counts over days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.scoring import bins
from screening.scoring.stability import psi
from screening.transactions.schema import Matrix

SOME, MUCH = 0.1, 0.25
# With fewer rows chance alone looks like a change.
FEWEST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Drift:
    """One column: its index, and the share of blanks then and now."""

    column: str
    index: float
    missing_then: float
    missing_now: float


@dataclass(frozen=True, slots=True)
class BinCounts:
    """Number of rows in each bin of each column."""

    shape: str
    """Of the bins: :func:`screening.scoring.bins.shape`."""
    rows: int
    """Number of rows that were looked at."""
    columns: Mapping[str, NDArray[np.int64]]
    """By name, (bins,) each."""

    @property
    def as_dict(self) -> dict[str, Any]:
        """As JSON types."""
        columns = {name: counts.tolist() for name, counts in self.columns.items()}
        return {"shape": self.shape, "rows": self.rows, "columns": columns}


def count(detector: Detector, rows: Matrix) -> BinCounts:
    """Count rows by the bins of a detector's training data; without a card there are none.

    Args:
        detector: whose card tells of the training data.
        rows: float64 (n, columns of the contract).
    """
    places = {name: place for place, name in enumerate(detector.contract.columns)}
    known = bins.of_detector(detector)
    found = {name: each.count(rows[:, places[name]]) for name, each in known.items()}
    return BinCounts(bins.shape(known), len(rows), found)


def told(detector: Detector, counts: BinCounts) -> list[dict[str, Any]]:
    """Return each compared column as JSON types, the most changed first; none where too little is known.

    Args:
        detector: whose card tells of the training data.
        counts: of some rows of the file, evenly spread.
    """
    if counts.rows < FEWEST_ROWS:
        return []
    found = []
    for name, then in bins.of_detector(detector).items():
        now = counts.columns[name]
        index = round(psi(then.nearest(now), now), 4)
        found.append(Drift(name, index, then.shares[-1], round(float(now[-1]) / counts.rows, 6)))
    return [asdict(one) for one in sorted(found, key=lambda one: -one.index)]


def measure(detector: Detector, rows: Matrix) -> list[dict[str, Any]]:
    """Return what is to be said of some rows of a file, as :func:`told`."""
    return told(detector, count(detector, rows))
