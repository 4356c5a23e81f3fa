"""Makes features of rows: what lies before each of them, and what they say themselves.

Only rows that are earlier by their time count: rows of the same time know nothing of each other, so that the order
of the input can't matter. Labels count from their row's time plus the label delay on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.entities import fill_history
from screening.features.computation.entity_history import EntityHistory
from screening.features.computation.few_rows import fill_few, is_few
from screening.features.computation.matrix import Sheet, overflowing
from screening.features.computation.past import Past, PastSource
from screening.features.computation.rowwise import fill_rows
from screening.features.computation.timeline import Timeline
from screening.features.definitions.definition import Definition
from screening.transactions.schema import Matrix

BLOCK = 65_536
Labels = NDArray[np.int8]
Features = NDArray[np.float32]


def compute(
    definition: Definition,
    values: Matrix,
    *,
    labels: Labels | None = None,
    past: Past | PastSource | None = None,
    start: int = 0,
    stop: int | None = None,
) -> Features:
    """Return the features of rows, float32 (rows, features), finite, in the order of the rows.

    Args:
        definition: what the features are.
        values: float64 (n, columns of the contract), in any order.
        labels: int8 (n,), 1 for fraud, 0 for none, -1 where it isn't known; of all rows.
        past: earlier rows that features may tell of but that aren't asked about; an index of them where a few rows
            at a time are asked about.
        start: the first row that is asked about; the others count as rows that have been seen, if they are earlier.
        stop: the row after the last one.
    """
    stop = len(values) if stop is None else min(stop, len(values))
    found = np.empty((max(stop - start, 0), len(definition.features)), np.float32)
    done = 0
    for sheet in sheets(definition, values, slice(start, stop), labels=labels, past=past):
        found[done : done + sheet.shape[1]] = sheet.T
        done += sheet.shape[1]
        del sheet
    return found


def iterate(
    definition: Definition,
    values: Matrix,
    *,
    labels: Labels | None = None,
    past: Past | PastSource | None = None,
    block: int = BLOCK,
) -> Iterator[Features]:
    """Yield the features of all rows in blocks, float32 (``block`` rows or fewer, features), in the order of the rows.

    Args:
        definition: as for :func:`compute`, like the other arguments.
        values: float64 (n, columns of the contract).
        labels: int8 (n,).
        past: earlier rows.
        block: rows at a time.
    """
    for sheet in sheets(definition, values, slice(0, len(values)), labels=labels, past=past):
        for start in range(0, sheet.shape[1], block):
            yield np.ascontiguousarray(sheet[:, start : start + block].T)
        del sheet


def sheets(
    definition: Definition,
    values: Matrix,
    rows: slice,
    *,
    labels: Labels | None,
    past: Past | PastSource | None,
) -> Iterator[Features]:
    """Yield the features of some rows, (features, rows), a part of the rows at a time."""
    if not definition.looks_back:
        for begin in range(rows.start, rows.stop, BLOCK):
            yield _alone(definition, values[begin : min(begin + BLOCK, rows.stop)]).finite()
        return
    if past is not None and not isinstance(past, Past):
        past = past.related(values[rows])
    timeline = Timeline(definition, values, labels, past)
    if is_few(rows.stop - rows.start, len(values) + (0 if past is None else len(past))):
        sheet = _alone(definition, values[rows])
        with overflowing():
            fill_few(definition, timeline, rows.start, rows.stop, sheet)
        yield sheet.finite()
        return
    # of a whole file every row may tell something
    asked = None if past is None and rows == slice(0, len(values)) else rows
    history = EntityHistory(definition, timeline, asked=asked)
    for begin, end, scene in history.scenes(rows.start, rows.stop):
        sheet = _alone(definition, values[begin:end])
        fill_history(scene, sheet)
        yield sheet.finite()
        # two of them needn't be there at once
        del sheet


def _alone(definition: Definition, values: Matrix) -> Sheet:
    sheet = Sheet(definition, len(values))
    with overflowing():
        fill_rows(definition, values, sheet)
    return sheet
