"""Remembers what decided: of each hash that a decision names, what it was made of, also when that is gone.

A decision of the ledger names the fingerprint of its detector and the mark of its rules, nothing else, so that no
payment waits for a hash. What stands behind these is noted once, when a process first has it, before it decides.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from screening.infra.database import Base, Database
from screening.infra.job_queue import UtcDateTime, now


class ProvenanceKind(StrEnum):
    """Kinds of things that take part in a decision."""

    DETECTOR = "detector"
    RULES = "rules"


class ProvenanceRow(Base):
    """The thing behind one hash; nothing changes or removes it."""

    __tablename__ = "provenance"

    mark: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256, hex: a detector's fingerprint, or the mark of some rules."""
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(64))
    """Of the detector."""
    told: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Of a detector the hashes of its files; of rules what each said."""
    noted: Mapped[datetime] = mapped_column(UtcDateTime)


class Provenance:
    """The rows of one instance."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, mark: str, kind: ProvenanceKind, name: str, told: Mapping[str, Any]) -> None:
        """Keep what stands behind a hash, unless that is known."""
        if self.of(mark) is not None:
            return
        row = ProvenanceRow(mark=mark, kind=kind.value, name=name, told=dict(told), noted=now())
        try:
            with self._database.write() as session:
                session.add(row)
        except IntegrityError:  # another process has just noted the same
            if self.of(mark) is None:
                raise

    def of(self, mark: str) -> ProvenanceRow | None:
        """Return what stands behind a hash; ``None`` for one of before this was noted."""
        with self._database.read() as session:
            return session.get(ProvenanceRow, mark)


def mark_of(told: Mapping[str, Any]) -> str:
    """Return the SHA-256, hex, of JSON values, however their keys are ordered."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
