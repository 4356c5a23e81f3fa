"""Looks into a Keras HDF5 file before Keras does: whether it is whole, and made of built-in layers only.

Loading a ``Lambda`` or a registered custom layer runs code of the file's author; an allow-list of layers
whose meaning is fixed keeps that out, whatever a later Keras would accept. Used in the compiler's own process
only.
"""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Iterator
from typing import Any

from screening.errors import BadArtefact

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MODELS = {"Sequential", "Functional", "Model"}
LAYERS = {
    *("InputLayer", "Dense", "EinsumDense", "BatchNormalization", "LayerNormalization", "UnitNormalization"),
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Identity", "Normalization", "Rescaling"),
    *(
        "Dropout",
        "GaussianNoise",
        "GaussianDropout",
        "AlphaDropout",
        "ActivityRegularization",
        "SpatialDropout1D",
    ),
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot"),
    *("Flatten", "Reshape", "Permute", "RepeatVector", "Conv1D", "DepthwiseConv1D", "SeparableConv1D"),
    *("GlobalAveragePooling1D", "GlobalMaxPooling1D", "AveragePooling1D", "MaxPooling1D", "Embedding"),
    *("LSTM", "GRU", "SimpleRNN", "MultiHeadAttention", "Attention"),
}
OBJECTS = {
    *(
        "DTypePolicy",
        "Policy",
        "Zeros",
        "Ones",
        "Constant",
        "Identity",
        "Orthogonal",
        "OrthogonalInitializer",
    ),
    *(
        "GlorotUniform",
        "GlorotNormal",
        "HeUniform",
        "HeNormal",
        "LecunUniform",
        "LecunNormal",
        "VarianceScaling",
    ),
    *("RandomNormal", "RandomUniform", "TruncatedNormal", "L1", "L2", "L1L2"),
    *("MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm", "__tuple__", "__keras_tensor__", "TypedDict"),
}
MODULES = (
    None,
    "keras",
    "builtins",
    "keras.layers",
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
)
KERAS_MODULES = (*MODULES, "keras.models", "keras.src.models.functional", "keras.src.models.sequential")
MAX_DEPTH = 64


def check_net(data: bytes, name: str) -> None:
    """Check an .h5 file's frame and configuration without building anything of it.

    Raises:
        BadArtefact: no HDF5, cut off, no Keras model in it, or one with a layer outside the allow-list.
    """
    if not data.startswith(SIGNATURE):
        raise BadArtefact(f"{name} is no HDF5 file.", remedy='Save the net with model.save("model.h5").')
    config = configuration(data, name)
    if config.get("class_name") not in MODELS:
        raise BadArtefact(f"{name} holds no Keras model but {str(config.get('class_name'))[:60]!r}.")
    for part in objects_in(config, 0):
        problem = problem_of(part)
        if problem:
            raise BadArtefact(
                f"{name} is unsafe: {problem}. Nothing of it was run.",
                remedy="Build the net of Keras' own layers, without Lambda or custom code.",
            )


def configuration(data: bytes, name: str) -> dict[str, Any]:
    """Return the configuration of a net. Raises :class:`BadArtefact` for a file that holds none."""
    # late: the web process never needs it
    h5py: Any = importlib.import_module("h5py")
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            raw = file.attrs.get("model_config")
            weights = file.get("model_weights")
            if weights is not None:
                weights.visititems(refuse_links)
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        config = json.loads(text) if isinstance(text, str) else None
    except (OSError, ValueError, RuntimeError, KeyError, RecursionError) as problem:
        raise BadArtefact(f"{name} is damaged or cut off: {str(problem)[:120]}.") from None
    if not isinstance(config, dict) or weights is None:
        raise BadArtefact(
            f"{name} holds no Keras model.", remedy='Save the whole net with model.save("model.h5").'
        )
    return config


def refuse_links(_: str, item: Any) -> None:
    """Refuse a data set that points to another file: it could read any file of the server."""
    if getattr(item, "external", None) or getattr(item, "is_virtual", False):
        raise ValueError("its weights point to another file")


def objects_in(part: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Yield every serialized object of a configuration, however deep."""
    if depth > MAX_DEPTH:
        raise BadArtefact("The net's configuration is nested too deeply.")
    if isinstance(part, dict):
        if "class_name" in part:
            yield part
        for inner in part.values():
            yield from objects_in(inner, depth + 1)
    elif isinstance(part, list):
        for inner in part:
            yield from objects_in(inner, depth + 1)


def problem_of(part: dict[str, Any]) -> str | None:
    """Return the reason why a serialized object isn't allowed, or ``None``."""
    kind, module, registered = part["class_name"], part.get("module"), part.get("registered_name")
    if not isinstance(kind, str) or kind not in MODELS | LAYERS | OBJECTS:
        return f"it holds a {str(kind)[:60]!r}, which isn't one of the layers that are allowed"
    if module not in KERAS_MODULES:
        return f"its {kind} comes from {str(module)[:60]!r}"
    if registered not in (None, kind):
        return f"its {kind} is registered as {str(registered)[:60]!r}, which is custom code"
    return None
