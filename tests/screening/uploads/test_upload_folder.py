from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from screening.infra.job_runner import LeaseLost
from screening.uploads import upload_folder
from screening.uploads.results import drafted, save_arrays, save_words
from screening.uploads.upload_folder import UploadAbandoned, UploadFolder


@pytest.fixture
def folder(tmp_path: Path) -> UploadFolder:
    made = UploadFolder(tmp_path, "a")
    made.create()
    return made


def test_a_reader_waits_for_what_another_still_writes(folder: UploadFolder) -> None:
    def write() -> None:
        with folder.input.open("wb", buffering=0) as out:
            for part in (b"one,", b"two,", b"three"):
                time.sleep(0.03)
                out.write(part)
        folder.complete()

    writer = threading.Thread(target=write)
    writer.start()
    with folder.open() as stream:
        assert stream.read() == b"one,two,three"
    writer.join()


def test_a_sender_that_left_ends_the_reading(folder: UploadFolder) -> None:
    folder.input.write_bytes(b"one,")
    with folder.open() as stream:
        assert stream.read(4) == b"one,"
        threading.Timer(0.05, folder.remove).start()
        with pytest.raises(UploadAbandoned):
            stream.read(4)


def test_a_sender_that_falls_silent_ends_the_reading(
    folder: UploadFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_folder, "SILENCE_SECONDS", 0.05)
    with folder.open() as stream, pytest.raises(UploadAbandoned):
        stream.read(1)


def test_a_sender_whose_upload_is_put_into_the_bucket_is_not_silent(
    folder: UploadFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_folder, "SILENCE_SECONDS", 0.05)
    begun = time.monotonic()

    def wait() -> None:
        """Say that it goes on, each time that the reader has looked in vain."""
        moments.append(time.monotonic())
        os.utime(folder.input, (0, len(moments)))
        if moments[-1] - begun > 0.2:
            folder.complete()

    moments = list[float]()
    monkeypatch.setattr(upload_folder, "PATIENCE_SECONDS", 0.0)
    folder.on_wait = wait
    with folder.open() as stream:
        assert stream.read(1) == b""
    assert moments[-1] - begun > 0.2


def test_a_folder_that_is_gone_is_abandoned(folder: UploadFolder) -> None:
    folder.remove()
    with pytest.raises(UploadAbandoned):
        folder.open()


def test_settling_keeps_the_file_and_may_find_it_gone(folder: UploadFolder) -> None:
    folder.input.write_bytes(b"one,two")
    folder.settle()
    assert folder.input.read_bytes() == b"one,two"
    folder.remove()
    folder.settle()


def test_an_outcome_takes_its_place_as_a_whole_or_not_at_all(folder: UploadFolder) -> None:
    """A host that was cut off goes on writing when it is back, and finds at the end that the file isn't its own."""
    with drafted(folder) as draft:
        save_arrays(draft, {"probability": np.array([0.1, 0.9], np.float32), "time": None})
        save_words(draft, {1: ["a reason"]}, {}, {"of": "the one that holds it"})
    kept = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    assert set(kept) == {"input", "probability.npy", "reasons.json", "effects.json", "meta.json"}

    def cut_off() -> None:
        with drafted(folder) as draft:
            save_arrays(draft, {"probability": np.zeros(9, np.float32)})
            save_words(draft, {}, {}, {"of": "the one that was cut off"})
            raise LeaseLost

    with pytest.raises(LeaseLost):
        cut_off()
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == kept
