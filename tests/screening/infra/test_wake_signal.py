from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from screening.infra import wake_signal
from screening.infra.wake_signal import FileSignal, Signals
from screening.settings import ROOT

LONG = 20.0


def test_a_ring_wakes_every_listener_at_once_and_only_once(tmp_path: Path) -> None:
    signal = FileSignal(tmp_path / "bell")
    listeners = [signal.listen() for _ in range(3)]
    threading.Timer(0.05, FileSignal(tmp_path / "bell").ring).start()
    began = time.monotonic()
    assert all(listener.wait(LONG) for listener in listeners)
    assert time.monotonic() - began < LONG / 2
    assert not any(listener.wait(0) for listener in listeners)


def test_a_ring_between_looking_and_waiting_is_not_lost(tmp_path: Path) -> None:
    signal = FileSignal(tmp_path / "bell")
    listener = signal.listen()
    signal.ring()
    assert listener.wait(0)


def test_two_rings_in_the_same_moment_are_two(tmp_path: Path) -> None:
    """A file's time of change has a resolution of milliseconds; its length has none."""
    signal = FileSignal(tmp_path / "bell")
    listener = signal.listen()
    for _ in range(500):
        signal.ring()
        assert listener.wait(0)


def test_what_was_rung_before_is_not_heard(tmp_path: Path) -> None:
    signal = FileSignal(tmp_path / "bell")
    signal.ring()
    assert not signal.listen().wait(0.01)


def test_a_signal_rings_across_processes_and_the_waiting_and_the_ended_are_two(tmp_path: Path) -> None:
    signals = Signals.of(tmp_path)
    waiting, ended = signals.waiting.listen(), signals.ended.listen()
    program = (
        "import sys; from pathlib import Path; from screening.infra.wake_signal import Signals; "
        "Signals.of(Path(sys.argv[1])).ended.ring()"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True, timeout=60)
    assert ended.wait(0)
    assert not waiting.wait(0)


def test_a_long_life_leaves_a_short_file_and_still_wakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake_signal, "LONGEST", 10)
    signal = FileSignal(tmp_path / "bell")
    listener = signal.listen()
    for _ in range(100):
        signal.ring()
        assert listener.wait(0)
        assert (tmp_path / "bell").stat().st_size <= 10


def test_a_folder_that_was_tidied_away_wakes_and_is_no_error(tmp_path: Path) -> None:
    signal = FileSignal(tmp_path / "bell")
    listener = signal.listen()
    (tmp_path / "bell").unlink()
    assert not listener.wait(0.01)
    signal.ring()
    assert listener.wait(0)
