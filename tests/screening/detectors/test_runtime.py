"""The compiled net gives Keras' numbers, whatever the number of rows of a call."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from screening.detectors.artifacts import read_artefact
from screening.detectors.compilation.cache import compiled, key_of, read_cached
from screening.detectors.compilation.form import FILES, META
from screening.detectors.detector import Detector
from screening.errors import BadArtefact
from screening.settings import ROOT
from tests.artifact_factory import CENTRE, SCALE, cache_in, random_rows


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return ((random_rows() - CENTRE) / SCALE).astype(np.float32)


def test_probabilities_are_those_of_keras_on_10000_rows(tiny: Detector, nets: Path, rows: np.ndarray) -> None:
    expected = np.load(nets / "predicted.npy")
    assert expected.std() > 0.05
    assert np.abs(tiny.scorer.probabilities(rows) - expected).max() < 1e-5


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 15, 16, 17, 64, 65, 127, 128, 129, 257, 1000])
def test_a_batch_of_any_size_gives_what_single_rows_give(
    count: int, tiny: Detector, rows: np.ndarray
) -> None:
    alone = [tiny.scorer.probabilities(rows[place : place + 1])[0] for place in range(count)]
    together = tiny.scorer.probabilities(rows[:count])
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-7)


def test_results_stay_when_the_next_call_comes(tiny: Detector, rows: np.ndarray) -> None:
    first = tiny.scorer.probabilities(rows[:1])
    kept = first.copy()
    tiny.scorer.probabilities(rows[1:2])
    np.testing.assert_array_equal(first, kept)


def test_threads_score_side_by_side(tiny: Detector, rows: np.ndarray) -> None:
    expected = tiny.scorer.probabilities(rows)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(tiny.scorer.probabilities, [rows] * 8):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "told"), [("linear", "which is no probability"), ("two", r"output of shape \(None, 2\)")]
)
def test_a_net_that_gives_no_probability_is_refused(name: str, told: str, said: dict[str, str]) -> None:
    assert re.search(told, said[name])


@pytest.fixture
def damaged(nets: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of the cache with one changed byte in the file of this name."""

    def spoil(name: str) -> Path:
        place = tmp_path / key_of(read_artefact(nets / "good.h5").sha256)
        shutil.copytree(nets / "cache" / place.name, place)
        data = bytearray((place / name).read_bytes())
        data[len(data) // 2] ^= 1
        (place / name).write_bytes(data)
        return place

    return spoil


@pytest.mark.parametrize("name", [*FILES, META])
def test_a_damaged_cache_is_not_used(name: str, damaged: Callable[[str], Path], nets: Path) -> None:
    assert read_cached(cache_in(damaged(name).parent), read_artefact(nets / "good.h5").sha256) is None


def test_a_damaged_cache_is_made_anew_by_whoever_is_first(
    damaged: Callable[[str], Path], nets: Path, tmp_path: Path
) -> None:
    place = damaged("net-1.tflite")
    artefact = read_artefact(nets / "good.h5")
    with ThreadPoolExecutor(2) as pool, patch.object(subprocess, "run", wraps=subprocess.run) as run:
        nets_made = list(pool.map(lambda _: compiled(artefact, cache_in(tmp_path)), range(2)))
    assert run.call_count == 1
    assert nets_made[0].net == nets_made[1].net
    assert sorted(path.name for path in place.iterdir()) == [
        "golden.npy",
        "meta.json",
        *(f"net-{n}.tflite" for n in (1, 128, 16)),
        "seal",
    ]


def test_the_compilers_error_comes_back_in_one_line(nets: Path, tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match=r"^lambda\.h5 is unsafe: it holds a 'Lambda'"):
        compiled(read_artefact(nets / "lambda.h5"), cache_in(tmp_path))
    assert not (nets / "marker").exists()
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_told_of(nets: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadArtefact, match=r"good\.h5 can't be kept"):
        compiled(read_artefact(nets / "good.h5"), cache_in(tmp_path / "file" / "compiled"))


def test_without_litert_tensorflow_gives_the_same_numbers(
    nets: Path, rows: np.ndarray, tmp_path: Path
) -> None:
    """As on Windows; in a process of its own, since TensorFlow stays once it is there."""
    np.save(tmp_path / "rows.npy", rows[:300])
    code = """
import sys
sys.modules["ai_edge_litert"] = None  # importing it fails, as where it isn't installed
from pathlib import Path
import numpy as np
from screening.detectors.artifacts import read_artefact
from screening.detectors.compilation.cache import compiled
from screening.detectors.runtime import Scorer
from tests.artifact_factory import cache_in
nets, folder = map(Path, sys.argv[1:])
net = compiled(read_artefact(nets / "good.h5"), cache_in(nets / "cache")).net
np.save(folder / "found.npy", Scorer(net).probabilities(np.load(folder / "rows.npy")))
assert "tensorflow" in sys.modules
"""
    command = [sys.executable, "-c", code, str(nets), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = np.load(nets / "predicted.npy")[:300]
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, rtol=0, atol=1e-5)
