"""Which column of a file is which of a detector's, as users said it; remembered by the file's header.

A file with the same columns is then screened at once: whoever maps a header maps it for the whole bank.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, delete
from sqlalchemy.orm import Mapped, mapped_column

from screening.infra.database import Base, Database
from screening.infra.job_queue import UtcDateTime, now
from screening.transactions.schema import normalise


class Row(Base):
    """One header's mapping."""

    __tablename__ = "mappings"

    header: Mapped[str] = mapped_column(String(64), primary_key=True)
    detector: Mapped[str] = mapped_column(String(64))
    columns: Mapped[dict[str, Any]] = mapped_column(JSON)
    owner: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(UtcDateTime)


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
        told = ", ".join(f"{theirs} as {ours}" for ours, theirs in self.columns.items() if ours != theirs)
        return f"The file's columns were mapped as was said {self.said}: {told}."


class Mappings:
    """The remembered ones."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recall(self, header: Sequence[str]) -> Mapping | None:
        """What was said for a file with these columns, in whatever order."""
        with self._database.read() as session:
            row = session.get(Row, mark(header))
            if row is None:
                return None
            said = f"by {row.owner} on {row.created:%Y-%m-%d} for files with these columns"
            return Mapping(row.detector, dict(row.columns), said)

    def remember(self, header: Sequence[str], mapping: Mapping, owner: str) -> None:
        """Keep a mapping; one that was kept for these columns before is replaced."""
        row = Row(
            header=mark(header),
            detector=mapping.detector,
            columns=mapping.columns,
            owner=owner,
            created=now(),
        )
        with self._database.write() as session:
            session.merge(row)

    def forget(self, header: Sequence[str]) -> None:
        """Drop what was said for these columns."""
        with self._database.write() as session:
            session.execute(delete(Row).where(Row.header == mark(header)))


def mark(header: Sequence[str]) -> str:
    """SHA-256, hex, of the names of a header without case, spaces and order."""
    return hashlib.sha256(json.dumps(sorted(map(normalise, header))).encode()).hexdigest()
