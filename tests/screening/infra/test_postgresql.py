"""What the app relies on in PostgreSQL: its tables, one writer at a time, reads of one moment, times in UTC."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DatabaseError

from screening.errors import BadSetting, NotReady
from screening.infra import postgresql
from screening.infra.database import HEAD, Base, Database
from screening.infra.job_queue import new_id
from screening.ledger import tables
from screening.uploads.screenings import Screenings, UploadRequest
from tests.postgres_server import Postgres

import_module("screening.web")  # declares every table

WISH = UploadRequest(
    owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
)


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """The address of a database without tables."""
    name = postgres.empty()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    with postgres.database() as made:
        yield made


def differences(database: Database, declared: Any, version_table: str) -> list[Any]:
    """What the migrations made otherwise than the code declares, of some tables."""

    def is_mine(_item: object, name: str, kind: str, _reflected: bool, _other: object) -> bool:
        return kind != "table" or name in declared.tables

    with database.engine.connect() as connection:
        options = {"include_object": is_mine, "version_table": version_table}
        found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), declared)
    return found


def migrate(database: Database, folder: str, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", folder)
    config.set_main_option("path_separator", "os")
    with database.engine.execution_options(writes=True).begin() as connection:
        config.attributes["connection"] = connection
        config.attributes["earlier"] = False
        (command.downgrade if to == "base" else command.upgrade)(config, to)


def test_both_sets_of_tables_are_made_taken_away_and_made_again(empty: str, tmp_path: Path) -> None:
    app = Database(empty)
    app.create_tables()
    ledger = tables.open_tables(tmp_path, empty)
    sets = (
        (app, Base.metadata, "alembic_version", "screening.infra:migrations", HEAD),
        (
            ledger,
            tables.LedgerBase.metadata,
            "ledger_version",
            "screening.ledger:migrations",
            tables.SCHEMA.head,
        ),
    )
    for database, declared, version, folder, head in sets:
        assert differences(database, declared, version) == []
        migrate(database, folder, "base")
        with database.engine.connect() as connection:
            assert not set(inspect(connection).get_table_names()) & set(declared.tables)
        migrate(database, folder, head)
        assert differences(database, declared, version) == []
    for database in (app, ledger):
        database.engine.dispose()


def test_processes_that_start_at_once_make_the_tables_once(empty: str) -> None:
    several = [Database(empty) for _ in range(4)]
    with ThreadPoolExecutor(len(several)) as threads:
        assert list(threads.map(Database.create_tables, several)) == [None] * len(several)
    for each in several:
        each.engine.dispose()


def test_who_reads_and_then_writes_loses_nothing_of_others(database: Database) -> None:
    """A number is read and one added to it, by four at once: without a lock most of them would be lost."""
    with database.write() as session:
        session.execute(text("INSERT INTO counters (key, count, until) VALUES ('a', 0, 1.0)"))

    def add() -> None:
        for _ in range(25):
            with database.write() as session:
                count = session.scalar(text("SELECT count FROM counters"))
                session.execute(text("UPDATE counters SET count = :count"), {"count": count + 1})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.scalar(text("SELECT count FROM counters")) == 100


def test_a_commit_is_told_to_every_process_and_nothing_before_it(database: Database) -> None:
    other = Database(str(database.engine.url))
    first = database.version()
    assert first is not None
    assert other.version() == database.version() == first
    with other.write() as session:
        session.execute(text("INSERT INTO counters (key, count, until) VALUES ('a', 0, 1.0)"))
        session.flush()
        assert database.version() == first
    second = database.version()
    assert second not in (None, first)
    assert other.version() == second
    with pytest.raises(ZeroDivisionError), other.write():
        raise ZeroDivisionError
    assert database.version() == second
    with other.driver_write() as write:
        write.one(text("UPDATE counters SET count = :count"), {"count": 2})
    assert database.version() not in (None, first, second)
    other.engine.dispose()


def test_a_watch_that_lost_its_connection_asks_again(postgres: Postgres, database: Database) -> None:
    first = database.version()
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test%'")
    assert database.version() is None
    assert database.version() == first


def test_what_reads_sees_one_moment(database: Database) -> None:
    with database.read() as reading:
        assert reading.scalar(text("SELECT count(*) FROM counters")) == 0
        with database.write() as session:
            session.execute(text("INSERT INTO counters (key, count, until) VALUES ('a', 0, 1.0)"))
        assert reading.scalar(text("SELECT count(*) FROM counters")) == 0
    with database.read() as reading:
        assert reading.scalar(text("SELECT count(*) FROM counters")) == 1


def test_a_writer_who_says_no_more_keeps_others_waiting_no_longer_than_that(
    postgres: Postgres, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "IDLE_SECONDS", 1)
    stuck = Database(str(database.engine.url))

    def stay() -> None:
        with stuck.write() as writing:
            writing.execute(text("INSERT INTO counters (key, count, until) VALUES ('a', 0, 1.0)"))
            with database.write() as session:  # waits until the server has ended the other one
                assert session.scalar(text("SELECT count(*) FROM counters")) == 0

    with pytest.raises(DatabaseError, match="idle-in-transaction"):
        stay()
    stuck.engine.dispose()


def test_times_are_the_same_moments_whatever_zone_the_server_is_in(postgres: Postgres) -> None:
    name = postgres.new()
    postgres.run(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
    database = Database(postgres.url(name))
    screenings = Screenings(database)
    before = datetime.now(UTC)
    made = new_id()
    screenings.begin(made, WISH)
    screening = screenings.get(made)
    assert screening is not None
    assert before <= screening.created <= datetime.now(UTC)
    with database.read() as session:
        kept = session.scalar(text("SELECT extract(epoch FROM created) FROM screenings"))
    assert float(kept) == pytest.approx(screening.created.timestamp(), abs=1e-3)
    database.engine.dispose()
    postgres.drop(name)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_an_address_needs_no_driver(postgres: Postgres, scheme: str) -> None:
    address = postgres.url("postgres").replace("postgresql", scheme, 1)
    database = Database(address)
    with database.read() as session:
        assert session.scalar(text("SELECT 1")) == 1
    database.engine.dispose()


def test_a_server_that_is_away_is_said_without_the_password(tmp_path: Path) -> None:
    database = Database(f"postgresql://fraud:secret@/bank?host={tmp_path}")
    with pytest.raises(NotReady, match="can't be used") as refused:
        database.create_tables()
    assert "See that it runs" in str(refused.value.remedy)
    assert "secret" not in str(refused.value.as_dict())


@pytest.mark.parametrize("url", ["mysql://a@b/c", "oracle://a@b/c", "nothing"])
def test_other_databases_are_refused_with_examples(url: str) -> None:
    with pytest.raises(BadSetting, match="DATABASE_URL can't be used") as refused:
        Database(url)
    assert "postgresql://" in str(refused.value.remedy)
