"""The net: signed logs of the robust-scaled columns, a packed ensemble of small nets, one calibrated probability.

Only standard Keras layers with plain arrays, so that the net saves as HDF5 without custom code and compiles to
fully connected operations alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LOG_KNOTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 10.0, 15.0, 25.0, 40.0, 80.0, 160.0)
"""Where the signed logarithm bends, on each side of zero; beyond the last the value stays (a clip)."""


@dataclass(frozen=True)
class Layer:
    """Weights of one fully connected layer: ``kernel`` (in, out), ``bias`` (out,)."""

    kernel: Floats
    bias: Floats
    activation: str = "linear"


def signed_log(columns: int) -> tuple[Layer, Layer]:
    """Two layers that together are sign(x) log(1 + |x|), piecewise linear between the knots.

    Each knot interval is one unit that runs from 0 to 6 (relu6) while x crosses it; the second layer adds them up.
    """
    knots = np.r_[[-k for k in LOG_KNOTS[:0:-1]], LOG_KNOTS]
    heights = np.sign(knots) * np.log1p(np.abs(knots))
    width, units = np.diff(knots), len(knots) - 1
    into, out = np.zeros((columns, columns * units)), np.zeros((columns * units, columns))
    bias = np.zeros(columns * units)
    for column in range(columns):
        place = slice(column * units, (column + 1) * units)
        into[column, place], bias[place] = 6.0 / width, -6.0 * knots[:-1] / width
        out[place, column] = np.diff(heights) / 6.0
    return Layer(into, bias, "relu6"), Layer(out, np.full(columns, heights[0]))


def build(inputs: int, transform: Sequence[Layer], members: Sequence[Sequence[Layer]], slope: float, shift: float) -> Any:
    """The whole net as a Keras model: mean of the members' logits, times ``slope`` plus ``shift``, through a sigmoid."""
    import keras

    entry = keras.Input((inputs,), name="transaction")
    shared = entry
    for number, layer in enumerate(transform):
        shared = _dense(layer, shared, f"signed_log_{number}")
    logits = []
    for number, member in enumerate(members):
        inner = shared
        for depth, layer in enumerate(member):
            inner = _dense(layer, inner, f"member_{number}_{depth}")
        logits.append(inner)
    joined = keras.layers.Concatenate(name="logits")(logits) if len(logits) > 1 else logits[0]
    last = Layer(np.full((len(members), 1), slope / len(members)), np.array([shift]), "sigmoid")
    return keras.Model(entry, _dense(last, joined, "fraud_probability"))


def _dense(layer: Layer, inner: Any, name: str) -> Any:
    import keras

    made = keras.layers.Dense(layer.kernel.shape[1], activation=layer.activation, name=name)
    result = made(inner)
    made.set_weights([layer.kernel.astype(np.float32), layer.bias.astype(np.float32)])
    return result


@dataclass(frozen=True)
class Recipe:
    """How the members are trained."""

    members: int = 8
    width: int = 64
    epochs: int = 40
    batch: int = 512
    rate: float = 2e-3
    decay: float = 2e-3
    dropout: float = 0.25
    smoothing: float = 0.0


def train_members(values: Floats, label: NDArray[np.int64], recipe: Recipe, seed: int) -> list[list[Layer]]:
    """Train all members at once on transformed values (rows, columns); each starts from its own weights."""
    import keras

    keras.utils.set_random_seed(seed)
    k, h = recipe.members, recipe.width
    entry = keras.Input((values.shape[1],))
    packed = keras.layers.EinsumDense("bi,kij->bkj", output_shape=(k, h), bias_axes="kj", activation="relu")
    middle = keras.layers.EinsumDense("bki,kij->bkj", output_shape=(k, h), bias_axes="kj", activation="relu")
    last = keras.layers.EinsumDense("bki,kij->bkj", output_shape=(k, 1), bias_axes="kj")
    drop = keras.layers.Dropout
    logits = last(drop(recipe.dropout)(middle(drop(recipe.dropout)(packed(entry)))))
    net = keras.Model(entry, logits)
    steps = recipe.epochs * -(-len(values) // recipe.batch)
    rate = keras.optimizers.schedules.CosineDecay(recipe.rate * 0.02, steps, warmup_target=recipe.rate, warmup_steps=steps // 20)
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=recipe.smoothing)
    net.compile(keras.optimizers.AdamW(rate, weight_decay=recipe.decay), loss)
    target = np.repeat(label[:, None, None], k, axis=1).astype(np.float32)
    net.fit(values.astype(np.float32), target, batch_size=recipe.batch, epochs=recipe.epochs, verbose=0)
    parts = [layer.get_weights() for layer in (packed, middle, last)]
    kinds = ("relu", "relu", "linear")
    return [[Layer(w[m], b[m], kind) for (w, b), kind in zip(parts, kinds, strict=True)] for m in range(k)]


def apply(layers: Sequence[Layer], values: Floats) -> Floats:
    """What the layers make of ``values`` (rows, in), in NumPy and float64."""
    for layer in layers:
        values = values @ layer.kernel + layer.bias
        if layer.activation == "relu":
            values = np.maximum(values, 0.0)
        elif layer.activation == "relu6":
            values = np.clip(values, 0.0, 6.0)
    return values
