"""Compiled forms: shipped beside a net or kept in the cache, bound to it, and never scored with unchecked."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from screening.detectors.artifacts import Artefact, read_artefact
from screening.detectors.compilation.cache import checked, compiled, key_of
from screening.detectors.compilation.form import (
    COMPILER_VERSION,
    FILES,
    GOLDEN,
    META,
    SIZES,
    BadForm,
    CompiledForm,
    GoldenRows,
    open_form,
    pack,
    read_folder,
    shipped_file,
    unpack,
)
from screening.detectors.detector import load_detector
from screening.errors import BadArtefact
from screening.settings import ROOT
from screening.transactions.schema import CARD, Transactions
from tests.artifact_factory import random_rows

SHIPPED = ["model.h5", "model/detectors/payments/model.h5", "model/detectors/ecommerce/model.h5"]
Files = dict[str, bytes]


@pytest.fixture
def files(nets: Path) -> Files:
    """The files of the form of ``good.h5``, as its compiler wrote them."""
    return read_folder(nets / "cache" / key_of(read_artefact(nets / "good.h5").sha256))


@pytest.fixture
def net(nets: Path, tmp_path: Path, files: Files) -> Artefact:
    """A net in a folder of its own, with its form beside it."""
    path = tmp_path / "model.h5"
    path.write_bytes((nets / "good.h5").read_bytes())
    shipped_file(path).write_bytes(pack(files))
    return read_artefact(path)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "compiled"


def with_meta(files: Files, **changes: object) -> Files:
    return {**files, META: json.dumps({**json.loads(files[META]), **changes}).encode()}


def rehashed(files: Files) -> Files:
    """Files whose meta names them as they are now."""
    return with_meta(files, sha256={name: hashlib.sha256(files[name]).hexdigest() for name in FILES})


def wrong(files: Files) -> Files:
    """A form that is whole, with golden rows of another net."""
    golden = GoldenRows.unpacked(files[GOLDEN])
    golden.probabilities[0] += 2e-5
    return rehashed({**files, GOLDEN: golden.packed()})


def compiler_that_leaves(*made: Files) -> Callable[[Path, Artefact], None]:
    """Stand for the compiler's process: each call leaves the next one of these forms."""
    forms = iter(made)

    def compile_into(folder: Path, _model: Artefact) -> None:
        folder.mkdir()
        for name, data in next(forms).items():
            (folder / name).write_bytes(data)

    return compile_into


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def replace(*made: Files) -> None:
        monkeypatch.setattr("screening.detectors.compilation.cache.compile_into", compiler_that_leaves(*made))

    return replace


def same(one: CompiledForm, other: CompiledForm) -> bool:
    return one.net == other.net and one.golden.packed() == other.golden.packed()


# What is shipped


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_form_belongs_to_its_net_and_gives_its_probabilities(name: str) -> None:
    """Whoever trains again and forgets the form: ``python -m model.export.compiled``."""
    model = read_artefact(ROOT / name)
    form = open_form(unpack(shipped_file(model.path).read_bytes()), model.sha256)
    assert form.disagreement() is None
    assert 40 <= len(form.golden.rows) <= 100
    assert not form.golden.rows[0].any()
    decided = np.abs(form.golden.probabilities - 0.5) > 0.4
    assert decided.any()
    assert not decided.all()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_net_with_its_compiled_form_is_small(name: str) -> None:
    path = ROOT / name
    assert path.stat().st_size + shipped_file(path).stat().st_size < 3e6


def test_a_shipped_form_is_used_and_nothing_is_written(net: Artefact, cache: Path) -> None:
    before = {path.name: path.read_bytes() for path in net.path.parent.iterdir()}
    with patch.object(subprocess, "run", side_effect=AssertionError("compiled")):
        assert checked(compiled(net, cache), net, cache).inputs == 30
    assert {path.name: path.read_bytes() for path in net.path.parent.iterdir()} == before


