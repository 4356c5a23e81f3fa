"""Features are what a plain loop over all earlier rows gives, whatever the order, the cut and the company."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.features import Definition, Options, Past, compute, iterate
from tests.screening.features.reference import Reference, rows_of
from tests.screening.features.tables import DAY, EPOCH, OPTIONS, Table, payments, tables

FEW = settings(max_examples=60, deadline=None)


def expected(definition: Definition, table: Table, past: Table | None = None) -> np.ndarray:
    rows = rows_of(definition, table.values, table.labels)
    before = [] if past is None else rows_of(definition, past.values, past.labels)
    reference = Reference(definition, before + rows)
    return np.array([reference.features(row) for row in rows]).reshape(len(rows), len(definition.names))


def assert_close(found: np.ndarray, wanted: np.ndarray, names: tuple[str, ...]) -> None:
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    rough = np.array(
        [name.startswith("score") for name in names]
    )  # squares are of amounts to a thirty-second unit
    far = np.argwhere(np.abs(found - wanted) > np.where(rough, 0.01, 1e-4) * (1 + np.abs(wanted) * ~rough))
    said = [(names[place], int(row), found[row, place], wanted[row, place]) for row, place in far[:5]]
    assert not len(far), said


@FEW
@given(tables())
def test_every_feature_is_what_a_loop_over_all_rows_gives(table: Table) -> None:
    definition = table.definition()
    found = compute(definition, table.values, labels=table.labels)
    assert_close(found, expected(definition, table), definition.names)


@FEW
@given(tables(), st.integers(0, 30))
def test_a_past_counts_as_rows_that_were_there_before(table: Table, cut: int) -> None:
    definition = table.definition()
    past, now = table.take(slice(0, cut)), table.take(slice(cut, None))
    found = compute(definition, now.values, labels=now.labels, past=Past(past.values, past.labels))
    assert_close(found, expected(definition, now, past), definition.names)
