"""Signals that go through PostgreSQL: every process that uses the database hears them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from screening.infra.database import Database
from screening.infra.postgres_signal import Bell
from screening.infra.wake_signal import Signals
from screening.settings import ROOT
from tests.postgres_server import Postgres
from tests.waiting import wait_until

LONG = 60.0
RING = """
import sys
from pathlib import Path
from screening.infra.database import Database
from screening.infra.wake_signal import Signals
Signals.of(Path(sys.argv[1]), Database(sys.argv[2])).ended.ring()
"""


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    name = postgres.empty()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    yield made
    made.engine.dispose()


def test_a_ring_wakes_every_listener_and_only_once(database: Database) -> None:
    bell = Bell(database.engine, "bell")
    listeners = [bell.listen() for _ in range(3)]
    assert not listeners[0].wait(0), "the connection is no ring"
    Bell(database.engine, "bell").ring()
    assert all(listener.wait(LONG) for listener in listeners)
    assert not any(listener.wait(0) for listener in listeners)


def test_another_process_is_heard_and_other_signals_arent(
    url: str, database: Database, tmp_path: Path
) -> None:
    signals = Signals.of(tmp_path, database)
    assert isinstance(signals.waiting, Bell)
    assert isinstance(signals.ended, Bell)
    waiting, ended = signals.waiting.listen(), signals.ended.listen()
    subprocess.run([sys.executable, "-c", RING, str(tmp_path), url], cwd=ROOT, check=True, timeout=LONG)
    assert ended.wait(LONG)
    assert not waiting.wait(0)


def test_a_ring_between_looking_and_waiting_is_not_lost(database: Database) -> None:
    bell = Bell(database.engine, "bell")
    listener = bell.listen()
    bell.ring()
    wait_until(lambda: bell.count >= 2, seconds=LONG)  # heard while nobody waited
    assert listener.wait(0)


def test_a_connection_that_was_lost_is_made_again_and_wakes_those_who_may_have_missed_something(
    postgres: Postgres, database: Database
) -> None:
    bell = Bell(database.engine, "bell")
    listener = bell.listen()
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    assert listener.wait(LONG), "the new connection"
    bell.ring()
    assert listener.wait(LONG)


def test_one_connection_serves_all_who_listen_in_a_process(database: Database) -> None:
    bell = Bell(database.engine, "bell")
    listeners = [bell.listen() for _ in range(21)]
    with database.read() as session:
        found = session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
    assert (len(listeners), found) == (21, 1)


def test_a_ring_that_nobody_can_be_told_of_is_an_error_of_the_system(tmp_path: Path) -> None:
    away = Bell(Database(f"postgresql://fraud@/bank?host={tmp_path}").engine, "bell")
    with pytest.raises(OSError, match="isn't told"):
        away.ring()
