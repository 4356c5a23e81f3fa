"""A file is put while it arrives: whole or not at all, and what a killed process leaves of it is found."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from screening.bucket import bucket as bucket_module
from screening.bucket.arriving import ArrivingObject
from screening.bucket.bucket import PART_BYTES
from screening.bucket.faults import BucketUnavailable
from screening.bucket.kept_list import Listed
from screening.bucket.storage import Storage
from screening.bucket.unfinished import StoreRefused, take_back, unfinished
from screening.errors import NotReady
from tests.s3_server import Home
from tests.waiting import wait_until

CONTENT = random.Random(5).randbytes(2 * PART_BYTES + 12345)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
STEP = 1 << 20


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(bucket_module, "RETRIES", 0)
    # a busy machine may take longer to have parts taken back
    monkeypatch.setattr("screening.bucket.arriving.LEAVE_SECONDS", 60.0)


@pytest.fixture
def home(tmp_path: Path, bucket_home: Home) -> Storage:
    return Storage(tmp_path, bucket_home.url)


@pytest.fixture
def path(home: Storage) -> Path:
    made = home.instance / "screenings" / ("a" * 32) / "input"
    made.parent.mkdir(parents=True)
    return made


def arrive(path: Path, arriving: ArrivingObject, until: int = len(CONTENT)) -> None:
    with path.open("wb", buffering=0) as out:
        for start in range(0, until, STEP):
            out.write(CONTENT[start : min(start + STEP, until)])
            arriving.grown(min(start + STEP, until))


def parts(home: Storage) -> list[str]:
    return [each.key for each in unfinished(home.bucket)]


def wait_for_part(home: Storage) -> None:
    wait_until(lambda: parts(home))


def grow_until_told(arriving: ArrivingObject, size: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        arriving.grown(size)


def test_a_file_is_there_once_it_is_whole_and_no_moment_before(home: Storage, path: Path) -> None:
    with ArrivingObject(home, path) as arriving:
        arrive(path, arriving)
        wait_for_part(home)
        assert home.sizes("screenings") == {}
        assert arriving.finish(len(CONTENT), SHA256) == Listed(len(CONTENT), SHA256)
    assert home.sizes("screenings") == {path: len(CONTENT)}
    assert home.bucket.read(home.key(path)) == CONTENT
    assert parts(home) == []


def test_a_small_file_and_one_without_a_bucket_cost_no_thread(
    tmp_path: Path, home: Storage, path: Path
) -> None:
    for storage, size in ((home, PART_BYTES), (Storage(tmp_path), len(CONTENT))):
        with ArrivingObject(storage, path) as arriving:
            arrive(path, arriving, size)
            assert arriving._thread is None
            assert arriving.finish(size, "") is None
    assert home.sizes("screenings") == {}


def test_a_file_that_is_refused_or_left_leaves_no_part(home: Storage, path: Path) -> None:
    with ArrivingObject(home, path) as arriving:
        arrive(path, arriving)
        wait_for_part(home)
    assert (parts(home), home.sizes("screenings")) == ([], {})


def test_who_receives_says_that_it_goes_on_while_the_bucket_takes_its_time(
    home: Storage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.bucket.arriving.ALIVE_SECONDS", 0.01)
    put, go_on = home.bucket.put_pieces, threading.Event()

    def slowly(pieces: Iterator[bytes], key: str) -> None:
        assert go_on.wait(60)
        put(pieces, key)

    def alive() -> None:
        told.append(path.stat().st_mtime_ns)
        if len(told) == 3:
            go_on.set()

    told = list[int]()
    monkeypatch.setattr(home.bucket, "put_pieces", slowly)
    with ArrivingObject(home, path) as arriving:
        arrive(path, arriving)
        os.utime(path, (0, 0))
        assert arriving.finish(len(CONTENT), SHA256, alive) == Listed(len(CONTENT), SHA256)
    assert len(told) >= 3
    # a worker that reads it looks at its time
    assert told[0] > 0


def test_a_disk_that_gives_back_something_else_is_found_out(home: Storage, path: Path) -> None:
    with ArrivingObject(home, path) as arriving:
        arrive(path, arriving)
        with pytest.raises(NotReady, match="isn't what arrived"):
            arriving.finish(len(CONTENT), "0" * 64)


@pytest.mark.parametrize("fault", ["unreachable", "denied", "broken"])
def test_a_bucket_that_goes_away_ends_the_upload_while_it_arrives(
    home: Storage, path: Path, bucket_home: Home, fault: str
) -> None:
    size = 6 * PART_BYTES
    with ArrivingObject(home, path) as arriving, path.open("wb", buffering=0) as out:
        out.truncate(size)
        arriving.grown(PART_BYTES + 1)
        wait_for_part(home)
        bucket_home.way.fault = fault
        with pytest.raises(BucketUnavailable):
            grow_until_told(arriving, size)
        with pytest.raises(BucketUnavailable):
            arriving.finish(len(CONTENT), SHA256)
    bucket_home.way.fault = None
    assert home.sizes("screenings") == {}
    # what couldn't be taken back is found by the upkeep
    for one in unfinished(home.bucket):
        take_back(home.bucket, one)
        take_back(home.bucket, one)
    assert parts(home) == []


def test_many_uploads_that_nobody_ended_are_listed_in_pages(
    home: Storage, path: Path, bucket_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.bucket.unfinished.MOST_LISTED", 2)
    objects = [ArrivingObject(home, path.with_name(f"{number}")) for number in range(5)]
    for each in objects:
        each._path.write_bytes(CONTENT)
        each.grown(PART_BYTES + 1)
    wait_until(lambda: len(parts(home)) >= len(objects))
    assert sorted(parts(home)) == [home.key(each._path) for each in objects]
    elsewhere = Storage(home.instance, f"{bucket_home.url}-other")
    assert parts(elsewhere) == []
    for each in objects:
        with each:
            pass
    assert parts(home) == []


@pytest.mark.parametrize("begun", ["", "<Initiated>yesterday</Initiated>"])
def test_a_store_that_does_not_say_when_they_were_begun_is_told_of(
    home: Storage, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    told = f"<R><Upload><Key>a</Key><UploadId>b</UploadId>{begun}</Upload></R>".encode()
    monkeypatch.setattr("screening.bucket.unfinished._ask", lambda *_given: told)
    with pytest.raises(StoreRefused, match="without the time at which it was begun"):
        parts(home)


def test_a_store_that_refuses_to_list_them_is_told_of(home: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreRefused, match="403 SignatureDoesNotMatch"):
        parts(home)
