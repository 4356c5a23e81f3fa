"""Deciding: a probability at or above the threshold is a flag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of a detector."""

    review: float
    """From which probability on a row is flagged."""
    block: float | None = None
    """From which on a flagged row is to be stopped without a look; ``None`` where none is."""


def always(threshold: float) -> Callable[[str], Thresholds]:
    """Return what gives every detector the same threshold."""
    return lambda _detector: Thresholds(threshold)


def flag(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Return the mask of flagged rows, bool (n,): ``probability >= threshold``, both in float32.

    The net answers in float32, where 0.8 is 0.800000011920929. Compared with the float64 0.8, the float32
    just below it (0.79999995) stays unflagged either way, but a threshold such as 0.7 would let a row pass
    whose probability is shown as 0.7, since float32 0.7 is 0.699999988079071. So the threshold is rounded to
    float32 first: a row whose probability is the threshold is flagged, for every threshold. Nothing else is
    rounded: the old project rounded the probability before it compared, so that 0.804 was not flagged.
    """
    return np.asarray(probabilities, np.float32) >= np.float32(threshold)
