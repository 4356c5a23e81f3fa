"""The net: boosted trees as layers beside an ensemble of small nets, their logits added, one calibrated probability.

Only dense and reshape layers, so that it saves as HDF5 without custom code and compiles to fully connected operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.recipes.calibration import Calibration
from model.recipes.tree_layers import Trees
from screening.detectors.compilation.tree_layers import leaf_layer

Floats = NDArray[np.float64]
# Widths of the first weights' uniform distributions, times the square root of a layer's inputs (LeCun et al.
# 1998).
GAINS = (1.7, 1.7, 0.5)
# The members see 3 tanh(z / 3) of a standardised value z, so that no single value, however far out, decides
# alone.
REACH = 3.0


@dataclass(frozen=True)
class Layer:
    """Weights of one fully connected layer: ``kernel`` (in, out), ``bias`` (out,)."""

    kernel: Floats
    bias: Floats
    activation: str = "linear"


Member = list[Layer]


def squash(scaled: Floats) -> Layer:
    """Return the layer that standardises the columns of ``scaled`` (rows, columns) and bends them to tanh(z / 3)."""
    spread = scaled.std(axis=0)
    spread = REACH * np.where(spread > 0, spread, 1.0)
    return Layer(np.diag(1.0 / spread), -scaled.mean(axis=0) / spread, "tanh")


@dataclass(frozen=True)
class Branches:
    """All that is learned before calibration; every part sees robust-scaled columns."""

    squash: Layer
    members: list[Member]
    trees: Trees
    share: float = 1.0
    """Weight of the members' mean logit beside the trees'."""
    floor: float | None = None
    """The trees' logit is at least that: below it their order is chance, and the members decide alone."""

    def logits(self, scaled: Floats) -> Floats:
        """Return the trees' logit plus the members' mean, shape (rows,), in NumPy and float64."""
        trees = self.trees.logits(scaled)
        if not self.members:
            return trees if self.floor is None else np.maximum(trees, self.floor)
        bent = apply([self.squash], scaled)
        mean = np.mean([apply(member, bent)[:, 0] for member in self.members], axis=0)
        trees = trees if self.floor is None else np.maximum(trees, self.floor)
        return np.asarray(trees + self.share * mean)


def build(branches: Branches, calibration: Calibration) -> Any:
    """Return the whole net as a Keras model: the sum of the branches' logits, calibrated, through a sigmoid."""
    import keras

    entry = keras.Input((len(branches.squash.bias),), name="transaction")
    bent = dense_layer(branches.squash, entry, "squash") if branches.members else None
    parts = [tree_sum(branches.trees, entry, branches.floor)]
    base = branches.trees.base if branches.floor is None else branches.floor
    for number, member in enumerate(branches.members):
        inner = bent
        for depth, layer in enumerate(member):
            inner = dense_layer(layer, inner, f"member_{number}_{depth}")
        parts.append(inner)
    joined = keras.layers.Concatenate(name="logits")(parts) if branches.members else parts[0]
    share = np.r_[1.0, np.full(len(branches.members), branches.share / max(len(branches.members), 1))]
    ramps = calibration.ramps()
    bends = dense_layer(
        Layer(share[:, None] * ramps.sign, ramps.sign * (base - ramps.start), "relu"), joined, "bends"
    )
    last = Layer(ramps.slope[:, None], np.array([ramps.shift]), "sigmoid")
    return keras.Model(entry, dense_layer(last, bends, "fraud_probability"))


def tree_sum(trees: Trees, entry: Any, floor: float | None) -> Any:
    """Return the sum of the trees' leaves without their base, or how far it is above the floor: the rest is a later
    bias.
    """
    import keras

    count = len(trees.leaf)
    gates = dense_layer(Layer(*trees.gate_layer(entry.shape[1]), "relu6"), entry, "gates")
    gates = keras.layers.Reshape((count, trees.gates), name="gates_by_tree")(gates)
    leaves = dense_layer(Layer(*leaf_layer(trees.depth), "relu"), gates, "leaves")
    leaves = keras.layers.Reshape((trees.leaf.size,), name="all_leaves")(leaves)
    if floor is None:
        return dense_layer(Layer(trees.leaf.reshape(-1, 1), np.zeros(1)), leaves, "trees")
    return dense_layer(
        Layer(trees.leaf.reshape(-1, 1), np.array([trees.base - floor]), "relu"), leaves, "trees"
    )


def dense_layer(layer: Layer, inner: Any, name: str) -> Any:
    """Return a layer with given weights."""
    import keras

    made = keras.layers.Dense(layer.kernel.shape[1], activation=layer.activation, name=name)
    result = made(inner)
    made.set_weights([layer.kernel.astype(np.float32), layer.bias.astype(np.float32)])
    return result


def apply(layers: Sequence[Layer], values: Floats | NDArray[np.float32]) -> Floats:
    """Return the output of dense layers for ``values`` (rows, inputs), in NumPy and float64."""
    found = values.astype(np.float64, copy=False)
    for layer in layers:
        found = found @ layer.kernel + layer.bias
        if layer.activation == "relu":
            found = np.maximum(found, 0.0)
        elif layer.activation == "tanh":
            found = np.tanh(found)
    return found
