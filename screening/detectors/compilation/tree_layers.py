"""Trees that are written as layers: how their leaves are, and how a compiled net asks them, level by level.

A net keeps a tree of depth d as 2^d - 1 gates, each 6 for yes and 0 for no or between where a value is next to the
threshold, and 2^d leaves, each the and of the answers on its path. Layers can say it only so, yet as a sum over the
leaves it costs 2^d (2^d - 1) products a tree. From the last level up it costs 2^d: the value of a node is no +
gate / 6 (yes - no) of its two branches. Where one answer of a path at most lies between, both are the same number.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
CHAIN = (("Dense", "relu6"), ("Reshape", None), ("Dense", "relu"), ("Reshape", None), ("Dense", None))
"""The layers that a forest is written as, with the activations that they must have."""
YES = 6.0
"""Output of a gate for yes: where relu6 ends."""


def leaf_layer(depth: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return kernel (gates, leaves) and bias of the leaves of any tree: 1 where all answers on the path agree, else 0.

    Gates stand level by level, the yes branch first.
    """
    leaves = 2**depth
    gates = leaves - 1
    kernel, bias = np.zeros((gates, leaves)), np.full(leaves, 1.0 - depth)
    for leaf in range(leaves):
        place = leaf + gates
        while place:
            parent, no = (place - 1) // 2, place % 2 == 0
            kernel[parent, leaf] = -1 / YES if no else 1 / YES
            bias[leaf] += no
            place = parent
    return kernel, bias


@dataclass(frozen=True)
class Forest:
    """``column`` (trees, gates): which input a gate looks at, -1 for none. A gate is relu6(slope * input + bias), with
    ``bias`` (trees, gates). ``leaf`` (trees, leaves). ``last`` is the layer that sums the leaves.
    """

    column: NDArray[np.int64]
    slope: float
    bias: Floats
    leaf: Floats
    last: Any

    def ask(self, rows: Any) -> Any:
        """Return the output of ``last`` for ``rows``, a tensor (rows, inputs) of fixed shape; a tensor (rows, 1).

        Rows appear in columns on the way: then a gate's input is a run of memory, to be copied and not picked.
        """
        tf: Any = importlib.import_module("tensorflow")
        count = rows.shape[0]
        sloped = tf.concat(
            [tf.transpose(rows) * tf.constant(self.slope, tf.float32), tf.zeros((1, count))], 0
        )
        value: Any = None
        for level in reversed(range(self.column.shape[1].bit_length())):
            places = 2**level - 1 + halved(level)
            column, bias = self.column[:, places].T.ravel(), self.bias[:, places].T.reshape(-1, 1)
            gate = tf.nn.relu6(tf.gather(sloped, column.astype(np.int32) % sloped.shape[0]) + _constant(bias))
            if value is None:
                yes, no = (self.leaf[:, 2 * halved(level) + side].T.reshape(-1, 1) for side in (0, 1))
                value = gate * _constant((yes - no) / YES) + _constant(no)
            else:
                half = value.shape[0] // 2
                yes, no = value[:half], value[half:]
                value = gate * tf.constant(1 / YES, tf.float32) * (yes - no) + no
        total = tf.reduce_sum(value, 0) + self.last.bias
        return self.last.activation(tf.reshape(total, (count, 1)))


def find_forest(net: Any) -> Forest | None:
    """Return the forest of a Keras net that reads the net's own input, or ``None``.

    ``model.recipes.network`` writes such forests.
    """
    makers = {id(layer.output): layer for layer in net.layers if not isinstance(layer.output, list)}
    for last in net.layers:
        chain = chain_of(last, makers)
        if chain and chain[0].input is net.inputs[0] and (found := read_forest(chain)):
            return found
    return None


def with_forest(net: Any, forest: Forest) -> Callable[[Any], Any]:
    """Return the net as a function of a tensor of fixed shape, with the forest asked level by level."""
    keras: Any = importlib.import_module("keras")
    rest = keras.Model([net.inputs[0], forest.last.output], net.outputs[0])
    return lambda rows: rest([rows, forest.ask(rows)], training=False)


def chain_of(last: Any, makers: dict[int, Any]) -> list[Any]:
    """Return the layers that end in ``last``, if they are of the kinds that a forest is written as."""
    found: list[Any] = []
    layer = last
    for kind, activation in reversed(CHAIN):
        if layer is None or type(layer).__name__ != kind:
            return []
        if activation and layer.activation.__name__ != activation:
            return []
        found.insert(0, layer)
        layer = makers.get(id(layer.input))
    return found


def read_forest(chain: list[Any]) -> Forest | None:
    """Return the chain as a forest; ``None`` if its numbers aren't of one."""
    gates, by_tree, leaves, _, last = chain
    (kernel, bias), (ands, offsets), leaf = gates.get_weights(), leaves.get_weights(), last.get_weights()[0]
    shape = tuple(by_tree.target_shape)
    depth = len(ands).bit_length()
    if ands.shape != (2**depth - 1, 2**depth) or leaf.shape[1] != 1 or shape[1:] != ands.shape[:1]:
        return None
    expected = leaf_layer(depth)
    if not (np.allclose(ands, expected[0], rtol=1e-6) and np.array_equal(offsets, expected[1])):
        return None
    used = kernel != 0
    slopes = np.unique(kernel[used])
    if len(slopes) != 1 or used.sum(axis=0).max() > 1:
        return None
    column = np.where(used.any(axis=0), used.argmax(axis=0), -1)
    return Forest(
        column.reshape(shape),
        float(slopes[0]),
        bias.reshape(shape),
        leaf.reshape(len(leaf) // 2**depth, -1),
        last,
    )


def halved(level: int) -> NDArray[np.int64]:
    """Return the nodes of a level, the yes branches of the level above first, each half in the order of that level."""
    order = np.zeros(1, np.int64)
    for _ in range(level):
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def _constant(values: Floats) -> Any:
    tf: Any = importlib.import_module("tensorflow")
    return tf.constant(np.ascontiguousarray(values, np.float32))
