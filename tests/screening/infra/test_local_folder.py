"""What processes of one of several hosts share lies on its own disk, and what others want of it is copied."""

from __future__ import annotations

import threading
from pathlib import Path

from screening.infra.local_folder import local_folder, local_or
from screening.monitoring.request_folder import folder_of, hand_on


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


def test_what_is_counted_is_copied_to_where_other_hosts_look(tmp_path: Path) -> None:
    mine, theirs = (folder_of(tmp_path / name) for name in ("mine", "theirs"))
    for folder in (mine, theirs):
        folder.mkdir(parents=True)
    (theirs / "counter_1.db").write_bytes(b"of a process that is gone")
    (mine / "counter_2.db").write_bytes(b"counted")
    stopped = threading.Event()
    stopped.set()
    hand_on(tmp_path / "mine", tmp_path / "theirs", stopped)
    assert {path.name: path.read_bytes() for path in theirs.iterdir()} == {"counter_2.db": b"counted"}
