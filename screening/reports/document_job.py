"""The job that makes a document, in a process of its own: files to be screened don't wait, and its memory goes."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from screening.bucket.faults import BucketUnavailable
from screening.bucket.storage import DOCUMENTS, Storage, entries_of
from screening.errors import ScreeningError
from screening.infra.audit.log import AuditLog
from screening.infra.child_work import STOP_SECONDS, ChildWork
from screening.infra.disk_space import require_room
from screening.infra.file_hash import sha256_of
from screening.infra.job_queue import DONE, FAILED, now
from screening.infra.job_runner import AttemptFailed, Lease
from screening.reports.documents import CANCELLED, Document, DocumentFolder, Documents
from screening.reports.making import DocumentOrder
from screening.setting_values import ALERTS
from screening.settings import Settings
from screening.uploads.instance_check import belong_together

log = logging.getLogger(__name__)
MODULE = "screening.reports.making"
TICK_SECONDS = 0.5
"""Seconds between two notes of the progress, and looks for a cancellation."""
TIDY_SECONDS = 600.0
YOUNG_SECONDS = 60
MOST_PUT = 20
"""Documents that are put into the bucket at a time, of those that it hasn't."""


class DocumentJob:
    """Makes documents: see :class:`screening.infra.job_runner.Handler`."""

    doing = "the document was made"

    def __init__(self, settings: Settings, documents: Documents, module: str = MODULE) -> None:
        """``module`` is what the child process runs."""
        self.queue = documents
        self._settings, self._module = settings, module
        self._audit = AuditLog(settings.instance)
        self._due = 0.0

    def claim(self, holder: str) -> Document | None:
        """Claim the oldest document that waits."""
        return self.queue.claim(holder)

    def run(self, job: Document, lease: Lease) -> dict[str, Any]:
        """Make the document; it appears when it is whole.

        Raises:
            ScreeningError: it can't be made.
            AttemptFailed: the process was ended from outside.
            LeaseLost, ShutdownRequested: it is no longer wanted; the process is gone.
        """
        require_room(self._settings.instance, 0)
        folder = DocumentFolder(self._settings.instance, job.id)
        folder.begin()
        order = {**DocumentOrder.of(job, now()).as_dict, "out": str(folder.part)}
        folder.order.write_text(json.dumps(order), encoding="utf-8")
        with ChildWork(
            self._module, [str(folder.order)], errors=folder.log, environment=self._environment(folder)
        ) as work:
            while work.working:
                lease.note(**work.hear(TICK_SECONDS))
            status = work.end(wait=STOP_SECONDS)
        if "error" in work.answer:
            raise _Told(work.answer["error"])
        if status != 0 or "done" not in work.answer:
            log.error(
                "the process of document %s ended with status %s: %s", job.id, status, work.last_words()
            )
            if status < 0:
                raise AttemptFailed
            raise ScreeningError(
                "Something went wrong here while the document was made.",
                remedy=f"Try once more. If it happens again, tell the operator this number: {job.id}.",
            )
        sha256 = sha256_of(folder.part)
        # cancelled in this moment: then it doesn't appear
        lease.note()
        folder.part.replace(folder.made)
        folder.put()
        return {"state": DONE, "size": folder.made.stat().st_size, "sha256": sha256}

    def closing(self, _seconds: float) -> dict[str, Any]:
        """Return no stage: none is left at the end."""
        return {"stage": ""}

    def ended(self, job: Document, outcome: dict[str, Any]) -> None:
        """Keep the document alone; nothing of one that failed."""
        folder = DocumentFolder(self._settings.instance, job.id)
        if outcome["state"] == FAILED:
            folder.remove()
            self._record("report_failed", job, reason=outcome["error"]["what"])
        else:
            folder.keep()
            self._record("report_made", job, sha256=outcome["sha256"], size=outcome["size"])

    def discard(self, job: Document) -> None:
        """Remove all of a document that was cancelled or removed while it was made."""
        if self.queue.state(job.id) in (None, CANCELLED):
            DocumentFolder(self._settings.instance, job.id).remove()

    def tidy(self) -> None:
        """Give up what is hopeless; now and then remove what was kept for long enough, and what belongs to nothing."""
        self.queue.give_up()
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + TIDY_SECONDS
        days = self._settings.keep_reports_days
        for document in self.queue.older(now() - timedelta(days=days)):
            DocumentFolder(self._settings.instance, document.id).remove()
            self.queue.remove(document.id)
            self._record("report_expired", document, kept_days=days)
        if not belong_together(self._settings.instance, self.queue.database):
            return
        try:
            stored = Storage.at(self._settings.instance).sizes(DOCUMENTS)  # before the rows: they come first
            self._put_missing(stored)
        except BucketUnavailable as problem:
            log.warning("documents in the bucket aren't looked for: %s", problem.what)
            stored = {}
        needed = self.queue.with_files()
        left = {
            entry.name
            for entry in entries_of(self._settings.instance / DOCUMENTS)
            if time.time() - entry.stat().st_mtime > YOUNG_SECONDS
        }
        if needed:  # else the database may be another one, or a new one
            left |= {path.parent.name for path in stored}
        for document_id in left - needed:
            DocumentFolder(self._settings.instance, document_id).remove()

    def _put_missing(self, stored: Mapping[Path, int]) -> None:
        """Put some of the documents into the bucket that it hasn't, as those of before there was one.

        Args:
            stored: sizes of those that it has.

        Raises:
            BucketUnavailable: it can't be reached.
        """
        count = 0
        for document in self.queue.made() if Storage.at(self._settings.instance).remote else ():
            folder = DocumentFolder(self._settings.instance, document.id)
            # one that is damaged must not become what others get
            if stored.get(folder.made) == document.size or not is_whole(folder.made, document):
                continue
            folder.put()
            if self.queue.state(document.id) is None:  # deleted meanwhile
                folder.remove()
            count += 1
            if count == MOST_PUT:
                break
        if count:
            log.info("%d documents were put into the bucket", count)

    def _environment(self, folder: DocumentFolder) -> Mapping[str, str]:
        """Return the variables of the process: those of this one, with the settings that this one has."""
        mine = self._settings
        kept = {name: value for name, value in os.environ.items() if name not in {"SECRET_KEY", "STATE_URL"}}
        state = {} if mine.state_url is None else {"STATE_URL": mine.state_url}
        return {
            **kept,
            **state,
            "DATABASE_URL": mine.database_url,
            "INSTANCE_PATH": str(mine.instance),
            "MODEL_FILE": str(mine.model_file),
            "VECTORIZER_FILE": str(mine.vectorizer_file),
            "FRAUD_THRESHOLD": repr(mine.threshold),
            "ALERTS": ", ".join(f"{name}={mine.alerts.get(name, 'off')}" for name in ALERTS),
            "TMPDIR": str(folder.scratch),
            "TEMP": str(folder.scratch),
            "PYTHONUNBUFFERED": "1",
        }

    def _record(self, event: str, document: Document, **more: Any) -> None:
        self._audit.record(
            event,
            user=document.owner,
            document=document.id,
            what=document.what,
            kind=document.kind,
            name=document.filename,
            subject=document.subject,
            schedule=document.schedule,
            **more,
        )


def is_whole(path: Path, document: Document) -> bool:
    """Return whether a file is what its row says that was made."""
    try:
        return path.stat().st_size == document.size and sha256_of(path) == document.sha256
    except FileNotFoundError:
        return False


class _Told(ScreeningError):
    """Error that the process reported, as it reported it."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        super().__init__(
            str(found.get("what") or "The document wasn't made."), found.get("where"), found.get("remedy")
        )
        self._found = dict(found)

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), **self._found}
