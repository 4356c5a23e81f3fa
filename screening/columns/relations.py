"""Compare the columns of a file with each other by their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEARLY_ALWAYS = 0.98
# Least values per value of the other column, so that it names them: fewer are kinds, as of merchants.
NEARLY_AS_MANY = 0.25
# Least rows per value on average: with fewer, seeing always the same one is no wonder.
ROWS_EACH = 3.0


def latest(columns: Mapping[int, Floats]) -> set[int]:
    """Return the columns of times that are nearly never earlier than another: what happened, not what was before.

    Args:
        columns: by any key, times in the order of the rows, (rows,), NaN for a blank.
    """
    if len(columns) < 2:
        return set(columns)
    late = np.fmax.reduce(list(columns.values()))
    return {key for key, times in columns.items() if np.mean(times >= late) >= NEARLY_ALWAYS}


def another_form(times: Floats, of: Floats) -> bool:
    """Return whether times are others moved by a constant, as the same moment in another zone or from another start."""
    apart = (times - of)[~np.isnan(times) & ~np.isnan(of)]
    # a second: one of them may be rounded
    return bool(len(apart) > 1 and np.ptp(apart) <= 1.0)


def counts_like(numbers: Floats, times: Floats) -> bool:
    """Return whether numbers count the same as some times do, in any unit and from any start: at most one off, as whole
    days are beside seconds.
    """
    known = ~np.isnan(numbers) & ~np.isnan(times)
    count, time = numbers[known], times[known]
    if len(count) < 2 or not np.ptp(time):
        return False
    slope, start = np.polyfit(time - time.min(), count, 1)
    return bool(slope > 0 and np.abs(count - start - slope * (time - time.min())).max() <= 1.0)


def determined_by(cells: Sequence[str], others: Mapping[int, Sequence[str]]) -> int | None:
    """Return the key of the first other column each value of which always has the same cell beside it, where there are
    nearly as many cells as values.
    """
    for key, owners in others.items():
        seen: dict[str, str] = {}
        same = sum(seen.setdefault(owner, cell) == cell for owner, cell in zip(owners, cells, strict=True))
        often = len(seen) * ROWS_EACH <= len(cells) and len(set(cells)) >= NEARLY_AS_MANY * len(seen)
        if often and same >= NEARLY_ALWAYS * len(cells):
            return key
    return None
