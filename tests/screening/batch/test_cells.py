"""Cells of Arrow batches are read as a file's are; rows that can't be read say why, and nothing of them counts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from screening.batch.cells import NOT_UTF8, RAGGED, RAW, read_cells
from screening.intake import Forms
from screening.intake.numbers import NumberForm
from screening.intake.text.rows import layout_of
from screening.intake.text.typed_cells import CellReader
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

CONTRACT = ColumnContract.of(
    (
        Column("when", Role.TIME, CellKind.TIME),
        Column("card", Role.ENTITY, CellKind.TEXT),
        Column("amount", Role.AMOUNT),
        Column("fraud", Role.LABEL),
    )
)
LAYOUT = layout_of(CONTRACT, ["id", "amount", "when", "card", "fraud"], None)


def batch(**columns: list[object]) -> pa.RecordBatch:
    usual = {
        "amount": ["1.5"] * 4,
        "when": ["2026-01-01 00:00:01"] * 4,
        "card": ["a"] * 4,
        "fraud": ["0"] * 4,
    }
    return pa.RecordBatch.from_pydict(usual | columns)


def test_bad_rows_say_why_and_good_ones_are_numbers() -> None:
    found = read_cells(batch(amount=["1.5", "x", "2", "3"], card=["a", "b", "ab\ufffd", "a"]), LAYOUT)
    assert found.rejected.tolist() == [False, True, True, False]
    assert found.problems == {1: ["amount is not a number"], 2: [f"card {NOT_UTF8}"]}
    assert np.isnan(found.values[[1, 2]]).all()
    assert found.values[:, 2][[0, 3]].tolist() == [1.5, 3.0]
    assert found.labels is not None


def test_a_number_means_the_same_whichever_rows_are_read_with_it() -> None:
    """One column has decimal points and another one commas: there 1.234 is more than a thousand."""
    contract = ColumnContract.of((Column("amount", Role.AMOUNT), Column("other", Role.NUMBER)))
    plain = layout_of(contract, ["amount", "other"], None)
    point, comma = CellReader(numbers=NumberForm(".")), CellReader(numbers=NumberForm(","))
    layout = layout_of(contract, plain.header, Forms((point, comma)))
    rows = pa.RecordBatch.from_pydict({"amount": ["1.5", "2.5"], "other": ["2,5", "1.234"]})
    assert read_cells(rows, layout).values.tolist() == [[1.5, 2.5], [2.5, 1234]]
    assert read_cells(rows.slice(1), layout).values.tolist() == [[2.5, 1234]]


def test_a_label_that_is_none_makes_all_labels_unusable() -> None:
    assert read_cells(batch(fraud=["0", "maybe", "1", ""]), LAYOUT).labels is None
    labels = read_cells(batch(fraud=["0", None, "1", ""]), LAYOUT).labels
    assert labels is not None
    assert labels.tolist() == [0, -1, 1, -1]


def test_cells_of_ragged_rows_do_not_count() -> None:
    ragged = {RAW: pa.array([None, "2.5,oops,a", None, None], pa.string())}
    found = read_cells(batch(fraud=["0", "oops", "1", "0"], amount=["1", "2", "x", "4"], **ragged), LAYOUT)
    assert found.rejected.tolist() == [False, True, True, False]
    assert found.problems == {1: [RAGGED], 2: ["amount is not a number"]}
    assert found.labels is not None
    assert found.labels[[0, 3]].tolist() == [0, 0]


def test_numbers_of_parquet_are_what_the_same_numbers_are_in_text() -> None:
    whole = pa.array([2**53 - 1, 7, -3, 0], pa.int64())
    found = read_cells(batch(amount=whole, card=pa.array([1, 2, 2**62, 4], pa.int64())), LAYOUT)
    text = read_cells(
        batch(amount=[str(each) for each in whole.to_pylist()], card=["1", "2", str(2**62), "4"]), LAYOUT
    )
    assert np.array_equal(found.values, text.values)
    single = pa.array([0.1, 1e-30, 3.4e38, 5], pa.float32())
    kept = read_cells(batch(amount=single), LAYOUT).values[:, 2]
    assert kept[0] == np.float64(np.float32(0.1))
