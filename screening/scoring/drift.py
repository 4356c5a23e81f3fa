"""How far the columns of a file are from those that a detector was trained on.

The population stability index of each column: the sum over bins of (share now - share then) ln(share now / share
then). Up to 0.1 is called no change, above 0.25 a large one (Siddiqi 2006, "Credit Risk Scorecards", chapter 6).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.model_card import QUANTILES, Pairs, Profile
from screening.transactions.schema import Column, Matrix, Role

SOME, MUCH = 0.1, 0.25
FEWEST_ROWS = 200
"""Rows below which chance alone looks like a change."""
LEAST_SHARE = 1e-4
COMPARED = (Role.AMOUNT, Role.NUMBER, Role.CATEGORY)
"""Times always move on, and who comes back is somebody else each month."""
Cells = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """One column: its index, and the share of blanks then and now."""

    column: str
    index: float
    missing_then: float
    missing_now: float


def measure(detector: Detector, rows: Matrix) -> list[dict[str, Any]]:
    """Each compared column as JSON types, the most changed first; none where too little is known.

    Args:
        detector: whose card tells of the training data.
        rows: some rows of the file, evenly spread, float64 (n, columns of the contract).
    """
    known = {} if detector.card is None else detector.card.columns
    if len(rows) < FEWEST_ROWS:
        return []
    found = []
    for place, column in enumerate(detector.contract.parts()):
        then = known.get(column.name)
        if column.role in COMPARED and then is not None:
            one = _of(column, then, rows[:, place])
            if one is not None:
                found.append(one)
    return [asdict(one) for one in sorted(found, key=lambda one: -one.index)]


def _of(column: Column, then: Profile, cells: Cells) -> Drift | None:
    blank = np.isnan(cells)
    filled = cells[~blank]
    shares = _bins(then, filled) if then.levels is None else _levels(then, then.levels, filled)
    if shares is None:
        return None
    missing = then.missing or 0.0
    now = float(blank.mean())
    expected = np.r_[shares[0] * (1 - missing), missing]
    seen = np.r_[shares[1] * (1 - now), now]
    return Drift(column.name, round(stability_index(expected, seen), 4), missing, round(now, 6))


def stability_index(then: Cells, now: Cells) -> float:
    """The population stability index of two lists of shares; a share of nought counts as one in ten thousand."""
    before, after = np.maximum(then, LEAST_SHARE), np.maximum(now, LEAST_SHARE)
    return float(((after - before) * np.log(after / before)).sum())


def _bins(then: Profile, cells: Cells) -> tuple[Cells, Cells] | None:
    """Shares then and now between the known quantiles; those that are the same number are one border."""
    marks = [(then.quantiles[name], share) for name, share in QUANTILES.items() if name in then.quantiles]
    if not marks and then.missing == 1:  # blank throughout the training data: all that can change is that
        return np.ones(1), np.ones(1)
    if len(marks) < len(QUANTILES):
        return None
    borders = dict(marks)  # of equal ones the highest share holds: so much lies at or below
    reached = np.r_[0.0, list(borders.values()), 1.0]
    place = np.searchsorted(np.array(list(borders)), cells, side="left")
    return np.diff(reached), np.bincount(place, minlength=len(borders) + 1) / max(len(cells), 1)


def _levels(then: Profile, levels: Pairs, cells: Cells) -> tuple[Cells, Cells]:
    """Shares of the most frequent texts then and now, and of all others together."""
    codes = [code for code, _ in levels]
    share = np.array([share for _, share in levels], np.float64)
    filled = max(1 - (then.missing or 0.0), LEAST_SHARE)
    now = np.array([(cells == code).sum() / max(len(cells), 1) for code in codes])
    before = share / filled
    return np.r_[before, max(1 - before.sum(), 0.0)], np.r_[now, max(1 - now.sum(), 0.0)]
