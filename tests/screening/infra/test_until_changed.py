"""What was read from a database is kept until anybody commits something: another session, thread or process."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from screening.infra.database import Database, UntilChanged


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path / 'a b%20c.sqlite3'}")
    with made.write() as session:
        session.execute(text("CREATE TABLE t (n INTEGER)"))
    return made


def insert(database: Database) -> None:
    with database.write() as session:
        session.execute(text("INSERT INTO t VALUES (1)"))


def test_nothing_is_read_twice_and_every_commit_counts(database: Database) -> None:
    kept: UntilChanged[str, int] = UntilChanged(database)
    asked: list[str] = []

    def count() -> int:
        asked.append("")
        with database.read() as session:
            return int(session.scalar(text("SELECT count(*) FROM t")) or 0)

    for expected in range(5):
        assert [kept.get("a", count) for _ in range(4)] == [expected] * 4
        insert(database)
    assert len(asked) == 5
    path = str(database.engine.url.database)
    code = f"import sqlite3; c = sqlite3.connect({path!r}); c.execute('DELETE FROM t'); c.commit()"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert kept.get("a", count) == 0
    insert(database)
    with database.write() as session:
        session.execute(text("DELETE FROM t"))
        assert kept.get("a", count) == 1  # what isn't committed isn't there
    assert kept.get("a", count) == 0


def test_what_is_committed_while_it_reads_is_read_again(database: Database) -> None:
    kept: UntilChanged[str, int] = UntilChanged(database)

    def late() -> int:
        insert(database)
        return 0

    assert kept.get("a", late) == 0
    assert kept.get("a", lambda: 1) == 1
    assert kept.get("a", lambda: 2) == 1


def test_a_database_that_cant_tell_is_asked_each_time(tmp_path: Path) -> None:
    for url in ("sqlite://", f"sqlite:///{tmp_path / 'none' / 'there.sqlite3'}"):
        database = Database(url)
        kept: UntilChanged[str, int] = UntilChanged(database)
        assert database.version() is None
        answers = iter(range(3))
        assert [kept.get("a", answers.__next__) for _ in range(3)] == [0, 1, 2]


def test_keys_beyond_the_most_are_forgotten(database: Database) -> None:
    kept: UntilChanged[int, int] = UntilChanged(database, most=2)
    for number in range(10):
        assert kept.get(number, partial(int, number)) == number
    assert len(kept._kept[1]) <= 2
