"""What a backup takes of an instance whose files come and go meanwhile: each whole, and of the databases' moment."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from screening.backup.making import hold_whole
from screening.backup.staging import Staging
from screening.bucket.folders import keep_folder
from screening.bucket.storage import DOCUMENTS, Storage
from screening.errors import NotReady
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.infra.file_hash import sha256_of
from screening.infra.job_queue import DONE
from screening.ledger.ledger import Ledger
from screening.ledger.tables import API
from screening.reports.documents import DocumentFolder, DocumentSubject, new_document
from screening.uploads.instance_check import claim
from screening.uploads.screenings import Screenings, UploadRequest
from screening.uploads.upload_folder import UploadFolder
from tests.s3_server import Home
from tests.screening.ledger.ledger_rows import table


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    made = tmp_path / "instance"
    made.mkdir()
    return made


@pytest.fixture
def staging(instance: Path, tmp_path: Path) -> Staging:
    folder = tmp_path / "staging"
    folder.mkdir()
    (folder / "users.txt").touch()
    return Staging(instance, folder, [instance / "screening.sqlite3"])


def write(instance: Path, **files: str) -> None:
    for name, text in files.items():
        path = instance / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)


def taken(staging: Staging) -> dict[str, str]:
    return {name: path.read_text()[:size] for name, path, size in staging.all() if name != "users.txt"}


def test_a_folder_is_of_the_second_look_or_of_the_first_and_never_both(
    instance: Path, staging: Staging
) -> None:
    write(
        instance,
        screenings__a__input="4111",
        screenings__b__input="kept",
        secret_key="old",
        context__d__x="1",
    )
    staging.take()
    write(instance, screenings__a__tokens="tok", screenings__c__input="new", secret_key="new")
    (instance / "screenings" / "a" / "input").unlink()
    shutil.rmtree(instance / "screenings" / "b")
    shutil.rmtree(instance / "context")
    staging.take()
    write(instance, screenings__a__input="later")
    (instance / "screenings" / "a" / "input").unlink()
    staging.finish([], ["c"])
    assert taken(staging) == {
        "instance/context/d/x": "1",
        "instance/screenings/a/tokens": "tok",
        "instance/screenings/b/input": "kept",
        "instance/secret_key": "new",
    }


def test_what_is_made_again_or_is_no_part_of_it_is_left_out(instance: Path, staging: Staging) -> None:
    write(
        instance,
        compiled__x="",
        signals__x="",
        metrics__x="",
        reserve="",
        documents__d__scratch__x="",
        audit="1",
    )
    write(
        instance,
        **{"screening.sqlite3": "", "screening.sqlite3-wal": "", "server.lock": "", "ledger__x.part": ""},
    )
    write(instance, **{"screen-1__input": "", "trainings__t__scratch__x": "", "trainings__t__order": "2"})
    staging.take()
    staging.finish([], [])
    assert taken(staging) == {"instance/audit": "1", "instance/trainings/t/order": "2"}


def test_where_the_disk_has_no_links_files_are_copied_once(
    instance: Path, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(_source: Path, _target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", link)
    write(instance, detectors__shop__card="1", detectors__shop__net="2")
    staging.take()
    copy = (staging.files / "detectors" / "shop" / "net").stat().st_ino
    write(instance, detectors__shop__card="changed")
    staging.take()
    assert taken(staging) == {"instance/detectors/shop/card": "changed", "instance/detectors/shop/net": "2"}
    assert (staging.files / "detectors" / "shop" / "net").stat().st_ino == copy


def test_the_audit_log_ends_with_a_whole_entry(instance: Path, staging: Staging) -> None:
    log = AuditLog(instance)
    log.record("login", user="ana")
    staging.take()
    log.record("logout", user="ana")
    found = taken(staging)
    head = json.loads(found["instance/log/audit.head"])
    (entry,) = [json.loads(line) for line in found[f"instance/log/{log.path.name}"].splitlines()]
    assert (entry["event"], entry["chain"]["hash"]) == ("login", head["hash"])


def test_what_is_no_file_is_named(instance: Path, staging: Staging) -> None:
    write(instance, detectors__shop__card="1")
    (instance / "detectors" / "shop" / "net").symlink_to("/etc/passwd")
    with pytest.raises(NotReady, match="detectors/shop/net, which is neither a file nor a folder"):
        staging.take()


class Unlucky(Staging):
    """A look between whose two halves segments are made, and put together with others."""

    ledger: Ledger
    looks = 0

    def take(self) -> None:
        self.looks += 1
        compaction = self.ledger.compaction
        if self.looks == 2:
            (some,) = compaction.due(today=True)
            compaction.put_together(some)
        super().take()
        if self.looks == 1:
            self.ledger.segments.add("api-new", API, table(2, screening=None, source=API))


def test_a_file_of_the_ledger_that_came_and_went_has_it_done_once_more(
    instance: Path, tmp_path: Path
) -> None:
    database = Database(f"sqlite:///{instance / 'screening.sqlite3'}")
    database.create_tables()
    claim(instance, database)
    ledger = Ledger.open(instance, str(database.engine.url))
    ledger.segments.add("api-old", API, table(3, screening=None, source=API))
    (tmp_path / "staging").mkdir()
    staging = Unlucky(instance, tmp_path / "staging", [])
    staging.ledger = ledger
    with ExitStack() as held:
        state, lacking = hold_whole(held, staging, database, ledger)
        assert (staging.looks, lacking) == (3, [])
        (kept,) = ledger.segments.all()
        assert state.segments == {kept.name: kept.sha256}
        state.save(staging.databases)
    staging.finish(state.segments, [])
    assert [path.stem for path in (staging.files / "ledger").iterdir()] == [kept.name]

    # one that the disk has lost is named, and doesn't keep the rest from being saved
    ledger.segments.path(kept.name).unlink()
    (staging.files / "ledger" / f"{kept.name}.parquet").unlink()
    with ExitStack() as held:
        assert hold_whole(held, staging, database, ledger)[1] == [f"ledger/{kept.name}.parquet"]
    for each in (database, ledger.tables):
        each.engine.dispose()


def test_what_only_the_bucket_has_is_in_the_backup(instance: Path, tmp_path: Path, bucket_home: Home) -> None:
    database = Database(f"sqlite:///{instance / 'screening.sqlite3'}")
    database.create_tables()
    claim(instance, database)
    ledger = Ledger.open(instance, str(database.engine.url), storage=Storage(instance, bucket_home.url))
    made = ledger.segments.add("api-old", API, table(3, screening=None, source=API))
    assert made is not None
    ledger.segments.path(made.name).unlink()
    lost, trimmed = UploadFolder(instance, "a" * 32), UploadFolder(instance, "b" * 32)
    for folder in (lost, trimmed):
        folder.create()
        folder.arriving.write_bytes(b"Time,Amount\n1,2\n")
        folder.complete()
        keep_folder(ledger.storage, folder.path)
        Screenings(database).begin(
            folder.path.name,
            UploadRequest(
                owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
            ),
        )
        assert Screenings(database).received(folder.path.name, 16, "0" * 64)
    shutil.rmtree(lost.path)
    trimmed.arriving.unlink()
    row = new_document(DocumentSubject.PERIOD, "pdf", owner="ana", author="ana", filename="a.pdf")
    row.state, row.size, row.sha256 = DONE, 4, hashlib.sha256(b"%PDF").hexdigest()
    document = DocumentFolder(instance, row.id)
    document.begin()
    document.made.write_bytes(b"%PDF")
    ledger.storage.keep(document.made)
    with database.write() as session:
        session.add(row)
    (tmp_path / "staging").mkdir()
    staging = Staging(instance, tmp_path / "staging", [])
    staging.take()
    document.made.unlink()
    with ExitStack() as held:
        state, lacking = hold_whole(held, staging, database, ledger)
        assert lacking == []
    staging.finish(state.segments, [])
    assert (staging.files / DOCUMENTS / document.path.name / "document").read_bytes() == b"%PDF"
    kept = staging.files / "ledger" / f"{made.name}.parquet"
    assert sha256_of(kept) == made.sha256
    for folder in (lost, trimmed):
        saved = staging.files / "screenings" / folder.path.name
        assert {path.name for path in saved.iterdir()} == {"input", "whole"}
        assert (saved / "input").read_bytes() == b"Time,Amount\n1,2\n"
    # and the instance's own disk isn't filled by it
    assert not any(path.exists() for path in (ledger.segments.path(made.name), lost.path, trimmed.arriving))

    # what the bucket has lost, or has otherwise, is named, and doesn't keep the rest from being saved
    bucket = ledger.storage.bucket
    bucket.delete([ledger.storage.key(lost.arriving)])
    bucket.delete([ledger.storage.key(document.made)])
    bucket.write(ledger.storage.key(trimmed.arriving), b"Time,Amount\n1,3\n")
    bucket.write(ledger.storage.key(ledger.segments.path(made.name)), b"other")
    (tmp_path / "second").mkdir()
    with ExitStack() as held:
        assert hold_whole(held, Staging(instance, tmp_path / "second", []), database, ledger)[1] == [
            f"{DOCUMENTS}/{document.path.name}/document",
            f"ledger/{made.name}.parquet",
            *(f"screenings/{folder.path.name}/input" for folder in (lost, trimmed)),
        ]
    for each in (database, ledger.tables):
        each.engine.dispose()
