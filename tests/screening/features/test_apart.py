"""Rows that are asked about together and apart get, bit by bit, what each gets alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.features import Past, PastIndex, compute, compute_apart
from screening.features.computation import apart
from tests.screening.features.tables import COLUMNS, DEVICE, Table, payments, tables

FEW = settings(max_examples=60, deadline=None)


def assert_apart(now: Table, past: Table | None) -> None:
    definition = (past or now).definition()
    index = None if past is None else PastIndex(definition, Past(past.values, past.labels))
    alone = [compute(definition, now.values[row : row + 1], past=index) for row in range(len(now.values))]
    expected = np.concatenate(alone) if alone else np.empty((0, len(definition.features)), np.float32)
    np.testing.assert_array_equal(compute_apart(definition, now.values, index), expected)


@FEW
@given(tables(), st.integers(0, 30))
def test_each_row_gets_what_it_gets_alone(table: Table, cut: int) -> None:
    assert_apart(table.take(slice(cut, None)), table.take(slice(0, cut)))


@FEW
@given(tables())
def test_without_a_past_too(table: Table) -> None:
    assert_apart(table, None)


@pytest.mark.parametrize("most", [1, 50, 10_000])
def test_so_it_is_for_many_rows_however_they_are_divided(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(apart, "MOST_ROWS", most)
    columns = (*COLUMNS[:3], DEVICE, *COLUMNS[3:])
    assert_apart(payments(60, 1, columns), payments(1500, 2, columns))


def test_the_same_row_many_times_doesnt_find_itself() -> None:
    table = payments(300, 3)
    assert_apart(table.take([7] * 12), table)


def test_no_rows_are_no_features() -> None:
    assert_apart(payments(5).take(slice(0, 0)), payments(5))
