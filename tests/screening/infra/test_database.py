from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from screening.errors import BadSetting, NotReady
from screening.infra.database import HEAD, OLDEST, Base, Database
from screening.ledger import tables
from screening.uploads.screenings import Screenings

import_module("screening.web")  # declares every table


def made(path: Path) -> Database:
    database = Database(f"sqlite:///{path}")
    database.create_tables()
    return database


def test_the_migrations_make_exactly_the_tables_that_the_code_declares(tmp_path: Path) -> None:
    database = made(tmp_path / "a.sqlite3")
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.engine.dispose()


def test_the_ledgers_migrations_make_exactly_its_tables(tmp_path: Path) -> None:
    database = tables.open_tables(tmp_path, "sqlite:///unused")
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.SCHEMA.version_table})
        assert compare_metadata(context, tables.LedgerBase.metadata) == []
        assert context.get_current_revision() == tables.SCHEMA.head
    database.engine.dispose()


def test_both_schemas_can_share_one_database(tmp_path: Path) -> None:
    made(tmp_path / "a.sqlite3").engine.dispose()
    both = Database(f"sqlite:///{tmp_path / 'a.sqlite3'}", tables.SCHEMA)
    both.create_tables()
    both.create_tables()
    with both.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == HEAD
        assert session.scalar(text("SELECT version_num FROM ledger_version")) == tables.SCHEMA.head
    both.engine.dispose()


def test_the_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", "screening.infra:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_what_was_kept_stays_when_the_app_starts_again(tmp_path: Path) -> None:
    first = made(tmp_path / "a.sqlite3")
    with first.write() as session:
        session.execute(text("INSERT INTO counters (key, count, until) VALUES ('a', 7, 1.0)"))
    first.engine.dispose()
    second = made(tmp_path / "a.sqlite3")
    with second.read() as session:
        assert session.scalar(text("SELECT count FROM counters")) == 7
    second.engine.dispose()


def test_tables_of_a_newer_version_are_refused_in_words_and_left_as_they_are(tmp_path: Path) -> None:
    newer = made(tmp_path / "a.sqlite3")
    with newer.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999', oldest = '9998'"))
    newer.engine.dispose()
    with pytest.raises(NotReady, match="a newer version's") as refused:
        made(tmp_path / "a.sqlite3")
    assert "restore" in str(refused.value.remedy)
    with sqlite3.connect(tmp_path / "a.sqlite3") as kept:
        assert kept.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    kept.close()


def test_tables_of_a_newer_version_are_worked_with_where_it_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newer = made(tmp_path / "a.sqlite3")
    with newer.write() as session:
        assert session.scalar(text("SELECT oldest FROM alembic_version")) == OLDEST
        session.execute(
            text("UPDATE alembic_version SET version_num = '9999', oldest = :ours"), {"ours": HEAD}
        )
    newer.engine.dispose()
    older = made(tmp_path / "a.sqlite3")
    assert "those of version 9999 already" in caplog.text
    with older.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "9999"
    older.engine.dispose()


def test_screenings_of_an_older_version_are_taken_over_as_not_to_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.infra.database.HEAD", "0003")
    older = made(tmp_path / "a.sqlite3")
    columns = "id, owner, filename, kind, set_aside_bad, threshold, state, progress, rows, flagged, set_aside"
    with older.write() as session:
        session.execute(
            text(
                f"INSERT INTO screenings ({columns}, created, attempts) "
                "VALUES ('a', 'ana', 'a.csv', 'csv', 0, 0.8, 'done', 1, 9, 1, 0, '2026-01-01', 1)"
            )
        )
    older.engine.dispose()
    monkeypatch.undo()
    newer = made(tmp_path / "a.sqlite3")
    with newer.read() as session:
        assert session.execute(text("SELECT rows, check_first FROM screenings")).all() == [(9, 0)]
    newer.engine.dispose()


def test_owners_of_an_older_version_are_found_in_any_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.infra.database.HEAD", "0005")
    older = made(tmp_path / "a.sqlite3")
    columns = "id, owner, filename, kind, set_aside_bad, threshold, state, progress, rows, flagged, set_aside"
    with older.write() as session:
        for number, owner in enumerate(("Ana", "ana", "Mia", "~Ana")):
            session.execute(
                text(
                    f"INSERT INTO screenings ({columns}, created, attempts, check_first) VALUES "
                    f"('{number}', '{owner}', 'a.csv', 'csv', 0, 0.8, 'done', 1, 9, 1, 0, '2026-01-01', 1, 0)"
                )
            )
    older.engine.dispose()
    monkeypatch.undo()
    newer = made(tmp_path / "a.sqlite3")
    assert [Screenings(newer).count(name) for name in ("ana", "ANA", "mia", "~ana", "eve")] == [2, 2, 1, 1, 0]
    newer.engine.dispose()


def test_processes_that_start_at_once_make_the_tables_once(tmp_path: Path) -> None:
    program = (
        "import sys; from screening.infra.database import Database; Database(sys.argv[1]).create_tables()"
    )
    url = f"sqlite:///{tmp_path / 'a.sqlite3'}"
    started = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(4)]
    assert [each.wait(timeout=60) for each in started] == [0, 0, 0, 0]


def test_a_new_file_that_another_process_is_beginning_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(Database(f"sqlite:///{path}").create_tables)
        time.sleep(0.5)
        assert not opened.done()
        other.execute("COMMIT")
        opened.result(timeout=20)
    assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_url_that_names_no_database_is_refused_aloud() -> None:
    with pytest.raises(BadSetting, match="DATABASE_URL"):
        Database("mysterious://somewhere")


def test_the_log_is_put_away_without_a_word_lost(tmp_path: Path) -> None:
    database = made(tmp_path / "a.sqlite3")
    log = tmp_path / "a.sqlite3-wal"

    def write(count: int) -> None:
        for _ in range(count):
            with database.driver_write() as write:
                write.one(text("INSERT INTO sizes (number) VALUES (zeroblob(20000))"), {})

    with database.driver_write() as begun:
        begun.one(text("CREATE TABLE sizes (number BLOB)"), {})
    with database.driver_write(begin=False) as begun:  # by itself SQLite would do it after 1,000 pages
        begun.one(text("PRAGMA wal_autocheckpoint=0"), {})
    write(400)
    before = log.stat().st_size
    database.put_log_away()
    write(300)
    assert log.stat().st_size == before  # it began again
    with database.driver_write(begin=False) as read:
        assert read.one(text("SELECT count(*) FROM sizes"), {}).fetchone() == (700,)
    database.engine.dispose()
