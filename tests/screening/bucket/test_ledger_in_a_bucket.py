"""The ledger's segments in a bucket: there before the manifest names them, back on any disk, gone when they leave."""

from __future__ import annotations

import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from screening.bucket import bucket, storage
from screening.bucket.bucket import Bucket
from screening.bucket.faults import BucketUnavailable
from screening.bucket.storage import Storage
from screening.infra.job_queue import now
from screening.ledger.filters import DamagedLedger, DecisionFilter, QueryResult, TooMuch
from screening.ledger.ledger import Ledger
from screening.ledger.tables import FILE, Segment, SegmentDraft
from tests.s3_server import Home
from tests.screening.ledger.ledger_rows import table

A, B = "a" * 32, "b" * 32


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way that is fixed works at once; the pause has a test of its own."""
    monkeypatch.setattr(bucket, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(bucket, "RETRIES", 1)


@pytest.fixture
def ledger(tmp_path: Path, bucket_home: Home) -> Ledger:
    return opened(tmp_path, bucket_home)


def opened(instance: Path, home: Home, most: int = storage.MOST_BYTES) -> Ledger:
    return Ledger.open(instance, "sqlite:///unused", storage=Storage(instance, home.url, most))


def add(ledger: Ledger, name: str, rows: int = 3) -> Segment:
    made = ledger.segments.add(name, FILE, table(rows, screening=name))
    assert made is not None
    return made


def stored(ledger: Ledger) -> set[str]:
    return {path.stem for path in ledger.storage.sizes("ledger")}


def drafts(ledger: Ledger) -> set[str]:
    with ledger.tables.read() as session:
        return set(session.scalars(select(SegmentDraft.name)))


def counted(ledger: Ledger) -> QueryResult:
    return ledger.questions.summary(DecisionFilter())


def test_a_disk_that_is_lost_comes_back_with_the_same_answers_and_hashes(
    tmp_path: Path, ledger: Ledger, bucket_home: Home
) -> None:
    for name, rows in ((A, 3), (B, 5)):
        add(ledger, name, rows)
    before, listed = counted(ledger), ledger.questions.rows(DecisionFilter(), limit=10)
    shutil.rmtree(ledger.segments.folder)
    again = opened(tmp_path, bucket_home)
    assert again.segments.verify() == []
    assert counted(again) == before
    assert again.questions.rows(DecisionFilter(), limit=10) == listed
    assert {path.stem for path in again.segments.folder.iterdir()} == stored(again)


def test_a_question_brings_the_segments_that_it_is_about_and_no_others(ledger: Ledger) -> None:
    one = add(ledger, A)
    add(ledger, B)
    shutil.rmtree(ledger.segments.folder)
    assert ledger.questions.summary(DecisionFilter(screening=A)).rows[0]["transactions"] == 3
    assert [path.stem for path in ledger.segments.folder.iterdir()] == [one.name]


@pytest.mark.parametrize("fault", ["unreachable", "denied", "broken", "mute"])
def test_a_bucket_that_cannot_be_reached_enters_nothing_and_answers_nothing(
    ledger: Ledger, bucket_home: Home, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(bucket, "SILENCE_SECONDS", 0.5)
    add(ledger, A)
    before = counted(ledger)
    bucket_home.way.fault = fault
    with pytest.raises(BucketUnavailable, match=r"can't be used at the moment: .*Nothing was lost"):
        add(ledger, B)
    # nothing is entered, and nothing of it is on the disk; the note is for what the bucket may have got
    assert ledger.segments.screenings() == {A}
    assert {path.stem for path in ledger.segments.folder.iterdir()} == {
        each.name for each in ledger.segments.all()
    }
    assert len(drafts(ledger)) == 1
    # what is on the disk is answered from there
    assert counted(ledger) == before
    shutil.rmtree(ledger.segments.folder)
    with pytest.raises(BucketUnavailable):
        ledger.questions.rows(DecisionFilter(), limit=10)
    with pytest.raises(BucketUnavailable):
        ledger.segments.verify()
    bucket_home.way.fault = None
    add(ledger, B)
    assert counted(ledger).rows[0]["transactions"] == 6


def test_an_answer_that_is_cut_off_is_no_file(ledger: Ledger, bucket_home: Home) -> None:
    add(ledger, A, 3000)
    shutil.rmtree(ledger.segments.folder)
    bucket_home.way.fault = "truncated"
    with pytest.raises(BucketUnavailable):
        counted(ledger)
    assert list(ledger.segments.folder.iterdir()) == []
    bucket_home.way.fault = None
    assert counted(ledger).rows[0]["transactions"] == 3000


def test_whoever_asks_just_after_a_failure_is_told_at_once(
    ledger: Ledger, bucket_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "PAUSE_SECONDS", 600.0)
    bucket_home.way.fault = "unreachable"
    with pytest.raises(BucketUnavailable, match="can't be reached"):
        ledger.storage.sizes("ledger")
    seen = bucket_home.way.seen
    with pytest.raises(BucketUnavailable, match="a moment ago"):
        ledger.storage.sizes("ledger")
    assert bucket_home.way.seen == seen


def test_what_could_not_be_deleted_in_the_bucket_is_noted_and_swept_later(
    ledger: Ledger, bucket_home: Home
) -> None:
    made = add(ledger, A)
    bucket_home.way.fault = "broken"
    assert ledger.segments.forget(A)
    bucket_home.way.fault = None
    assert (stored(ledger), drafts(ledger)) == ({made.name}, {made.name})
    assert ledger.segments.sweep() == []
    with ledger.tables.write() as session:
        session.execute(update(SegmentDraft).values(since=now() - timedelta(hours=1)))
    assert ledger.segments.sweep() == [made.name]
    assert (stored(ledger), drafts(ledger)) == (set(), set())


def test_what_is_got_or_put_while_it_leaves_the_ledger_does_not_stay(
    tmp_path: Path, ledger: Ledger, bucket_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ledger.storage.bucket
    for name in (A, B):
        add(ledger, name)
    shutil.rmtree(ledger.segments.folder)

    def get(key: str, path: Path, size: int, sha256: str) -> None:
        whole.get(key, path, size, sha256)
        path.rename(path.with_suffix(".late"))
        if A in path.name:
            ledger.segments.forget(A)
        path.with_suffix(".late").rename(path)

    whole = Bucket(bucket_home.url)
    monkeypatch.setattr(home, "get", get)
    # it is asked again, of what there is then
    assert counted(ledger).rows[0]["transactions"] == 3
    (left,) = ledger.segments.all()
    assert [path.stem for path in ledger.segments.folder.iterdir()] == [left.name]

    def put(path: Path, key: str) -> None:
        content = path.read_bytes()
        ledger.segments.forget(B)
        home.write(key, content)

    home.delete([f"ledger/{left.name}.parquet"])
    monkeypatch.setattr(home, "put", put)
    assert ledger.segments.store_missing() == 0
    assert stored(ledger) == set()
    assert not ledger.segments.path(left.name).exists()


def test_a_copy_that_is_damaged_on_the_disk_is_got_anew(ledger: Ledger) -> None:
    made = add(ledger, A)
    before = counted(ledger)
    path = ledger.segments.path(made.name)
    path.write_bytes(b"PAR1" + path.read_bytes()[4:-20] + b"x" * 20)
    assert counted(ledger) == before
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert ledger.segments.verify() == []


def test_an_object_that_is_lost_or_changed_is_a_fault(ledger: Ledger, bucket_home: Home) -> None:
    lost, changed = add(ledger, A), add(ledger, B)
    ledger.storage.bucket.delete([f"ledger/{lost.name}.parquet"])
    path = ledger.segments.path(changed.name)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    ledger.storage.keep(path)
    shutil.rmtree(ledger.segments.folder)
    assert {fault.name for fault in ledger.segments.verify()} == {lost.name, changed.name}
    assert [segment.name for segment, _ in ledger.inspection.step(24)] == [lost.name]
    with pytest.raises(DamagedLedger):
        counted(ledger)


def test_files_that_the_disk_lacks_are_no_fault_of_the_ledger(ledger: Ledger) -> None:
    add(ledger, A)
    shutil.rmtree(ledger.segments.folder)
    assert ledger.inspection.step(24) == []
    # and none of them is fetched for that
    assert not ledger.segments.folder.exists()


def test_the_cache_keeps_to_its_bound_and_lets_go_what_was_used_longest_ago(
    tmp_path: Path, bucket_home: Home
) -> None:
    ledger = opened(tmp_path, bucket_home)
    made = [add(ledger, f"{number:032x}", 500) for number in range(4)]
    size = made[0].size
    small = opened(tmp_path, bucket_home, size * 2 + size // 2)
    for number, each in enumerate(made):
        age = time.time() - storage.YOUNG_SECONDS * 2 - number
        os.utime(small.segments.path(each.name), (age, age))
    used = DecisionFilter(screening=f"{3:032x}")
    assert small.questions.summary(used).rows[0]["transactions"] == 500
    assert small.storage.trim() > 0
    assert {path.stem for path in small.segments.folder.iterdir()} == {made[3].name, made[0].name}
    with pytest.raises(TooMuch, match="STORAGE_CACHE_MB"):
        counted(small)
    assert small.segments.verify() == []


def test_what_the_bucket_does_not_have_yet_stays_on_the_disk_until_it_has(
    tmp_path: Path, bucket_home: Home
) -> None:
    before = Ledger.open(tmp_path, "sqlite:///unused")
    made = add(before, A)
    path = before.segments.path(made.name)
    age = time.time() - storage.YOUNG_SECONDS * 2
    os.utime(path, (age, age))
    ledger = opened(tmp_path, bucket_home, 1)
    assert ledger.storage.trim() == 0
    assert path.exists()
    assert ledger.segments.store_missing() == 1
    assert stored(ledger) == {made.name}
    assert ledger.segments.store_missing() == 0
    os.utime(path, (age, age))
    assert ledger.storage.trim() == made.size
    assert not path.exists()
