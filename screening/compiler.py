"""Compiles a Keras .h5 once into LiteRT flatbuffers, in a process of its own, and keeps them by the file's hash.

TensorFlow holds about 700 MB and takes seconds to import, so only that process (``python -m screening.compiler``)
imports it, and ends. What it leaves in the cache is small, quick and all that a web process reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from screening.artefacts.files import Artefact
from screening.errors import BadArtefact

COMPILER_VERSION = 1
SIZES = (1, 16, 256)
"""Rows of one call: a flatbuffer for each, of fixed shape, so that nothing is allocated when rows come."""
SECONDS = 300
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class CompiledNet:
    """A net that can be run by LiteRT: one flatbuffer for each of :data:`SIZES`, and its number of inputs."""

    flatbuffers: dict[int, bytes]
    inputs: int


def compiled(model: Artefact, cache: Path) -> CompiledNet:
    """The compiled form of a net, from the cache or made now (some ten seconds).

    Raises:
        BadArtefact: the net is unsafe, damaged, no probability, or can't be compiled.
    """
    key = _key(model)
    found = _read(cache / key)
    if found:
        return found
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache / f"{key}.lock"):  # a second process that starts now waits and finds the first one's work
        found = _read(cache / key)
        if not found:
            _compile(model, cache, key)
            found = _read(cache / key)
    if not found:
        raise BadArtefact(f"The compiled form of {model.path.name} can't be kept.", where=str(cache))
    return found


def _key(model: Artefact) -> str:
    parts = [model.sha256, str(COMPILER_VERSION), *(_version(name) for name in ("keras", "ai-edge-litert"))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _read(folder: Path) -> CompiledNet | None:
    """What is kept, or ``None`` when nothing is or any byte of it changed."""
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
        flatbuffers = {size: (folder / f"net-{size}.tflite").read_bytes() for size in SIZES}
        whole = all(hashlib.sha256(data).hexdigest() == meta["sha256"][str(size)] for size, data in flatbuffers.items())
        return CompiledNet(flatbuffers, int(meta["inputs"])) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _compile(model: Artefact, cache: Path, key: str) -> None:
    with tempfile.TemporaryDirectory(prefix="compile-", dir=cache) as draft:
        folder = Path(draft) / "net"
        folder.mkdir()
        (folder / "model.h5").write_bytes(model.data)  # the bytes that were hashed, not the file again
        _run(folder, model)
        (folder / "model.h5").unlink()
        shutil.rmtree(cache / key, ignore_errors=True)  # what was there is damaged
        folder.rename(cache / key)


def _run(folder: Path, model: Artefact) -> None:
    """Run the compiler's process; its error is raised here with the same words."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "TEMP", "TMPDIR") if name in os.environ}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"}
    keras = {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": str(folder.parent / "keras")}
    command = [sys.executable, "-m", "screening.compiler", str(folder), model.path.name]
    try:
        done = subprocess.run(  # noqa: S603  our own module, with our own arguments
            command, cwd=ROOT, env=kept | quiet | keras, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise BadArtefact(f"{model.path.name} took more than {SECONDS} s to compile.", where=str(model.path)) from None
    if done.returncode == 0:
        return
    try:
        told = json.loads((folder / "error.json").read_bytes())
    except (OSError, ValueError):
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        told = {"what": f"{model.path.name} can't be compiled (exit {done.returncode}): {''.join(last)[:200]}"}
    raise BadArtefact(str(told["what"]), where=str(model.path), remedy=told.get("remedy"))


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Held by one process at a time; where the system has no such lock, both compile and the later one's work stays."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# What follows runs in the compiler's own process.


def main(arguments: list[str]) -> int:
    """Compile ``<folder>/model.h5`` into the same folder; errors go to ``error.json`` there."""
    folder, name = Path(arguments[0]), arguments[1]
    try:
        meta = _convert((folder / "model.h5").read_bytes(), folder, name)
    except BadArtefact as problem:
        (folder / "error.json").write_text(json.dumps({"what": problem.what, "remedy": problem.remedy}))
        return 1
    (folder / "meta.json").write_text(json.dumps(meta))
    return 0


def _convert(data: bytes, folder: Path, name: str) -> dict[str, Any]:
    from screening.artefacts.nets import check_net

    check_net(data, name)
    net = _load(folder / "model.h5", name)
    inputs = _inputs(net, name)
    hashes = {}
    for size in SIZES:
        flatbuffer = _flatbuffer(net, size, inputs, name)
        (folder / f"net-{size}.tflite").write_bytes(flatbuffer)
        hashes[size] = hashlib.sha256(flatbuffer).hexdigest()
    flatbuffers = {size: (folder / f"net-{size}.tflite").read_bytes() for size in SIZES}
    difference = _verify(net, CompiledNet(flatbuffers, inputs), name)
    return {"inputs": inputs, "sha256": hashes, "difference": difference, "keras": _version("keras")}


def _load(path: Path, name: str) -> Any:
    import keras

    try:
        return keras.models.load_model(path, compile=False)
    except Exception as problem:  # noqa: BLE001  Keras raises whatever it meets
        line = " ".join(str(problem).split())[:200]
        raise BadArtefact(f"{name} can't be loaded by Keras {keras.__version__}: {line}") from None


def _inputs(net: Any, name: str) -> int:
    """The width of the net's input, after a look at both ends."""
    given, made = net.input_shape, net.output_shape
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], int)):  # noqa: PLR2004
        raise BadArtefact(f"{name} takes an input of shape {given}, not one row of numbers.")
    if made != (None, 1):
        raise BadArtefact(f"{name} has an output of shape {made}, not one probability a row.")
    return given[1]


