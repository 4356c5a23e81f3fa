"""Follows one row through a net, layer by layer, with the net's own weights: what the compiled form does in one piece.

Only to be looked at: the probability that counts is the detector's. A layer that isn't known here ends the walk.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.keras_file import check_net

Array = NDArray[np.float64]
FEW = 8
"""So many numbers of a layer are shown one by one."""
ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


class UnknownLayer(Exception):
    """A layer that can't be followed; the text names it."""


@dataclass(frozen=True, slots=True)
class LayerOutput:
    """Output of one layer for one row."""

    name: str
    kind: str
    activation: str
    numbers: int
    active: int
    """Number of outputs that aren't nought."""
    least: float
    most: float
    few: Sequence[float]
    """The numbers themselves, where there are not more than :data:`FEW`."""
    of: Sequence[str]
    """The layers that it reads."""


class Net:
    """The layers and weights of a Keras file, read as data: nothing of it is run but products and sums.

    Args:
        data: the bytes of the ``.h5`` file.
        name: of the file, for messages.

    Raises:
        BadArtefact: it is no whole Keras file of known layers.
    """

    def __init__(self, data: bytes, name: str) -> None:
        check_net(data, name)
        # who shows no layers doesn't load it
        import h5py

        with h5py.File(io.BytesIO(data), "r") as file:
            raw = file.attrs["model_config"]
            self._layers = json.loads(raw)["config"]["layers"]
            self._weights = {
                layer["config"]["name"]: _weights(file, layer["config"]["name"]) for layer in self._layers
            }

    def walk(self, row: NDArray[np.float32]) -> list[LayerOutput]:
        """Return what each layer gives for one row, (inputs,), in the order in which they are asked.

        Raises:
            UnknownLayer: one is of a kind that isn't followed here.
        """
        given: dict[str, Array] = {}
        found = []
        for layer in self._layers:
            config, kind = layer["config"], layer["class_name"]
            sources = sources_of(layer)
            name = config["name"]
            if kind == "InputLayer":
                given[name] = np.asarray(row, np.float64)
                continue
            given[name] = self._out(kind, config, [given[source] for source in sources])
            found.append(_told(name, kind, str(config.get("activation", "")), given[name], sources))
        return found

    def _out(self, kind: str, config: Mapping[str, Any], values: Sequence[Array]) -> Array:
        if kind == "Dense":
            weights = self._weights[config["name"]]
            activation = ACTIVATIONS.get(str(config["activation"]))
            if activation is None:
                raise UnknownLayer(f"{config['name']} ({config['activation']})")
            out: Array = activation(values[0] @ weights["kernel"] + weights.get("bias", 0.0))
            return out
        if kind == "Reshape":
            return values[0].reshape(config["target_shape"])
        if kind == "Concatenate":
            return np.concatenate(values, axis=-1)
        # nothing is dropped but in training
        if kind in {"Dropout", "Identity"}:
            return values[0]
        raise UnknownLayer(f"{config['name']} ({kind})")


def _weights(file: Any, layer: str) -> dict[str, Array]:
    found: dict[str, Array] = {}

    def visit(path: str, item: Any) -> None:
        if hasattr(item, "shape"):
            found[path.rsplit("/", 1)[-1].split(":", maxsplit=1)[0]] = np.asarray(item, np.float64)

    if layer in file["model_weights"]:
        file["model_weights"][layer].visititems(visit)
    return found


def sources_of(layer: Mapping[str, Any]) -> list[str]:
    """Return the names of the layers that one reads."""
    found: list[str] = []

    def look(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("class_name") == "__keras_tensor__":
                found.append(str(part["config"]["keras_history"][0]))
                return
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    look(layer.get("inbound_nodes", []))
    return found


def _told(name: str, kind: str, activation: str, out: Array, sources: Sequence[str]) -> LayerOutput:
    flat = out.reshape(-1)
    return LayerOutput(
        name,
        kind,
        activation,
        len(flat),
        int(np.count_nonzero(flat)),
        float(flat.min()),
        float(flat.max()),
        tuple(flat.tolist()) if len(flat) <= FEW else (),
        tuple(sources),
    )
