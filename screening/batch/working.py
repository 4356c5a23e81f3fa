"""Columns that rows carry from stage to stage beside their own, and how they are read and written as Arrow arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from screening.features import UnorderedRows
from screening.transactions.schema import Matrix

KEY, TIME = "__key", "__time"
"""By which rows are grouped and sorted next."""
VALUES, LABEL, ORIGIN = "__values", "__label", "__origin"
DEVIATIONS, FEATURES, WRONG = "__deviations", "__features", "__problems"
WORKING = (KEY, TIME, VALUES, LABEL, ORIGIN, DEVIATIONS, FEATURES, WRONG)


class RowOrigin(IntEnum):
    """Sources of rows, and what is wanted of them."""

    ASKED = 0
    """It is scored."""
    REMEMBERED = 1
    """It is of the past that the ledger keeps."""
    FOLDER = 2
    """It is of a folder that is the past."""
    REJECTED = 3
    """It can't be read, and goes through to the output."""


@dataclass(frozen=True, slots=True)
class CarriedRows:
    """Rows with what they carry, (n,) each; ``own`` is an Arrow batch of their own columns."""

    own: Any
    keys: NDArray[np.int64]
    time: NDArray[np.float64]
    values: Matrix
    labels: NDArray[np.int8]
    origin: NDArray[np.int8]
    deviations: NDArray[np.float32]
    """(n, entities whose deviations are carried), NaN until they are known."""
    features: NDArray[np.float32]
    """(asked rows, features so far)."""
    problems: Any
    """Arrow texts: lists as JSON. Spark 4.3 looks again, with each row that it sends to Python, at all rows before it
    whose list is null."""

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def read(cls, batch: Any, columns: int, deviations: int) -> CarriedRows:
        """Return the rows of an Arrow batch.

        Args:
            batch: with the working columns.
            columns: number of columns of the contract.
            deviations: number of deviations that are carried.
        """
        own = [name for name in batch.schema.names if name not in WORKING]
        origin = _numbers(batch, ORIGIN)
        count, asked = batch.num_rows, int((origin == RowOrigin.ASKED).sum())
        features = _unpacked(batch.column(FEATURES), np.float32)
        return cls(
            own=batch.select(own),
            keys=_numbers(batch, KEY),
            time=_numbers(batch, TIME),
            values=_unpacked(batch.column(VALUES), np.float64).reshape(count, columns),
            labels=_numbers(batch, LABEL),
            origin=origin,
            deviations=_unpacked(batch.column(DEVIATIONS), np.float32).reshape(count, deviations),
            features=features.reshape(asked, len(features) // asked if asked else 0),
            problems=batch.column(WRONG),
        )

    def written(self) -> Any:
        """Return the rows as an Arrow batch."""
        count = len(self)
        asked = self.origin == RowOrigin.ASKED
        columns = [
            pa.array(self.keys),
            pa.array(self.time),
            _packed(self.values, np.ones(count, bool)),
            pa.array(self.labels),
            pa.array(self.origin),
            _packed(self.deviations, np.ones(count, bool)),
            _packed(self.features, asked),
            self.problems,
        ]
        return pa.RecordBatch.from_arrays(
            [*self.own.columns, *columns], names=[*self.own.schema.names, *WORKING]
        )

    def where(self, kept: NDArray[np.bool_]) -> CarriedRows:
        """Return some of the rows."""
        mask = pa.array(kept)
        return replace(
            self,
            own=self.own.filter(mask),
            keys=self.keys[kept],
            time=self.time[kept],
            values=self.values[kept],
            labels=self.labels[kept],
            origin=self.origin[kept],
            deviations=self.deviations[kept],
            features=self.features[kept[self.origin == RowOrigin.ASKED]],
            problems=self.problems.filter(mask),
        )

    def rows(self, kept: NDArray[np.bool_], names: Sequence[str]) -> UnorderedRows:
        """Return some of the rows as the features take them; ``names`` are those of the deviations."""
        deviations = {name: self.deviations[kept, place] for place, name in enumerate(names)}
        return UnorderedRows(self.values[kept], self.labels[kept], deviations)


def _numbers(batch: Any, name: str) -> Any:
    return batch.column(name).to_numpy(zero_copy_only=False)


def _packed(table: NDArray[Any], there: NDArray[np.bool_]) -> Any:
    """Return the rows of a table as Arrow's bytes, which Spark moves as a whole; where a row isn't there, none."""
    offsets = np.zeros(len(there) + 1, np.int32)
    np.cumsum(there * table.shape[1] * table.itemsize, out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(table))]
    return pa.Array.from_buffers(pa.binary(), len(there), buffers)


def _unpacked(column: Any, kind: type[np.generic]) -> NDArray[Any]:
    """Return all numbers of a column of bytes, one row after the other."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32)[[column.offset, column.offset + len(column)]]
    return np.frombuffer(data or b"", np.uint8)[ends[0] : ends[1]].view(kind)
