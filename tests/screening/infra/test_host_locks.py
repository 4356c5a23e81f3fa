"""Locks that hold between hosts: each host has connections of its own, and may have mounted the folder elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import update

from screening.errors import BadSetting, NotReady
from screening.infra.atomic_file import Locked, locked
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.infra.host_locks import DUTIES, Hold, Lock, host_lock, share
from screening.infra.job_queue import GONE, LEASE, new_id
from screening.settings import Settings
from screening.uploads.instance_check import sole_server
from screening.uploads.screenings import Screening, Screenings, UploadRequest
from tests.postgres_server import Postgres

LONG = 60.0
WISH = UploadRequest(
    owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
)


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    name = postgres.empty()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def databases(url: str) -> Iterator[tuple[Database, Database]]:
    """Of two hosts."""
    made = Database(url), Database(url)
    yield made
    for each in made:
        each.engine.dispose()


def host(folder: Path, name: str, url: str, hosts: Literal["one", "several"] = "several") -> Settings:
    """The settings of a host that has mounted the instance at a place of its own."""
    instance = folder / name / "instance"
    instance.mkdir(parents=True, exist_ok=True)
    return Settings(
        instance=instance,
        users_file=folder / name / "users.txt",
        database_url=url,
        hosts=hosts,
        host_name=name,
    )


def test_one_holds_a_lock_until_its_connection_ends(
    databases: tuple[Database, Database], postgres: Postgres
) -> None:
    one, other = (Hold(each.engine, [DUTIES]) for each in databases)
    assert one.held()
    assert one.held()
    assert not other.held()
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT 1'")
    with pytest.raises(OSError, match="can't be asked"):
        one.held()
    assert other.held()
    assert not one.held(), "somebody else has it by now"
    other.close()
    assert one.held()
    one.close()


def test_all_locks_are_held_or_none_and_some_are_shared(databases: tuple[Database, Database]) -> None:
    one = Hold(databases[0].engine, [Lock("house", shared=True), Lock("attic")])
    other = Hold(databases[1].engine, [Lock("house", shared=True), Lock("attic")])
    alone = Hold(databases[1].engine, [Lock("house")])
    assert one.held()
    assert not other.held()
    assert not alone.held()
    one.close()
    assert alone.held(), "of what it couldn't have whole the other has kept nothing"
    alone.close()


def test_a_file_that_one_host_has_locked_is_locked_for_the_other(
    databases: tuple[Database, Database], url: str, tmp_path: Path
) -> None:
    one, other = (host(tmp_path, name, url) for name in ("one", "other"))
    for settings, database in zip((one, other), databases, strict=True):
        share(settings, database.engine)
    for mine, theirs in (
        (one.users_file, other.users_file),
        (one.instance / "backup", other.instance / "backup"),
    ):
        with locked(mine):
            with pytest.raises(Locked), locked(theirs, wait=0):
                pytest.fail("both have it")
            with locked(theirs.with_name("another"), wait=0):
                pass
        with locked(theirs, wait=0):
            pass

    log, same = AuditLog(one.instance), AuditLog(other.instance)
    wrote = threading.Event()

    def write() -> None:
        same.record("something")
        wrote.set()

    with log.chain.locked():
        writer = threading.Thread(target=write)
        writer.start()
        assert not wrote.wait(0.3)
    assert wrote.wait(LONG)
    writer.join()

    share(host(tmp_path, "one", url, hosts="one"), databases[0].engine)
    share(host(tmp_path, "other", url, hosts="one"), databases[1].engine)
    with locked(one.users_file), locked(other.users_file, wait=0):
        pass  # nobody but these two knows of the files now


def test_a_lock_that_went_with_its_connection_is_told_of(
    databases: tuple[Database, Database],
    postgres: Postgres,
    url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = host(tmp_path, "one", url)
    share(one, databases[0].engine)
    with locked(one.users_file):
        postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_try_advisory_lock%' "
            "AND pid <> pg_backend_pid()"
        )
    assert f"the lock of {one.users_file} was lost while it was held" in caplog.text
    share(host(tmp_path, "one", url, hosts="one"), databases[0].engine)


def test_without_the_database_nothing_is_locked_and_the_error_says_so(tmp_path: Path) -> None:
    away = host(tmp_path, "one", f"postgresql://fraud@/bank?host={tmp_path}")
    share(away, Database(away.database_url).engine)
    with pytest.raises(NotReady, match="database can't be asked for a lock"), locked(away.users_file):
        pytest.fail("it has it")
    share(host(tmp_path, "one", away.database_url, hosts="one"), Database(away.database_url).engine)


def test_hosts_share_an_instance_and_keep_out_a_namesake_and_whoever_wants_it_alone(
    url: str, tmp_path: Path
) -> None:
    one, other = host(tmp_path, "one", url), host(tmp_path, "other", url)
    with sole_server(one), sole_server(other):
        with pytest.raises(BadSetting, match="the name one"), sole_server(one):
            pytest.fail("two of one name")
        # as a restore asks, from a machine that can't see the lock of a file
        alone = host(tmp_path, "third", url, hosts="one")
        with pytest.raises(BadSetting, match="Another server works"), sole_server(alone):
            pytest.fail("it has it alone")
    with sole_server(alone), pytest.raises(BadSetting, match="has the name"), sole_server(one):
        pytest.fail("it isn't alone")


def test_a_job_of_a_host_that_is_gone_is_free_soon_and_it_can_write_no_end_of_it(
    databases: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    databases[0].create_tables()
    here, there = (Screenings(each) for each in databases)
    lives, looks = (
        Hold(each.engine, [host_lock(name)]) for each, name in zip(databases, ("one", "other"), strict=True)
    )
    assert lives.held()
    assert looks.held()
    for holder in ("worker-0@one", "trainer@one", "worker-0"):
        made = new_id()
        here.begin(made, WISH)
        here.received(made, 10, "00")
        job = here.claim(holder)
        assert job is not None
        assert job.id == made

    def age(seconds: float) -> None:
        with databases[0].write() as session:
            left = LEASE - timedelta(seconds=seconds)
            session.execute(update(Screening).values(lease_until=here.moment(left)))

    silent = GONE.total_seconds()
    age(silent + 1)
    assert there.release_gone() == 0, "its host is there: it may be slow"
    lives.close()
    age(silent - 5)
    assert there.release_gone() == 0, "it may not have noticed yet"
    age(silent + 1)
    assert there.release_gone() == 0, "the database may have been away: hosts come back one after another"
    monkeypatch.setattr("screening.infra.host_locks.SETTLED_SECONDS", 0.0)
    assert there.release_gone() == 1, "the others are no workers of a server among several"
    assert there.release_gone() == 0
    taken = there.claim("worker-0@other")
    assert taken is not None
    assert not here.renew(taken.id, "worker-0@one")
    assert not here.finish(taken.id, "worker-0@one", state="failed")
    assert there.finish(taken.id, "worker-0@other", state="done")
    looks.close()


def test_a_host_whose_place_was_taken_while_the_database_was_away_is_told(
    url: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.uploads.instance_check.HOLD_KEEP_SECONDS", 0.05)
    one, told = host(tmp_path, "one", url), threading.Event()
    thief = Hold(Database(url).engine, [Lock("host one")])
    with sole_server(one, lost=told.set):
        assert not thief.held()
        while not thief.held():
            postgres.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE 'SELECT%' AND pid <> pg_backend_pid()"
            )
        assert told.wait(LONG)
    thief.close()
