"""Rows that came before those which are asked about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.schema import Matrix


@dataclass(frozen=True, slots=True)
class Past:
    """Earlier rows in any order: ``values`` float64 (rows, columns of the contract), ``labels`` int8 (rows,), -1
    where it isn't known whether it was fraud.
    """

    values: Matrix
    labels: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.values)
