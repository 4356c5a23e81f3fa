"""Folders that belong together: what the disk lost comes back, and nothing that is missing here is deleted there."""

from __future__ import annotations

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from screening.bucket import bucket, storage
from screening.bucket.faults import BucketUnavailable
from screening.bucket.folders import (
    bring_folder,
    drop_folder,
    forget_list,
    is_kept,
    keep_folder,
    turn_of,
    writing,
)
from screening.bucket.kept_list import kept_bytes
from screening.bucket.storage import KEPT, WHOLE, Storage
from screening.errors import NotReady
from tests.s3_server import Home

TOTAL = 21
FILES = {"canonical.csv": b"a,b\n1,2\n", "input": b"a;b\n1;2\n", "rows.npy": b"12345"}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(bucket, "RETRIES", 0)


@pytest.fixture
def home(tmp_path: Path, bucket_home: Home) -> Storage:
    return Storage(tmp_path, bucket_home.url)


@pytest.fixture
def folder(home: Storage) -> Path:
    """A folder that was kept."""
    made = home.instance / storage.SCREENINGS / ("a" * 32)
    made.mkdir(parents=True)
    for name, content in FILES.items():
        (made / name).write_bytes(content)
    (made / WHOLE).touch()
    keep_folder(home, made)
    assert is_kept(made)
    return made


def stored(home: Storage) -> set[str]:
    return {path.name for path in home.sizes(storage.SCREENINGS)}


def on_disk(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in {KEPT, WHOLE}}


def written(home: Storage, folder: Path) -> None:
    """Screen the file once more, as it were: one of the files has other bytes then."""
    with writing(home, folder):
        (folder / "input").write_bytes(b"other")


def test_an_object_that_somebody_removed_is_told_of_and_costs_no_other(home: Storage, folder: Path) -> None:
    home.bucket.delete([home.key(folder / "canonical.csv")])
    shutil.rmtree(folder)
    for _ in range(2):
        with pytest.raises(NotReady, match=r"gone from the bucket.*canonical\.csv"):
            bring_folder(home, folder)
        # as a worker does that failed for it, and the upkeep after it
        with writing(home, folder):
            pass
        assert not keep_folder(home, folder)
    assert stored(home) == {"input", "rows.npy", KEPT}
    (folder / "canonical.csv").write_bytes(FILES["canonical.csv"])
    home.keep(folder / "canonical.csv")
    (folder / "canonical.csv").unlink()
    bring_folder(home, folder)
    assert on_disk(folder) == FILES


def test_a_folder_that_was_deleted_while_it_was_brought_is_no_fault(home: Storage, folder: Path) -> None:
    for name in FILES:
        (folder / name).unlink()
    drop_folder(home, folder)
    assert stored(home) == set()
    bring_folder(home, folder)
    assert on_disk(folder) == {}


@pytest.mark.parametrize("left", [b"", b"12", b"1234567"])
def test_a_file_that_a_loss_of_power_has_cut_is_got_again(home: Storage, folder: Path, left: bytes) -> None:
    moment = (folder / "rows.npy").stat().st_mtime_ns
    (folder / "rows.npy").write_bytes(left)
    os.utime(folder / "rows.npy", ns=(moment, moment))
    bring_folder(home, folder)
    assert on_disk(folder) == FILES
    assert is_kept(folder)


def test_a_list_that_is_damaged_on_the_disk_is_got_again(
    home: Storage, folder: Path, bucket_home: Home
) -> None:
    (folder / KEPT).write_bytes(b"")
    for name in FILES:
        (folder / name).unlink()
    assert kept_bytes(folder) == 0
    bucket_home.way.fault = "broken"
    for each in (bring_folder, written, keep_folder):
        with pytest.raises(BucketUnavailable):
            each(home, folder)
    bucket_home.way.fault = None
    # files that aren't here must not go there
    keep_folder(home, folder)
    assert stored(home) == {*FILES, KEPT}
    bring_folder(home, folder)
    assert on_disk(folder) == FILES
    assert kept_bytes(folder) == sum(map(len, FILES.values()))


def test_a_damaged_list_of_what_the_bucket_never_had_is_no_list(home: Storage, folder: Path) -> None:
    drop_folder(home, folder)
    (folder / KEPT).write_bytes(b"{")
    keep_folder(home, folder)
    assert stored(home) == {*FILES, KEPT}
    assert is_kept(folder)


