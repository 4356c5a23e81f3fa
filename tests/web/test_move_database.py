"""An instance that began with SQLite goes on in PostgreSQL: the same answers, or nothing is moved."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from screening.backup.moving import MOVED, TableSum, names_in
from screening.backup.restoring import made_by_migrations
from screening.errors import NotReady
from screening.infra.atomic_file import locked
from screening.server import prepare
from screening.settings import ROOT, Settings
from screening.web.app_factory import create_app
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.postgres_server import Postgres
from tests.web.test_audit_log import events
from tests.web.test_backup import refused, run, seen, told
from tests.web.test_data_api import SHOP, asked, sent
from tests.web.test_decisions_are_kept import detect, post, shop

PAYMENT = {"TX_DATETIME": "2026-01-31 17:04:22", "CUSTOMER_ID": "6", "TERMINAL_ID": "55", "TX_AMOUNT": 51.40}
KILLED = """
import os, signal
from screening.backup import moving
moving.{0} = lambda *_args: os.kill(os.getpid(), signal.SIGKILL)
from app import create_app
done = create_app().test_cli_runner().invoke(args=["move-database", "{1}"])
print(done.output)
"""


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    """An empty database."""
    name = postgres.empty()
    yield postgres.url(name)
    postgres.drop(name)


def sums(services: Services) -> dict[str, tuple[int, int]]:
    """Rows and hashes of all tables in SQLite."""
    found = {}
    for database in (services.database, services.ledger.tables):
        with closing(sqlite3.connect(str(database.engine.url.database))) as file:
            for name in names_in(file):
                total = TableSum()
                for row in file.execute(f'SELECT * FROM "{name}"'):
                    total.add(row)
                found[name] = total.rows, total.hashes
    return found


def pay(person: Person, **more: Any) -> Any:
    answer = post(person, "/detect_fraud", {"detector": "payments", "transaction": {**PAYMENT, **more}})
    assert answer.status_code == 200
    return answer.get_json()


def test_the_same_instance_goes_on_in_postgresql(
    login: Callable[[str], Person],
    services: Services,
    settings: Settings,
    app: Flask,
    worker: Worker,
    url: str,
    tmp_path: Path,
) -> None:
    mia = login("mia")
    screening = sent(mia, services, SHOP)
    row = detect(mia, shop(3))[0]["id"]
    assert post(mia, "/labels", {"labels": [{"id": row, "label": "fraud"}]}).get_json()["accepted"] == 1
    pay(mia)
    worker.stop()
    pages = [f"/results/{screening}", f"/decisions/{row}", "/detectors", "/review"]
    questions = ["/summary", "/transactions", "/fraud_trends", f"/transactions/{row}"]
    before, answers = seen(mia, *pages), [asked(mia, each) for each in questions]
    head = told(app, "audit", "head")
    was = sums(services)
    assert sum(rows for rows, _ in was.values()) > 30

    said = told(app, "move-database", url)
    assert f"{len(was):,} tables with {sum(rows for rows, _ in was.values()):,} rows" in said
    assert sums(services) == was, "SQLite was changed"
    with psycopg.connect(url) as connection:
        there = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    # whatever was imported so far: a restoration removes these, before it makes them again
    assert {name for (name,) in there} == made_by_migrations()
    (noted,) = events(settings, "database_moved")
    assert noted["tables"] == len(was)
    # one start with the old tables, and there would be two instances
    with pytest.raises(NotReady, match="were moved to PostgreSQL"):
        prepare(settings)

    moved = replace(settings, database_url=url)
    prepare(moved)
    new = create_app(moved)
    mine: Services = new.extensions["screening"]
    try:
        again = Person(new, "mia").log_in()
        for old, shown in zip(before, seen(again, *pages), strict=True):
            assert shown.splitlines() == old.splitlines()
        assert [asked(again, each) for each in questions] == answers
        kept = tmp_path / "head.json"
        kept.write_text(head)
        assert "verified" in told(new, "audit", "verify", "--head", kept)
        assert "; 0 faults" in told(new, "ledger", "verify")
        # what looks back knows what was asked before, and numbers go on where they were
        later = pay(again, TX_DATETIME="2026-01-31 17:05:22")
        assert asked(again, f"/transactions/{later['id']}")["fraud_probability"] == later["fraud_probability"]
        mine.ledger.sealing.seal()
        assert asked(again, "/summary")["total_transactions"] == answers[0]["total_transactions"] + 1
        assert "in PostgreSQL already" in run(new, "move-database", url).stderr
    finally:
        mine.key_ring.close()
        mine.database.engine.dispose()
        mine.ledger.tables.engine.dispose()


def test_what_isnt_empty_or_at_rest_is_refused(
    app: Flask, services: Services, settings: Settings, url: str, login: Callable[[str], Person]
) -> None:
    detect(login("mia"), shop(1))
    assert "SQLite's" in refused(app, "move-database", "sqlite:////tmp/other.sqlite3")
    assert "neither SQLite nor PostgreSQL" in refused(app, "move-database", "mysql://fraud@host/fraud")
    assert "PostgreSQL refuses" in refused(app, "move-database", "postgresql://fraud@127.0.0.1:1/fraud")
    with locked(settings.instance / "server", wait=0):
        assert "Another server works" in refused(app, "move-database", url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE others (id integer)")
        assert "it has others." in refused(app, "move-database", url)
        connection.execute("DROP TABLE others")
    # text that SQLite keeps, and PostgreSQL can't
    with services.database.write() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO counters (key, count, until) VALUES (?, 1, 1)", ("a\x00b",)
        )
    said = refused(app, "move-database", url)
    assert "can't keep a row of counters" in said
    with services.database.write() as session:
        session.connection().exec_driver_sql("DELETE FROM counters")
    assert "each row compared" in told(app, "move-database", url)
    assert "isn't empty" in refused(app, "move-database", url)
    assert (settings.instance / MOVED).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("when", ["copy_all", "compare_all", "collect_statistics"])
def test_a_move_that_was_killed_left_nothing_or_all_of_it(
    app: Flask, services: Services, settings: Settings, url: str, login: Callable[[str], Person], when: str
) -> None:
    detect(login("mia"), shop(2))
    environ = {
        **os.environ,
        "INSTANCE_PATH": str(settings.instance),
        "USERS_FILE": str(settings.users_file),
    }
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(when, url)], cwd=ROOT, env=environ, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL
    if when == "collect_statistics":
        with pytest.raises(NotReady, match="were moved to PostgreSQL"):
            prepare(settings)
        prepare(replace(settings, database_url=url))
        return
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM instances").fetchone() == (0,)
    # nothing is noted, and the old tables are as good as before
    prepare(settings)
    assert "each row compared" in told(app, "move-database", url)
