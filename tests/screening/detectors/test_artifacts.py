"""Files of a detector: opened only when they are what they should be, and nothing of them is ever run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import joblib
import numpy as np
import pytest

from screening.detectors.artifacts import fingerprint, read_artefact
from screening.detectors.compilation.cache import compiled
from screening.detectors.detector import Detector, load_detector
from screening.detectors.keras_file import check_net
from screening.detectors.safe_pickle import open_dump
from screening.errors import BadArtefact
from screening.transactions.schema import CARD
from tests.artifact_factory import cache_in, fitted_scaler, write_vectorizer


class Touch:
    """Unpickled carelessly, it runs a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def pair(tmp_path: Path, nets: Path) -> Path:
    """A detector with a card, in a folder of its own, whose files a test may spoil."""
    model, vectorizer = nets / "good.h5", nets / "vectorizer.pkl"
    (tmp_path / "model.h5").write_bytes(model.read_bytes())
    (tmp_path / "vectorizer.pkl").write_bytes(vectorizer.read_bytes())
    card = {
        "contract": CARD.as_dict(),
        "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "vectorizer_sha256": hashlib.sha256(vectorizer.read_bytes()).hexdigest(),
        "fingerprint": fingerprint(read_artefact(model), read_artefact(vectorizer), CARD),
    }
    (tmp_path / "card.json").write_text(json.dumps(card))
    return tmp_path


def load(folder: Path, nets: Path, card: str | None = "card.json") -> Detector:
    card_file = folder / card if card else None
    return load_detector(
        "x", folder / "model.h5", folder / "vectorizer.pkl", card_file, cache_in(nets / "cache")
    )


