"""Copies without a past are what the screening computes for a row that nothing is known of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model import fitting, trainer
from model.data.order import TrainingOrder
from model.data.simulation import orders, payments
from model.recipes.cold_start import Cold
from model.recipes.ensemble import PackedRecipe
from model.recipes.recipe import Recipe
from model.recipes.tree_layers import TreeRecipe
from screening.features import compute


def prepared_of(folder: Path, frame: pd.DataFrame, label: str) -> fitting.PreparedRows:
    file = folder / "given.csv"
    frame.to_csv(file, index=False)
    order = TrainingOrder(file=file, out=folder / "made", name="made", filename="given.csv", label=label)
    return trainer.prepare(order, lambda *_: None)


@pytest.fixture(scope="module", params=["payments", "orders"])
def prepared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> fitting.PreparedRows:
    folder = tmp_path_factory.mktemp("cold")
    if request.param == "payments":
        return prepared_of(folder, payments(customers=150, terminals=100, days=40, seed=2), "TX_FRAUD")
    frame = orders(rows=900, seed=6)
    frame.loc[::40, "device_id"] = None  # nobody, too
    return prepared_of(folder, frame, "class")


@pytest.fixture
def cold(prepared: fitting.PreparedRows) -> Cold:
    found = Cold.of(prepared.definition, prepared.table.values)
    assert found is not None
    return found


def test_without_a_past_it_is_what_is_computed_for_the_row_by_itself(
    prepared: fitting.PreparedRows, cold: Cold
) -> None:
    rows, values = np.arange(0, len(prepared.label), 37), prepared.table.values  # noqa: PD011 -- no data frame
    by_themselves = [compute(prepared.definition, values[row : row + 1]) for row in rows]
    np.testing.assert_array_equal(cold.alone(prepared.features[rows]), np.vstack(by_themselves))
    assert (cold.alone(prepared.features) != prepared.features).any()


def test_without_labels_it_is_what_is_computed_of_rows_without_labels(
    prepared: fitting.PreparedRows, cold: Cold
) -> None:
    expected = compute(prepared.definition, prepared.table.values)
    np.testing.assert_array_equal(cold.unlabelled(prepared.features), expected)
    known = prepared.table.contract.label == "TX_FRAUD"  # the orders' rings are over before they are known
    assert (expected != prepared.features).any() == known


def test_scaled_copies_are_copies_of_scaled_rows(prepared: fitting.PreparedRows, cold: Cold) -> None:
    from sklearn.preprocessing import RobustScaler

    scaler = RobustScaler().fit(prepared.features.astype(np.float64))

    def scale(features: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = scaler.transform(features).astype(np.float32)
        return scaled

    given = cold.scaled(scaler.transform).alone(scale(prepared.features))
    np.testing.assert_array_equal(given, scale(cold.alone(prepared.features)))


def test_rows_that_tell_nothing_of_each_other_have_no_such_copies(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    amount = generator.gamma(2, 30, 300)
    frame = pd.DataFrame({"amount": amount, "fraud": (amount > 90).astype(int) ^ (amount > 150)})
    prepared = prepared_of(tmp_path, frame, "fraud")
    assert Cold.of(prepared.definition, prepared.table.values) is None


def test_a_large_amount_of_nobody_known_is_suspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepared_of(tmp_path, payments(customers=250, terminals=400, days=40, seed=5), "TX_FRAUD")
    every = np.arange(len(prepared.label))
    place = prepared.table.contract.columns.index("TX_AMOUNT")
    values = prepared.table.values[:50]  # noqa: PD011 -- no data frame
    large, small = values.copy(), values.copy()
    large[:, place], small[:, place] = 400.0, 40.0
    alone = [np.vstack([compute(prepared.definition, row[None]) for row in rows]) for rows in (large, small)]
    nets = PackedRecipe(members=2, width=32, epochs=5, batch=256, rate=2e-3)
    recipe = Recipe(TreeRecipe(trees=100, depth=3), nets, share=0.2)

    def odds() -> tuple[float, float]:
        made = fitting.fit(prepared, every, 0, lambda *_: None, recipe=recipe)
        rated = [np.column_stack([rows, np.zeros((len(rows), len(made.definition.rates)))]) for rows in alone]
        high, low = (float(np.median(made.net.logits(made.scaler.transform(rows)))) for rows in rated)
        return high, low

    high, low = odds()
    monkeypatch.setattr(Cold, "of", lambda *_: None)
    without, _ = odds()
    assert high > without + 1.5
    assert high > low + 4
