"""Trees asked level by level give what their layers give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.recipes.calibration import Calibration
from model.recipes.network import Branches, Layer, build
from model.recipes.tree_layers import Trees
from screening.detectors.compilation.tree_layers import Forest, find_forest, with_forest

INPUTS = 5


def random_trees(depth: int, count: int, seed: int) -> Trees:
    """Some gates unused, some thresholds shared, leaves of the size of logits."""
    generator = np.random.default_rng(seed)
    gates = 2**depth - 1
    column = generator.integers(-1, INPUTS, (count, gates))
    threshold = np.round(generator.normal(size=(count, gates)), 1).astype(np.float32).astype(np.float64)
    return Trees(column, threshold, generator.normal(size=(count, gates + 1)), base=-1.5)


def net_of(trees: Trees, floor: float | None, seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    members = [
        [
            Layer(generator.normal(size=(INPUTS, 3)), np.zeros(3), "relu"),
            Layer(generator.normal(size=(3, 1)), np.zeros(1)),
        ]
        for _ in range(2)
    ]
    squash = Layer(np.eye(INPUTS), np.zeros(INPUTS), "tanh")
    calibration = Calibration(np.array([-20.0, 0.5]), np.array([0.6, 0.3]), -9.0)
    return build(Branches(squash, members, trees, 0.5, floor), calibration)


def asked(net: Any, forest: Forest, rows: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    call = tf.function(with_forest(net, forest), input_signature=[tf.TensorSpec(rows.shape)])
    return np.asarray(call(rows))


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize("floor", [None, -2.5])
def test_the_same_numbers(depth: int, floor: float | None) -> None:
    trees = random_trees(depth, 12, depth)
    net = net_of(trees, floor)
    rows = np.random.default_rng(1).normal(size=(400, INPUTS)).astype(np.float32)
    rows[:100] *= 1e30  # far out: a gate is yes or no there, and nothing is lost
    rows[100:200] = np.round(rows[100:200], 1)  # at a threshold
    forest = find_forest(net)
    assert forest is not None
    assert forest.leaf.shape == (12, 2**depth)
    expected = net.predict_on_batch(rows)
    assert expected.std() > 0.05
    np.testing.assert_allclose(asked(net, forest, rows), expected, rtol=0, atol=1e-6)


def test_one_answer_between_is_the_same_on_both_ways() -> None:
    trees = Trees(np.array([[0, 1, 2]]), np.zeros((1, 3)), np.array([[4.0, -3.0, 2.0, 1.0]]), base=0.0)
    net = net_of(trees, None)
    between = np.float32(-3e-6)  # half way of relu6's slope of 2**20
    rows = np.array(
        [[between, -1, 1, 0, 0], [-1, between, 1, 0, 0], [1, -1, between, 0, 0], [between, 1, -1, 0, 0]],
        np.float32,
    )
    forest = find_forest(net)
    assert forest is not None
    inside = find_inner(net, rows)
    assert not np.isin(np.round(inside, 3), trees.leaf).any()  # between two leaves indeed
    np.testing.assert_allclose(asked(net, forest, rows), net.predict_on_batch(rows), atol=1e-6)


def find_inner(net: Any, rows: np.ndarray) -> np.ndarray:
    """What the layer that sums the leaves gives."""
    import keras

    return np.asarray(keras.Model(net.inputs, net.get_layer("trees").output).predict_on_batch(rows))


@pytest.mark.parametrize("spoiled", ["leaves", "gates", "gates_twice"])
def test_layers_that_are_no_trees_are_left_as_they_are(spoiled: str) -> None:
    net = net_of(random_trees(2, 4, 0), None)
    layer = net.get_layer("leaves" if spoiled == "leaves" else "gates")
    kernel, bias = layer.get_weights()
    if spoiled == "leaves":
        kernel[0, 0] += 0.01
    elif spoiled == "gates":
        kernel[kernel != 0] *= np.linspace(1, 2, (kernel != 0).sum())  # slopes that differ
    else:
        kernel[:2, 0] = kernel.min()  # a gate of two inputs
    layer.set_weights([kernel, bias])
    assert find_forest(net) is None


def test_a_net_without_trees_has_no_forest() -> None:
    import keras

    layers = [keras.Input((INPUTS,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1, "sigmoid")]
    assert find_forest(keras.Sequential(layers)) is None


def test_trees_that_do_not_see_the_input_itself_are_left_as_they_are() -> None:
    import keras

    net = net_of(random_trees(2, 4, 0), None)
    entry = keras.Input((INPUTS,))
    inner = keras.layers.Dense(INPUTS)(entry)
    for name in ("gates", "gates_by_tree", "leaves", "all_leaves", "trees"):
        inner = type(net.get_layer(name)).from_config(net.get_layer(name).get_config())(inner)
    assert find_forest(keras.Model(entry, inner)) is None