def test_what_was_written_since_takes_the_place_of_what_was_kept(home: Storage, folder: Path) -> None:
    with writing(home, folder):
        assert not is_kept(folder)
        (folder / "rows.npy").unlink()
        (folder / "more.npy").write_bytes(b"more")
        (folder / "input").write_bytes(b"other")
    assert keep_folder(home, folder)
    shutil.rmtree(folder)
    bring_folder(home, folder)
    assert on_disk(folder) == {
        "canonical.csv": FILES["canonical.csv"],
        "input": b"other",
        "more.npy": b"more",
    }
    assert stored(home) == {"canonical.csv", "input", "more.npy", KEPT}


def test_a_folder_that_was_looked_at_is_looked_at_again_once_it_changes(home: Storage, folder: Path) -> None:
    for seconds in (0, 60):  # changed just now, and a while ago
        age(folder, seconds)
        for _ in range(2):
            assert home.has_all_of(folder)
            assert [(each.place, each.size) for each in home.cached()] == [(folder, TOTAL)]
    with writing(home, folder):
        assert not home.has_all_of(folder)
        assert home.cached() == []
        (folder / "rows.npy").write_bytes(b"others")
    keep_folder(home, folder)
    assert home.has_all_of(folder)
    drop_folder(home, folder)
    shutil.rmtree(folder)
    assert not home.has_all_of(folder)
    assert home.cached() == []


def test_the_cache_lets_a_screening_go_for_one_list_and_keeps_what_the_bucket_has_lost(
    home: Storage, folder: Path, bucket_home: Home
) -> None:
    other = folder.with_name("b" * 32)
    shutil.copytree(folder, other)
    (other / KEPT).unlink()
    keep_folder(home, other)
    home.bucket.delete([home.key(folder / "input")])
    for each in (folder, other):
        age(each, 2 * storage.YOUNG_SECONDS)
    home.most = 1
    seen = bucket_home.way.asked
    assert home.trim() == 2 * TOTAL - len(FILES["input"])
    assert bucket_home.way.asked - seen == 2
    assert on_disk(folder) == {"input": FILES["input"]}
    assert on_disk(other) == {}
    assert home.bucket.folders(storage.SCREENINGS) == {folder.name, other.name}
    # nothing is left to let go but what is on this disk alone
    assert home.trim() == 0


def test_what_a_process_left_that_was_killed_while_it_got_a_file_goes(home: Storage, folder: Path) -> None:
    old, young = folder / "a.1.fetched.part", folder / "b.2.fetched.part"
    listing = folder / f"{KEPT}.3.part"
    for path in (old, young, listing):
        path.touch()
    # what is left until then isn't taken for something that the bucket hasn't
    assert is_kept(folder)
    assert home.has_all_of(folder)
    for path in (old, listing):
        os.utime(path, (0, time.time() - 2 * storage.LEFT_SECONDS))
    home.clear_left()
    assert [path.exists() for path in (old, young, listing)] == [False, True, False]


