"""Summarise the distribution of the training data's columns in few numbers: what later files are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.transactions.schema import CellKind, ColumnContract, Matrix

QUANTILES = {
    "min": 0.0,
    "q01": 0.01,
    "q05": 0.05,
    "q25": 0.25,
    "q50": 0.5,
    "q75": 0.75,
    "q95": 0.95,
    "q99": 0.99,
    "max": 1.0,
}
BORDERS = (0.01, *(step / 20 for step in range(1, 20)), 0.99)
"""Of the bins by which later rows are compared with the training data."""
LEVELS = 30
"""Texts whose share is kept; those of all others are added up."""
CODED = (CellKind.TEXT, CellKind.DOMAIN)
"""The kinds of cells of which codes stand for texts."""
ROWS = 500_000
Column = NDArray[np.float64]


def summary(
    contract: ColumnContract, values: Matrix, weight: Column | None = None
) -> dict[str, dict[str, Any]]:
    """Summarise each column: quantiles, deciles, bins and blanks of numbers and times; of texts the most frequent
    codes.

    Args:
        contract: names the columns of ``values`` and their kinds.
        values: float64 (rows, columns).
        weight: what each row stands for, (rows,); all the same by default.
    """
    weight = np.ones(len(values)) if weight is None else weight
    if len(values) > ROWS:
        rows = np.linspace(0, len(values) - 1, ROWS).astype(np.int64)
        values, weight = values[rows], weight[rows]
    return {
        column.name: level_summary(cells, weight) if column.kind in CODED else number_summary(cells, weight)
        for column, cells in zip(contract.parts(), values.T, strict=True)
    }


def number_summary(cells: Column, weight: Column) -> dict[str, Any]:
    """Return quantiles and bins of the cells, and the shares of whole numbers and of blanks."""
    known = ~np.isnan(cells)
    missing = round(float(weight[~known].sum() / weight.sum()), 6)
    if not known.any():
        return {"missing": missing}
    marks = weighted_quantiles(
        cells[known], weight[known], np.r_[list(QUANTILES.values()), np.linspace(0, 1, 11)]
    )
    rounded = [float(f"{mark:.9g}") for mark in marks]
    return {
        **dict(zip(QUANTILES, rounded, strict=False)),
        "deciles": rounded[len(QUANTILES) :],
        "bins": counted_bins(cells[known], weight[known]),
        "whole": round(float(weight[known & (cells == np.rint(cells))].sum() / weight[known].sum()), 6),
        "missing": missing,
    }


def counted_bins(cells: Column, weight: Column) -> dict[str, list[float]]:
    """Count twentieths and both hundredths at the ends, with the share that is in each: counted, since where many rows
    have one value, quantiles don't tell how many have it.
    """
    marks = weighted_quantiles(cells, weight, np.array(BORDERS))
    # the largest value is no edge: nothing lies beyond it
    edges = np.unique([float(f"{mark:.9g}") for mark in marks if mark < cells.max()])
    place = np.searchsorted(edges, cells, side="left")
    shares = np.bincount(place, weights=weight, minlength=len(edges) + 1) / weight.sum()
    return {"edges": edges.tolist(), "shares": [round(float(share), 6) for share in shares]}


def weighted_quantiles(cells: Column, weight: Column, shares: Column) -> Column:
    """Return the smallest cells that have at least these shares of the weight at or below them."""
    order = np.argsort(cells, kind="stable")
    reached = np.cumsum(weight[order])
    place = np.searchsorted(reached, shares * reached[-1] * (1 - 1e-12), side="left")
    return np.asarray(cells[order][np.minimum(place, len(cells) - 1)])


def level_summary(cells: Column, weight: Column) -> dict[str, Any]:
    """Return the most frequent codes with their shares, and what is left."""
    known = ~np.isnan(cells)
    total = weight.sum()
    codes, place = np.unique(cells[known], return_inverse=True)
    share = np.bincount(place, weights=weight[known], minlength=len(codes)) / total
    most = np.argsort(-share, kind="stable")[:LEVELS]
    return {
        "levels": [[float(codes[at]), round(float(share[at]), 6)] for at in most],
        "other": round(float(max(share.sum() - share[most].sum(), 0.0)), 6),
        "different": len(codes),
        "missing": round(float(weight[~known].sum() / total), 6),
    }
