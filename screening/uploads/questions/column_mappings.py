"""Map the columns of a file to a detector's, as users said; remembered by the file's header.

What a user says holds for that user's files. A manager can have it hold for everybody's: a copy is kept for all, and
whoever said it first can't change that one. One's own goes first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Given
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from screening.errors import NotFound, Question
from screening.infra.database import Base, Database
from screening.infra.job_queue import UtcDateTime, now
from screening.transactions.composition import Composition
from screening.transactions.schema import normalise

EVERYBODY = ""
"""The owner of a mapping that holds for all."""
# Key of the answers, beside the columns of a mapping. No column can have this name.
ANSWERS = ""


class MappingRow(Base):
    """One header's mapping, of one user or of everybody."""

    __tablename__ = "column_mappings"

    header: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    """In small letters, or :data:`EVERYBODY`."""
    detector: Mapped[str] = mapped_column(String(64))
    columns: Mapped[dict[str, Any]] = mapped_column(JSON)
    """For each column of the detector the file's, or what it is made of; and, under :data:`ANSWERS`, how columns are
    meant that can be read in two ways."""
    said_by: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    approved_by: Mapped[str | None] = mapped_column(String(64))
    """Account that approved it for all; ``None`` for one of an earlier version, which always did."""

    @property
    def for_all(self) -> bool:
        """Return whether it holds for everybody's files."""
        return self.owner == EVERYBODY

    @property
    def renamed(self) -> str:
        """The columns that are called otherwise, in words, and the answers."""
        answers = self.columns.get(ANSWERS, {})
        words = [renaming(columns_of(self.columns)), *(f"{name}: {said}" for name, said in answers.items())]
        return ", ".join(filter(None, words))

    @property
    def said(self) -> str:
        """By whom and when it was said."""
        words = f"by {self.said_by} on {self.created:%Y-%m-%d} for files with these columns"
        if self.for_all:
            words += f" and approved for all by {self.approved_by}" if self.approved_by else " of all users"
        return words


@dataclass(frozen=True, slots=True)
class Mapping:
    """A detector, and for each of its columns the file's, or what it is made of."""

    detector: str
    columns: Given[str, str | Composition]
    said: str = "for this file"
    """By whom and when it was said, if for an earlier file."""
    of_this_file: bool = False
    """Whether it was said of the very file, which the cells then can't contradict."""

    @property
    def as_json(self) -> dict[str, Any]:
        """The columns as JSON types."""
        return {
            ours: theirs.as_dict if isinstance(theirs, Composition) else theirs
            for ours, theirs in self.columns.items()
        }

    @property
    def renames(self) -> bool:
        """Return whether any column is called otherwise than the detector calls it, or made of several."""
        return any(
            isinstance(theirs, Composition) or normalise(theirs) != normalise(ours)
            for ours, theirs in self.columns.items()
        )

    @property
    def note(self) -> str:
        """Note for the user on the result."""
        return f"The file's columns were mapped as was said {self.said}: {renaming(self.columns) or 'by their names'}."


@dataclass(frozen=True, slots=True)
class RememberedAnswers:
    """Answers about columns that can be read in two ways, as it was said of an earlier file."""

    answers: Given[str, str]
    said: str
    """By whom and when."""
    words: str = ""
    """Meaning in words."""

    def to(self, questions: Sequence[Question]) -> RememberedAnswers | None:
        """Return the answers to some questions, all of them and each one of those that a file's cells leave open;
        ``None`` where it must be asked.
        """
        chosen: dict[str, str] = {}
        words = []
        for question in questions:
            fitting = [one for one in question.readings if one.answer == self.answers.get(question.option)]
            if not fitting:
                return None
            chosen[question.option] = fitting[0].answer
            words.append(f"{question.column}: {fitting[0].words}")
        return RememberedAnswers(chosen, self.said, ", ".join(words))


def columns_of(found: Given[str, Any]) -> dict[str, str | Composition]:
    """Return the columns that :attr:`Mapping.as_json` gave.

    Raises:
        BadParts: some make no value together.
    """
    return {
        ours: Composition.of(theirs) if isinstance(theirs, dict) else str(theirs)
        for ours, theirs in found.items()
        if ours != ANSWERS
    }


