"""Makes small nets and vectorizers for tests: good, old, broken and hostile ones.

Nets are built and compiled by running this file, so that TensorFlow stays out of the tests' own process and
is imported once: ``python -m tests.artifact_factory FOLDER``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

import numpy as np

from screening.detectors.compilation.cache import SEAL, CompiledCache
from screening.detectors.compilation.form import META
from screening.detectors.detector import Detector, load_detector
from screening.infra.instance_secret import SALT, hkdf
from screening.settings import ROOT
from screening.transactions.schema import CARD
from tests.shared import INSTANCE_SECRET, made_once

ROWS = 10_000
WIDTH = len(CARD.columns)
CENTRE = np.linspace(-2, 3, WIDTH)
SCALE = np.linspace(0.5, 70, WIDTH)


def cache_in(folder: Path) -> CompiledCache:
    """The cache of compiled nets in a folder, sealed as by an instance that has the secret of the tests."""
    return CompiledCache(folder, lambda: hkdf(INSTANCE_SECRET.encode(), SALT, b"compiled nets"))


def seal_in(place: Path, cache: CompiledCache, net_sha256: str) -> None:
    """Seal what lies in a compiled net's folder, as this instance does after it has compiled."""
    meta = hashlib.sha256((place / META).read_bytes()).hexdigest()
    (place / SEAL).write_text(cache.seal(net_sha256, meta), encoding="ascii")


def build_nets(base: Path) -> Path:
    """Write the nets of :func:`_nets`, Keras' predictions of ``good``, a vectorizer, compiled forms; once in a run."""
    return made_once(base / "nets", _build_nets)


