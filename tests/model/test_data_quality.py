"""What is wrong with a training file is found, counted, fixed and told."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from model.data.data_quality import CleanedRows, examine
from screening.columns.leakage import alone
from screening.errors import CellProblem
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

CONTRACT = ColumnContract.of(
    [
        Column("when", Role.TIME, CellKind.TIME),
        Column("signup", Role.MOMENT, CellKind.TIME),
        Column("amount", Role.AMOUNT),
        Column("shop", Role.CATEGORY, CellKind.TEXT),
        Column("age", Role.NUMBER, optional=True),
        Column("fraud", Role.LABEL),
    ]
)
NOW = 1.7e9


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    when = NOW + np.arange(1000) * 60.0
    values = np.column_stack(
        [when, when - generator.uniform(1, 1e6, 1000), generator.gamma(2, 20, 1000),
         generator.integers(0, 5, 1000).astype(float), generator.integers(18, 80, 1000).astype(float)]
    )  # fmt: skip
    return values, (generator.random(1000) < 0.1).astype(np.int8)


def found(cleaned: CleanedRows, kind: str) -> list[dict[str, Any]]:
    return [finding for finding in cleaned.report["findings"] if finding["kind"] == kind]


def test_a_clean_file_is_left_as_it_is(rows: tuple[np.ndarray, np.ndarray]) -> None:
    cleaned = examine(CONTRACT, *rows)
    assert cleaned.keep.all()
    assert cleaned.dropped == ()
    assert cleaned.report["findings"] == []
    assert json.loads(json.dumps(cleaned.report)) == cleaned.report


def test_rows_without_label_repeated_rows_and_odd_values_are_left_out_and_counted(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    values, label = rows
    label[3] = -1
    values[10] = values[9]
    label[10] = label[9]
    values[20, 2] = -5
    values[30, 0] = 1.0
    values[40, 1] = values[40, 0] + 60
    values[50:60, 4] = np.nan
    cleaned = examine(
        CONTRACT, values, label, set_aside=2, problems=[CellProblem("is not a number", "amount", 7)]
    )
    assert np.flatnonzero(~cleaned.keep).tolist() == [3, 10, 20, 30, 40]
    kinds = {finding["kind"]: finding["rows"] for finding in cleaned.report["findings"]}
    assert kinds == {
        "unreadable": 2, "no label": 1, "duplicates": 1, "negative": 1, "impossible time": 1, "impossible order": 1,
        "missing": 10,
    }  # fmt: skip
    assert cleaned.report["rows"] == 1002
    assert cleaned.report["rows_learned_from"] == 995
    assert cleaned.report["unreadable"][0]["column"] == "amount"


def test_what_is_common_is_how_the_file_is(rows: tuple[np.ndarray, np.ndarray]) -> None:
    values, label = rows
    values[::10, 2] *= -1
    cleaned = examine(CONTRACT, values, label)
    assert cleaned.keep.all()
    assert "kept" in found(cleaned, "negative")[0]["done"]


def test_a_column_that_says_the_same_everywhere_is_left_out(rows: tuple[np.ndarray, np.ndarray]) -> None:
    values, label = rows
    values[:, 3] = 7
    assert examine(CONTRACT, values, label).dropped == ("shop",)


@pytest.mark.parametrize("place", [2, 3, 4])
def test_a_column_that_tells_the_label_is_left_out_unless_asked(
    rows: tuple[np.ndarray, np.ndarray], place: int
) -> None:
    values, label = rows
    values[:, place] = (
        100.0 + label * (np.arange(1000) % 3 + 1) if place != 4 else np.where(label, 30.0, np.nan)
    )
    name = CONTRACT.columns[place]
    cleaned = examine(CONTRACT, values, label)
    assert cleaned.dropped == (name,)
    assert "alone tells" in found(cleaned, "leak")[0]["words"]
    kept = examine(CONTRACT, values, label, keep_leaks=True)
    assert kept.dropped == ()
    assert "as was asked" in found(kept, "leak")[0]["done"]


def test_a_measure_that_parts_the_classes_is_kept_and_told(rows: tuple[np.ndarray, np.ndarray]) -> None:
    values, label = rows
    values[:, 4] = np.where(label == 1, 0.0, 20.0) + np.random.default_rng(2).uniform(0, 15, 1000)
    cleaned = examine(CONTRACT, values, label)
    assert cleaned.dropped == ()
    (told,) = found(cleaned, "telling")
    assert (told["column"], told["done"]) == ("age", "kept")


def test_a_strong_honest_column_and_a_text_that_stands_once_are_no_leak(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    values, label = rows
    values[:, 2] = 50 + label * 30 + np.random.default_rng(1).normal(0, 10, 1000)
    values[:, 3] = np.arange(1000)
    assert 0.95 < alone(CellKind.NUMBER, values[:, 2], label) < 0.995
    assert alone(CellKind.TEXT, values[:, 3], label) == pytest.approx(0.5, abs=0.1)
    assert examine(CONTRACT, values, label).dropped == ()
