"""Features of rows that know nothing of each other: of several requests that are answered at a time.

A call takes as long for one row as for ten, so they share one. Each row gets its own copy of what it can look back on,
and every entity a number of its own in each copy: no row finds another row's. Sums are of whole numbers, so that each
row's features are, bit by bit, those that it would get alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.past import Past, PastIndex
from screening.features.definitions.definition import Definition
from screening.transactions.schema import Matrix, Role

MOST_ROWS = 10_000
"""Earlier rows that are looked at in one call, about."""


def divided(
    definition: Definition, values: Matrix, past: PastIndex | None
) -> Iterator[tuple[slice, Matrix, Past]]:
    """Yield some rows at a time: which, the rows themselves and what they look back on, with entities told apart.

    Args:
        definition: what the features are.
        values: float64 (n, columns of the contract); each row stands for itself.
        past: what has been seen before all of them.
    """
    start = 0
    while start < len(values):
        parts: list[Past] = []
        count, stop = 0, start
        while stop < len(values) and count < MOST_ROWS:
            row = values[stop : stop + 1]
            parts.append(_nothing(values) if past is None else past.related(row))
            count += len(parts[-1])
            stop += 1
        yield slice(start, stop), *_told_apart(definition, values[start:stop], parts)
        start = stop


def _nothing(values: Matrix) -> Past:
    return Past(values[:0], np.empty(0, np.int8))


def _told_apart(definition: Definition, values: Matrix, parts: list[Past]) -> tuple[Matrix, Past]:
    earlier = np.concatenate([part.values for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    whose = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    both, owners = np.concatenate([earlier, values]), np.concatenate([whose, np.arange(len(values))])
    for column in definition.of_role(Role.ENTITY):
        place = definition.contract.columns.index(column.name)
        both[:, place] = _numbered(both[:, place], owners)
    return both[len(earlier) :], Past(both[: len(earlier)], labels)


def _numbered(cells: NDArray[np.float64], owners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a number for each cell that no other cell has, and no cell of another owner; a blank stays one."""
    different, which = np.unique(cells, return_inverse=True)
    return np.where(np.isnan(cells), np.nan, owners * float(len(different)) + which)
