"""Compiled forms: shipped beside a net or kept in the cache, bound to it, and never scored with unchecked."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from screening.detectors.artifacts import Artefact, fingerprint, read_artefact
from screening.detectors.compilation.cache import SEAL, CompiledCache, checked, compiled, key_of
from screening.detectors.compilation.form import (
    COMPILER_VERSION,
    FILES,
    GOLDEN,
    META,
    SIZES,
    BadCompiledForm,
    CompiledForm,
    GoldenRows,
    open_form,
    pack,
    read_folder,
    shipped_file,
    unpack,
)
from screening.detectors.detector import load_detector
from screening.detectors.model_card import read_card
from screening.detectors.runtime import Scorer
from screening.errors import BadArtefact
from screening.settings import ROOT
from screening.transactions.schema import CARD, Transactions
from tests.artifact_factory import cache_in, random_rows, seal_in

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
def cache(tmp_path: Path) -> CompiledCache:
    return cache_in(tmp_path / "compiled")


def known(net: Artefact) -> str | None:
    """The hash of the form beside a net as it is now: what a card would name that was written for it."""
    file = shipped_file(net.path)
    return read_artefact(file).sha256 if file.exists() else None


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


def compiler_that_leaves(*made: Files) -> Callable[[Path, Artefact], str]:
    """Stand for the compiler's process: each call leaves the next one of these forms."""
    forms = iter(made)

    def compile_into(folder: Path, _model: Artefact) -> str:
        folder.mkdir()
        written = next(forms)
        for name, data in written.items():
            (folder / name).write_bytes(data)
        return hashlib.sha256(written[META]).hexdigest()

    return compile_into


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def leave(*made: Files) -> None:
        monkeypatch.setattr("screening.detectors.compilation.cache.compile_into", compiler_that_leaves(*made))

    return leave


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


def test_a_shipped_form_is_used_and_nothing_is_written(net: Artefact, cache: CompiledCache) -> None:
    before = {path.name: path.read_bytes() for path in net.path.parent.iterdir()}
    with patch.object(subprocess, "run", side_effect=AssertionError("compiled")):
        assert checked(compiled(net, cache, known(net)), net, cache).inputs == 30
    assert {path.name: path.read_bytes() for path in net.path.parent.iterdir()} == before


def test_a_net_that_was_compiled_elsewhere_scores_without_the_training_parts(
    net: Artefact, cache: CompiledCache, replaced: Callable[..., None], files: Files
) -> None:
    shipped_file(net.path).unlink()
    with patch("screening.detectors.compilation.cache.lacking", return_value=["tensorflow", "keras"]):
        with pytest.raises(BadArtefact, match="tensorflow and keras, not installed here") as refused:
            compiled(net, cache)
        assert "detectors compile" in str(refused.value.remedy)
        assert not [path for path in cache.folder.iterdir() if path.is_dir()]
    replaced(files)  # on another machine, with the parts and the same instance
    compiled(net, cache)
    with patch("screening.detectors.compilation.cache.lacking", return_value=["tensorflow", "keras"]):
        assert checked(compiled(net, cache), net, cache).inputs == 30


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
    change: Callable[[Files], Files], told: str, files: Files, nets: Path
) -> None:
    sha256 = read_artefact(nets / "good.h5").sha256
    assert open_form(files, sha256).net.inputs == 30
    with pytest.raises(BadCompiledForm, match=told):
        open_form(change(dict(files)), sha256)


