"""Measure the distance of two distributions over the same bins: the population stability index, and Kolmogorov-Smirnov.

Both take shares or counts by bin, (bins,). The bins are fixed beforehand, from the training data: figures of different
days then mean the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# A share of nought counts as this much: its logarithm would be infinite.
LEAST_SHARE = 1e-4
Weights = Sequence[float] | NDArray[np.float64] | NDArray[np.int64]


def psi(then: Weights, now: Weights) -> float:
    """Return the population stability index, 0 or more.

    The sum over the bins of (now - then) ln(now / then): the Kullback-Leibler divergence both ways (Jeffreys 1946).
    Up to 0.1 is called no change, above 0.25 a large one (Siddiqi 2006, "Credit Risk Scorecards", chapter 6). Of n
    rows in k bins that come from the same distribution it is about (k - 1) / n (Yurdakul 2018, "Statistical
    Properties of Population Stability Index").

    Raises:
        ValueError: the two have different bins, or one is empty.
    """
    before, after = (np.maximum(each, LEAST_SHARE) for each in _shares(then, now))
    return float(((after - before) * np.log(after / before)).sum())


def ks(then: Weights, now: Weights) -> float:
    """Return the Kolmogorov-Smirnov distance at the edges of bins that are in order, 0 to 1.

    The largest difference of the two cumulative shares (Massey 1951). Between the edges the two may be further apart:
    the distance of the values themselves is this or more.

    Raises:
        ValueError: as :func:`psi`.
    """
    before, after = _shares(then, now)
    return float(min(np.abs(np.cumsum(before) - np.cumsum(after)).max(), 1.0))


def rows_needed(bins: int, reference: float | None = None, index: float = 0.1) -> float:
    """Return of how many rows the index of unchanged data stays below a limit, but for some times in a thousand.

    An index of chance has the mean d (1/n + 1/m) and, divided by (1/n + 1/m), about a chi-squared distribution with
    d = bins - 1 degrees of freedom (Yurdakul 2018); the limit is four standard deviations above the mean.

    Args:
        bins: that aren't empty.
        reference: rows of the training data; ``None``: so many that they don't matter.
        index: the limit.

    Returns:
        rows; infinite where the training data themselves have too few.
    """
    freedom = max(bins - 1, 0)
    chance = freedom + 4 * math.sqrt(2 * freedom)
    if not chance:
        return 1.0
    left = index / chance - (1 / reference if reference else 0.0)
    return 1 / left if left > 0 else math.inf


def _shares(*given: Weights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    before, after = (np.asarray(each, np.float64) for each in given)
    if before.shape != after.shape or before.ndim != 1:
        raise ValueError(f"shares over different bins: {before.shape} and {after.shape}")
    totals = before.sum(), after.sum()
    if not min(totals) > 0:
        raise ValueError("a distribution of nothing")
    return before / totals[0], after / totals[1]
