"""Rows of a file that are scored at once: those of some consecutive batches that aren't set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from screening.transactions.schema import Transactions

if TYPE_CHECKING:
    from screening.intake import Batch


@dataclass(frozen=True, slots=True)
class GoodRows:
    """Good rows of some consecutive batches."""

    transactions: Transactions
    labels: NDArray[np.int8] | None
    """(rows,) or ``None`` unless every batch has labels."""
    numbers: NDArray[np.int64]
    """Numbers of the rows in the file, from 1, (rows,)."""
    first: int
    """Number of the first row of the batches, whether it is set aside or not."""
    count: int
    """Number of rows in the batches, with those set aside."""

    @classmethod
    def of(cls, batches: list[Batch]) -> GoodRows:
        """Take the good rows out of batches; no copy is made of a single batch without a bad one."""
        first, good = batches[0].first_row, [~batch.bad for batch in batches]
        values = [
            batch.transactions.values if keep.all() else batch.transactions.values[keep]
            for batch, keep in zip(batches, good, strict=True)
        ]
        known = [
            batch.labels[keep] for batch, keep in zip(batches, good, strict=True) if batch.labels is not None
        ]
        kept = np.concatenate(good)
        return cls(
            Transactions(
                batches[0].transactions.columns, np.concatenate(values) if values[1:] else values[0]
            ),
            np.concatenate(known) if len(known) == len(batches) else None,
            np.flatnonzero(kept) + first,
            first,
            len(kept),
        )
