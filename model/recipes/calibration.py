"""Turns logits into probabilities at the true prior: sigmoid(shift + a rising, piecewise linear function).

Platt's straight line (Platt 1999) was too stiff here: it called rows of which all are fraud 0.4 to 0.9, because its
slope has to serve the long tail of legitimate rows too. Two pieces keep it smooth and rising, and fold into the net as
one small dense layer, which an isotonic step function would not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit

Floats = NDArray[np.float64]
# Bends of the line, as quantiles of the frauds' logits. One bend was best in the folds (tried: none, one at
# 0.1, 0.15 or 0.2, two, three): more of them follow single legitimate rows, each of which stands for
# nineteen.
KNOTS = (0.15,)
# every piece rises, so that calibration never changes the order of two rows
LEAST_SLOPE = 0.1
# no logit of a trained net comes near; the line begins there
LOWEST = -64.0
RIDGE = 1e-3


@dataclass(frozen=True)
class Ramps:
    """shift + the sum of slope times relu(sign times (logit - start)); arrays (ramps,)."""

    sign: Floats
    start: Floats
    slope: Floats
    shift: float


@dataclass(frozen=True)
class Calibration:
    """``slopes`` of the pieces that begin at ``starts`` (rising), and ``shift``; folded into the net's last layers."""

    starts: Floats
    slopes: Floats
    shift: float

    def __call__(self, logit: Floats) -> Floats:
        """Return probabilities, same shape."""
        return np.asarray(expit(self.shift + piece_lengths(logit, self.starts) @ self.slopes))

    def ramps(self) -> Ramps:
        """Return the same function for logits above the first start, as a net computes it in 32 bits.

        It is written around the first bend, not from the start on: with a slope of 7 that would take 430 from 430, and
        the last bit of 430 moves a probability by 1e-5.
        """
        bend = self.starts[1]
        return Ramps(
            sign=np.r_[-1.0, np.ones(len(self.starts) - 1)],
            start=np.r_[bend, self.starts[1:]],
            slope=np.r_[-self.slopes[0], np.diff(self.slopes[1:], prepend=0.0)],
            shift=float(self.shift + self.slopes[0] * (bend - self.starts[0])),
        )


def fit_calibration(logit: Floats, label: NDArray[np.int64], weight: Floats, prior: float) -> Calibration:
    """Fit on logits (rows,) of rows that the net had not learned from; the mean probability becomes ``prior``.

    Maximum likelihood. ``weight`` is what a row stands for; the frauds are reweighted so that their share is the prior.
    """
    fraud, other = weight[label == 1].sum(), weight[label == 0].sum()
    balanced = weight * np.where(label == 1, prior / (1 - prior) * other / fraud, 1.0)
    starts = np.r_[LOWEST, np.unique(np.quantile(logit[label == 1], KNOTS))]
    slopes = rising_slopes(piece_lengths(logit, starts), label, balanced / balanced[label == 1].sum())
    line = piece_lengths(logit, starts) @ slopes

    def excess(shift: float) -> float:
        return float(np.average(expit(shift + line), weights=balanced) - prior)

    return Calibration(starts, slopes, float(brentq(excess, -2000.0, 2000.0)))


def cross_calibrated(
    logit: Floats,
    label: NDArray[np.int64],
    splits: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]],
    *,
    weight: Floats | None = None,
    prior: float | None = None,
) -> Floats:
    """Return the probabilities of each split's tested rows by a calibration that others gave, (rows,); NaN elsewhere.

    Args:
        logit: (rows,); NaN for rows without one, from which nothing is learned.
        label: 0 or 1, (rows,).
        splits: rows to learn from, and rows to give probabilities.
        weight: what a row stands for, (rows,); all the same by default.
        prior: the mean probability; by default the share of fraud among the rows learned from.
    """
    weight = np.ones(len(logit)) if weight is None else weight
    probability = np.full(len(logit), np.nan)
    for learned, tested in splits:
        rows = learned[~np.isnan(logit[learned])]
        share = prior or float(label[rows].mean()) or float(label.mean())
        calibration = fit_calibration(logit[rows], label[rows], weight[rows], share)
        probability[tested] = calibration(logit[tested])
    return probability


def piece_lengths(logit: Floats, starts: Floats) -> Floats:
    """Return the part of each piece that lies below each logit, (rows, pieces)."""
    lengths = np.r_[np.diff(starts), np.inf]
    return np.clip(logit[:, None] - starts, 0.0, lengths)


def rising_slopes(pieces: Floats, label: NDArray[np.int64], weight: Floats) -> Floats:
    """Return the rising slopes of the greatest likelihood, with a slight pull towards 1."""
    sign = np.where(label == 1, 1.0, -1.0)
    # an origin within the data, or the first piece's length rules the shift
    centre = pieces[label == 1].mean(axis=0)
    moved = pieces - centre

    def loss(parameters: Floats) -> tuple[float, Floats]:
        margin = sign * (parameters[0] + moved @ parameters[1:])
        value = float((weight * np.logaddexp(0.0, -margin)).sum() + RIDGE * ((parameters[1:] - 1) ** 2).sum())
        pull = -weight * sign * expit(-margin)
        gradient = np.r_[pull.sum(), pull @ moved + 2 * RIDGE * (parameters[1:] - 1)]
        return value, gradient

    count = pieces.shape[1]
    bounds = [(None, None), *[(LEAST_SLOPE, None)] * count]
    found = minimize(loss, np.r_[0.0, np.ones(count)], jac=True, bounds=bounds, method="L-BFGS-B")
    return np.asarray(found.x[1:])
