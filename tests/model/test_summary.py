"""Training data in few numbers, by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model.data.summary import summary, weighted_quantiles
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

CONTRACT = ColumnContract.of(
    [Column("n", Role.NUMBER, optional=True), Column("t", Role.CATEGORY, CellKind.TEXT)]
)


def test_numbers_have_deciles_and_texts_have_shares() -> None:
    values = np.column_stack(
        [np.r_[np.arange(101.0), [np.nan] * 101], np.r_[np.full(150, 7.0), np.full(52, 9.0)]]
    )
    found = summary(CONTRACT, values)
    assert found["n"]["deciles"] == [10.0 * step for step in range(11)]
    assert (found["n"]["missing"], found["n"]["q50"]) == (0.5, 50.0)
    assert found["t"]["levels"] == [
        [7.0, pytest.approx(150 / 202, abs=1e-6)],
        [9.0, pytest.approx(52 / 202, abs=1e-6)],
    ]
    assert (found["t"]["other"], found["t"]["different"]) == (0.0, 2)
    assert json.loads(json.dumps(found)) == found


def test_what_a_row_stands_for_counts() -> None:
    cells, weight = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 8.0])
    assert weighted_quantiles(cells, weight, np.array([0.05, 0.2, 0.5])).tolist() == [1.0, 2.0, 3.0]


def test_rare_texts_are_added_up() -> None:
    values = np.column_stack([np.zeros(100), np.arange(100.0)])
    found = summary(CONTRACT, values)["t"]
    assert len(found["levels"]) == 30
    assert found["other"] == pytest.approx(0.7)
