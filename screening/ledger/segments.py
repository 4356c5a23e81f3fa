"""Segments: the ledger's Parquet files, each written once and whole, and the manifest that says which of them count.

Readers take the list of the manifest and never look into the folder. A file is noted as a draft before it is written
and when it leaves the manifest, so whoever is killed in between leaves a note of what is to be swept: nothing is ever
removed because a table happens to be empty.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger.identity import id_prefix
from screening.ledger.rows import SCHEMA
from screening.ledger.tables import Draft, Label, Segment

SEARCHED = ("origin", "number", "decided_at", "event_time", "probability", "flagged")
"""Columns by which a reader can leave out whole row groups."""
ENDING, PART = ".parquet", ".part"
GROUP_ROWS = 122_880
"""Rows of a row group: as many as DuckDB gives a thread at once."""
YOUNG = timedelta(minutes=10)
"""A draft so young may still be written."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a segment."""

    name: str
    problem: str


class Segments:
    """The segments of one instance."""

    def __init__(self, instance: Path, tables: Database) -> None:
        self.folder = instance / "ledger"
        self._tables = tables

    def add(
        self,
        name: str,
        kind: str,
        table: pa.Table,
        instead_of: Callable[[Session], bool] = lambda _session: True,
    ) -> Segment | None:
        """Write rows as a segment and enter it in the manifest; a segment of this name is replaced as a whole.

        When this returns, the rows are on the disk.

        Args:
            name: of the file, without its ending.
            kind: ``file`` or ``api``.
            table: as :data:`screening.ledger.rows.SCHEMA`, one row or more.
            instead_of: called in the transaction that enters it, to take out what it takes the place of; where it
                returns ``False`` nothing is entered and ``None`` is returned.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        path = self.path(f"{name}-{secrets.token_hex(4)}")  # a replaced one may still be read
        with self._tables.write() as session:
            session.add(Draft(name=path.stem, since=now()))
        size, digest = _write(path, table)
        found = _described(path.stem, kind, table, size, digest)
        with self._tables.write() as session:
            entered = instead_of(session)
            before: Sequence[str] = [found.name]
            if entered:
                session.execute(delete(Draft).where(Draft.name == found.name))
                before = _dropped(session, Segment.name.startswith(f"{name}-"))
                session.add(found)
        self._remove(before)
        return found if entered else None

    def forget(self, screening: str) -> bool:
        """Take the rows of a screening out of the ledger, with later labels of theirs; ``False`` when it has none."""
        with self._tables.write() as session:
            for origin in session.scalars(select(Segment.origin).where(Segment.screening == screening)):
                if origin is not None:
                    session.execute(
                        delete(Label).where(Label.id.startswith(id_prefix(bytes.fromhex(origin))))
                    )
            names = _dropped(session, Segment.screening == screening)
        self._remove(names)
        return bool(names)

    def all(self) -> Sequence[Segment]:
        """Return the manifest, the oldest decisions first."""
        with self._tables.read() as session:
            return session.scalars(select(Segment).order_by(Segment.decided_first, Segment.name)).all()

    def of(self, screening: str) -> Segment | None:
        """Return the segment of a screening."""
        with self._tables.read() as session:
            return session.scalar(select(Segment).where(Segment.screening == screening))

    def screenings(self) -> set[str]:
        """Return the ids of the screenings that have a segment."""
        with self._tables.read() as session:
            return {found for found in session.scalars(select(Segment.screening)) if found is not None}

    def path(self, name: str) -> Path:
        """Return where a segment lies."""
        return self.folder / f"{name}{ENDING}"

    def verify(self) -> list[Fault]:
        """Compare every file with the manifest: its bytes with the hash, its rows and flags with the numbers."""
        return [fault for segment in self.all() if (fault := self._fault(segment))]

    def sweep(self) -> list[str]:
        """Remove what a writer left that was killed, and return the names; a young draft may still be written."""
        with self._tables.read() as session:
            old = session.scalars(select(Draft.name).where(Draft.since < now() - YOUNG)).all()
        self._remove(old)
        return sorted(old)

    def _remove(self, names: Sequence[str]) -> None:
        """Remove files that have left the manifest, and the notes about them."""
        if not names:
            return
        for name in names:
            self.path(name).unlink(missing_ok=True)
            self.path(name).with_suffix(PART).unlink(missing_ok=True)
        with self._tables.write() as session:
            session.execute(delete(Draft).where(Draft.name.in_(names)))

    def _fault(self, segment: Segment) -> Fault | None:
        path = self.path(segment.name)
        try:
            digest = _hash(path)
        except OSError as problem:
            return Fault(segment.name, f"can't be read: {problem.strerror}")
        if digest != segment.sha256:
            return Fault(segment.name, "isn't what was written: its hash differs from the manifest's")
        flags = pq.read_table(path, columns=["flagged"], partitioning=None).column("flagged")
        counted = (len(flags), pc.sum(flags).as_py() or 0)
        if counted != (segment.rows, segment.flagged):
            return Fault(
                segment.name,
                f"has {counted[0]:,} rows and {counted[1]:,} flags, "
                f"the manifest {segment.rows:,} and {segment.flagged:,}",
            )
        return None


def _dropped(session: Session, which: ColumnElement[bool]) -> Sequence[str]:
    """Take segments out of the manifest, note that their files are to go, and return their names."""
    names = session.scalars(select(Segment.name).where(which)).all()
    session.execute(delete(Segment).where(Segment.name.in_(names)))
    session.add_all(Draft(name=name, since=now()) for name in names)
    return names


def _write(path: Path, table: pa.Table) -> tuple[int, str]:
    """Write a file that is whole or not there, and return its size and SHA-256."""
    part = path.with_suffix(PART)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        pq.write_table(
            table.cast(SCHEMA),
            out,
            compression="snappy",
            row_group_size=GROUP_ROWS,
            use_dictionary=[name for name in SCHEMA.names if name not in {"number", "probability", "values"}],
            column_encoding={"number": "DELTA_BINARY_PACKED"},
            write_statistics=list(SEARCHED),  # those of all columns cost a third of the time
            coerce_timestamps="us",
        )
        out.flush()
        os.fsync(out.fileno())
    digest = _hash(part)
    size = part.stat().st_size
    part.replace(path)
    _sync(path.parent)
    return size, digest


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _described(name: str, kind: str, table: pa.Table, size: int, digest: str) -> Segment:
    decided, event = table.column("decided_at"), table.column("event_time")
    at = pc.coalesce(event, decided)
    none = event.null_count
    origin = _one(table, "origin")
    return Segment(
        name=name,
        kind=kind,
        screening=_one(table, "screening"),
        origin=None if origin is None else origin.hex(),
        owner=_one(table, "owner"),
        detector=_one(table, "detector"),
        calendar=True if none == 0 else False if none == len(table) else None,
        earliest=_utc(pc.min(at).as_py()),
        latest=_utc(pc.max(at).as_py()),
        decided_first=_utc(pc.min(decided).as_py()),
        decided_last=_utc(pc.max(decided).as_py()),
        rows=len(table),
        flagged=pc.sum(table.column("flagged")).as_py() or 0,
        size=size,
        sha256=digest,
        written=now(),
    )


def _one(table: pa.Table, column: str) -> Any:
    """Return what all rows say of a column; ``None`` where they differ."""
    kept = table.column(column)
    first = kept[0].as_py()
    if first is None:
        return None
    return first if pc.all(pc.equal(kept, kept[0])).as_py() and not kept.null_count else None


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