def spoil(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_pair_that_matches_its_card_loads_without_a_warning(pair: Path, nets: Path) -> None:
    detector = load(pair, nets)
    assert detector.warnings == []
    assert detector.fingerprint == json.loads((pair / "card.json").read_text())["fingerprint"]


@pytest.mark.security(28)
@pytest.mark.parametrize("name", ["model.h5", "vectorizer.pkl"])
def test_one_flipped_bit_anywhere_stops_the_start_before_the_file_is_opened(
    name: str, pair: Path, nets: Path
) -> None:
    whole = (pair / name).read_bytes()
    with (
        patch("screening.detectors.detector.open_vectorizer") as opened,
        patch("screening.detectors.detector.compiled") as compiling,
    ):
        for place in np.linspace(0, len(whole) - 1, 60).astype(int):
            spoil(pair / name, place)
            with pytest.raises(BadArtefact, match="isn't the file that its card describes"):
                load(pair, nets)
            (pair / name).write_bytes(whole)
    assert not opened.called
    assert not compiling.called


@pytest.mark.security(28)
@pytest.mark.parametrize("change", ["fingerprint", "contract", "model_sha256", "vectorizer_sha256"])
def test_a_card_that_tells_of_other_files_stops_the_start(change: str, pair: Path, nets: Path) -> None:
    card = json.loads((pair / "card.json").read_text())
    card[change] = (
        {**card[change], "columns": card[change]["columns"][::-1]} if change == "contract" else "0" * 64
    )
    (pair / "card.json").write_text(json.dumps(card))
    with pytest.raises(BadArtefact):
        load(pair, nets)


@pytest.mark.security(28)
def test_what_is_hashed_is_what_is_used_even_if_the_file_changes_meanwhile(
    tmp_path: Path, nets: Path
) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes((nets / "good.h5").read_bytes())
    artefact = read_artefact(path)
    path.write_bytes(b"something else")
    assert compiled(artefact, cache_in(nets / "cache")).net.inputs == 30


@pytest.mark.security(29)
@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3)])
def test_a_pickle_that_runs_a_command_is_refused_and_runs_nothing(
    compress: int | tuple[str, int], tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    joblib.dump({"robust_scaler": Touch(marker)}, tmp_path / "v.pkl", compress=compress)
    with pytest.raises(BadArtefact, match=r"system|compressed"):
        open_dump((tmp_path / "v.pkl").read_bytes(), "v.pkl")
    assert not marker.exists()


@pytest.mark.security(29)
def test_a_command_hidden_in_the_nested_pickle_of_an_object_array_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    joblib.dump({"columns": np.array([Touch(marker)], dtype=object)}, tmp_path / "v.pkl")
    with pytest.raises(BadArtefact, match="system"):
        open_dump((tmp_path / "v.pkl").read_bytes(), "v.pkl")
    assert not marker.exists()


@pytest.mark.security(29)
@pytest.mark.parametrize(
    "name",
    [
        b"builtins\neval",
        b"posix\nsystem",
        b"subprocess\nPopen",
        b"numpy\nload",
        b"joblib\nload",
        b"numpy\nfromfile",
    ],
)
def test_a_global_outside_the_list_is_named(name: bytes) -> None:
    with pytest.raises(BadArtefact, match=name.decode().replace("\n", r"\.")):
        open_dump(b"\x80\x02c" + name + b"\n.", "v.pkl")


@pytest.mark.security(29)
def test_state_is_given_to_records_only() -> None:
    # BUILD on the class itself would change it for everybody
    harm = b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb."
    with pytest.raises(BadArtefact, match="damaged"):
        open_dump(harm, "v.pkl")


@pytest.mark.security(29)
@pytest.mark.parametrize("name", ["lambda", "custom"])
def test_a_net_with_code_in_it_is_refused_before_keras_sees_it(
    name: str, nets: Path, said: dict[str, str]
) -> None:
    assert "is unsafe" in said[name]
    assert not (nets / "marker").exists()
    with pytest.raises(BadArtefact, match=r"unsafe.*(Lambda|theirs>Odd)"):
        check_net((nets / f"{name}.h5").read_bytes(), f"{name}.h5")


def with_config(source: Path, change: Callable[[list[dict[str, Any]]], None]) -> bytes:
    """The net's file with a changed configuration."""
    file = io.BytesIO(source.read_bytes())
    with h5py.File(file, "r+") as opened:
        config = json.loads(opened.attrs["model_config"])
        change(config["config"]["layers"])
        opened.attrs["model_config"] = json.dumps(config)
    return file.getvalue()


@pytest.mark.security(29)
@pytest.mark.parametrize(
    "change",
    [
        lambda layers: layers[1].update(module="os"),
        lambda layers: layers[1].update(registered_name="theirs>Dense"),
        lambda layers: layers[1].update(class_name="TFSMLayer"),
        lambda layers: layers[1]["config"].update(activation={"class_name": "function", "config": "system"}),
        lambda layers: layers[1]["config"].update(
            kernel_initializer={"class_name": "__lambda__", "config": {"value": "x"}}
        ),
    ],
)
def test_foreign_modules_names_and_functions_in_a_net_are_refused(
    change: Callable[[list[dict[str, Any]]], None], nets: Path
) -> None:
    with pytest.raises(BadArtefact, match="unsafe"):
        check_net(with_config(nets / "good.h5", change), "model.h5")


@pytest.mark.security(29)
def test_weights_that_point_to_another_file_are_refused(nets: Path, tmp_path: Path) -> None:
    file = io.BytesIO((nets / "good.h5").read_bytes())
    with h5py.File(file, "r+") as opened:
        opened["model_weights"].create_dataset("away", (4,), "f4", external=[(str(tmp_path / "x"), 0, 16)])
    with pytest.raises(BadArtefact, match="point to another file"):
        check_net(file.getvalue(), "model.h5")


@pytest.mark.security(30)
@pytest.mark.parametrize("name", ["model.h5", "vectorizer.pkl", "card.json"])
def test_a_missing_or_empty_file_is_named(name: str, pair: Path, nets: Path) -> None:
    (pair / name).write_bytes(b"")
    with pytest.raises(BadArtefact, match=f"{name} is empty"):
        load(pair, nets)
    (pair / name).unlink()
    with pytest.raises(BadArtefact, match=f"{name} is missing"):
        load(pair, nets)


@pytest.mark.security(30)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_a_truncated_net_or_vectorizer_is_refused(share: float, nets: Path) -> None:
    net, dump = (nets / "good.h5").read_bytes(), (nets / "vectorizer.pkl").read_bytes()
    with pytest.raises(BadArtefact):
        check_net(net[: int(len(net) * share)], "model.h5")
    with pytest.raises(BadArtefact):
        open_dump(dump[: int(len(dump) * share)], "vectorizer.pkl")


@pytest.mark.security(30)
def test_what_is_no_hdf5_or_no_net_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match="no HDF5"):
        check_net(b"\x89PNG\r\n\x1a\n" + bytes(100), "model.h5")
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened["numbers"] = [1, 2, 3]
    with pytest.raises(BadArtefact, match="no Keras model"):
        check_net(file.getvalue(), "model.h5")


def test_old_joblib_and_numpy_dumps_with_names_of_columns_are_read(tmp_path: Path) -> None:
    scaler = fitted_scaler(names=CARD.columns)

    def older(thing: object, file: io.BytesIO, protocol: int | None = None) -> None:
        file.write(pickle.dumps(thing, protocol=2).replace(b"numpy._core.", b"numpy.core."))

    with patch("joblib.numpy_pickle.pickle.dump", older):
        write_vectorizer(tmp_path / "v.pkl", scaler=scaler)
    content = open_dump((tmp_path / "v.pkl").read_bytes(), "v.pkl")
    assert list(content["robust_scaler"].feature_names_in_) == list(CARD.columns)
    np.testing.assert_array_equal(content["robust_scaler"].center_, scaler.center_)