def test_other_versions_of_keras_and_litert_use_the_shipped_form_too(
    net: Artefact, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.detectors.compilation.cache.package_version", lambda _name: "99")
    with patch.object(subprocess, "run", side_effect=AssertionError("compiled")):
        assert compiled(net, cache).net.inputs == 30


def test_an_archive_of_the_same_files_is_the_same_bytes(files: Files) -> None:
    assert unpack(pack(files)) == files
    assert pack(unpack(pack(files))) == pack(files)


# What isn't used


@pytest.mark.security(28)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda files: {**files, "net-16.tflite": files["net-16.tflite"][:-1] + b"x"}, "net-16.tflite isn't"),
        (lambda files: {**files, GOLDEN: files[GOLDEN][:-1] + b"x"}, "golden.npy isn't"),
        (lambda files: with_meta(files, net="0" * 64), "another net"),
        (lambda files: with_meta(files, compiler=COMPILER_VERSION - 1), "another version of the compiler"),
        (lambda files: with_meta(files, inputs=31), "number of inputs"),
        (lambda files: {**files, META: b"{"}, "damaged"),
        (lambda files: {**files, META: b"[]"}, "damaged"),
        (lambda files: rehashed({**files, GOLDEN: b"no rows"}), "damaged"),
        (lambda files: {name: files[name] for name in files if name != "net-1.tflite"}, "is missing"),
        (lambda files: {**files, META: b"{}"}, "is missing"),
    ],
)
def test_a_form_that_is_not_whole_or_not_this_nets_is_refused(
    change, told: str, files: Files, nets: Path
) -> None:
    sha256 = read_artefact(nets / "good.h5").sha256
    assert open_form(files, sha256).net.inputs == 30
    with pytest.raises(BadForm, match=told):
        open_form(change(dict(files)), sha256)


@pytest.mark.security(28)
def test_one_flipped_bit_anywhere_in_a_shipped_form_has_the_net_compiled(
    net: Artefact, cache: Path, files: Files, replaced, caplog: pytest.LogCaptureFixture
) -> None:
    whole = shipped_file(net.path).read_bytes()
    for place in np.linspace(0, len(whole) - 1, 40).astype(int):
        data = bytearray(whole)
        data[place] ^= 1
        with pytest.raises(BadForm):
            open_form(unpack(bytes(data)), net.sha256)
    shipped_file(net.path).write_bytes(data)
    replaced(files)
    assert compiled(net, cache).net.inputs == 30
    assert (cache / key_of(net.sha256) / META).is_file()
    assert "model.compiled.tar.xz is not used: " in caplog.text


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_cut_archive_is_refused(share: float, files: Files) -> None:
    whole = pack(files)
    with pytest.raises(BadForm, match=r"damaged|cut"):
        unpack(whole[: int(len(whole) * share)])


def test_the_form_of_a_net_that_was_trained_again_is_not_used(
    net: Artefact, cache: Path, files: Files, replaced, caplog: pytest.LogCaptureFixture
) -> None:
    net.path.write_bytes(net.path.read_bytes() + b"another")
    other = read_artefact(net.path)
    replaced(with_meta(files, net=other.sha256))
    assert compiled(other, cache).net.inputs == 30
    assert "made of another net" in caplog.text


def test_a_form_of_version_0_2_in_the_cache_is_made_anew(
    net: Artefact, cache: Path, files: Files, replaced
) -> None:
    shipped_file(net.path).unlink()
    folder = cache / key_of(net.sha256)
    folder.mkdir(parents=True)
    for name, data in files.items():
        if name != GOLDEN:
            (folder / name).write_bytes(data)
    replaced(files)
    assert checked(compiled(net, cache), net, cache).inputs == 30
    assert (folder / GOLDEN).is_file()


# Golden rows


@pytest.mark.parametrize("size", SIZES)
def test_golden_rows_go_through_the_flatbuffer_of_every_size(size: int, files: Files, nets: Path) -> None:
    """One of them is no flatbuffer at all."""
    sha256 = read_artefact(nets / "good.h5").sha256
    form = open_form(rehashed({**files, f"net-{size}.tflite": b"no net" * 100}), sha256)
    assert f"can't run it, {size} rows a call" in str(form.disagreement())
    assert open_form(files, sha256).disagreement() is None


