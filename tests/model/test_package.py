"""What is written of a net is what was learned, in less room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.export.package import pack


@pytest.mark.filterwarnings("ignore")
def test_a_packed_net_is_smaller_and_the_same(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras", reason="needs requirements.txt: run `make .venv/.run`")
    entry = keras.Input((50,))
    inner = keras.layers.Dense(400, activation="relu6", name="gates")(entry)
    net = keras.Model(entry, keras.layers.Dense(1, activation="sigmoid")(inner))
    gates = np.zeros((50, 400), np.float32)
    gates[np.arange(400) % 50, np.arange(400)] = 7.5
    net.get_layer("gates").set_weights([gates, np.linspace(-1, 1, 400, dtype=np.float32)])
    net.save(tmp_path / "model.h5")
    before = (tmp_path / "model.h5").stat().st_size
    pack(tmp_path / "model.h5")
    assert (tmp_path / "model.h5").stat().st_size < before / 3
    assert [path.name for path in tmp_path.iterdir()] == ["model.h5"]
    loaded = keras.models.load_model(tmp_path / "model.h5", compile=False)
    for one, other in zip(loaded.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
