"""Trains several small nets side by side on many rows: they see the same batches, and differ by weights and dropout.

Their weights are averaged as they go (Polyak and Juditsky 1992), so that any epoch is a good one to stop at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.progress import Say, silent
from model.recipes.network import GAINS, Layer, Member

Values = NDArray[np.float32]
Labels = NDArray[np.int64]
Floats = NDArray[np.float64]
Held = tuple[Values, Labels, Floats]
BLOCK = 16_384


@dataclass(frozen=True)
class PackedRecipe:
    """Training settings of the nets; ``decay`` is AdamW's (Loshchilov and Hutter 2019), ``patience`` counts epochs."""

    members: int = 4
    width: int = 64
    epochs: int = 30
    batch: int = 512
    rate: float = 1e-3
    decay: float = 0.5
    dropout: float = 0.2
    smoothing: float = 0.0
    patience: int = 4
    averaged: float | None = 0.3
    """Epochs that the average of the weights looks back; ``None`` takes the last weights, at a rate that falls to 0."""
    own_order: bool = False
    """Each member sees the rows in an order of its own, which costs as many times the memory of a batch."""
    reach: float = 1.0
    """What inputs are multiplied by: members begin with as much larger weights, and the decay leaves them."""


@dataclass(frozen=True)
class TrainedMembers:
    """The members with averaged weights, after how many epochs, and the mean logits of held-out rows, if any."""

    members: list[Member]
    epochs: int
    held_logit: Floats | None


def train_packed(
    values: Values | Floats,
    label: Labels,
    weight: Floats,
    recipe: PackedRecipe,
    seed: int,
    *,
    held: Held | None = None,
    say: Say = silent,
) -> TrainedMembers:
    """Train on bent inputs (rows, f); with ``held`` rows, as long as their log loss falls, else all epochs."""
    import keras

    keras.utils.set_random_seed(seed)
    layers = parallel_layers(values.shape[1], recipe, seed)
    net = keras.Model(layers[0].input, layers[-1].output)
    batches = -(-len(values) // recipe.batch)
    optimizer = optimizer_of(recipe, batches)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    net.compile(
        optimizer,
        keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=recipe.smoothing),
        jit_compile="auto" if recipe.own_order else False,
    )
    # else they are made while the step is traced: twice the tracing
    optimizer.build(net.trainable_variables)
    best = _Best(layers, held, recipe, say)
    feed = _Feed(values, label, weight, recipe, seed)
    net.fit(
        feed.dataset(),
        epochs=recipe.epochs,
        steps_per_epoch=batches,
        shuffle=False,
        verbose=0,
        callbacks=[
            *([] if recipe.averaged is None else [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)]),
            best.callback(net),
        ],
    )
    return best.result()


