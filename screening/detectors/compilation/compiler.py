"""Compiles a Keras .h5 into LiteRT flatbuffers: ``… -m screening.detectors.compilation.compiler FOLDER NAME SHA256``.

Run by :mod:`screening.detectors.compilation.cache` and nowhere imported: here TensorFlow is.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from screening.detectors.compilation.cache import package_version
from screening.detectors.compilation.form import GOLDEN, META, SIZES, GoldenRows, meta_of
from screening.detectors.compilation.tree_layers import find_forest, with_forest
from screening.detectors.keras_file import check_net
from screening.detectors.runtime import CompiledNet, Scorer
from screening.errors import BadArtefact

Form = Callable[[Any], Any]
"""A net as a function of a tensor (rows, inputs) of fixed shape."""
DIFFERENCE = 1e-5
"""Largest difference of a compiled probability from Keras' own."""
TRIAL_ROWS = 2048
GOLDEN_EACH = 8
# Probabilities are compared where rows are flagged: in the middle, and at the default threshold.
GOLDEN_MARKS = (0.5, 0.8)
GOLDEN_NEAR = 12
# Keras loads these where they are installed, for parts that nothing here uses: it took a third of a
# compilation's time.
LEFT_OUT = ("sklearn", "matplotlib", "pandas", "IPython")


def main(arguments: list[str]) -> int:
    """Compile ``<folder>/model.h5`` into the same folder and print the meta file's SHA-256.

    Errors go to ``error.json`` in the folder.
    """
    folder, name, sha256 = Path(arguments[0]), arguments[1], arguments[2]
    try:
        meta = json.dumps(convert((folder / "model.h5").read_bytes(), folder, name, sha256)).encode()
    except BadArtefact as problem:
        (folder / "error.json").write_text(json.dumps({"what": problem.what, "remedy": problem.remedy}))
        return 1
    (folder / META).write_bytes(meta)
    print(hashlib.sha256(meta).hexdigest())  # noqa: T201 -- for the process that started this one
    return 0


def convert(data: bytes, folder: Path, name: str, sha256: str) -> dict[str, Any]:
    """Compile the net of a folder, write the form's files beside it, and return what is said of them.

    Raises:
        BadArtefact: it was changed meanwhile, is no net for this, or compiles to another one.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BadArtefact(f"{name} was changed before it was compiled.", remedy="Try again.")
    check_net(data, name)
    net = _load(folder / "model.h5", name)  # by path: Keras reads no bytes
    inputs = inputs_of(net, name)
    trial = trial_rows(net, inputs, name)
    flatbuffers, difference = same_net(net, trial, name)
    files = {f"net-{size}.tflite": flatbuffer for size, flatbuffer in flatbuffers.items()}
    files[GOLDEN] = golden_rows(trial).packed()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    meta = meta_of(hashlib.sha256(data).hexdigest(), inputs, files)
    return {**meta, "difference": difference, "keras": package_version("keras")}


def same_net(net: Any, trial: GoldenRows, name: str) -> tuple[dict[int, bytes], float]:
    """Return flatbuffers that give what the net gives, and how far they are off: with its trees asked level by level if
    it has any and if that is the same, else layer by layer as it stands.

    Raises:
        BadArtefact: neither is.
    """
    inputs = trial.rows.shape[1]
    forest = find_forest(net)
    forms: list[Form] = [] if forest is None else [with_forest(net, forest)]
    forms.append(lambda rows: net(rows, training=False))
    for form in forms:
        flatbuffers = {size: make_flatbuffer(form, size, inputs, name) for size in SIZES}
        try:
            return flatbuffers, verify_all(trial, CompiledNet(flatbuffers, inputs), name)
        except BadArtefact:
            if form is forms[-1]:
                raise
    raise AssertionError("there is at least one form")


def _load(path: Path, name: str) -> Any:
    keras: Any = importlib.import_module("keras")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as problem:  # noqa: BLE001  Keras raises whatever it meets
        line = " ".join(str(problem).split())[:200]
        raise BadArtefact(f"{name} can't be loaded by Keras {keras.__version__}: {line}") from None


def inputs_of(net: Any, name: str) -> int:
    """Return the width of the net's input, after a look at both ends."""
    given, made = net.input_shape, net.output_shape
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], int)):
        raise BadArtefact(f"{name} takes an input of shape {given}, not one row of numbers.")
    if made != (None, 1):
        raise BadArtefact(f"{name} has an output of shape {made}, not one probability a row.")
    return given[1]


