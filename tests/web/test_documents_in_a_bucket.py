"""Documents in a bucket: there before they are done, brought when somebody asks for them, and deleted there, too."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from screening.bucket import bucket
from screening.bucket.storage import DOCUMENTS, YOUNG_SECONDS, Storage
from screening.infra.job_queue import DONE, FAILED
from screening.reports.document_job import DocumentJob
from screening.reports.documents import Document, DocumentFolder, DocumentSubject, new_document
from screening.settings import Settings
from screening.uploads.storage_quota import AccountFull
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.s3_server import Home
from tests.waiting import wait_until
from tests.web.test_documents import made, ordered, row

CONTENT = b"%PDF-1.7 of the tests"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way that is fixed works at once."""
    monkeypatch.setattr(bucket, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(bucket, "RETRIES", 0)


@pytest.fixture
def settings(settings: Settings, bucket_home: Home) -> Settings:
    return replace(settings, storage_url=bucket_home.url)


@pytest.fixture
def tidy(services: Services, settings: Settings) -> Callable[[], None]:
    """Does what a worker does every ten minutes."""
    return lambda: DocumentJob(settings, services.documents).tidy()


def stored(services: Services) -> set[str]:
    return {path.parent.name for path in Storage.of(services.settings).sizes(DOCUMENTS)}


def added(services: Services, content: bytes = CONTENT, state: str = DONE) -> DocumentFolder:
    """Add a document as one that was made without a bucket."""
    document = new_document(
        DocumentSubject.PERIOD, "pdf", owner="ana", author="ana", filename="decisions.pdf", whose="ana"
    )
    document.state, document.size = state, len(CONTENT)
    document.sha256 = hashlib.sha256(CONTENT).hexdigest()
    folder = DocumentFolder(services.settings.instance, document.id)
    with services.database.write() as session:
        session.add(document)
        folder.begin()
    folder.keep()
    if state == DONE:
        folder.made.write_bytes(content)
    return folder


def test_a_document_is_there_before_it_is_done_and_comes_back_on_any_disk(
    login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings, bucket_home: Home
) -> None:
    ana = login("ana")
    document = made(ana, services, what="period")
    assert stored(services) == {document}
    address = f"/reports/documents/{document}/file"
    content = ana.client.get(address).data
    assert hashlib.sha256(content).hexdigest() == row(services, document).sha256
    folder = DocumentFolder(settings.instance, document)
    cache = Storage(settings.instance, bucket_home.url, 1)
    assert cache.trim() == 0  # it was used just now
    os.utime(folder.made, (time.time() - 2 * YOUNG_SECONDS,) * 2)
    assert cache.trim() == len(content)
    assert not folder.made.exists()
    # what has left the disk still counts as its owner's
    with pytest.raises(AccountFull):
        services.quota.require("ana", settings.stored_per_account - len(content) + 1)
    bucket_home.way.fault = "unreachable"
    answer = ana.client.get(address)
    assert answer.status_code == 503
    assert "be used at the moment" in answer.text
    bucket_home.way.fault = None
    shutil.rmtree(folder.path)
    assert ana.client.get(address).data == content
    folder.made.unlink()
    Storage.of(settings).bucket.write(f"{DOCUMENTS}/{document}/document", b"other")
    answer = ana.client.get(address)
    assert answer.status_code == 404
    assert "is gone, or damaged" in answer.text
    assert ana.post(f"/reports/documents/{document}/delete").status_code == 303
    assert stored(services) == set()


def test_a_document_that_the_bucket_does_not_take_fails_and_leaves_nothing(
    login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings, bucket_home: Home
) -> None:
    bucket_home.way.fault = "broken"
    document = ordered(login("ana"), what="period")
    wait_until(lambda: not row(services, document).open)
    found = row(services, document)
    assert found.state == FAILED
    assert found.error is not None
    assert "can't be used at the moment" in found.error["what"]
    wait_until(lambda: not DocumentFolder(settings.instance, document).path.exists())
    bucket_home.way.fault = None
    assert stored(services) == set()


def test_documents_of_before_the_bucket_are_put_and_damaged_ones_are_not(
    services: Services, tidy: Callable[[], None], bucket_home: Home
) -> None:
    whole, _damaged, _open = added(services), added(services, b"other"), added(services, state="waiting")
    bucket_home.way.fault = "unreachable"
    tidy()
    bucket_home.way.fault = None
    assert stored(services) == set()
    tidy()
    assert stored(services) == {whole.path.name}
    shutil.rmtree(whole.path)
    tidy()
    assert stored(services) == {whole.path.name}
    whole.bring(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert whole.made.read_bytes() == CONTENT


def test_a_document_that_is_deleted_while_it_is_put_does_not_stay(
    services: Services, tidy: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = added(services), added(services, state="waiting")
    home = Storage.of(services.settings).bucket
    put = home.put

    def meanwhile(path: object, key: str) -> None:
        put(folder.made, key)
        services.documents.remove(folder.path.name)

    monkeypatch.setattr(home, "put", meanwhile)
    tidy()
    assert services.documents.get(other.path.name) is not None
    assert stored(services) == set()


def test_what_a_fault_left_of_deleted_documents_is_found_but_not_with_an_empty_table(
    services: Services, tidy: Callable[[], None], bucket_home: Home
) -> None:
    folders = [added(services) for _ in range(2)]
    tidy()
    gone, kept = (folder.path.name for folder in folders)
    bucket_home.way.fault = "broken"
    services.documents.remove(gone)
    folders[0].remove()
    bucket_home.way.fault = None
    assert stored(services) == {gone, kept}
    tidy()
    assert stored(services) == {kept}
    # as with another database
    with services.database.write() as session:
        session.query(Document).delete()
    shutil.rmtree(folders[1].path)
    tidy()
    assert stored(services) == {kept}