def _build_nets(folder: Path) -> None:
    command = [sys.executable, "-m", "tests.artifact_factory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    write_vectorizer(folder / "vectorizer.pkl", columns=list(CARD.columns))


def tiny_detector(base: Path) -> Detector:
    """A detector of the card columns with a small packed net of random weights."""
    nets = build_nets(base)
    return load_detector("tiny", nets / "good.h5", nets / "vectorizer.pkl", None, cache_in(nets / "cache"))


class ByHand(Protocol):
    """What stands for a detector's net."""

    def probabilities(self, rows: np.ndarray) -> np.ndarray: ...


def scored_by(detector: Detector, net: ByHand) -> Detector:
    """Return the detector with a net by hand in place of its own; it can't be prepared or sent."""
    return replace(detector, scorer=net)  # type: ignore[arg-type]  # probabilities are all that is asked of it


def random_rows(rows: int = ROWS, seed: int = 0) -> np.ndarray:
    """Transactions of every size, float64 (rows, 30), some of them extreme."""
    random = np.random.default_rng(seed)
    spread = random.choice([0.3, 1.0, 5.0, 20.0], (rows, 1))
    made: np.ndarray = CENTRE + SCALE * random.standard_normal((rows, WIDTH)) * spread
    return made


def fitted_scaler(width: int = WIDTH, centre: Any = None, scale: Any = None, names: Any = None) -> Any:
    """A scikit-learn RobustScaler with the given numbers."""
    from sklearn.preprocessing import RobustScaler

    scaler = RobustScaler()
    scaler.center_ = np.asarray(CENTRE[:width] if centre is None else centre, np.float64)
    scaler.scale_ = np.asarray(SCALE[:width] if scale is None else scale, np.float64)
    scaler.n_features_in_ = width
    if names is not None:
        scaler.feature_names_in_ = np.array(names, dtype=object)
    return scaler


def write_vectorizer(path: Path, *, scaler: Any = None, written_by: str | None = None, **more: Any) -> Path:
    """Dump a vectorizer dict with joblib; ``written_by`` an older scikit-learn when given."""
    import joblib
    import sklearn.base

    content = {"robust_scaler": scaler or fitted_scaler(), "time_min": 0.0, "time_max": 172792.0, **more}
    with patch.object(sklearn.base, "__version__", written_by or sklearn.base.__version__):
        joblib.dump(content, path)
    return path


def write_keras_2_12(path: Path, units: int = 4, spread: float = 0.4) -> dict[str, np.ndarray]:
    """A Dense-BatchNormalization-Dense net in the HDF5 layout of Keras 2.12; returns its weights."""
    import h5py

    random = np.random.default_rng(7)
    weights = {
        "dense/kernel:0": random.normal(0, spread, (WIDTH, units)),
        "dense/bias:0": random.normal(0, 0.4, units),
        "batch_normalization/gamma:0": random.uniform(0.5, 2, units),
        "batch_normalization/beta:0": random.normal(0, 1, units),
        "batch_normalization/moving_mean:0": random.normal(1, 1, units),
        "batch_normalization/moving_variance:0": random.uniform(0.5, 3, units),
        "dense_1/kernel:0": random.normal(0, 1, (units, 1)),
        "dense_1/bias:0": random.normal(-1, 0.1, 1),
    }
    with h5py.File(path, "w") as file:
        file.attrs.update(
            keras_version="2.12.0", backend="tensorflow", model_config=json.dumps(_old_config(units))
        )
        group = file.create_group("model_weights")
        group.attrs.update(keras_version="2.12.0", backend="tensorflow")
        layers = ("dense", "batch_normalization", "dense_1")
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for layer in layers:
            inner = group.create_group(layer)
            names = [name for name in weights if name.split("/")[0] == layer]
            inner.attrs["weight_names"] = [name.encode() for name in names]
            for name in names:
                inner.create_dataset(name, data=weights[name].astype(np.float32))
        group.create_group("top_level_model_weights").attrs["weight_names"] = np.array([], "S1")
    return weights


def _old_config(units: int) -> dict[str, Any]:
    shape = [None, WIDTH]
    zeros, ones = {"class_name": "Zeros", "config": {}}, {"class_name": "Ones", "config": {}}

    def dense(name: str, width: int, activation: str, **more: Any) -> dict[str, Any]:
        config = {
            "name": name,
            "trainable": True,
            "dtype": "float32",
            **more,
            "units": width,
            "use_bias": True,
        }
        config |= {"activation": activation, "bias_initializer": zeros, "kernel_regularizer": None}
        config |= {"kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}}}
        return {"class_name": "Dense", "config": config}

    entry = {
        "batch_input_shape": shape,
        "dtype": "float32",
        "sparse": False,
        "ragged": False,
        "name": "dense_input",
    }
    norm = {
        "name": "batch_normalization",
        "trainable": True,
        "dtype": "float32",
        "axis": [1],
        "momentum": 0.99,
    }
    norm |= {
        "epsilon": 0.001,
        "center": True,
        "scale": True,
        "beta_initializer": zeros,
        "gamma_initializer": ones,
    }
    layers = [
        {"class_name": "InputLayer", "config": entry},
        dense("dense", units, "relu", batch_input_shape=shape),
        {"class_name": "BatchNormalization", "config": norm},
        dense("dense_1", 1, "sigmoid"),
    ]
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}


def _nets(folder: Path) -> dict[str, Any]:
    """The nets by name; ``good`` is the only one that a detector may have."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(3)
    entry = keras.Input((WIDTH,))
    packed = layers.EinsumDense("bi,kij->bkj", output_shape=(4, 16), bias_axes="kj", activation="relu")(entry)
    heads = layers.EinsumDense("bki,kij->bkj", output_shape=(4, 1), bias_axes="kj")(packed)
    joined = layers.BatchNormalization()(layers.Flatten()(heads))
    good = keras.Model(
        entry, layers.Dense(1, activation="sigmoid", bias_initializer=keras.initializers.Constant(-1))(joined)
    )

    @keras.saving.register_keras_serializable(package="theirs")
    class Odd(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
        def call(self, inputs: Any) -> Any:
            return inputs

    def plain(width: int, *more: Any) -> Any:
        return keras.Sequential([keras.Input((width,)), layers.Dense(3), *more])

    marker = str(folder / "marker")
    sigmoid = layers.Dense(1, activation="sigmoid")
    return {
        "good": good,
        "narrow": plain(WIDTH - 1, layers.Dense(1, activation="sigmoid")),
        "linear": plain(WIDTH, layers.Dense(1)),
        "two": plain(WIDTH, layers.Dense(2, activation="softmax")),
        "lambda": plain(
            WIDTH, layers.Lambda(lambda x: (__import__("pathlib").Path(marker).touch(), x)[1]), sigmoid
        ),
        "custom": plain(WIDTH, Odd(), sigmoid),
    }


def compile_here(net: Path, cache: CompiledCache) -> str:
    """Put a net's compiled form into a cache as its loading would, but in this process: for one that has TensorFlow
    already, which takes a process of the compiler's own longer to import than to compile a small net.

    Returns:
        What the compiler says is wrong with the net; nothing if it was compiled.
    """
    from screening.detectors.artifacts import read_artefact
    from screening.detectors.compilation.cache import key_of
    from screening.detectors.compilation.compiler import main as compiler

    model = read_artefact(net)
    place = cache.folder / key_of(model.sha256)
    place.mkdir(parents=True)
    (place / "model.h5").write_bytes(model.data)
    if compiler([str(place), net.name, model.sha256]):
        return str(json.loads((place / "error.json").read_text())["what"])
    seal_in(place, cache, model.sha256)
    return ""


def main(folder: Path) -> None:
    """Build, predict, compile; what the compiler says of each net is kept in ``said.json``."""
    said = {}
    for name, net in _nets(folder).items():
        path = folder / f"{name}.h5"
        net.save(path)
        if name == "good":
            scaled = ((random_rows() - CENTRE) / SCALE).astype(np.float32)
            np.save(folder / "predicted.npy", net.predict(scaled, verbose=0)[:, 0])
        (folder / "marker").unlink(missing_ok=True)
        said[name] = compile_here(path, cache_in(folder / "cache"))
    (folder / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