def make_flatbuffer(form: Form, rows: int, inputs: int, name: str) -> bytes:
    """Return a net as a flatbuffer for a batch of so many rows.

    Raises:
        BadArtefact: it has a layer that can't be compiled.
    """
    tf: Any = importlib.import_module("tensorflow")
    constants: Any = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    # Keras adds the bias of a packed layer of width 1 "channels first", which LiteRT only knows for images
    with patch.object(tf.nn, "bias_add", _bias_add):
        call = tf.function(form, input_signature=[tf.TensorSpec((rows, inputs))])
        frozen = constants.convert_variables_to_constants_v2(call.get_concrete_function())
    try:
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())
    except Exception as problem:  # noqa: BLE001  the converter has no exception of its own that is public
        line = " ".join(str(problem).split())[:200]
        raise BadArtefact(f"{name} has a layer that can't be compiled: {line}") from None


def _bias_add(value: Any, bias: Any, data_format: str | None = None, name: str | None = None) -> Any:
    tf: Any = importlib.import_module("tensorflow")
    if data_format and data_format.startswith("NC"):
        bias = tf.reshape(bias, (-1, *[1] * (len(value.shape) - 2)))
    return tf.add(value, bias, name=name)


def trial_rows(net: Any, inputs: int, name: str) -> GoldenRows:
    """Return rows to compare by: zeros, and random ones, mild and extreme, with what Keras gives for them.

    Raises:
        BadArtefact: the net's output leaves [0, 1] or isn't a number.
    """
    random = np.random.default_rng(0)
    spread = np.repeat([0.5, 2.0, 10.0, 1000.0], TRIAL_ROWS // 4)
    rows = random.standard_normal((TRIAL_ROWS, inputs)) * spread[:, None]
    rows[0] = 0
    # float32 sums of large terms are rounded more coarsely, by Keras as by LiteRT
    tolerance = DIFFERENCE * np.maximum(spread / 10, 1)
    expected = np.asarray(net.predict_on_batch(rows.astype(np.float32)), np.float64)[:, 0]
    if not np.isfinite(expected).all() or expected.min() < 0 or expected.max() > 1:
        worst = expected[np.argmax(np.abs(np.nan_to_num(expected, nan=np.inf) - 0.5))]
        raise BadArtefact(
            f"{name} gives {worst:.6g} for some rows, which is no probability.",
            remedy="Its last layer needs one unit with a sigmoid.",
        )
    return GoldenRows(rows.astype(np.float32), expected.astype(np.float32), tolerance.astype(np.float32))


def golden_rows(trial: GoldenRows) -> GoldenRows:
    """Pick the rows that a form keeps: zeros, some of each spread, and those nearest to the usual thresholds.

    Many nets give nearly 0 or 1 for most random rows, and so would many others: those near a threshold tell them apart,
    and a changed net that moved any of them across would flag other rows. Rows that must agree within 1e-5 come first.
    """
    chosen = [np.arange(GOLDEN_EACH) + start for start in range(0, TRIAL_ROWS, TRIAL_ROWS // 4)]
    said = trial.probabilities.astype(np.float64)
    exact = trial.tolerance <= np.float32(DIFFERENCE)
    for mark in GOLDEN_MARKS:
        for side in (said < mark, said >= mark):
            rows = np.flatnonzero(side & exact) if (side & exact).any() else np.flatnonzero(side)
            nearest = np.argsort(np.abs(said[rows] - mark), kind="stable")[:GOLDEN_NEAR]
            chosen.append(rows[nearest])
    kept = np.unique(np.concatenate(chosen))
    return GoldenRows(trial.rows[kept], trial.probabilities[kept], trial.tolerance[kept])


def verify_all(trial: GoldenRows, result: CompiledNet, name: str) -> float:
    """Compare every flatbuffer with Keras; return the largest difference, that of extreme rows scaled down.

    Raises:
        BadArtefact: they disagree by more than 1e-5, or by more than float32 can tell for extreme rows.
    """
    scorer = Scorer(result)
    found = np.stack([scorer.through(size, trial.rows) for size in result.flatbuffers])
    difference = float((np.abs(found - trial.probabilities) / trial.tolerance).max()) * DIFFERENCE
    if not difference <= DIFFERENCE:
        raise BadArtefact(f"{name} compiles to another net: its probabilities differ by {difference:.2g}.")
    return difference


if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(LEFT_OUT))  # type: ignore[arg-type]  # None: Keras finds them not installed
    sys.exit(main(sys.argv[1:]))
