"""Compiled nets go when nobody wants them any more, and never under somebody's hands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from screening.detectors.artifacts import read_artefact
from screening.detectors.compilation import pruning
from screening.detectors.compilation.cache import compiled, key_of, lock_of
from screening.detectors.compilation.pruning import UNUSED_SECONDS, prune
from screening.detectors.registry import Detectors
from screening.settings import ROOT, Settings
from tests.artifact_factory import cache_in

WANTED, OTHER = "aa" * 32, "bb" * 32
LONG_AGO = time.time() - UNUSED_SECONDS - 60


def kept(cache: Path, sha256: str, *, used: float | None = None) -> Path:
    """A compiled net, with its lock file, as it lies in a cache."""
    cache.mkdir(exist_ok=True)
    folder = cache / key_of(sha256)
    folder.mkdir()
    (folder / "meta.json").write_text("{}")
    lock = lock_of(cache, folder.name)
    lock.touch()
    if used is not None:
        os.utime(lock, (used, used))
        os.utime(folder, (used, used))
    return folder


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def test_a_net_of_no_detector_that_nobody_used_for_long_goes_with_its_lock(tmp_path: Path) -> None:
    mine, gone = kept(tmp_path, WANTED, used=LONG_AGO), kept(tmp_path, OTHER, used=LONG_AGO)
    assert prune(tmp_path, [WANTED]) == [gone.name]
    assert names(tmp_path) == {mine.name, f"{mine.name}.lock"}


def test_a_net_that_another_version_used_lately_stays(tmp_path: Path) -> None:
    folder = kept(tmp_path, OTHER, used=time.time() - UNUSED_SECONDS + 3600)
    assert prune(tmp_path, [WANTED]) == []
    assert folder.is_dir()


def test_each_server_says_anew_which_nets_it_wants(tmp_path: Path) -> None:
    """Two of different versions share the cache; neither loads a net again for months."""
    theirs = kept(tmp_path, OTHER, used=LONG_AGO)
    prune(tmp_path, [OTHER])
    assert prune(tmp_path, [WANTED]) == []
    assert theirs.is_dir()


def test_a_net_that_is_being_made_stays(tmp_path: Path) -> None:
    folder = kept(tmp_path, OTHER, used=LONG_AGO)
    with FileLock(lock_of(tmp_path, folder.name)):
        assert prune(tmp_path, []) == []
        assert folder.is_dir()
    assert prune(tmp_path, []) == [folder.name]


def test_a_lock_of_no_net_goes_and_a_young_one_stays(tmp_path: Path) -> None:
    old, young = lock_of(tmp_path, "0" * 64), lock_of(tmp_path, "1" * 64)
    for lock in (old, young):
        lock.touch()
    os.utime(old, (LONG_AGO, LONG_AGO))
    assert prune(tmp_path, []) == []
    assert names(tmp_path) == {young.name}


def test_what_a_killed_compiler_left_goes_and_a_present_draft_stays(tmp_path: Path) -> None:
    for name in ("compile-old", "compile-new", "pruned-old"):
        (tmp_path / name / "net").mkdir(parents=True)
    for name in ("compile-old", "pruned-old"):
        os.utime(tmp_path / name, (time.time() - 3600,) * 2)
    prune(tmp_path, [])
    assert names(tmp_path) == {"compile-new"}


def test_files_that_are_no_nets_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the operator's")
    os.utime(tmp_path / "notes.txt", (LONG_AGO, LONG_AGO))
    assert prune(tmp_path, []) == []
    assert names(tmp_path) == {"notes.txt"}


def test_a_cache_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    assert prune(tmp_path / "compiled", [WANTED]) == []


def test_a_net_that_is_read_counts_as_used(nets: Path, tmp_path: Path) -> None:
    model = read_artefact(nets / "good.h5")
    folder = tmp_path / key_of(model.sha256)
    shutil.copytree(nets / "cache" / folder.name, folder)  # by the real compiler
    os.utime(folder, (LONG_AGO, LONG_AGO))
    compiled(model, cache_in(tmp_path))
    assert prune(tmp_path, []) == []
    assert compiled(model, cache_in(tmp_path)).net.inputs == 30


LOCKER = """
import sys, time
from pathlib import Path
from filelock import FileLock
lock, log = map(Path, sys.argv[1:])
for _ in range(150):
    with FileLock(lock, poll_interval=0.001):
        mark = log / "inside"
        mark.touch(exist_ok=False)  # fails when two are inside at once
        mark.unlink()
"""


def test_nobody_else_holds_a_lock_whose_file_is_removed_meanwhile(tmp_path: Path) -> None:
    """Whoever waited on the removed file must not think that it holds the lock."""
    lock = tmp_path / "lock"
    started = [
        subprocess.Popen([sys.executable, "-c", LOCKER, str(lock), str(tmp_path)], cwd=ROOT) for _ in range(3)
    ]
    while any(each.poll() is None for each in started):
        with suppress(Timeout), FileLock(lock, blocking=False):
            lock.unlink()
        time.sleep(0.001)
    assert [each.returncode for each in started] == [0, 0, 0]


def test_every_detectors_net_is_wanted(settings: Settings) -> None:
    found = Detectors(settings)
    wanted = found.net_hashes()
    assert wanted == {found.get(name).model_sha256 for name in found.names()}
    assert len(wanted) == 3


def test_a_detector_that_cannot_be_loaded_keeps_its_net(settings: Settings) -> None:
    broken = settings.instance / "detectors" / "broken"
    broken.mkdir(parents=True)
    (broken / "model.h5").write_bytes(b"no net")
    assert read_artefact(broken / "model.h5").sha256 in Detectors(settings).net_hashes()


def test_a_net_used_between_the_look_and_the_lock_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = kept(tmp_path, OTHER, used=LONG_AGO)

    def used_meanwhile(path: Path, *, blocking: bool) -> FileLock:
        os.utime(folder)
        return FileLock(path, blocking=blocking)

    monkeypatch.setattr(pruning, "FileLock", used_meanwhile)
    assert prune(tmp_path, []) == []
    assert folder.is_dir()