class Mappings:
    """The remembered ones."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recall(self, header: Sequence[str], owner: str) -> Mapping | None:
        """Return the mapping that a user chose for a file with these columns, in whatever order, or else what holds for
        all.
        """
        row = self._row(header, owner, lambda each: bool(columns_of(each.columns)))
        return None if row is None else Mapping(row.detector, columns_of(row.columns), row.said)

    def recall_answers(self, header: Sequence[str], owner: str) -> RememberedAnswers | None:
        """Return the answers that a user gave for a file with these columns, or else what holds for all."""
        row = self._row(header, owner, lambda each: bool(each.columns.get(ANSWERS)))
        return None if row is None else RememberedAnswers(row.columns[ANSWERS], row.said)

    def has_own(self, header: Sequence[str], owner: str) -> bool:
        """Return whether a user has said something for files with these columns."""
        with self._database.read() as session:
            return session.get(MappingRow, (mark(header), key_of(owner))) is not None

    def _row(
        self, header: Sequence[str], owner: str, holds: Callable[[MappingRow], bool]
    ) -> MappingRow | None:
        with self._database.read() as session:
            for whose in (key_of(owner), EVERYBODY):
                row = session.get(MappingRow, (mark(header), whose))
                if row is not None and holds(row):
                    return row
        return None

    def remember(self, header: Sequence[str], mapping: Mapping, owner: str) -> None:
        """Keep a mapping for a user's own files; one that the user said for these columns before is replaced, and the
        answers to questions stay.
        """
        columns = mapping.as_json
        self._keep(
            header,
            owner,
            mapping.detector,
            lambda before: columns if ANSWERS not in before else {ANSWERS: before[ANSWERS], **columns},
        )

    def remember_answers(
        self, header: Sequence[str], detector: str, answers: Given[str, str], owner: str
    ) -> None:
        """Keep answers for a user's own files, beside earlier ones to other questions."""
        self._keep(
            header,
            owner,
            detector,
            lambda before: {**before, ANSWERS: {**before.get(ANSWERS, {}), **answers}},
        )

    def _keep(
        self,
        header: Sequence[str],
        owner: str,
        detector: str,
        change: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:
        with self._database.write() as session:
            before = session.get(MappingRow, (mark(header), key_of(owner)))
            session.merge(
                MappingRow(
                    header=mark(header),
                    owner=key_of(owner),
                    detector=detector,
                    columns=change({} if before is None else dict(before.columns)),
                    said_by=owner,
                    created=now(),
                )
            )

    def forget(self, header: Sequence[str], owner: str) -> None:
        """Drop what a user said for these columns; what holds for all stays."""
        self._drop(mark(header), key_of(owner))

    def recent(self, limit: int) -> Sequence[MappingRow]:
        """Return the latest ones, latest first, everybody's and each user's own."""
        with self._database.read() as session:
            query = select(MappingRow).order_by(MappingRow.created.desc(), MappingRow.owner).limit(limit)
            return session.scalars(query).all()

    def approve(self, header: str, owner: str, by: str) -> MappingRow:
        """Let a user's mapping hold for all, as it is now; one that held for these columns before is replaced.

        Args:
            header: the mark of the columns.
            owner: whose mapping it is.
            by: who says so.

        Raises:
            NotFound: the user has none for these columns.
        """
        with self._database.write() as session:
            own = session.get(MappingRow, (header, key_of(owner)))
            if own is None or own.for_all:
                raise NotFound("There is no such mapping any more.", remedy="Load the page again.")
            row = MappingRow(
                header=header,
                owner=EVERYBODY,
                detector=own.detector,
                columns=own.columns,
                said_by=own.said_by,
                created=own.created,
                approved_by=by,
            )
            return session.merge(row)

    def withdraw(self, header: str) -> None:
        """Let what held for all with these columns hold no longer; what users said for themselves stays."""
        self._drop(header, EVERYBODY)

    def detach_owner(self, owner: str) -> None:
        """Forget what a name had said that somebody new has signed up with."""
        with self._database.write() as session:
            session.execute(delete(MappingRow).where(MappingRow.owner == key_of(owner)))

    def _drop(self, header: str, owner: str) -> None:
        with self._database.write() as session:
            session.execute(delete(MappingRow).where(MappingRow.header == header, MappingRow.owner == owner))


def mark(header: Sequence[str]) -> str:
    """Return SHA-256, hex, of the names of a header without case, spaces and order."""
    return hashlib.sha256(json.dumps(sorted(map(normalise, header))).encode()).hexdigest()


def key_of(owner: str) -> str:
    """Return an owner's name as it is kept: users.txt may have Ana for ana, and both are one account."""
    return owner.casefold()


def renaming(columns: Given[str, str | Composition]) -> str:
    """Return in words which columns of a file are called otherwise than the detector's."""
    return ", ".join(
        f"{theirs.words if isinstance(theirs, Composition) else theirs} as {ours}"
        for ours, theirs in columns.items()
        if ours != theirs
    )
