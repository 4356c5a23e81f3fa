"""Follow rows that are sorted by entity and time, some at a time, and keep what later ones can look back on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from screening.features import Definition, UnorderedRows, deviation_of, told_of
from screening.transactions.schema import Matrix

Keys = NDArray[np.int64]
CHUNK_ROWS = 131_072
"""Rows that are looked at together, at least: they, and what is made of them, are in memory."""
LOOKED_BACK = 3
"""Rows of an entity's past that are looked at again for each row of a chunk, at most; each costs a tenth of a row."""


class EntityStream:
    """The rows of one kind of entity, in the order of key and time.

    All rows of an entity have one key. What is kept between two chunks are the rows of the last entity that lie within
    the horizon: of an entity that has more rows than a chunk, no more than these are in memory.
    """

    def __init__(self, definition: Definition, name: str) -> None:
        self._definition, self._name = definition, name
        columns = definition.contract.columns
        self._cell, self._time = columns.index(name), columns.index(str(definition.contract.time))
        self._key: np.int64 | None = None
        self._kept: UnorderedRows | None = None

    @property
    def chunk_rows(self) -> int:
        """Number of rows that the next chunk should have, so that looking back isn't most of the work."""
        return max(CHUNK_ROWS, (0 if self._kept is None else len(self._kept)) // LOOKED_BACK)

    def tell(
        self, keys: Keys, rows: UnorderedRows, asked: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return what is told of the asked rows of the next chunk, (asked rows, features), and the deviations of all of
        its rows, (n,); ``None`` where the entity's amounts tell nothing.

        Args:
            keys: of each row, ascending.
            rows: ascending by time for each key, with the deviations of other entities.
            asked: which rows are asked about; the others are their past.
        """
        others, mine = np.flatnonzero(~asked), np.flatnonzero(asked)
        before = self._before(keys, rows)
        told = told_of(
            self._definition, self._name, picked(rows, mine), put_together(before, picked(rows, others))
        )
        self._keep(keys, rows, before)
        if told.deviation is None:
            return told.features, None
        deviation = np.empty(len(rows), np.float32)
        deviation[np.concatenate([others, mine])] = told.deviation[len(before) :]
        return told.features, deviation

    def deviations(self, keys: Keys, rows: UnorderedRows) -> NDArray[np.float32]:
        """Return the deviations of the rows of the next chunk, (n,), as :meth:`tell` takes them."""
        before = self._before(keys, rows)
        found = deviation_of(self._definition, self._name, rows, before)[len(before) :]
        self._keep(keys, rows, before)
        return found

    def _before(self, keys: Keys, rows: UnorderedRows) -> UnorderedRows:
        if self._kept is None or not len(keys) or keys[0] != self._key:
            return picked(rows, np.empty(0, np.int64))
        return self._kept

    def _keep(self, keys: Keys, rows: UnorderedRows, before: UnorderedRows) -> None:
        """Keep the rows of the last entity that later ones of it can look back on."""
        if not len(keys):
            return
        last = np.flatnonzero(keys == keys[-1])
        kept = picked(rows, last)
        if len(last) == len(keys):
            kept = put_together(before, kept)
        time = kept.values[:, self._time]
        # others may have its key by chance
        there = ~np.isnan(kept.values[:, self._cell]) & ~np.isnan(time)
        latest = time[there].max(initial=-np.inf)
        # a second more, for what is rounded
        kept = picked(kept, np.flatnonzero(there & (time >= latest - self._definition.horizon - 1.0)))
        self._key, self._kept = keys[-1], kept


def picked(rows: UnorderedRows, places: NDArray[np.int64]) -> UnorderedRows:
    """Return some of the rows."""
    deviations = {name: each[places] for name, each in rows.deviations.items()}
    return UnorderedRows(rows.values[places], rows.labels[places], deviations)


def put_together(one: UnorderedRows, other: UnorderedRows) -> UnorderedRows:
    """Return the rows of both."""
    deviations: Mapping[str, NDArray[np.float32]] = {
        name: np.concatenate([one.deviations[name], each]) for name, each in other.deviations.items()
    }
    return UnorderedRows(
        np.concatenate([one.values, other.values]), np.concatenate([one.labels, other.labels]), deviations
    )


def keys_of(values: Matrix, place: int, spread: NDArray[np.uint64]) -> Keys:
    """Return a key for each row, (rows,): the same for equal cells of a column, and for blanks one of their own.

    Args:
        values: float64 (rows, columns).
        place: of the column.
        spread: (rows,) numbers that are the same for equal rows: rows without an entity have nothing in common, and
            would all be one executor's work.
    """
    cells = np.ascontiguousarray(values[:, place] + 0.0)  # no minus zero
    return np.where(np.isnan(cells), spread.view(np.int64), cells.view(np.int64))
