"""Trees as layers: the same numbers as the trees."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from model.recipes.network import Layer, apply
from model.recipes.tree_layers import TreeRecipe, Trees, count_trees, read_trees
from screening.detectors.compilation.tree_layers import leaf_layer


class Dumped:
    """What is read of a booster: trees as JSON. The first is full on one side only, the second a single leaf."""

    def get_dump(self, dump_format: str) -> list[str]:
        assert dump_format == "json"
        deep = split(1, 0, 0.5, split(3, 2, -1.0, leaf(7, 1.0), leaf(8, 2.0)), leaf(4, 3.0))
        return [json.dumps(split(0, 1, 0.25, deep, leaf(2, 4.0))), json.dumps(leaf(0, 0.5))]


def split(number: int, column: int, below: float, yes: dict[str, Any], no: dict[str, Any]) -> dict[str, Any]:
    return {
        "nodeid": number, "split": f"f{column}", "split_condition": below, "yes": yes["nodeid"], "no": no["nodeid"],
        "missing": no["nodeid"], "children": [yes, no],
    }  # fmt: skip


def leaf(number: int, value: float) -> dict[str, Any]:
    return {"nodeid": number, "leaf": value}


def by_layers(trees: Trees, values: np.ndarray) -> np.ndarray:
    """The trees through their two layers, in NumPy."""
    kernel, bias = trees.gate_layer(values.shape[1])
    gates = np.clip(values @ kernel + bias, 0.0, 6.0).reshape(-1, trees.gates)
    leaves = apply([Layer(*leaf_layer(trees.depth), "relu")], gates).reshape(
        len(values), -1, trees.leaf.shape[1]
    )
    return np.asarray(trees.base + (leaves * trees.leaf).sum(axis=(1, 2)))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((0.0, 0.0, -2.0), 1.0),
        ((0.0, 0.0, -1.0), 2.0),  # at the threshold is not below it
        ((0.5, 0.0, -2.0), 3.0),
        ((0.0, 0.25, -2.0), 4.0),
    ],
)
def test_a_small_tree_by_hand(row: tuple[float, ...], expected: float) -> None:
    trees = read_trees(Dumped(), depth=3)
    assert trees.logits(np.array([row])) == pytest.approx([expected + 0.5])
    assert by_layers(trees, np.array([row])) == pytest.approx([expected + 0.5])


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_each_leaf_lights_for_its_own_path_alone(depth: int) -> None:
    kernel, bias = leaf_layer(depth)
    gates = 2**depth - 1
    answers = 6.0 * np.random.default_rng(0).integers(0, 2, (500, gates))
    leaves = np.maximum(answers @ kernel + bias, 0.0)
    assert leaves.sum(axis=1) == pytest.approx(np.ones(500))
    assert leaves.max(axis=0).min() == pytest.approx(1.0)  # every leaf is reached
    assert set(np.round(leaves.ravel(), 9)) == {0.0, 1.0}


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_xgboost_and_the_layers_agree(depth: int) -> None:
    import xgboost

    generator = np.random.default_rng(2)
    values = generator.normal(size=(600, 6)).astype(np.float32)
    label = (values[:, 0] * values[:, 1] > 0.3).astype(np.int64)
    grown = xgboost.XGBClassifier(n_estimators=20, max_depth=depth, tree_method="hist", n_jobs=1).fit(
        values, label
    )
    read = read_trees(grown.get_booster(), depth)
    margin = grown.predict(values, output_margin=True)
    base = float(margin[0] - read.logits(values[:1].astype(float))[0])
    trees = Trees(read.column, read.threshold, read.leaf, base)
    assert trees.logits(values.astype(float)) == pytest.approx(margin, abs=1e-5)
    assert by_layers(trees, values.astype(float)) == pytest.approx(margin, abs=1e-5)


def test_trees_are_counted_on_held_out_rows() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal(size=(800, 5)).astype(np.float32)
    label = (values[:, 0] + generator.normal(size=800) > 1).astype(np.int64)
    learned, held = ((values[rows], label[rows], np.ones(400)) for rows in (slice(0, 400), slice(400, 800)))
    count, logit = count_trees(learned, held, TreeRecipe(trees=300, rate=0.3, patience=10), seed=0)
    assert 1 <= count < 300
    assert logit.shape == (400,)
    assert logit[label[400:] == 1].mean() > logit[label[400:] == 0].mean()
