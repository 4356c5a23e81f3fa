"""Turns logits into probabilities at the true prior: p = sigmoid(slope * logit + shift)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Platt's two numbers (Platt 1999), folded into the net's last layer."""

    slope: float
    shift: float

    def __call__(self, logit: Floats) -> Floats:
        """Probabilities, same shape."""
        return np.asarray(expit(self.slope * logit + self.shift))


def fit_calibration(logit: Floats, label: NDArray[np.int64], weight: Floats, prior: float) -> Calibration:
    """Fit on logits (rows,) of rows that the net had not learned from; the mean probability becomes ``prior``.

    ``weight`` is what a row stands for; the frauds are reweighted so that their share is the prior.
    """
    fraud, other = weight[label == 1].sum(), weight[label == 0].sum()
    balanced = weight * np.where(label == 1, prior / (1 - prior) * other / fraud, 1.0)
    fitted = LogisticRegression(C=1e6, max_iter=1000).fit(logit[:, None], label, sample_weight=balanced)
    slope = float(fitted.coef_[0, 0])

    def excess(shift: float) -> float:
        return float(np.average(expit(slope * logit + shift), weights=balanced) - prior)

    return Calibration(slope, float(brentq(excess, -60.0, 60.0)))