def _flatbuffer(net: Any, rows: int, inputs: int, name: str) -> bytes:
    from unittest.mock import patch

    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # Keras adds the bias of a packed layer of width 1 in a layout ("channels first") that LiteRT only knows for images.
    with patch.object(tf.nn, "bias_add", _bias_add):
        call = tf.function(lambda row: net(row, training=False), input_signature=[tf.TensorSpec((rows, inputs))])
        frozen = convert_variables_to_constants_v2(call.get_concrete_function())
    try:
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())
    except Exception as problem:  # noqa: BLE001  the converter has no exception of its own that is public
        line = " ".join(str(problem).split())[:200]
        raise BadArtefact(f"{name} has a layer that can't be compiled: {line}") from None


def _bias_add(value: Any, bias: Any, data_format: str | None = None, name: str | None = None) -> Any:
    import tensorflow as tf

    if data_format and data_format.startswith("NC"):
        bias = tf.reshape(bias, (-1, *[1] * (len(value.shape) - 2)))
    return tf.add(value, bias, name=name)


def _verify(net: Any, result: CompiledNet, name: str) -> float:
    """Compare with Keras on random rows, mild and extreme; the largest difference.

    Raises:
        BadArtefact: the output leaves [0, 1] or isn't a number, or the two disagree by more than 1e-5.
    """
    import numpy as np

    from screening.scorer import Scorer

    random = np.random.default_rng(0)
    spread = np.repeat([0.5, 2.0, 10.0, 1000.0], 512)[:, None]
    rows = (random.standard_normal((2048, result.inputs)) * spread).astype(np.float32)
    expected = np.asarray(net.predict_on_batch(rows), np.float64)[:, 0]
    if not np.isfinite(expected).all() or expected.min() < 0 or expected.max() > 1:
        worst = expected[np.argmax(np.abs(np.nan_to_num(expected, nan=np.inf) - 0.5))]
        raise BadArtefact(
            f"{name} gives {worst:.6g} for some rows, which is no probability.",
            remedy="Its last layer needs one unit with a sigmoid.",
        )
    scorer = Scorer(result)
    alone = np.concatenate([scorer.probabilities(rows[place : place + 1]) for place in range(0, len(rows), 8)])
    difference = float(
        max(np.abs(scorer.probabilities(rows) - expected).max(), np.abs(alone - expected[::8]).max())
    )
    if difference > 1e-5:  # noqa: PLR2004  what the contract of scoring allows
        raise BadArtefact(f"{name} compiles to another net: its probabilities differ by {difference:.2g}.")
    return difference


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