def optimizer_of(recipe: PackedRecipe, batches: int) -> Any:
    """Return AdamW with the recipe's rate: level after an epoch or less, or falling along a half cosine."""
    import keras

    steps = recipe.epochs * batches
    schedules = keras.optimizers.schedules
    if recipe.averaged is None:
        warm = max(steps // 20, 1)
        rate = schedules.CosineDecay(0.0, max(steps - warm, 1), warmup_target=recipe.rate, warmup_steps=warm)
        return keras.optimizers.AdamW(rate, weight_decay=recipe.decay, epsilon=1e-8)
    warm = max(min(batches, steps // 10), 1)
    rate = schedules.PolynomialDecay(0.1 * recipe.rate, warm, recipe.rate)
    momentum = float(np.clip(1 - 1 / (recipe.averaged * batches), 0.5, 0.9995))
    return keras.optimizers.AdamW(
        rate, weight_decay=recipe.decay, epsilon=1e-8, use_ema=True, ema_momentum=momentum
    )


def mean_logits(members: list[Member], values: Values) -> Floats:
    """Return the mean of the members' logits, (rows,), in blocks and in float32: near enough to choose an epoch by."""
    found = np.empty(len(values))
    for start in range(0, len(values), BLOCK):
        part = values[start : start + BLOCK]
        found[start : start + BLOCK] = np.mean([logit_of(member, part) for member in members], axis=0)
    return found


def logit_of(member: Member, values: Values) -> Values:
    """Return the logit of one member, (rows,)."""
    for layer in member:
        values = values @ layer.kernel.astype(np.float32) + layer.bias.astype(np.float32)
        if layer.activation == "relu":
            values = np.maximum(values, 0.0)
    return values[:, 0]


def parallel_layers(columns: int, recipe: PackedRecipe, seed: int) -> list[Any]:
    """Make three layers that each hold all members side by side, connected, with dropout between them."""
    import keras

    k, h = recipe.members, recipe.width
    first, entry = ("bki,kij->bkj", (k, columns)) if recipe.own_order else ("bi,kij->bkj", (columns,))
    shapes = ((first, h, "relu"), ("bki,kij->bkj", h, "relu"), ("bki,kij->bkj", 1, "linear"))
    layers = [
        keras.layers.EinsumDense(equation, output_shape=(k, units), bias_axes="kj", activation=kind)
        for equation, units, kind in shapes
    ]
    inner = keras.Input(entry)
    for layer in layers[:-1]:
        inner = keras.layers.Dropout(recipe.dropout)(layer(inner))
    layers[-1](inner)
    generator = np.random.default_rng(seed)
    for layer, gain in zip(layers, GAINS, strict=True):
        kernel, bias = layer.get_weights()
        # Keras would count the members as inputs
        reach = gain / np.sqrt(kernel.shape[1])
        layer.set_weights([generator.uniform(-reach, reach, kernel.shape), bias])
    return layers


def split_members(layers: list[Any], recipe: PackedRecipe) -> list[Member]:
    """Return the members one by one; the first layer takes inputs between -1 and 1."""
    parts = [layer.get_weights() for layer in layers]
    parts[0][0] = parts[0][0] * recipe.reach
    parts = [[part.astype(float) for part in of_layer] for of_layer in parts]
    kinds = ("relu", "relu", "linear")
    return [
        [Layer(w[m], b[m], kind) for (w, b), kind in zip(parts, kinds, strict=True)]
        for m in range(recipe.members)
    ]


class _Best:
    """Looks at the averaged weights after each epoch and keeps those of the best."""

    def __init__(self, layers: list[Any], held: Held | None, recipe: PackedRecipe, say: Say) -> None:
        self._layers, self._held, self._recipe, self._say = layers, held, recipe, say
        self._loss, self._epoch = np.inf, 0
        self._members: list[Member] = []
        self._logit: Floats | None = None

    def callback(self, net: Any) -> Any:
        """Return the callback for the ``fit`` of this net."""
        import keras

        def look(epoch: int, logs: object) -> None:
            del logs
            net.stop_training = self.look(epoch)

        return keras.callbacks.LambdaCallback(on_epoch_end=look)

    def look(self, epoch: int) -> bool:
        """Return whether that was enough."""
        members = split_members(self._layers, self._recipe)
        share = (epoch + 1) / self._recipe.epochs
        if self._held is None:
            self._members, self._epoch = members, epoch + 1
            self._say(share, f"Epoch {epoch + 1} of {self._recipe.epochs}")
            return False
        values, label, weight = self._held
        logit = mean_logits(members, values)
        loss = float(np.average(np.logaddexp(0.0, np.where(label == 1, -logit, logit)), weights=weight))
        self._say(share, f"Epoch {epoch + 1}: log loss {loss:.5f} on held-out rows")
        if loss < self._loss:
            self._loss, self._epoch, self._members, self._logit = loss, epoch + 1, members, logit
        return epoch + 1 - self._epoch >= self._recipe.patience

    def result(self) -> TrainedMembers:
        """Return the best so far."""
        return TrainedMembers(self._members, self._epoch, self._logit)


@dataclass(frozen=True)
class _Feed:
    """Batches in a new order each epoch."""

    values: Values | Floats
    label: Labels
    weight: Floats
    recipe: PackedRecipe
    seed: int

    def dataset(self) -> Any:
        """Return an endless dataset of (inputs, labels, weights)."""
        import tensorflow as tf

        k, columns = self.recipe.members, self.values.shape[1]
        own = self.recipe.own_order
        signature = (
            tf.TensorSpec((None, k, columns) if own else (None, columns), tf.float32),
            tf.TensorSpec((None, k, 1), tf.float32),
            tf.TensorSpec((None, k if own else 1), tf.float32),
        )
        return tf.data.Dataset.from_generator(self._batches, output_signature=signature).prefetch(4)

    def _batches(self) -> Iterator[tuple[Values, Values, Values]]:
        generator = np.random.default_rng(self.seed)
        k, count = self.recipe.members, len(self.values)
        values = (self.recipe.reach * self.values).astype(np.float32, copy=False)
        label = self.label.astype(np.float32)
        weight = (self.weight / self.weight.mean()).astype(np.float32)
        while True:
            orders = [generator.permutation(count) for _ in range(k if self.recipe.own_order else 1)]
            order = np.stack(orders, axis=1) if self.recipe.own_order else orders[0]
            for start in range(0, count, self.recipe.batch):
                rows = order[start : start + self.recipe.batch]
                if self.recipe.own_order:
                    yield values[rows], label[rows][..., None], weight[rows]
                else:
                    yield (
                        values[rows],
                        np.repeat(label[rows][:, None, None], k, axis=1),
                        weight[rows][:, None],
                    )
