"""Old screenings go by the operator's rule, left-overs of crashes go, and what is lost is told."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, update

from screening.infra.audit.log import AuditLog
from screening.infra.job_queue import now
from screening.ledger.history import DetectorHistory
from screening.ledger.tables import API, FILE
from screening.settings import Settings
from screening.uploads import deletion, screening_job
from screening.uploads.line.conclusion import ScreeningSummary
from screening.uploads.recording import Recording
from screening.uploads.screenings import (
    CHECKED,
    DONE,
    FAILED,
    QUEUED,
    RECEIVING,
    RUNNING,
    Screening,
    UploadRequest,
    new_id,
)
from screening.uploads.upload_folder import UploadFolder
from screening.web.services import Services
from screening.worker import upkeep
from screening.worker.loop import Worker
from screening.worker.upkeep import Upkeep
from tests.screening.ledger.ledger_rows import table

WISH = UploadRequest(
    owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
)
LONG_AGO = time.time() - 3600


def screening(services: Services, state: str, days: float) -> str:
    """One that ended so many days ago, with files and with rows that a detector remembers."""
    folder = UploadFolder(services.settings.instance, new_id())
    folder.create()
    services.screenings.begin(folder.path.name, WISH)
    ended = now() - timedelta(days=days)
    values: dict[str, Any] = {"state": state, "created": ended, "sha256": "ab" * 32}
    if state in (DONE, CHECKED, FAILED):
        values["finished"] = ended
    with services.database.write() as session:
        session.execute(update(Screening).where(Screening.id == folder.path.name).values(values))
    remember(services, folder.path.name)
    return folder.path.name


def remember(services: Services, name: str) -> None:
    detector = services.detectors.get("payments")
    DetectorHistory(services.settings.instance, detector, counting=None).remember(
        name, np.ones((2, len(detector.contract.columns))), None
    )


def remembered(services: Services) -> set[str]:
    return {path.stem for path in (services.settings.instance / "context").glob("*/*")}


def on_disk(services: Services) -> set[str]:
    return {path.name for path in (services.settings.instance / "screenings").iterdir()}


def told(settings: Settings) -> list[dict[str, Any]]:
    """What the audit log has of the upkeep."""
    lines = (json.loads(line) for path in AuditLog(settings.instance).files() for line in path.open())
    return [
        line for line in lines if line["event"] in ("screening_expired", "leftover_removed", "ledger_expired")
    ]


@pytest.fixture
def tidy(services: Services) -> Callable[..., None]:
    """Does all the upkeep that is due at a start, with other settings."""

    def run(**changes: Any) -> None:
        settings = replace(services.settings, **changes)
        Upkeep(settings, services.screenings, services.detectors, services.ledger).step()

    return run


def test_screenings_stay_for_as_long_as_nobody_says_otherwise(
    services: Services, tidy: Callable[..., None]
) -> None:
    kept = screening(services, DONE, 4000)
    tidy()
    assert services.screenings.state(kept) == DONE
    assert on_disk(services) == {kept}


@pytest.mark.parametrize("state", [DONE, CHECKED, FAILED])
def test_an_old_screening_goes_with_all_that_is_known_of_it(
    services: Services, tidy: Callable[..., None], state: str
) -> None:
    old, young = screening(services, state, 91), screening(services, state, 89)
    tidy(keep_screenings_days=90)
    assert services.screenings.ids() == on_disk(services) == remembered(services) == {young}
    (line,) = told(services.settings)
    assert (line["event"], line["screening"], line["owner"], line["kept_days"]) == (
        "screening_expired",
        old,
        "ana",
        90,
    )


@pytest.mark.parametrize("state", [RECEIVING, QUEUED, RUNNING])
def test_a_screening_that_is_not_over_stays_however_old(
    services: Services, tidy: Callable[..., None], state: str
) -> None:
    old = screening(services, state, 400)
    tidy(keep_screenings_days=1)
    assert services.screenings.state(old) == state
    assert on_disk(services) == remembered(services) == {old}


def test_one_that_its_owner_sets_to_work_in_this_moment_stays(services: Services) -> None:
    old = screening(services, CHECKED, 400)
    limit = now() - timedelta(days=1)
    assert [one.id for one in services.screenings.older(limit, limit=9)] == [old]
    assert services.screenings.approve(old, set_aside_bad=False)
    assert not services.screenings.remove_older(old, limit)
    assert services.screenings.state(old) == QUEUED


def test_many_old_ones_go_some_at_a_time(
    services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 2)
    for days in (50, 60, 70, 80, 90):
        screening(services, DONE, days)
    tidying = Upkeep(
        replace(settings, keep_screenings_days=30), services.screenings, services.detectors, services.ledger
    )
    left = []
    for _ in range(4):
        tidying.step()
        left.append(len(services.screenings.ids()))
    assert left == [3, 1, 0, 0]


def test_the_rule_is_applied_again_each_hour(services: Services, settings: Settings) -> None:
    clock = [0.0]
    tidying = Upkeep(
        replace(settings, keep_screenings_days=30),
        services.screenings,
        services.detectors,
        services.ledger,
        lambda: clock[0],
    )
    tidying.step()
    old = screening(services, DONE, 31)
    clock[0] = 3599.0
    tidying.step()
    assert services.screenings.ids() == {old}
    clock[0] = 3600.0
    tidying.step()
    assert services.screenings.ids() == set()


def test_the_worker_applies_the_rule(settings: Settings, services: Services) -> None:
    old = screening(services, DONE, 31)
    working = Worker(replace(settings, keep_screenings_days=30), services.screenings, services.detectors)
    working._stop.is_set = lambda: services.screenings.state(old) is None  # type: ignore[method-assign]
    working.loop()
    assert on_disk(services) == set()


def test_old_decisions_leave_the_ledger_and_their_screening_is_not_entered_again(
    services: Services, tidy: Callable[..., None]
) -> None:
    ledger = services.ledger
    for days in (40, 20):
        name = screening(services, DONE, days)
        decided = now() - timedelta(days=days)
        ledger.segments.add(name, FILE, table(3, screening=name, decided_at=decided))
    tidy()
    assert len(ledger.segments.screenings()) == 2
    tidy(keep_ledger_days=30)
    assert ledger.segments.screenings() == {name}
    assert len(services.screenings.ids()) == 2
    with services.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Recording)) == 0
    (line,) = told(services.settings)
    assert (line["event"], line["rows"], line["kept_days"]) == ("ledger_expired", 3, 30)


def test_segments_of_days_that_are_over_are_put_together(
    services: Services, tidy: Callable[..., None]
) -> None:
    noon = (now() - timedelta(days=2)).replace(hour=12)
    for number in range(3):
        made = table(3, screening=None, source=API, decided_at=noon + timedelta(minutes=number))
        services.ledger.segments.add(f"api-{number}", API, made)
    tidy()
    assert [each.rows for each in services.ledger.segments.all()] == [9]


def aged(path: Path) -> None:
    os.utime(path, (LONG_AGO, LONG_AGO))


def test_files_of_no_screening_go_and_that_is_told(services: Services, tidy: Callable[..., None]) -> None:
    """The server was killed between removing the row and removing the files."""
    kept, gone = screening(services, DONE, 1), screening(services, DONE, 1)
    services.screenings.remove(gone)
    for path in (services.settings.instance / "screenings" / gone, *_parts(services, gone)):
        aged(path)
    tidy()
    assert on_disk(services) == remembered(services) == {kept}
    assert [(line["event"], line["screening"]) for line in told(services.settings)] == [
        ("leftover_removed", gone)
    ]


def _parts(services: Services, name: str) -> list[Path]:
    return list((services.settings.instance / "context").glob(f"*/{name}.*"))


def test_what_a_detector_remembers_of_no_screening_goes_alone(
    services: Services, tidy: Callable[..., None]
) -> None:
    """Killed after the folder went; and while rows were being written down."""
    screening(services, DONE, 1)
    gone, half = new_id(), new_id()
    for name in (gone, half):
        remember(services, name)
    (written,) = _parts(services, half)
    written = written.rename(written.with_suffix(".part"))
    for path in (*_parts(services, gone), written):
        aged(path)
    tidy()
    assert not remembered(services) & {gone, half}


def test_an_upload_that_has_no_row_yet_stays(services: Services, tidy: Callable[..., None]) -> None:
    screening(services, DONE, 1)
    folder = UploadFolder(services.settings.instance, new_id())
    folder.create()
    tidy()
    assert folder.input.exists()


def test_what_is_no_screening_is_left_alone(services: Services, tidy: Callable[..., None]) -> None:
    screening(services, DONE, 1)
    theirs = services.settings.instance / "screenings" / "lost+found"
    theirs.mkdir()
    aged(theirs)
    tidy()
    assert theirs.is_dir()


def test_an_empty_database_does_not_wipe_the_disk(
    services: Services, tidy: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """DATABASE_URL names another one by mistake."""
    kept = screening(services, DONE, 1)
    services.screenings.remove(kept)
    aged(services.settings.instance / "screenings" / kept)
    tidy()
    assert on_disk(services) == {kept}
    assert "DATABASE_URL" in caplog.text


def test_screenings_whose_files_are_gone_stay_and_are_told_once(
    services: Services, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    lost = screening(services, DONE, 1)
    shutil.rmtree(settings.instance / "screenings" / lost)
    clock = [0.0]
    tidying = Upkeep(settings, services.screenings, services.detectors, services.ledger, lambda: clock[0])
    with caplog.at_level(logging.ERROR, "screening.worker.upkeep"):
        for hour in range(3):
            clock[0] = 3600.0 * hour
            tidying.step()
    assert [record.getMessage() for record in caplog.records] == [
        f"files are gone from the disk: 1 screenings have none, first {lost}"
    ]
    assert services.screenings.state(lost) == DONE


def test_what_a_killed_command_left_goes_after_days(services: Services, tidy: Callable[..., None]) -> None:
    old, young = (services.settings.instance / name for name in ("screen-old", "training-young"))
    for path in (old, young):
        (path / "command-line").mkdir(parents=True)
    os.utime(old, (time.time() - 4 * 24 * 3600,) * 2)
    tidy()
    assert (old.exists(), young.exists()) == (False, True)


def test_a_disk_that_cannot_be_tidied_is_told_and_stops_nothing(
    services: Services, tidy: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """A file is called as a scratch folder is: the rest is done nevertheless."""
    (services.settings.instance / "screen-odd").write_text("no folder")
    os.utime(services.settings.instance / "screen-odd", (0, 0))
    old = screening(services, DONE, 31)
    tidy(keep_screenings_days=30)
    assert services.screenings.state(old) is None
    assert "not everything could be tidied" in caplog.text


def test_a_fault_of_one_task_is_told_stops_nothing_and_is_tried_again(
    services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    times = [0.0]
    ledger = services.ledger
    kept = replace(settings, keep_screenings_days=30)
    tidying = Upkeep(kept, services.screenings, services.detectors, ledger, clock=lambda: times[0])
    tried: list[float] = []

    def faulty() -> None:
        tried.append(times[0])
        raise ValueError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr(ledger.tail, "due", faulty)
        old = screening(services, DONE, 31)
        for seconds in (0, 1, 59, 61):
            times[0] = seconds
            tidying.step()
    assert tried == [0, 61]
    assert services.screenings.state(old) is None
    assert caplog.text.count("seal failed, and is tried again in a minute") == 2


def test_rows_of_a_screening_that_was_deleted_while_it_ran_are_forgotten(
    services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted after its last batch: the worker wrote down what it saw after the deletion."""
    queued = screening(services, QUEUED, 0)

    def screened(folder: UploadFolder, *_: object, **__: object) -> ScreeningSummary:
        deletion.delete(services.screenings, settings.instance, queued)
        folder.create()
        remember(services, queued)
        nothing: dict[str, Any] = {"rows": 0, "flagged": 0, "set_aside": 0, "quality": None, "notes": []}
        limits: dict[str, Any] = {"threshold": 0.8, "block": None, "blocked": None}
        return ScreeningSummary(detector="payments", fingerprint="0" * 64, **nothing, **limits)

    monkeypatch.setattr(screening_job, "screen", screened)
    assert Worker(settings, services.screenings, services.detectors).work_once()
    assert remembered(services) == on_disk(services) == set()
