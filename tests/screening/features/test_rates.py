"""What is told of a category's values: never by a row's own label, nor by one that wasn't known yet."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from screening.errors import BadArtefact
from screening.features import Definition, compute, define
from screening.features.definitions.rates import SMOOTHING, Rates, as_known_then, rated
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

DELAY = 10.0


def rows(count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    cells = draw.integers(0, 12, count).astype(float)
    label = (draw.random(count) < np.where(cells < 3, 0.5, 0.05)).astype(np.int8)
    return cells, label, np.sort(draw.integers(0, 400, count)).astype(float)


def told(frauds: float, count: float, usual: float) -> float:
    return float(np.log((frauds + SMOOTHING * usual) / (count + SMOOTHING) / usual))


def test_a_row_is_told_what_was_known_when_it_came() -> None:
    """Compared with a plain loop over all rows."""
    cells, label, time = rows()
    found = as_known_then(cells, label, time, DELAY, seed=0)
    for row in range(len(cells)):
        known = time < time[row] - DELAY
        usual = (label[known].sum() + SMOOTHING * label.mean()) / (known.sum() + SMOOTHING)
        own = known & (cells == cells[row])
        assert found[row] == pytest.approx(told(label[own].sum(), own.sum(), usual), abs=1e-12)


def test_no_later_label_and_not_its_own_changes_a_row() -> None:
    cells, label, time = rows()
    row = 150
    found = as_known_then(cells, label, time, DELAY, seed=0)
    other = label.copy()
    other[time >= time[row] - DELAY] = 1 - other[time >= time[row] - DELAY]
    shift = label.mean() - other.mean()  # the first rows are drawn towards the share of all
    again = as_known_then(cells, other, time, DELAY, seed=0)
    assert abs(again[row] - found[row]) <= abs(shift), (
        "only the share of all rows that it is drawn towards moved"
    )
    single = label.copy()
    single[row] = 1 - single[row]
    without_time = [as_known_then(cells, each, None, DELAY, seed=3)[row] for each in (label, single)]
    assert without_time[0] == without_time[1], "its own fold isn't learned from"


def test_the_order_of_the_rows_does_not_matter() -> None:
    cells, label, time = rows()
    order = np.random.default_rng(5).permutation(len(cells))
    found = as_known_then(cells[order], label[order], time[order], DELAY, seed=0)
    np.testing.assert_allclose(found, as_known_then(cells, label, time, DELAY, seed=0)[order], rtol=1e-12)


def test_later_rows_are_told_the_share_of_all_that_was_learned_from() -> None:
    cells = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 3.0, np.nan])
    label = np.array([1, 1, 0, 0, 0, 1, 1], np.int8)
    rates = Rates.learn(cells, label)
    assert rates.cells.tolist() == [1.0, 2.0], "one row is no share, and a blank is no value"
    usual = label.mean()
    given = rates.of(np.array([2.0, 1.0, 3.0, 9.0, np.nan]))
    assert given.tolist() == pytest.approx([told(0, 2, usual), told(2, 3, usual), 0.0, 0.0, 0.0])


def test_values_that_hardly_come_back_are_not_told_of() -> None:
    columns = {
        "town": np.arange(90.0) % 20,
        "order": np.arange(90.0),
        "sex": np.arange(90.0) % 2,
        "blank": np.full(90, np.nan),
    }
    assert rated(list(columns), list(columns.values())) == ("town",)


def test_a_definition_keeps_them_and_one_row_gets_what_a_file_gets() -> None:
    contract = ColumnContract.of(
        [Column("x", Role.NUMBER), Column("town", Role.CATEGORY, CellKind.TEXT, optional=True)]
    )
    cells, label, _ = rows()
    values = np.column_stack([np.linspace(0, 1, len(cells)), cells])
    values[4, 1] = np.nan
    rates = Rates.learn(values[:, 1], label)
    definition = replace(define(contract, values), rates={"town": rates.levels()})
    back = Definition.from_dict(json.loads(json.dumps(definition.as_dict())))
    assert back == definition
    assert definition.names[-1] == "rate(town)"
    whole = compute(back, values)
    np.testing.assert_array_equal(whole[:, -1], rates.of(values[:, 1]).astype(np.float32))
    for row in (0, 4, 8):
        np.testing.assert_array_equal(compute(back, values[row : row + 1])[0], whole[row])
    for damage in (
        {"town": [[1.0]]},
        {"nowhere": [[1.0, 2.0]]},
        {"town": [[1.0, 2.0], [1.0, 3.0]]},
        {"town": [["a", 1.0]]},
    ):
        with pytest.raises(BadArtefact):
            Definition.from_dict({**definition.as_dict(), "rates": damage})