def test_golden_rows_tell_a_net_with_one_changed_weight(files: Files, nets: Path) -> None:
    sha256 = read_artefact(nets / "good.h5").sha256
    data = files["net-1.tflite"]
    told = 0
    for place in range(len(data) // 4, len(data) // 2, len(data) // 40):
        start = place - place % 4
        changed = data[:start] + np.float32(7).tobytes() + data[start + 4 :]
        told += open_form(rehashed({**files, "net-1.tflite": changed}), sha256).disagreement() is not None
    assert told > 5


def test_a_shipped_form_with_other_probabilities_is_compiled_anew(
    net: Artefact, cache: Path, files: Files, replaced, caplog: pytest.LogCaptureFixture
) -> None:
    shipped_file(net.path).write_bytes(pack(wrong(files)))
    replaced(files)
    form = compiled(net, cache)
    assert checked(form, net, cache) == open_form(files, net.sha256).net
    assert "is not used: its probabilities are up to 2e-05 from those of Keras" in caplog.text
    with patch.object(subprocess, "run", side_effect=AssertionError("compiled again")):
        checked(compiled(net, cache), net, cache)  # another process finds the new one


def test_a_form_in_the_cache_with_other_probabilities_is_thrown_away(
    net: Artefact, cache: Path, files: Files, replaced
) -> None:
    shipped_file(net.path).unlink()
    replaced(wrong(files), files)
    form = compiled(net, cache)
    checked(form, net, cache)
    assert same(compiled(net, cache), open_form(files, net.sha256))


def test_a_net_whose_new_form_gives_other_probabilities_too_stops_the_start(
    net: Artefact, cache: Path, files: Files, replaced
) -> None:
    shipped_file(net.path).write_bytes(pack(wrong(files)))
    replaced(wrong(files))
    with pytest.raises(
        BadArtefact, match=r"^model\.h5 can't be scored with: compiled anew, its probabilities"
    ):
        checked(compiled(net, cache), net, cache)
    assert not (cache / key_of(net.sha256)).exists()


def test_no_detector_scores_before_its_golden_rows_were_run(
    nets: Path, net: Artefact, cache: Path, files: Files, replaced
) -> None:
    shutil.copy(nets / "vectorizer.pkl", net.path.with_name("vectorizer.pkl"))
    pair = net.path, net.path.with_name("vectorizer.pkl"), None
    rows = Transactions(CARD.columns, random_rows(3))
    for late in (False, True):
        with patch.object(CompiledForm, "disagreement", return_value=None) as ran:
            detector = load_detector("x", *pair, cache, late=late)
            assert ran.call_count == 0
            for _ in range(3):
                detector.probabilities(rows)
            assert ran.call_count == 1
    shipped_file(net.path).write_bytes(pack(wrong(files)))
    replaced(wrong(files), wrong(files))
    for late in (False, True):
        with pytest.raises(BadArtefact, match="can't be scored with"):
            load_detector("x", *pair, cache, late=late).probabilities(rows)


# What the terminal says


def test_scoring_says_nothing_on_the_terminal(tmp_path: Path) -> None:
    """And what others write there afterwards comes through."""
    code = """
import csv, os, sys
import utils
row = next(csv.DictReader(open("transactions_data.csv")))
row = {name: float(cell) for name, cell in row.items()}
assert 0 <= utils.get_probabilities(row)[0] <= 1
assert len(utils.get_probabilities([row] * 300)) == 300
assert "tensorflow" not in sys.modules
print("said afterwards", file=sys.stderr, flush=True)
import ctypes
ctypes.CDLL(None).perror(b"said by C")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"INSTANCE_PATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first == "said afterwards"
    assert second.startswith("said by C")
    assert not (tmp_path / "compiled").exists()
