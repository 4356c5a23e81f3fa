"""A folder and a database that don't belong together stop the start, and nothing is deleted for it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sqlite3
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from sqlalchemy import text

from screening import server
from screening.errors import NotReady
from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger.tables import BATCH, SegmentDraft
from screening.settings import Settings
from screening.training.training_job import TrainingJob
from screening.training.trainings import Trainings
from screening.uploads import deletion, instance_check
from screening.uploads.screenings import Screenings
from screening.web.app_factory import create_app
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.screening.ledger.ledger_rows import table
from tests.screening.ledger.test_jobs import JOB, job
from tests.waiting import wait_until

OLD = time.time() - 3600


def aged(instance: Path) -> list[Path]:
    """Make everything look as if it had lain there for an hour; return it.

    Left out is what the worker may be writing: the disk's reserve, and files that get their name when they are whole.
    """
    found = [
        path
        for path in instance.rglob("*")
        if not path.name.startswith("reserve")
        and path.suffix != ".part"
        and path.exists()
        and not path.is_symlink()
    ]
    for path in found:
        os.utime(path, (OLD, OLD))
    return found


@pytest.fixture
def used(analyst: Person, worker: Worker, sample: bytes, settings: Settings) -> Settings:
    """An instance with a screening."""
    assert analyst.upload(sample).status_code == 303
    return settings


def elsewhere(settings: Settings, path: Path) -> Settings:
    return dataclasses.replace(settings, database_url=f"sqlite:///{path}")


@pytest.mark.security(51)
def test_a_new_database_beside_an_instances_screenings_is_no_start(used: Settings, tmp_path: Path) -> None:
    before = aged(used.instance)
    with pytest.raises(NotReady, match="files of 1 screenings, and the database knows none"):
        create_app(elsewhere(used, tmp_path / "other.sqlite3"))
    assert not [path for path in before if not path.exists()]


@pytest.mark.security(51)
def test_another_instances_database_is_no_start(used: Settings, tmp_path: Path) -> None:
    other = dataclasses.replace(
        used, instance=tmp_path / "second", database_url=f"sqlite:///{tmp_path / 'b.sqlite3'}"
    )
    create_app(other)
    before = aged(used.instance)
    with pytest.raises(NotReady, match="another instance's than the folder"):
        create_app(elsewhere(used, tmp_path / "b.sqlite3"))
    assert not [path for path in before if not path.exists()]


@pytest.mark.security(51)
def test_no_left_over_is_cleared_by_a_database_that_was_put_there_while_the_server_ran(
    used: Settings, services: Services, tmp_path: Path
) -> None:
    strange = Database(f"sqlite:///{tmp_path / 'strange.sqlite3'}")
    strange.create_tables()
    with strange.write() as session:
        session.add(instance_check.Instance(id="f" * 32))
    before = aged(used.instance)
    screenings = Screenings(strange)
    assert deletion.clear_leftovers(screenings, services.ledger.jobs, used.instance) == []
    parts = used.instance / "trainings" / ("e" * 32)
    parts.mkdir(parents=True)
    os.utime(parts, (OLD, OLD))
    TrainingJob(used, Trainings(strange), "unused").tidy()
    assert parts.exists()
    assert not [path for path in before if not path.exists()]


@pytest.mark.security(51)
def test_an_instance_of_an_earlier_version_gets_its_id_and_keeps_it(
    used: Settings, services: Services
) -> None:
    first = (used.instance / instance_check.FILE).read_text()
    (used.instance / instance_check.FILE).unlink()
    with services.database.write() as session:
        session.query(instance_check.Instance).delete()
    create_app(used)
    second = (used.instance / instance_check.FILE).read_text()
    assert second != first
    create_app(used)
    assert (used.instance / instance_check.FILE).read_text() == second
    assert (used.instance / instance_check.FILE).stat().st_mode & 0o777 == 0o600


def test_what_a_detector_remembers_of_a_job_is_no_left_over(used: Settings, services: Services) -> None:
    """It has no screening, and is cleared when the job has left the ledger."""
    rows = table(1, screening=None, source=BATCH, request=JOB)
    assert services.ledger.jobs.enter(job(JOB, 1), services.ledger.segments, [rows])
    remembered = services.policy.context(services.detectors.get("payments"), None)
    columns = len(services.detectors.get("payments").contract.columns)
    for name in (JOB, "e" * 32):
        remembered.remember(name, np.zeros((1, columns)), None)
    aged(used.instance)
    given = services.screenings, services.ledger.jobs, used.instance
    assert deletion.clear_leftovers(*given) == ["e" * 32]
    assert remembered.has(JOB)
    services.ledger.segments.expire(now() + timedelta(days=1))
    assert deletion.clear_leftovers(*given) == [JOB]
    assert not remembered.has(JOB)


@pytest.mark.security(52)
def test_an_empty_database_beside_screenings_is_no_start(
    used: Settings, services: Services, worker: Worker
) -> None:
    worker.stop()
    services.database.engine.dispose()
    with sqlite3.connect(used.instance / "screening.sqlite3") as emptied:
        emptied.execute("DELETE FROM screenings")
        emptied.execute("DELETE FROM instances")
    emptied.close()
    with pytest.raises(NotReady, match="knows none of them"):
        create_app(used)
    assert list((used.instance / "screenings").iterdir())


def pages_overwritten(file: Path, place: int, places: int) -> bytes:
    """Overwrite some pages of a database; return what it holds now."""
    data = bytearray(file.read_bytes())
    size = 4096
    first = max(len(data) // size * place // places, 1) * size
    data[first : first + 3 * size] = os.urandom(min(3 * size, len(data) - first))
    file.write_bytes(bytes(data))
    return bytes(data)


@pytest.mark.security(52)
@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("name", ["screening.sqlite3", "ledger.sqlite3"])
def test_a_database_with_overwritten_pages_is_no_start_and_is_kept(
    app: Flask, settings: Settings, services: Services, place: int, name: str
) -> None:
    with services.database.write() as session:
        for number in range(2000):
            session.execute(
                text("INSERT INTO counters (key, count, until) VALUES (:k, 1, 1.0)"),
                {"k": f"key {number}"},
            )
    for database in (services.database, services.ledger.tables):
        with database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        database.engine.dispose()
    file = settings.instance / name
    whole = file.read_bytes()
    damaged = pages_overwritten(file, place, 7)
    with pytest.raises(NotReady, match=r"damaged|can't be used"):
        server.prepare(settings)
    assert file.read_bytes() == damaged
    file.write_bytes(whole)
    server.prepare(settings)


@pytest.mark.security(52)
def test_readiness_reads_and_writes_and_remembers_damage(
    app: Flask, services: Services, settings: Settings
) -> None:
    client = app.test_client()
    assert client.get("/readyz").status_code == 200
    with services.database.read() as session:
        assert session.query(instance_check.Instance).one().seen > time.time() - 60
    with services.database.write() as session:
        session.query(instance_check.Instance).delete()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "emptied" in (answer.json or {})["detail"]


@pytest.mark.security(52)
def test_a_first_segment_that_was_never_entered_is_no_reason_not_to_start(
    settings: Settings, services: Services
) -> None:
    """The disk failed between the file and the manifest, once: what is left is a draft, and nothing is lost by it."""
    folder = settings.instance / "ledger"
    folder.mkdir(exist_ok=True)
    left = folder / "api-00ff00ff.parquet"
    left.write_bytes(b"PAR1")
    with services.ledger.tables.write() as session:
        session.add(SegmentDraft(name=left.stem, since=now()))
    services.ledger.require_manifest()
    left.rename(folder / "api-unknown.parquet")
    with pytest.raises(NotReady, match="its manifest knows none"):
        services.ledger.require_manifest()


@pytest.mark.security(52)
def test_segments_without_a_manifest_are_no_start(used: Settings, services: Services, worker: Worker) -> None:
    wait_until(services.ledger.segments.all)
    worker.stop()
    services.ledger.tables.engine.dispose()
    for beside in ("", "-wal", "-shm"):
        (used.instance / f"ledger.sqlite3{beside}").unlink(missing_ok=True)
    with pytest.raises(NotReady, match="its manifest knows none"):
        server.prepare(used)
    shutil.rmtree(used.instance / "ledger")
    server.prepare(used)
