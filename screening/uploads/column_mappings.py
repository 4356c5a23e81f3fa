"""Which column of a file is which of a detector's, as users said it; remembered by the file's header.

What a user says holds for that user's files. A manager can have it hold for everybody's: a copy is kept for all, and
whoever said it first can't change that one. One's own goes first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from screening.errors import NotFound
from screening.infra.database import Base, Database
from screening.infra.job_queue import UtcDateTime, now
from screening.transactions.schema import normalise

EVERYBODY = ""
"""The owner of a mapping that holds for all."""


class MappingRow(Base):
    """One header's mapping, of one user or of everybody."""

    __tablename__ = "column_mappings"

    header: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    """In small letters, or :data:`EVERYBODY`."""
    detector: Mapped[str] = mapped_column(String(64))
    columns: Mapped[dict[str, Any]] = mapped_column(JSON)
    said_by: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    approved_by: Mapped[str | None] = mapped_column(String(64))
    """Who has said that it holds for all; ``None`` for one of an earlier version, which always did."""

    @property
    def for_all(self) -> bool:
        """Whether it holds for everybody's files."""
        return self.owner == EVERYBODY

    @property
    def renamed(self) -> str:
        """The columns that are called otherwise, in words."""
        return _renamed(self.columns)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A detector, and for each of its columns the file's."""

    detector: str
    columns: dict[str, str]
    said: str = "for this file"
    """By whom and when it was said, if for an earlier file."""

    @property
    def aliases(self) -> tuple[tuple[str, str], ...]:
        """As a contract takes them."""
        return tuple(self.columns.items())

    @property
    def note(self) -> str:
        """What a user is told of it, on the result."""
        return f"The file's columns were mapped as was said {self.said}: {_renamed(self.columns)}."


class Mappings:
    """The remembered ones."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recall(self, header: Sequence[str], owner: str) -> Mapping | None:
        """What a user said for a file with these columns, in whatever order, or else what holds for all."""
        with self._database.read() as session:
            row = session.get(MappingRow, (mark(header), _key(owner))) or session.get(
                MappingRow, (mark(header), EVERYBODY)
            )
        if row is None:
            return None
        said = f"by {row.said_by} on {row.created:%Y-%m-%d} for files with these columns"
        if row.for_all:
            said += f" and approved for all by {row.approved_by}" if row.approved_by else " of all users"
        return Mapping(row.detector, dict(row.columns), said)

    def remember(self, header: Sequence[str], mapping: Mapping, owner: str) -> None:
        """Keep a mapping for a user's own files; one that the user said for these columns before is replaced."""
        row = MappingRow(
            header=mark(header),
            owner=_key(owner),
            detector=mapping.detector,
            columns=mapping.columns,
            said_by=owner,
            created=now(),
        )
        with self._database.write() as session:
            session.merge(row)

    def forget(self, header: Sequence[str], owner: str) -> None:
        """Drop what a user said for these columns; what holds for all stays."""
        self._drop(mark(header), _key(owner))

    def recent(self, limit: int) -> Sequence[MappingRow]:
        """The latest ones, latest first, everybody's and each user's own."""
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
            own = session.get(MappingRow, (header, _key(owner)))
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

    def part(self, owner: str) -> None:
        """Forget what a name had said that somebody new has signed up with."""
        with self._database.write() as session:
            session.execute(delete(MappingRow).where(MappingRow.owner == _key(owner)))

    def _drop(self, header: str, owner: str) -> None:
        with self._database.write() as session:
            session.execute(delete(MappingRow).where(MappingRow.header == header, MappingRow.owner == owner))


def mark(header: Sequence[str]) -> str:
    """SHA-256, hex, of the names of a header without case, spaces and order."""
    return hashlib.sha256(json.dumps(sorted(map(normalise, header))).encode()).hexdigest()


def _key(owner: str) -> str:
    return owner.casefold()


def _renamed(columns: dict[str, str]) -> str:
    return ", ".join(f"{theirs} as {ours}" for ours, theirs in columns.items() if ours != theirs)
