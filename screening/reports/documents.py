"""Documents that are made as jobs: who asked for which, how far it is, and its file. A row is both record and job."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Index, String, delete, func, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from screening.bucket.faults import BucketUnavailable
from screening.bucket.storage import DOCUMENT, DOCUMENTS, Storage
from screening.errors import Conflict, NotFound, ScreeningError
from screening.infra.database import Base
from screening.infra.job_queue import (
    DONE,
    MOST_ATTEMPTS,
    OWNER_LENGTH,
    RUNNING,
    Jobs,
    Staged,
    UtcDateTime,
    new_id,
    now,
)

log = logging.getLogger("screening.reports")
WAITING, CANCELLED = "waiting", "cancelled"
OPEN_STATES = (WAITING, RUNNING)
WITH_FILES = (*OPEN_STATES, DONE)
MOST_OPEN = 5
"""Documents that one account may have waiting or in hand at once."""


class DocumentSubject(StrEnum):
    """Subject of a document."""

    SCREENING = "screening"
    PERIOD = "period"
    MODEL = "model"
    """A detector: the model-risk pack."""


class Document(Staged, Base):
    """One document; ``owner`` in small letters, ``kind`` is ``pdf`` or ``xlsx``."""

    __tablename__ = "documents"
    __table_args__ = (
        Index("documents_by_owner", "owner", "created"),
        Index("documents_by_state", "state"),
        Index("documents_of_schedule", "schedule", "start", unique=True),
    )
    open_states = OPEN_STATES

    what: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str | None] = mapped_column(String(64))
    """The screening's id, or the detector's name."""
    start: Mapped[datetime | None] = mapped_column(UtcDateTime)
    end: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Of a period; the end is left out."""
    whose: Mapped[str | None] = mapped_column(String(OWNER_LENGTH))
    """Owner of the decisions that it tells of; ``None``: everybody's."""
    author: Mapped[str] = mapped_column(String(128))
    """Author, as the document names it."""
    schedule: Mapped[str | None] = mapped_column(String(32))
    """The schedule that asked for it."""

    @property
    def title(self) -> str:
        """Title in words."""
        if self.what == DocumentSubject.PERIOD and self.start is not None and self.end is not None:
            last = self.end - timedelta(days=1)
            days = f"{self.start:%Y-%m-%d}" + (f" to {last:%Y-%m-%d}" if last > self.start else "")
            return f"Decisions {days}"
        return (
            f"Model risk of {self.subject}"
            if self.what == DocumentSubject.MODEL
            else f"Screening {self.filename}"
        )

    def is_seen_by(self, username: str, *, sees_all: bool) -> bool:
        """Return whether a user may open it: one's own, and what a schedule made, which tells of everybody.

        Args:
            username: of the user.
            sees_all: whether the user may see everybody's decisions, now.
        """
        if self.whose is None and self.what != DocumentSubject.SCREENING and not sees_all:
            # the role was another one when it was made
            return False
        return self.owner == username.casefold() or self.schedule is not None


class DocumentFolder:
    """``<instance>/documents/<id>``: the document, what is being made, and what the process said.

    With a bucket the document is there, too, before its row says that it is made, and the disk has a copy.
    """

    def __init__(self, instance: Path, document_id: str) -> None:
        self._storage = Storage.at(instance)
        self.path = instance / DOCUMENTS / document_id
        self.part = self.path / "part"
        self.made = self.path / DOCUMENT
        """It appears when it is whole."""
        self.order = self.path / "order.json"
        self.log = self.path / "log"
        self.scratch = self.path / "scratch"

    def begin(self) -> None:
        """Make the folder, or clear what an earlier attempt left."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.scratch.mkdir(mode=0o700, parents=True)

    def put(self) -> None:
        """Have the document in the bucket, where there is one.

        Raises:
            BucketUnavailable: it may not be there.
        """
        self._storage.keep(self.made)

    def bring(self, size: int, sha256: str) -> None:
        """See that the document is on the disk; without a bucket it is, or isn't.

        Args:
            size: in bytes.
            sha256: of the document.

        Raises:
            BucketUnavailable: it is in the bucket, which can't be reached.
            FileNotFoundError: the bucket hasn't it.
            DamagedObject: the bucket has something else.
            StorageFull: there is no room for it.
        """
        self._storage.bring(self.made, size, sha256)

    def keep(self) -> None:
        """Remove all but the document."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        for path in (self.order, self.log, self.part):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete all of it, on the disk and in the bucket. Gone already is as good."""
        shutil.rmtree(self.path, ignore_errors=True)
        try:
            self._storage.drop([self.made])
        except BucketUnavailable as problem:
            log.warning(
                "document %s, which was removed, may still be in the bucket; it is looked for within minutes: %s",
                self.path.name,
                problem.what,
            )


