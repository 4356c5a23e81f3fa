"""What the files of one account may take on the disk: more is refused with what could be deleted."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from screening.settings import Settings
from screening.uploads.screenings import DONE, UploadRequest
from screening.uploads.storage_quota import MEGABYTE, AccountFull, StorageQuota, Store
from screening.uploads.upload_folder import UploadFolder
from screening.web.http import upload_stream
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person


@pytest.fixture
def quota(app: Flask, services: Services, settings: Settings) -> Callable[[int], None]:
    """Sets how many bytes an account may keep."""

    def set_to(most: int) -> None:
        stores = [Store(services.screenings, lambda one: UploadFolder(settings.instance, one).path)]
        app.extensions["screening"] = replace(services, quota=StorageQuota(stores, most))

    return set_to


@pytest.mark.security(56)
def test_an_upload_beyond_it_is_refused_with_what_can_be_deleted_and_others_go_on(
    app: Flask, quota: Callable[[int], None], login: Callable[[str], Person], worker: Worker, sample: bytes,
    settings: Settings,
) -> None:  # fmt: skip
    ana, mia = login("ana"), login("mia")
    quota(int(1.6 * len(sample)))
    first = ana.upload(sample, "first.csv")
    assert first.status_code == 303
    assert ana.upload(sample, "second.csv").status_code == 413
    answer = ana.upload(sample, "second.csv")
    page = answer.get_data(as_text=True)
    assert "Your account has no room left" in page
    assert "first.csv (" in page
    kept = {path.name for path in (settings.instance / "screenings").iterdir()}
    assert kept == {first.headers["Location"].split("/")[2]}
    assert mia.upload(sample).status_code == 303
    token = ana.token("/results")
    assert (
        ana.client.post(first.headers["Location"] + "/delete", data={"csrf_token": token}).status_code == 303
    )
    assert ana.upload(sample, "second.csv").status_code == 303


@pytest.mark.security(56)
def test_a_body_whose_length_isnt_said_is_stopped_in_its_midst(
    quota: Callable[[int], None],
    login: Callable[[str], Person],
    worker: Worker,
    sample: bytes,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload_stream, "QUOTA_BYTES", 4096)
    ana = login("ana")
    ana.upload(sample)
    quota(2 * len(sample) + 50_000)
    token = ana.token("/upload")
    content = sample + b"\n".join(sample.splitlines()[1:]) + b"\n"
    form = b"".join(
        (
            b'--b\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n' + token.encode() + b"\r\n",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + content,
            b"\r\n--b--\r\n",
        )
    )
    answer = ana.client.post(
        "/upload",
        input_stream=io.BytesIO(form),
        content_type="multipart/form-data; boundary=b",
        headers={"Transfer-Encoding": "chunked", "Accept": "application/json"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert (answer.status_code, answer.get_json()["title"]) == (413, AccountFull.title)
    assert len(list((settings.instance / "screenings").iterdir())) == 1


@pytest.mark.security(56)
def test_what_counts_is_what_lies_on_the_disk(
    login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings, sample: bytes
) -> None:
    """A packed file is kept unpacked, too."""
    ana = login("ana")
    packed = gzip.compress(sample)
    location = ana.upload(packed, "a.csv.gz").headers["Location"]
    folder = UploadFolder(settings.instance, location.split("/")[2]).path
    taken = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert taken > len(packed) + len(sample) / 2
    stores = [Store(services.screenings, lambda one: UploadFolder(settings.instance, one).path)]
    for owner in ("ana", "ANA"):
        StorageQuota(stores, taken).require(owner)
        with pytest.raises(AccountFull, match="nothing was kept"):
            StorageQuota(stores, taken - 1).require(owner)
        with pytest.raises(AccountFull):
            StorageQuota(stores, taken + 10).require(owner, 11)
    StorageQuota(stores, 1).require("nobody")


def test_a_file_that_grows_again_is_measured_again(services: Services, tmp_path: Path) -> None:
    history = services.screenings
    request = UploadRequest(
        owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
    )
    history.begin("a" * 32, request)
    folder = UploadFolder(tmp_path, "a" * 32)
    folder.create()
    folder.arriving.write_bytes(bytes(MEGABYTE))
    quota = StorageQuota([Store(history, lambda one: UploadFolder(tmp_path, one).path)], 2 * MEGABYTE)
    quota.require("ana", MEGABYTE)
    history.received("a" * 32, MEGABYTE, "")
    claimed = history.claim("me")
    assert claimed
    history.finish("a" * 32, "me", state=DONE)
    quota.require("ana", MEGABYTE)
    folder.canonical.write_bytes(bytes(MEGABYTE))
    with pytest.raises(AccountFull):
        quota.require("ana", 1)
    folder.remove()
    quota.require("ana", 2 * MEGABYTE)