def test_what_is_deleted_or_used_while_the_bucket_is_asked_costs_no_other(
    home: Storage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, used = folder.with_name("b" * 32), folder.with_name("c" * 32)
    for each in (used, gone):
        shutil.copytree(folder, each)
        (each / KEPT).unlink()
        keep_folder(home, each)
    for seconds, each in enumerate((folder, used, gone)):
        age(each, 3 * storage.YOUNG_SECONDS + seconds)
    home.most = 1
    sizes = home.sizes

    def meanwhile(prefix: str) -> dict[Path, int]:
        shutil.rmtree(gone, ignore_errors=True)
        bring_folder(home, used)
        return sizes(prefix)

    monkeypatch.setattr(home, "sizes", meanwhile)
    assert home.trim() == TOTAL
    assert on_disk(used) == FILES
    assert on_disk(folder) == {}


def test_a_folder_that_a_killed_process_has_just_made_is_brought(home: Storage, folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / f"{KEPT}.1.part").touch()
    bring_folder(home, folder)
    (folder / f"{KEPT}.1.part").unlink()
    assert on_disk(folder) == FILES


@pytest.mark.parametrize("told", [b"{", b'{"../../users.txt": {"size": 1, "sha256": ""}}', b'{"a\\\\b": 1}'])
def test_a_list_that_is_damaged_in_the_bucket_is_told_of_and_written_again(
    home: Storage, folder: Path, told: bytes
) -> None:
    home.bucket.write(home.key(folder / KEPT), told)
    before = folder.rename(folder.with_name("before"))
    with pytest.raises(NotReady, match=r"list of a screening's files in the bucket is damaged.*screenings/a"):
        bring_folder(home, folder)
    assert not folder.exists()
    before.rename(folder)
    written(home, folder)
    assert keep_folder(home, folder)
    shutil.rmtree(folder)
    bring_folder(home, folder)
    assert on_disk(folder) == {**FILES, "input": b"other"}


def age(folder: Path, seconds: float) -> None:
    """Have a folder look as if it had been written, and last used, some time ago."""
    then = time.time_ns() - int(seconds * 1e9)
    for path in (*sorted(folder.iterdir(), key=lambda each: each.name == KEPT), folder):
        os.utime(path, ns=(then, then))


def test_what_is_written_while_a_folder_is_kept_is_kept_next(
    home: Storage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = home.bucket.put

    def meanwhile(path: Path, key: str) -> None:
        put(path, key)
        (folder / "reasons.json").write_bytes(b"{}")

    written(home, folder)
    monkeypatch.setattr(home.bucket, "put", meanwhile)
    keep_folder(home, folder)
    assert not is_kept(folder)
    monkeypatch.undo()
    keep_folder(home, folder)
    assert is_kept(folder)
    assert stored(home) == {*FILES, "reasons.json", KEPT}


def test_two_that_keep_a_folder_take_turns(
    home: Storage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job and the upkeep, once a screening has ended: the second one finds nothing to do, and writes nothing."""
    written(home, folder)
    put, first, go_on = home.bucket.put, threading.Event(), threading.Event()
    puts: list[str] = []

    def slowly(path: Path, key: str) -> None:
        puts.append(path.name)
        first.set()
        assert go_on.wait(60)
        put(path, key)

    monkeypatch.setattr(home.bucket, "put", slowly)
    with ThreadPoolExecutor(2) as both:
        ends = [both.submit(keep_folder, home, folder)]
        assert first.wait(60)
        ends.append(both.submit(keep_folder, home, folder))
        go_on.set()
        for end in ends:
            end.result()
    assert puts == ["input"]
    assert is_kept(folder)
    assert {path.name for path in folder.iterdir()} == {*FILES, KEPT, WHOLE}


def test_a_list_of_what_was_there_before_somebody_wrote_counts_for_nothing(
    home: Storage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file was checked, its owner has it screened, and the check is still being put, by another process."""
    with writing(home, folder):
        (folder / "preflight.json").write_bytes(b"{}")
    put = home.bucket.put

    def meanwhile(path: Path, key: str) -> None:
        put(path, key)
        with writing(home, folder):
            (folder / "preflight.json").unlink()
            (folder / "rows.npy").write_bytes(b"98765")

    monkeypatch.setattr(home.bucket, "put", meanwhile)
    assert not keep_folder(home, folder)
    monkeypatch.undo()
    bring_folder(home, folder)
    outcome = {**FILES, "rows.npy": b"98765"}
    assert on_disk(folder) == outcome
    assert keep_folder(home, folder)
    age(folder, 2 * storage.YOUNG_SECONDS)
    home.most = 1
    assert home.trim() == TOTAL
    bring_folder(home, folder)
    assert on_disk(folder) == outcome
    assert stored(home) == {*FILES, KEPT}


def test_a_list_that_was_made_while_somebody_wrote_goes_at_the_end_unless_another_one_wrote_then(
    home: Storage, folder: Path
) -> None:
    with writing(home, folder):
        # it began to look just before
        keep_folder(home, folder)
        assert is_kept(folder)
    assert not is_kept(folder)
    keep_folder(home, folder)
    with writing(home, folder):  # by a host that is cut off from here on
        written(home, folder)
        keep_folder(home, folder)
        age(folder, 2 * storage.YOUNG_SECONDS)
        home.most = 1
        assert home.trim() == TOTAL + len(b"other") - len(FILES["input"])
    assert not keep_folder(home, folder)
    assert stored(home) == {*FILES, KEPT}


def test_who_saw_that_nobody_writes_and_is_late_keeps_nothing(home: Storage, folder: Path) -> None:
    turn = turn_of(folder)
    forget_list(folder)
    assert not keep_folder(home, folder, turn=turn)
    assert not is_kept(folder)
    assert keep_folder(home, folder, turn=turn_of(folder))
