"""Features are what a plain loop over all earlier rows gives, whatever the order, the cut and the company."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.features import Definition, Options, Past, PastIndex, compute, define, iterate
from screening.features.computation import timeline
from screening.transactions.schema import CellKind, Column, ColumnContract, Role
from tests.screening.features.reference import Reference, rows_of
from tests.screening.features.tables import COLUMNS, DAY, EPOCH, HOUR, OPTIONS, Table, payments, tables
from tests.screening.features.ways import both_ways

MANY = settings(max_examples=100, deadline=None)
FEW = settings(max_examples=30, deadline=None)


def expected(definition: Definition, table: Table, past: Table | None = None) -> np.ndarray:
    rows = rows_of(definition, table.values, table.labels)
    before = [] if past is None else rows_of(definition, past.values, past.labels)
    reference = Reference(definition, before + rows)
    return np.array([reference.features(row) for row in rows]).reshape(len(rows), len(definition.names))


def assert_close(found: np.ndarray, wanted: np.ndarray, names: tuple[str, ...]) -> None:
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    # Scores are of amounts to a thirty-second of a unit, so that mean and deviation are off by half of that each; the
    # deviation is one unit at least, which makes it a thirty-second of a logarithm in all.
    rough = np.array([name.startswith("score") for name in names])
    allowed = np.where(rough, 1 / 32, 1e-4) * (1 + np.abs(wanted) * ~rough)
    far = np.argwhere(np.abs(found - wanted) > allowed)
    said = [(names[place], int(row), found[row, place], wanted[row, place]) for row, place in far[:5]]
    assert not len(far), said


def features(definition: Definition, table: Table, past: Table | None = None, **more: Any) -> np.ndarray:
    before = None if past is None else Past(past.values, past.labels)
    return both_ways(
        definition.names,
        lambda: compute(definition, table.values, labels=table.labels, past=before, **more),
    )


@MANY
@given(tables())
def test_every_feature_is_what_a_loop_over_all_rows_gives(table: Table) -> None:
    definition = table.definition()
    assert_close(features(definition, table), expected(definition, table), definition.names)


@MANY
@given(tables(), st.integers(0, 30))
def test_a_past_counts_as_rows_that_were_there_before(table: Table, cut: int) -> None:
    definition = table.definition()
    past, now = table.take(slice(0, cut)), table.take(slice(cut, None))
    assert_close(features(definition, now, past), expected(definition, now, past), definition.names)


@FEW
@given(tables(), st.integers(1, 1000))
def test_rows_appended_later_in_time_change_nothing(table: Table, seed: int) -> None:
    definition = table.definition()
    latest = np.nanmax(table.column("when"))
    later = payments(20, seed, table_columns(table))
    later.values[:, table.contract.columns.index("when")] += latest - EPOCH  # some at the very same time
    both = Table(
        table.contract,
        np.concatenate([table.values, later.values]),
        np.concatenate([table.labels, later.labels]),
    )
    assert np.array_equal(features(definition, both)[: len(table.values)], features(definition, table))


def table_columns(table: Table) -> tuple[Column, ...]:
    return (*table.contract.parts(), Column("fraud", Role.LABEL))


@FEW
@given(tables(), st.integers(0, 1000))
def test_shuffling_the_input_changes_nothing_but_the_order(table: Table, seed: int) -> None:
    definition = table.definition()
    order = np.random.default_rng(seed).permutation(len(table.values))
    assert np.array_equal(features(definition, table.take(order)), features(definition, table)[order])


@FEW
@given(tables(), st.integers(0, 1000))
def test_labels_younger_than_the_delay_change_nothing(table: Table, seed: int) -> None:
    definition = table.definition()
    when = table.column("when")
    asked = int(np.argmax(when))
    young = when >= when[asked] - OPTIONS.label_delay
    other = table.labels.copy()
    other[young] = np.random.default_rng(seed).integers(-1, 2, young.sum())
    changed = Table(table.contract, table.values, other)
    assert np.array_equal(features(definition, changed)[asked], features(definition, table)[asked])


def test_labels_as_old_as_the_delay_count() -> None:
    table = payments(200, seed=3, blanks=0.0)
    definition = table.definition()
    fraud = Table(table.contract, table.values, np.ones_like(table.labels))
    assert features(definition, fraud)[:, definition.names.index("frauds(card, 1d)")].max() > 0


@FEW
@given(tables())
def test_one_row_at_a_time_equals_the_batch(table: Table) -> None:
    definition = table.definition()
    batch = features(definition, table)
    for row in range(len(table.values)):
        others = np.arange(len(table.values)) != row
        alone = features(definition, table.take([row]), table.take(others))
        assert np.array_equal(alone[0], batch[row])


@FEW
@given(tables(), tables())
def test_an_index_of_the_past_gives_what_the_past_gives(table: Table, past: Table) -> None:
    if past.contract != table.contract:
        past = Table(table.contract, table.values.copy(), table.labels)
    definition = table.definition()
    index = PastIndex(definition, Past(past.values, past.labels))
    assert len(index) == len(past.values)
    found = compute(definition, table.values, labels=table.labels, past=index)
    assert np.array_equal(found, features(definition, table, past))
    assert len(index.related(table.values[:1]).values) <= len(past.values)


@FEW
@given(tables(), st.integers(0, 30), st.integers(0, 30))
def test_a_part_of_the_rows_is_a_part_of_the_whole(table: Table, one: int, other: int) -> None:
    definition = table.definition()
    start, stop = sorted((one, other))
    assert np.array_equal(
        features(definition, table, start=start, stop=stop), features(definition, table)[start:stop]
    )


@pytest.mark.parametrize("ordered", [True, False])
def test_blocks_and_chunks_are_cuts_of_one_matrix(monkeypatch: pytest.MonkeyPatch, ordered: bool) -> None:
    table = payments(3000, days=60)
    if ordered:
        table = table.take(np.argsort(table.column("when")))
    definition = table.definition()
    whole = features(definition, table)
    monkeypatch.setattr(timeline, "LEAST_ROWS", 150)
    blocks = list(iterate(definition, table.values, labels=table.labels, block=64))
    assert max(map(len, blocks)) == 64
    assert np.array_equal(np.concatenate(blocks), whole)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from screening.features.computation import entities

    table = payments(3000, days=60)
    alone = features(table.definition(), table)
    monkeypatch.setattr(entities, "MANY", 1)
    assert np.array_equal(features(table.definition(), table), alone)


def test_what_is_older_than_the_horizon_changes_nothing() -> None:
    table = payments(400, days=40)
    definition = table.definition()
    asked = np.flatnonzero(table.column("when") > EPOCH + 30 * DAY)
    recent = table.column("when") >= EPOCH + 30 * DAY - definition.horizon
    cut = table.take(recent)
    assert len(cut.values) < len(table.values)
    found = features(definition, cut)[np.isin(np.flatnonzero(recent), asked)]
    assert np.array_equal(found, features(definition, table)[asked])


def test_no_rows_give_an_empty_matrix() -> None:
    table = payments(10)
    definition = table.definition()
    empty = table.take(slice(0, 0))
    assert features(definition, empty).shape == (0, len(definition.names))
    assert list(iterate(definition, empty.values)) == []
    index = PastIndex(definition, Past(empty.values, empty.labels))
    assert np.array_equal(compute(definition, table.values, past=index), compute(definition, table.values))


def test_a_definition_of_no_rows_still_makes_features() -> None:
    table = payments(10)
    definition = define(table.contract, table.values[:0], OPTIONS)
    assert np.isfinite(compute(definition, table.values)).all()


def test_rows_without_a_time_or_an_entity_have_no_past_and_are_nobodys_past() -> None:
    columns = (Column("when", Role.TIME, CellKind.TIME, optional=True), *COLUMNS[1:])
    table = payments(300, columns=columns, blanks=0.3)
    definition = table.definition()
    assert_close(features(definition, table), expected(definition, table), definition.names)
    timeless = np.isnan(table.column("when"))
    kept = features(definition, table.take(~timeless))
    assert np.array_equal(features(definition, table)[~timeless], kept)


def test_without_a_time_there_is_no_past_and_no_leak() -> None:
    contract = ColumnContract.of(
        (Column("merchant", Role.ENTITY, CellKind.TEXT), Column("amount", Role.AMOUNT))
    )
    values = np.column_stack([np.repeat([1.0, 2, 3], [50, 30, 1]), np.ones(81)])
    definition = define(contract, values, Options(least=5))
    assert not definition.looks_back
    assert definition.horizon == 0
    found = compute(definition, values, labels=np.ones(81, np.int8), past=Past(values, np.ones(81, np.int8)))
    for row in (0, 60, 80):
        assert np.array_equal(compute(definition, values[row : row + 1])[0], found[row])
    other, common = (definition.names.index(name) for name in ("other(merchant)", "frequency(merchant)"))
    assert found[:, other].tolist() == [0.0] * 80 + [1.0]
    assert found[0, common] > found[60, common] > found[80, common] == 0


def test_huge_and_tiny_numbers_stay_finite() -> None:
    table = payments(200, blanks=0.0)
    definition = table.definition()
    odd = table.values.copy()
    odd[::7, table.contract.columns.index("amount")] = 3e38
    odd[1::7, table.contract.columns.index("amount")] = -3e38
    odd[2::7, table.contract.columns.index("age")] = 1e300
    odd[3::7, table.contract.columns.index("when")] = 3e38
    odd[4::7, table.contract.columns.index("joined")] = -3e38
    odd[5::7, table.contract.columns.index("amount")] = 1e-300
    found = compute(definition, odd, labels=table.labels)
    assert np.isfinite(found).all()
    assert np.abs(found).max() < np.finfo(np.float32).max


def test_sums_over_very_many_rows_are_exact() -> None:
    contract = ColumnContract.of(
        (Column("when", Role.TIME, CellKind.TIME), Column("card", Role.ENTITY), Column("amount", Role.AMOUNT))
    )
    rows = 200_000
    amounts = np.where(np.arange(rows) % 1000 == 0, 1e6, 0.1)
    values = np.column_stack([EPOCH + np.arange(rows) * 60.0, np.zeros(rows), amounts])
    definition = define(contract, values, OPTIONS)
    mean = compute(definition, values, start=rows - 1)[0, definition.names.index("mean(card, 1h)")]
    assert mean == pytest.approx(np.log1p(0.1 / definition.unit), rel=1e-4)


def test_one_row_against_a_long_past_takes_milliseconds() -> None:
    from time import perf_counter

    table = payments(100_000, days=100, blanks=0.0)
    definition = table.definition(Options())
    index = PastIndex(definition, Past(table.values, table.labels))
    row = table.values[:1].copy()
    row[0, 0] = EPOCH + 100 * DAY + HOUR
    times = []
    for _ in range(20):
        began = perf_counter()
        compute(definition, row, past=index)
        times.append(perf_counter() - began)
    assert min(times) < 0.05
