"""What processes of one of several hosts share lies on its own disk, and what others want of it is copied."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from screening.infra.local_folder import PREFIX, local_folder, local_or
from screening.monitoring.request_folder import folder_of, handed_on
from screening.settings import ROOT


def test_a_server_among_several_has_a_folder_of_its_own_while_it_runs(tmp_path: Path) -> None:
    with local_folder(wanted=False):
        assert local_or(tmp_path) == tmp_path
    with local_folder(wanted=True):
        made = local_or(tmp_path)
        assert made != tmp_path
        assert (made / "signals").is_dir()
        assert made.stat().st_mode & 0o077 == 0, "it is nobody else's"
    assert not made.exists()
    assert local_or(tmp_path) == tmp_path


def test_what_a_server_has_left_that_was_killed_goes_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    begins = "import os, time; from screening.infra.local_folder import *\nwith local_folder(wanted=True):"
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    killed = [sys.executable, "-c", f"{begins}\n  os.kill(os.getpid(), 9)"]
    assert subprocess.run(killed, cwd=ROOT, env=environ, check=False).returncode == -9
    runs = [sys.executable, "-c", f"{begins}\n  print(local_or(None), flush=True); time.sleep(600)"]
    process = subprocess.Popen(runs, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lives = process.stdout.readline().strip()
        left = {str(path) for path in tmp_path.iterdir()}
        assert len(left) == 2
        assert lives in left
        (tmp_path / f"{PREFIX}another").symlink_to(tmp_path)
        with local_folder(wanted=True):
            assert left < {str(path) for path in tmp_path.iterdir()}, "one may be in the middle of its start"
        for path in left:
            os.utime(path, (0, 0))
        with local_folder(wanted=True):
            there = {str(path) for path in tmp_path.iterdir()}
            assert there & left == {lives}
            assert len(there) == 3
    finally:
        process.kill()
        process.wait()


def test_what_is_counted_is_copied_to_where_other_hosts_look(tmp_path: Path) -> None:
    mine, theirs = (folder_of(tmp_path / name) for name in ("mine", "theirs"))
    for folder in (mine, theirs):
        folder.mkdir(parents=True)
    (theirs / "counter_1.db").write_bytes(b"of a process that is gone")
    (mine / "counter_2.db").write_bytes(b"counted")
    with handed_on(tmp_path / "mine", tmp_path / "theirs"):
        pass
    assert not [each for each in threading.enumerate() if each.name == "counted"]
    assert {path.name: path.read_bytes() for path in theirs.iterdir()} == {"counter_2.db": b"counted"}
