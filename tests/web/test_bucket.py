"""Screenings in a bucket: an upload is there before it is answered, its pages come back on any disk, and deleted is
deleted there, too.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import update

from screening.bucket import bucket
from screening.bucket import storage as storage_module
from screening.bucket.arriving import ArrivingObject
from screening.bucket.bucket import PART_BYTES
from screening.bucket.folders import forget_list
from screening.bucket.storage import KEPT, WHOLE, Storage
from screening.bucket.unfinished import unfinished
from screening.infra.job_queue import now
from screening.monitoring.comparison import DetectorComparison
from screening.settings import Settings
from screening.uploads import deletion
from screening.uploads.screening_job import MOST_PUTTING, ScreeningJob
from screening.uploads.screenings import (
    DONE,
    FAILED,
    QUEUED,
    Screening,
    Screenings,
    UploadRequest,
    back_to_queue,
    new_id,
)
from screening.uploads.storage_quota import AccountFull
from screening.web.services import Services
from screening.worker.loop import Worker
from screening.worker.watch import AlertWatch
from tests.conftest import Person
from tests.s3_server import Home
from tests.served import BOUNDARY
from tests.waiting import wait_until
from tests.web.test_card_numbers import CARDS, payments
from tests.web.test_uploads import Sending, form_of


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way that is fixed works at once."""
    monkeypatch.setattr(bucket, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(bucket, "RETRIES", 1)
    # a busy machine may take longer to have parts taken back
    monkeypatch.setattr("screening.bucket.arriving.LEAVE_SECONDS", 60.0)


@pytest.fixture
def settings(settings: Settings, bucket_home: Home) -> Settings:
    return replace(settings, storage_url=bucket_home.url)


@pytest.fixture
def kept(services: Services) -> Callable[[str], Path]:
    """Waits until a screening's files are all in the bucket; gives its folder."""

    def wait(screening_id: str) -> Path:
        folder = services.settings.instance / "screenings" / screening_id
        wait_until((folder / KEPT).exists)
        return folder

    return wait


@pytest.fixture
def waiting(analyst: Person, services: Services, sample: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    """Screening of the sample that waits for a worker."""
    monkeypatch.setattr("screening.web.pages.uploads.WAIT_SECONDS", 0.0)
    assert analyst.upload(sample).status_code == 303
    (screening_id,) = services.screenings.ids()
    return screening_id


def settle() -> None:
    """Wait until nothing of an ended screening is put away any more."""
    for thread in threading.enumerate():
        if thread.name == "settle":
            thread.join(60)
            assert not thread.is_alive()


def stored(services: Services) -> set[str]:
    """The files that the bucket has of screenings, by the ids of these."""
    return {
        path.relative_to(services.settings.instance / "screenings").as_posix()
        for path in Storage.of(services.settings).sizes("screenings")
    }


def pages(person: Person, screening_id: str) -> list[bytes]:
    """What is seen of a screening, and downloaded."""
    found = []
    for name in ("", "/rows?sort=probability&page=2", "?view=overview", "/flagged.csv", ".json"):
        answer = person.client.get(f"/results/{screening_id}{name}")
        assert answer.status_code == 200, name
        found.append(answer.data.partition(b'name="csrf_token"')[0])
    return found


def test_a_disk_that_is_lost_comes_back_with_the_same_pages(
    analyst: Person, services: Services, worker: Worker, sample: bytes, kept: Callable[[str], Path]
) -> None:
    assert analyst.upload(sample).status_code == 303
    (screening_id,) = services.screenings.ids()
    folder = kept(screening_id)
    before = pages(analyst, screening_id)
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    assert deletion.without_files(services.screenings, services.settings.instance) == []
    assert pages(analyst, screening_id) == before
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == content
    # and what is there already isn't asked for again
    assert stored(services) == {f"{screening_id}/{name}" for name in content.keys() - {WHOLE}}


@pytest.mark.parametrize("fault", ["unreachable", "denied", "broken"])
def test_an_upload_that_the_bucket_does_not_take_is_refused_and_leaves_nothing(
    analyst: Person, services: Services, bucket_home: Home, sample: bytes, fault: str
) -> None:
    bucket_home.way.fault = fault
    answer = analyst.upload(sample)
    assert answer.status_code == 503
    assert "Nothing was lost" in answer.text
    assert bucket_home.url not in answer.text
    assert not services.screenings.ids()
    assert not list((services.settings.instance / "screenings").iterdir())
    bucket_home.way.fault = None
    assert stored(services) == set()


def test_a_large_upload_that_breaks_off_leaves_no_part_in_the_bucket(
    analyst: Person, services: Services
) -> None:
    storage = Storage.of(services.settings)
    content = b"a,b\n" * (PART_BYTES * 3 // 8)
    seen = set[str]()

    def look() -> None:
        """Wait for the first part once there must be one, and leave."""
        if body.tell() < PART_BYTES * 5 // 4:
            return
        deadline = time.monotonic() + 60
        while not seen:
            assert time.monotonic() < deadline
            seen.update(each.key for each in unfinished(storage.bucket))
        raise OSError

    body = Sending(form_of(analyst.token("/upload"), content), look)
    answer = analyst.client.post(
        "/upload",
        input_stream=body,
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
        content_length=len(body.getvalue()),
    )
    assert answer.status_code == 400
    assert len(seen) == 1
    assert not services.screenings.ids()
    assert stored(services) == set()
    assert list(unfinished(storage.bucket)) == []


def test_parts_that_a_killed_process_left_are_removed_and_those_of_an_upload_that_arrives_are_not(
    analyst: Person, services: Services, bucket_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.of(services.settings)
    arriving, ended, gone = (new_id() for _ in range(3))
    wish = UploadRequest(
        owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
    )
    for one in (arriving, ended):
        services.screenings.begin(one, wish)
    with services.database.write() as session:
        session.execute(update(Screening).where(Screening.id == ended).values(state=FAILED))
    keys = [f"screenings/{one}/input" for one in (arriving, ended, gone)] + ["ledger/a.parquet"]
    objects = [ArrivingObject(storage, storage.instance / key) for key in keys]
    for key, each in zip(keys, objects, strict=True):
        (storage.instance / key).parent.mkdir(parents=True, exist_ok=True)
        (storage.instance / key).write_bytes(bytes(PART_BYTES + 1))
        each.grown(PART_BYTES + 1)

    def left() -> set[str]:
        return {each.key for each in unfinished(storage.bucket)}

    wait_until(lambda: left() == set(keys))
    # a store that can't be reached loses nothing, and is asked again
    bucket_home.way.fault = "unreachable"
    assert deletion.take_back_unfinished(services.screenings, storage.instance) == 0
    bucket_home.way.fault = None
    assert deletion.take_back_unfinished(services.screenings, storage.instance) == 1
    assert left() == {keys[0], keys[1], keys[3]}
    monkeypatch.setattr(deletion, "LEFT_SECONDS", -60.0)
    assert deletion.take_back_unfinished(services.screenings, storage.instance) == 2
    assert left() == {keys[0]}
    for each in objects:
        with each:
            pass


def test_an_upload_waits_in_the_bucket_for_a_worker_of_another_disk(
    waiting: str, services: Services, settings: Settings, sample: bytes, kept: Callable[[str], Path]
) -> None:
    assert services.screenings.state(waiting) == QUEUED
    assert stored(services) == {f"{waiting}/input", f"{waiting}/{KEPT}"}
    shutil.rmtree(services.settings.instance / "screenings" / waiting)
    worker = Worker(settings, services.screenings, services.detectors)
    assert worker.work_once()
    assert services.screenings.state(waiting) == DONE
    assert (kept(waiting) / "input").read_bytes() == sample


def test_a_screening_waits_for_a_bucket_that_is_away_and_not_for_ever(
    waiting: str, analyst: Person, services: Services, settings: Settings, bucket_home: Home
) -> None:
    shutil.rmtree(settings.instance / "screenings" / waiting)
    bucket_home.way.fault = "unreachable"
    worker = Worker(settings, services.screenings, services.detectors)

    def tried(since: datetime | None) -> Screening:
        """Have a worker look once the wait is over; give the row."""
        values = {"lease_until": now() - timedelta(seconds=1), "out_of_reach": since}
        with services.database.write() as session:
            session.execute(update(Screening).values(values))
        assert worker.work_once()
        found = services.screenings.get(waiting)
        assert found is not None
        return found

    found = tried(None)
    assert (found.state, found.attempts, found.error) == (QUEUED, 0, None)
    # nobody takes it for a while, and it says why it waits
    assert not worker.work_once()
    assert "Waiting until its file can be reached" in analyst.client.get(f"/results/{waiting}").text
    since = found.out_of_reach
    assert since is not None
    assert tried(since).out_of_reach == since
    ended = tried(now() - timedelta(hours=25))
    assert ended.state == FAILED
    assert ended.error is not None
    assert "couldn't be reached for 24 hours: it can't be reached" in ended.error["what"]
    bucket_home.way.fault = None
    assert stored(services) == {f"{waiting}/input", f"{waiting}/{KEPT}"}
    with services.database.write() as session:
        again = session.get(Screening, waiting)
        assert again is not None
        back_to_queue(again, check_first=False)
    assert worker.work_once()
    done = services.screenings.get(waiting)
    assert done is not None
    assert (done.state, done.out_of_reach) == (DONE, None)


def test_what_is_deleted_goes_from_the_bucket_and_what_a_fault_left_is_found(
    analyst: Person,
    services: Services,
    worker: Worker,
    bucket_home: Home,
    sample: bytes,
    kept: Callable[[str], Path],
) -> None:
    for _ in range(3):
        assert analyst.upload(sample).status_code == 303
    first, second, third = services.screenings.ids()
    for each in (first, second, third):
        kept(each)
    delete = f"/results/{first}/delete"
    assert analyst.post(delete, f"/results/{first}").status_code == 303
    assert {name.partition("/")[0] for name in stored(services)} == {second, third}
    bucket_home.way.fault = "broken"
    assert analyst.post(f"/results/{second}/delete", f"/results/{second}").status_code == 303
    bucket_home.way.fault = None
    assert {name.partition("/")[0] for name in stored(services)} == {second, third}
    assert deletion.clear_leftovers(
        services.screenings, services.ledger.jobs, services.settings.instance
    ) == [second]
    assert {name.partition("/")[0] for name in stored(services)} == {third}


def test_card_numbers_leave_the_bucket_with_the_upload_that_had_them(
    analyst: Person, services: Services, worker: Worker, kept: Callable[[str], Path]
) -> None:
    assert analyst.upload(payments(), tokenize="1").status_code == 303
    (screening_id,) = services.screenings.ids()
    kept(screening_id)
    names = {name.partition("/")[2] for name in stored(services)}
    assert {"tokens.csv", "tokens.json"} <= names
    assert "input" not in names
    storage = Storage.of(services.settings)
    for name in names:
        content = storage.bucket.read(f"screenings/{screening_id}/{name}")
        assert content is not None
        assert not any(card.encode() in content for card in CARDS), name


def test_results_that_could_not_be_put_are_put_later_and_stay_on_the_disk_until_then(
    waiting: str, analyst: Person, services: Services, settings: Settings, bucket_home: Home, sample: bytes
) -> None:
    bucket_home.way.fault = "broken"
    worker = Worker(settings, services.screenings, services.detectors)
    assert worker.work_once()
    assert services.screenings.state(waiting) == DONE
    settle()
    before = pages(analyst, waiting)
    storage = Storage(settings.instance, bucket_home.url, 1)
    assert storage.trim() == 0
    bucket_home.way.fault = None
    assert deletion.put_missing(services.screenings, settings.instance) == 1
    assert deletion.put_missing(services.screenings, settings.instance) == 0
    folder = settings.instance / "screenings" / waiting
    used = time.time_ns() - int(2e9 * storage_module.YOUNG_SECONDS)
    os.utime(folder / KEPT, ns=(used, (folder / KEPT).stat().st_mtime_ns))
    assert storage.trim() > len(sample)
    assert {path.name for path in folder.iterdir()} == {KEPT, WHOLE}
    # what has left the disk still counts as its owner's, and isn't taken for something to delete
    services.quota.require("ana", settings.stored_per_account - len(sample) * 3)
    with pytest.raises(AccountFull):
        services.quota.require("ana", settings.stored_per_account - len(sample))
    assert deletion.put_missing(services.screenings, settings.instance) == 0
    bucket_home.way.fault = "unreachable"
    answer = analyst.client.get(f"/results/{waiting}")
    assert answer.status_code == 503
    assert "be used at the moment" in answer.text
    bucket_home.way.fault = None
    assert pages(analyst, waiting) == before


def test_files_of_a_screening_that_is_deleted_while_they_are_put_do_not_stay_in_the_bucket(
    waiting: str, services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Worker(settings, services.screenings, services.detectors).work_once()
    settle()
    storage = Storage.of(settings)
    forget_list(settings.instance / "screenings" / waiting)
    storage.bucket.delete([f"screenings/{waiting}/{KEPT}"])
    put = storage.bucket.put

    def meanwhile(path: Path, key: str) -> None:
        put(path, key)
        deletion.delete(services.screenings, settings.instance, waiting)
        storage.bucket.write(key, b"it arrives there late")
        late.append(key)

    late = list[str]()
    monkeypatch.setattr(storage.bucket, "put", meanwhile)
    assert deletion.put_missing(services.screenings, settings.instance) == 0
    assert late
    assert stored(services) == set()


def test_a_slow_bucket_has_only_some_screenings_put_at_a_time(
    services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_put, most, guard = set[str](), list[int](), threading.Lock()
    some, go_on = threading.Semaphore(0), threading.Event()

    def slowly(_screenings: Screenings, _instance: Path, screening_id: str) -> bool:
        with guard:
            now_put.add(screening_id)
            most.append(len(now_put))
        some.release()
        assert go_on.wait(60)
        with guard:
            now_put.remove(screening_id)
        return True

    monkeypatch.setattr(deletion, "put_ended", slowly)
    job = ScreeningJob(
        settings, services.screenings, services.detectors, services.signals, ledger=services.ledger
    )
    for _ in range(2 * MOST_PUTTING):
        job.ended(Screening(id=new_id()), {"state": FAILED})
    for _ in range(MOST_PUTTING):
        assert some.acquire(timeout=60)
    go_on.set()
    settle()
    assert len(most) == 2 * MOST_PUTTING
    assert max(most) == MOST_PUTTING


def test_screenings_that_cannot_be_put_do_not_keep_others_from_being_put(
    analyst: Person,
    services: Services,
    worker: Worker,
    sample: bytes,
    kept: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(2):
        assert analyst.upload(sample).status_code == 303
    first, second = sorted(services.screenings.ids())
    storage = Storage.of(services.settings)
    # an object is gone, and what was brought beside it is later than the list
    folder = kept(first)
    (folder / "meta.json").unlink()
    storage.bucket.delete([f"screenings/{first}/meta.json"])
    (folder / "reasons.json").touch()
    forget_list(kept(second))
    monkeypatch.setattr(deletion, "MOST_PUT", 1)
    assert deletion.put_missing(services.screenings, services.settings.instance) == 1
    assert (services.settings.instance / "screenings" / second / KEPT).exists()
    assert deletion.put_missing(services.screenings, services.settings.instance) == 0


def test_a_bucket_that_cannot_be_used_for_long_is_an_alert_and_metrics_tell_of_the_cache(
    services: Services, settings: Settings, bucket_home: Home, app: Flask
) -> None:
    comparison = DetectorComparison(settings, services.database, services.ledger, services.detectors)
    times = [time.time()]
    alone = replace(settings, alerts={"bucket": 5.0})
    watch = AlertWatch(alone, services.database, services.ledger, {}, comparison, clock=lambda: times[0])

    def going_on(minutes: float) -> list[str]:
        times[0] += minutes * 60
        watch.step()
        return [alert.rule for alert in watch.alerts.going_on()]

    assert going_on(0) == []
    bucket_home.way.fault = "denied"
    assert [going_on(minutes) for minutes in (1, 4, 1)] == [[], [], ["bucket"]]
    (alert,) = watch.alerts.going_on()
    assert "doesn't accept these credentials" in alert.text
    # what is ready to score stays ready: decisions need no bucket
    assert app.test_client().get("/readyz").status_code == 200
    bucket_home.way.fault = None
    assert going_on(10) == []
    text = app.test_client().get("/metrics").text
    assert "fraud_bucket_cached_bytes 0.0" in text
    assert "fraud_bucket_cache_limit_bytes 2.147483648e+" in text
