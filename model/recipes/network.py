"""The net: boosted trees as layers beside an ensemble of small nets, their logits added, one calibrated probability.

Only dense and reshape layers, so that it saves as HDF5 without custom code and compiles to fully connected operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.recipes.calibration import Calibration
from model.recipes.tree_layers import TreeRecipe, Trees
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
    bent = _dense(branches.squash, entry, "squash") if branches.members else None
    parts = [_trees(branches.trees, entry, branches.floor)]
    base = branches.trees.base if branches.floor is None else branches.floor
    for number, member in enumerate(branches.members):
        inner = bent
        for depth, layer in enumerate(member):
            inner = _dense(layer, inner, f"member_{number}_{depth}")
        parts.append(inner)
    joined = keras.layers.Concatenate(name="logits")(parts) if branches.members else parts[0]
    share = np.r_[1.0, np.full(len(branches.members), branches.share / max(len(branches.members), 1))]
    ramps = calibration.ramps()
    bends = _dense(
        Layer(share[:, None] * ramps.sign, ramps.sign * (base - ramps.start), "relu"), joined, "bends"
    )
    last = Layer(ramps.slope[:, None], np.array([ramps.shift]), "sigmoid")
    return keras.Model(entry, _dense(last, bends, "fraud_probability"))


def _trees(trees: Trees, entry: Any, floor: float | None) -> Any:
    """Return the sum of the trees' leaves without their base, or how far it is above the floor: the rest is a later
    bias.
    """
    import keras

    count = len(trees.leaf)
    gates = _dense(Layer(*trees.gate_layer(entry.shape[1]), "relu6"), entry, "gates")
    gates = keras.layers.Reshape((count, trees.gates), name="gates_by_tree")(gates)
    leaves = _dense(Layer(*leaf_layer(trees.depth), "relu"), gates, "leaves")
    leaves = keras.layers.Reshape((trees.leaf.size,), name="all_leaves")(leaves)
    if floor is None:
        return _dense(Layer(trees.leaf.reshape(-1, 1), np.zeros(1)), leaves, "trees")
    return _dense(Layer(trees.leaf.reshape(-1, 1), np.array([trees.base - floor]), "relu"), leaves, "trees")


def _dense(layer: Layer, inner: Any, name: str) -> Any:
    import keras

    made = keras.layers.Dense(layer.kernel.shape[1], activation=layer.activation, name=name)
    result = made(inner)
    made.set_weights([layer.kernel.astype(np.float32), layer.bias.astype(np.float32)])
    return result


@dataclass(frozen=True)
class Recipe:
    """Training settings of the branches. The decay is strong (Loshchilov and Hutter 2019, decoupled): it is what
    brought a plain net level with boosted trees on the later windows; see docs/how-a-detector-is-made.md.
    """

    members: int = 2
    width: int = 32
    epochs: int = 40
    batch: int = 512
    rate: float = 2e-3
    decay: float = 1.0
    dropout: float = 0.25
    smoothing: float = 0.01
    trees: TreeRecipe = field(default_factory=TreeRecipe)


def train_members(values: Floats, label: NDArray[np.int64], recipe: Recipe, seed: int) -> list[Member]:
    """Train all members at once on squashed values (rows, columns).

    They differ by their first weights, their dropout and the order of their rows: each has a shuffle of its own.
    """
    import keras

    keras.utils.set_random_seed(seed)
    packed = _packed(values.shape[1], recipe, np.random.default_rng(seed))
    net = keras.Model(packed[0].input, packed[-1].output)
    batches = -(-len(values) // recipe.batch)
    steps = recipe.epochs * batches
    warm = max(steps // 20, 1)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - warm, 1), warmup_target=recipe.rate, warmup_steps=warm
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.decay, epsilon=1e-8)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    net.compile(
        optimizer, keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=recipe.smoothing)
    )
    # else they are made while the step is traced: twice the tracing
    optimizer.build(net.trainable_variables)
    shuffled = _Shuffled((REACH * values).astype(np.float32), label.astype(np.float32), recipe, seed)
    net.fit(shuffled.dataset(), epochs=recipe.epochs, steps_per_epoch=batches, shuffle=False, verbose=0)
    parts = [layer.get_weights() for layer in packed]
    kinds = ("relu", "relu", "linear")
    parts[0][0] = parts[0][0] * REACH
    return [
        [
            Layer(w[m].astype(float), b[m].astype(float), kind)
            for (w, b), kind in zip(parts, kinds, strict=True)
        ]
        for m in range(recipe.members)
    ]


def _packed(columns: int, recipe: Recipe, generator: np.random.Generator) -> list[Any]:
    """Make three layers that each hold all members side by side, connected, with dropout between them."""
    import keras

    k, h = recipe.members, recipe.width
    shapes = ((h, "relu"), (h, "relu"), (1, "linear"))
    layers = [
        keras.layers.EinsumDense("bki,kij->bkj", output_shape=(k, units), bias_axes="kj", activation=kind)
        for units, kind in shapes
    ]
    inner = keras.Input((k, columns))
    for layer in layers[:-1]:
        inner = keras.layers.Dropout(recipe.dropout)(layer(inner))
    layers[-1](inner)
    for layer, gain in zip(layers, GAINS, strict=True):
        kernel, bias = layer.get_weights()
        # Keras would count the members as inputs
        reach = gain / np.sqrt(kernel.shape[1])
        layer.set_weights([generator.uniform(-reach, reach, kernel.shape), bias])
    return layers


@dataclass(frozen=True)
class _Shuffled:
    """Batches in which each member sees rows of its own: (batch, members, columns), in a new order each epoch."""

    values: NDArray[np.float32]
    label: NDArray[np.float32]
    recipe: Recipe
    seed: int

    def dataset(self) -> Any:
        """Return an endless dataset."""
        import tensorflow as tf

        k = self.recipe.members
        signature = (
            tf.TensorSpec((None, k, self.values.shape[1]), tf.float32),
            tf.TensorSpec((None, k, 1), tf.float32),
        )
        return tf.data.Dataset.from_generator(self._batches, output_signature=signature).prefetch(2)

    def _batches(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        generator = np.random.default_rng(self.seed)
        while True:
            orders = np.stack(
                [generator.permutation(len(self.values)) for _ in range(self.recipe.members)], axis=1
            )
            for start in range(0, len(orders), self.recipe.batch):
                rows = orders[start : start + self.recipe.batch]
                yield self.values[rows], self.label[rows][..., None]


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
