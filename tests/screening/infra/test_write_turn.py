"""Writers of all threads and processes have one turn at a time, and nobody waits for ever for one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from screening.infra.write_turn import WriteTurn
from tests.waiting import wait_until

WAIT = 20.0


def count_up(path: Path, counter: Path, times: int) -> None:
    """Read a number and write the next one: two at a time would lose some."""
    turn = WriteTurn(path, WAIT)
    for _ in range(times):
        with turn.taken():
            number = int(counter.read_text())
            time.sleep(0.0002)
            counter.write_text(str(number + 1))


def hold(path: Path, held: Path) -> None:
    with WriteTurn(path, WAIT).taken():
        held.touch()
        time.sleep(60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


def test_threads_and_processes_take_turns(path: Path, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=count_up, args=(path, counter, 100)) for _ in range(2)]
    for each in others:
        each.start()
    turn = WriteTurn(path, WAIT)

    def mine() -> None:
        for _ in range(50):
            with turn.taken():
                counter.write_text(str(int(counter.read_text()) + 1))

    threads = [threading.Thread(target=mine) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    for each in others:
        each.join(WAIT)
    assert counter.read_text() == "400"


def test_the_turn_of_a_process_that_is_killed_is_free(path: Path, tmp_path: Path) -> None:
    held = tmp_path / "held"
    other = multiprocessing.get_context("spawn").Process(target=hold, args=(path, held))
    other.start()
    wait_until(held.exists, seconds=WAIT)
    assert other.pid is not None
    os.kill(other.pid, signal.SIGKILL)
    other.join(WAIT)
    begun = time.monotonic()
    with WriteTurn(path, WAIT).taken():
        assert time.monotonic() - begun < WAIT / 2


def test_nobody_waits_for_ever(path: Path) -> None:
    first, second = WriteTurn(path, WAIT), WriteTurn(path, 0.05)
    with first.taken(), second.taken():  # as another process whose holder is stuck
        pass
    ended = threading.Event()

    def another_thread() -> None:
        with second.taken():
            ended.set()

    with second.taken():
        thread = threading.Thread(target=another_thread)
        thread.start()
        assert ended.wait(WAIT)
    thread.join()
    with first.taken():  # who went on without a turn has not given back another's
        pass


def test_a_holder_that_is_stopped_is_waited_for_once(path: Path) -> None:
    first, second = WriteTurn(path, WAIT), WriteTurn(path, 1.0)
    waits = []
    with first.taken():
        for _ in range(4):
            begun = time.monotonic()
            with second.taken():
                waits.append(time.monotonic() - begun)
    assert waits[0] >= 1.0
    assert max(waits[1:]) < 1.0
    with second.taken():  # its holder has gone: the next one is waited for again
        assert second._patience == 1.0


def test_what_goes_wrong_in_a_turn_ends_it(path: Path) -> None:
    turn = WriteTurn(path, 0.2)

    def fails() -> None:
        with turn.taken():
            raise ValueError("a fault")

    for _ in range(2):
        with pytest.raises(ValueError, match="a fault"):
            fails()
    begun = time.monotonic()
    with WriteTurn(path, WAIT).taken():
        assert time.monotonic() - begun < WAIT / 2


def test_a_folder_that_takes_no_file_stops_nobody(tmp_path: Path) -> None:
    with WriteTurn(tmp_path / "missing" / "store.sqlite3", WAIT).taken():
        pass
    with WriteTurn(None, WAIT).taken():
        pass