class Documents(Jobs[Document]):
    """The documents, each change one short transaction."""

    table = Document
    waiting = WAITING
    claimable = OPEN_STATES

    def order(
        self,
        what: DocumentSubject,
        kind: str,
        *,
        owner: str,
        author: str,
        filename: str,
        subject: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        whose: str | None = None,
    ) -> str:
        """Ask for a document; returns its id.

        Args:
            what: what it is about.
            kind: ``pdf`` or ``xlsx``.
            owner: whose document it is.
            author: who has it made, as the document says it.
            filename: what it is called when it is downloaded.
            subject: the screening or the detector.
            start: of the period.
            end: of the period, left out.
            whose: whose decisions it tells of; ``None``: everybody's.

        Raises:
            Conflict: the account has too many that aren't made yet.
        """
        document = new_document(
            what,
            kind,
            owner=owner,
            author=author,
            filename=filename,
            subject=subject,
            start=start,
            end=end,
            whose=whose,
        )
        with self._database.write() as session:
            mine = select(func.count()).where(
                Document.owner == document.owner, Document.state.in_(OPEN_STATES), Document.schedule.is_(None)
            )
            if (session.scalar(mine) or 0) >= MOST_OPEN:
                raise Conflict(
                    f"{MOST_OPEN} of your documents are still being made.",
                    remedy="Wait for one of them, or cancel it, and ask again.",
                )
            session.add(document)
            made: str = document.id
        self.tell_waiting()
        return made

    def seen_by(self, username: str, *, sees_all: bool, limit: int = 100) -> Sequence[Document]:
        """Return the documents that a user may open, the latest first."""
        query = (
            select(Document)
            .where(or_(Document.owner == username.casefold(), Document.schedule.is_not(None)))
            .order_by(Document.created.desc())
            .limit(limit)
        )
        with self._database.read() as session:
            found = session.scalars(query).all()
        return [each for each in found if each.is_seen_by(username, sees_all=sees_all)]

    def found(self, document_id: str, username: str, *, sees_all: bool) -> Document:
        """Return a document that a user may open.

        Raises:
            NotFound: there is none for this user.
        """
        document = self.get(document_id)
        if document is None or not document.is_seen_by(username, sees_all=sees_all):
            raise NotFound("There is no such document.", remedy="Look for it in the list of documents.")
        return document

    def cancel(self, document_id: str) -> bool:
        """Call it off, whoever works on it; ``False`` when it has ended already."""
        ended = {"state": CANCELLED, "holder": None, "lease_until": None, "finished": now()}
        open_one = update(Document).where(Document.id == document_id, Document.state.in_(OPEN_STATES))
        with self._database.write() as session:
            cancelled = bool(session.execute(open_one.values(ended)).rowcount)  # type: ignore[attr-defined]
        self.tell_ended()
        return cancelled

    def older(self, limit: datetime, most: int = 50) -> Sequence[Document]:
        """Return documents that ended before a moment, the oldest first."""
        query = select(Document).where(Document.finished < limit).order_by(Document.finished).limit(most)
        with self._database.read() as session:
            return session.scalars(query).all()

    def with_files(self) -> set[str]:
        """Return the ids of those that have a file, or will have one, for clearing the folders of the others."""
        with self._database.read() as session:
            return set(session.scalars(select(Document.id).where(Document.state.in_(WITH_FILES))))

    def made(self) -> Sequence[Document]:
        """Return those that have a file, the latest first."""
        with self._database.read() as session:
            found = select(Document).where(Document.state == DONE).order_by(Document.created.desc())
            return session.scalars(found).all()

    def detach_owner(self, owner: str) -> list[str]:
        """Forget the documents of a name that somebody new has signed up with, but for those of schedules.

        Returns:
            The ids that they had.
        """
        theirs = Document.owner == owner.casefold(), Document.schedule.is_(None)
        with self._database.write() as session:
            ids = list(session.scalars(select(Document.id).where(*theirs)))
            session.execute(delete(Document).where(*theirs))
        return ids

    def _claimed(self, row: Document) -> None:
        row.progress, row.stage, row.started = 0.0, "Starting", now()

    def _hopeless(self) -> ScreeningError:
        return DocumentGivenUp(
            f"Making this document was stopped {MOST_ATTEMPTS} times before its end: its process was killed, or the "
            "server was.",
            remedy="Mostly the memory or the disk is full: tell the operator, or ask for a shorter period.",
        )


class DocumentGivenUp(ScreeningError):
    """A document that ended again and again without a result."""

    status = 500
    title = "This document was not finished"


def new_document(
    what: DocumentSubject, kind: str, *, owner: str, created: datetime | None = None, **more: Any
) -> Document:
    """Return a row that waits for the worker; see :meth:`Documents.order`."""
    fields: Mapping[str, Any] = {**more, "filename": str(more["filename"])[:255]}
    return Document(
        id=new_id(),
        what=what.value,
        kind=kind,
        owner=owner.casefold(),
        state=WAITING,
        progress=0.0,
        attempts=0,
        stage="",
        created=created or datetime.now(UTC),
        **fields,
    )
