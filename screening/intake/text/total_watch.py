"""Finds a total at the end of a table that can be read as a transaction: its amount is that of all rows above it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.errors import CellProblem
from screening.intake import numbers
from screening.intake.text.parse import TOTAL, Layout, Parsed, has_total, sampled
from screening.intake.text.records import Block
from screening.transactions.schema import CellKind

# With fewer rows one may be the sum of the others by chance.
LEAST_ROWS = 3
# A smaller amount, in any unit, is the sum of many columns by chance.
LEAST_SUM = 1.0
CENT = 0.006
"""Largest distance of a sum that is written with cents from the exact one."""
CLOSE = 1e-9
"""Largest distance, as a share of what was added up."""


class TotalWatch:
    """Adds up the numbers of one table."""

    def __init__(self, layout: Layout) -> None:
        columns = layout.contract.parts()
        self._layout = layout
        self._numbers = [place for place, column in enumerate(columns) if column.kind is CellKind.NUMBER]
        self._times = [place for place, column in enumerate(columns) if column.kind is CellKind.TIME]
        self._others = [place for place in range(len(columns)) if place not in {*self._numbers, *self._times}]
        self._sums, self._sizes = np.zeros(len(self._numbers)), np.zeros(len(self._numbers))
        self._rows = 0

    def look(
        self, block: Block, stops: NDArray[np.int64], parsed: Parsed, row: int, line: int, *, final: bool
    ) -> None:
        """Look at a block; in the ``final`` one a last row that is a total becomes a bad row.

        Args:
            block: whole records.
            stops: where they end.
            parsed: what was read of them.
            row: the number of the first one, from 1.
            line: the line that it begins on.
            final: whether the file ends with it.
        """
        values = parsed.values[:-1] if final else parsed.values
        bad = parsed.bad[:-1] if final else parsed.bad
        if bad.any():
            values = values[~bad]
        if len(self._numbers) < values.shape[1]:
            values = values[:, self._numbers]
        sums, sizes = values.sum(axis=0), np.abs(values).sum(axis=0)
        # a blank cell; most files have none, and these take twice as long
        if np.isnan(sums).any():
            sums, sizes = np.nansum(values, axis=0), np.nansum(np.abs(values), axis=0)
        self._sums += sums
        self._sizes += sizes
        self._rows += len(values)
        if final and not parsed.bad[-1] and self._is_total(block, stops, parsed.values[-1]):
            parsed.bad[-1], parsed.values[-1] = True, np.nan
            if parsed.labels is not None:
                parsed.labels[-1] = numbers.BLANK
            parsed.problem_count += 1
            start = int(stops[-2]) if len(stops) > 1 else 0
            parsed.problems.append(
                CellProblem(TOTAL, row=row + len(stops) - 1, line=line + block.data.count(b"\n", 0, start))
            )

    def _is_total(self, block: Block, stops: NDArray[np.int64], last: NDArray[np.float64]) -> bool:
        """Return whether the last row has a word for a total and no time or a sum; or names nobody, and has two sums,
        or one and nothing in another column. A payment of somebody may well be as large as all before it.
        """
        if self._rows < LEAST_ROWS:
            return False
        own = last[self._numbers]
        summed = np.abs(self._sums) >= LEAST_SUM
        summed &= np.abs(own - self._sums) <= CENT + CLOSE * self._sizes  # false where there is nothing
        sums = int(np.count_nonzero(summed))
        timeless = bool(np.isnan(last[self._times]).any())
        names_nobody = bool(np.isnan(last[self._others]).all())
        if sums and names_nobody and (sums > 1 or np.isnan(last).any()):
            return True
        if not sums and not timeless:
            return False
        tail = block.data[int(stops[-2]) if len(stops) > 1 else 0 :]
        return any(map(has_total, sampled(tail, np.array([len(tail)]), self._layout.delimiter, 1)))