@pytest.mark.security(28)
def test_one_flipped_bit_anywhere_in_a_shipped_form_has_the_net_compiled(
    net: Artefact,
    cache: CompiledCache,
    files: Files,
    replaced: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = shipped_file(net.path).read_bytes()
    for place in np.linspace(0, len(whole) - 1, 40).astype(int):
        data = bytearray(whole)
        data[place] ^= 1
        with pytest.raises(BadCompiledForm):
            open_form(unpack(bytes(data)), net.sha256)
    shipped_file(net.path).write_bytes(data)
    replaced(files)
    assert compiled(net, cache, known(net)).net.inputs == 30
    assert (cache.folder / key_of(net.sha256) / META).is_file()
    assert "model.compiled.tar.xz is not used: " in caplog.text


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_cut_archive_is_refused(share: float, files: Files) -> None:
    whole = pack(files)
    with pytest.raises(BadCompiledForm, match=r"damaged|cut"):
        unpack(whole[: int(len(whole) * share)])


def test_the_form_of_a_net_that_was_trained_again_is_not_used(
    net: Artefact,
    cache: CompiledCache,
    files: Files,
    replaced: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    net.path.write_bytes(net.path.read_bytes() + b"another")
    other = read_artefact(net.path)
    replaced(with_meta(files, net=other.sha256))
    assert compiled(other, cache, known(other)).net.inputs == 30
    assert "made of another net" in caplog.text


def test_a_form_of_version_0_2_in_the_cache_is_made_anew(
    net: Artefact, cache: CompiledCache, files: Files, replaced: Callable[..., None]
) -> None:
    shipped_file(net.path).unlink()
    folder = cache.folder / key_of(net.sha256)
    folder.mkdir(parents=True)
    for name, data in files.items():
        if name != GOLDEN:
            (folder / name).write_bytes(data)
    replaced(files)
    assert checked(compiled(net, cache, known(net)), net, cache).inputs == 30
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
    net: Artefact,
    cache: CompiledCache,
    files: Files,
    replaced: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    shipped_file(net.path).write_bytes(pack(wrong(files)))
    replaced(files)
    form = compiled(net, cache, known(net))
    assert checked(form, net, cache) == open_form(files, net.sha256).net
    assert "is not used: its probabilities are up to 2e-05 from those of Keras" in caplog.text
    with patch.object(subprocess, "run", side_effect=AssertionError("compiled again")):
        checked(compiled(net, cache, known(net)), net, cache)  # another process finds the new one


def test_a_form_in_the_cache_with_other_probabilities_is_thrown_away(
    net: Artefact, cache: CompiledCache, files: Files, replaced: Callable[..., None]
) -> None:
    shipped_file(net.path).unlink()
    replaced(wrong(files), files)
    form = compiled(net, cache, known(net))
    checked(form, net, cache)
    assert same(compiled(net, cache, known(net)), open_form(files, net.sha256))


def test_a_net_whose_new_form_gives_other_probabilities_too_stops_the_start(
    net: Artefact, cache: CompiledCache, files: Files, replaced: Callable[..., None]
) -> None:
    shipped_file(net.path).write_bytes(pack(wrong(files)))
    replaced(wrong(files))
    with pytest.raises(
        BadArtefact, match=r"^model\.h5 can't be scored with: compiled again, its probabilities"
    ):
        checked(compiled(net, cache, known(net)), net, cache)
    assert not (cache.folder / key_of(net.sha256)).exists()


def test_no_detector_scores_before_its_golden_rows_were_run(
    nets: Path, net: Artefact, cache: CompiledCache, files: Files, replaced: Callable[..., None]
) -> None:
    dump = Path(shutil.copy(nets / "vectorizer.pkl", net.path.with_name("vectorizer.pkl")))
    card = net.path.with_name("card.json")
    made = {
        "contract": CARD.as_dict(),
        "model_sha256": net.sha256,
        "vectorizer_sha256": read_artefact(dump).sha256,
        "fingerprint": fingerprint(net, read_artefact(dump), CARD),
    }
    card.write_text(json.dumps({**made, "compiled_sha256": known(net)}))
    pair = net.path, dump, card
    rows = Transactions(CARD.columns, random_rows(3))
    for late in (False, True):
        with patch.object(CompiledForm, "disagreement", return_value=None) as ran:
            detector = load_detector("x", *pair, cache, late=late)
            assert ran.call_count == 0
            for _ in range(3):
                detector.probabilities(rows)
            assert ran.call_count == 1
    shipped_file(net.path).write_bytes(pack(wrong(files)))
    card.write_text(json.dumps({**made, "compiled_sha256": known(net)}))
    replaced(wrong(files), wrong(files))
    for late in (False, True):
        with pytest.raises(BadArtefact, match="can't be scored with"):
            load_detector("x", *pair, cache, late=late).probabilities(rows)


# Bound to its source, whoever has written it


def flipped(files: Files) -> Files:
    """The form of another net: some signs flipped, and golden rows and hashes that agree with that."""
    heads = [files[f"net-{size}.tflite"] for size in SIZES]
    blocks = {heads[0][at : at + 32] for at in range(0, len(heads[0]) - 32, 4)}
    weights = [one for one in blocks if all(head.count(one) == 1 for head in heads) and is_weights(one)]
    changed = dict(files)
    for size, head in zip(SIZES, heads, strict=True):
        data = bytearray(head)
        for one in weights:
            data[head.index(one) + 3] ^= 0x80
        changed[f"net-{size}.tflite"] = bytes(data)
    told = GoldenRows.unpacked(files[GOLDEN])
    forged = open_form(rehashed(changed), json.loads(files[META])["net"])
    own = Scorer(forged.net).probabilities(told.rows)
    assert np.abs(own - told.probabilities).max() > 0.01, "it is another net"
    return rehashed({**changed, GOLDEN: replace(told, probabilities=own).packed()})


def is_weights(block: bytes) -> bool:
    """Whether eight numbers look like weights, and not like an offset or a name."""
    sizes = np.abs(np.frombuffer(block, "<f4"))
    return bool(((sizes > 1e-3) & (sizes < 3)).all())


def put(folder: Path, files: Files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


@pytest.mark.security(53)
@pytest.mark.parametrize("seal", ["none", "kept", "own", "another's"])
def test_a_consistent_forgery_in_the_cache_is_compiled_anew(
    seal: str,
    net: Artefact,
    cache: CompiledCache,
    files: Files,
    replaced: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All hashes and golden rows agree; only the secret is missing to whoever made it."""
    shipped_file(net.path).unlink()
    folder = cache.folder / key_of(net.sha256)
    put(folder, files)
    seal_in(folder, cache, net.sha256)
    assert same(compiled(net, cache), open_form(files, net.sha256)), "what this instance sealed is used"
    forged = flipped(files)
    assert open_form(forged, net.sha256).disagreement() is None, "nothing but the seal tells"
    put(folder, forged)
    if seal == "none":
        (folder / SEAL).unlink()
    elif seal == "own":
        seal_in(folder, replace(cache, key=lambda: b"guessed" * 5), net.sha256)
    elif seal == "another's":
        (folder / SEAL).write_text(cache.seal("0" * 64, hashlib.sha256(forged[META]).hexdigest()))
    replaced(files)
    assert same(compiled(net, cache), open_form(files, net.sha256))
    assert "is not used, and the net is compiled again: it" in caplog.text
    with patch.object(subprocess, "run", side_effect=AssertionError("compiled again")):
        assert same(compiled(net, cache), open_form(files, net.sha256)), "the new one is sealed"


@pytest.mark.security(53)
@pytest.mark.parametrize("name", [*FILES, META])
def test_no_file_of_a_sealed_form_can_be_another_forms(
    name: str, net: Artefact, cache: CompiledCache, files: Files, replaced: Callable[..., None]
) -> None:
    shipped_file(net.path).unlink()
    folder = cache.folder / key_of(net.sha256)
    put(folder, files)
    seal_in(folder, cache, net.sha256)
    (folder / name).write_bytes(flipped(files)[name])
    replaced(files)
    assert same(compiled(net, cache), open_form(files, net.sha256))


@pytest.mark.security(53)
@pytest.mark.parametrize("named", ["another form", "nothing"])
def test_a_consistent_forgery_beside_a_shipped_net_is_compiled_anew(
    named: str,
    net: Artefact,
    cache: CompiledCache,
    files: Files,
    replaced: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    card = known(net) if named == "another form" else None
    shipped_file(net.path).write_bytes(pack(flipped(files)))
    replaced(files)
    assert same(compiled(net, cache, card), open_form(files, net.sha256))
    told = "it isn't the file that the detector's card names" if card else "no card names its hash"
    assert f"model.compiled.tar.xz is not used: {told}" in caplog.text


@pytest.mark.security(53)
@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_names_the_shipped_form_and_its_golden_rows_lie_where_flags_are_decided(name: str) -> None:
    net = read_artefact(ROOT / name)
    card = read_card(ROOT / "model" / "card.json" if name == "model.h5" else net.path.with_name("card.json"))
    assert card.compiled_sha256 == known(net)
    golden = open_form(unpack(shipped_file(net.path).read_bytes()), net.sha256).golden
    exact = golden.probabilities[golden.tolerance <= np.float32(1e-5)]
    for mark in (0.5, 0.8):
        assert (exact < mark).sum() >= 6
        assert (exact >= mark).sum() >= 6
        assert np.abs(exact - mark).min() < 0.05


@pytest.mark.security(53)
def test_a_net_that_was_swapped_while_it_was_compiled_is_refused(nets: Path, tmp_path: Path) -> None:
    """By whoever may write the folder in which the compiler works."""
    shutil.copy(nets / "narrow.h5", tmp_path / "model.h5")
    command = ["-m", "screening.detectors.compilation.compiler", str(tmp_path), "good.h5"]
    sha256 = read_artefact(nets / "good.h5").sha256
    done = subprocess.run([sys.executable, *command, sha256], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 1
    assert "was changed before it was compiled" in (tmp_path / "error.json").read_text()
    assert not (tmp_path / META).exists()


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
