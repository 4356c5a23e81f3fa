"""Card precision: how many of the k cards that are looked at each day are really compromised.

As in the Fraud Detection Handbook (Le Borgne et al. 2022, chapter 4, "Precision top-k metrics"): a card's score on a
day is that of its most suspect payment, and a card that was found is not looked at again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DAY = 86_400.0


def card_precision(
    card: NDArray[np.float64],
    time: NDArray[np.float64],
    label: NDArray[np.int64],
    score: NDArray[np.float64],
    k: int = 100,
) -> float:
    """Return the mean over the days of the share of compromised cards among the k most suspect.

    Args:
        card: which card each payment is of, (rows,).
        time: seconds, (rows,); a day begins at a multiple of 86,400.
        label: 0 or 1, (rows,).
        score: higher is more suspect, (rows,).
        k: how many cards are looked at each day.
    """
    day = np.floor(time / DAY)
    found: set[float] = set()
    precisions = []
    for today in np.unique(day):
        rows = np.flatnonzero(day == today)
        rows = rows[~np.isin(card[rows], list(found))]
        cards, where = np.unique(card[rows], return_inverse=True)
        suspect = np.full(len(cards), -np.inf)
        np.maximum.at(suspect, where, score[rows])
        fraud = np.zeros(len(cards), bool)
        np.logical_or.at(fraud, where, label[rows] == 1)
        top = np.argsort(-suspect, kind="stable")[:k]
        precisions.append(fraud[top].sum() / k)
        found.update(cards[top][fraud[top]].tolist())
    return float(np.mean(precisions)) if precisions else 0.0
