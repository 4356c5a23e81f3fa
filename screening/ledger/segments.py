"""Segments: the ledger's Parquet files, each written once and whole, and the manifest that says which of them count.

Readers take the list of the manifest and never look into the folder. A file is noted as a draft before it is written
and when it leaves the manifest, so whoever is killed in between leaves a note of what is to be swept: nothing is ever
removed because a table happens to be empty.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from screening.bucket.faults import BucketUnavailable
from screening.bucket.storage import LEDGER, Storage
from screening.infra.atomic_file import sync_folder
from screening.infra.database import Database
from screening.infra.file_hash import sha256_of
from screening.infra.job_queue import now
from screening.ledger import totals
from screening.ledger.filters import DamagedLedger, TooMuch
from screening.ledger.identity import first_id, id_prefix
from screening.ledger.moments import with_zone
from screening.ledger.rows import aligned, schema_with
from screening.ledger.tables import (
    BatchJob,
    FileCounts,
    Label,
    Segment,
    SegmentContent,
    SegmentDraft,
    ShadowFile,
    ShadowScores,
)

log = logging.getLogger("screening.ledger")
SEARCHED = ("origin", "number", "decided_at", "event_time", "probability", "flagged")
"""Columns by which a reader can leave out whole row groups."""
ENDING, PART = ".parquet", ".part"
# Rows of a row group: as many as DuckDB gives to a thread at once.
GROUP_ROWS = 122_880
MOST_NAMED = 3
MOST_PUT = 20
"""Segments that are put into the bucket at a time, where it hasn't them."""
# A younger draft may still be written, so it isn't removed.
YOUNG = timedelta(minutes=10)
Sums = tuple[int, int]
"""Numbers of rows, and of flags."""
Entering = Callable[[Session], bool]
"""Work in the transaction that enters a segment; where it returns ``False``, nothing is entered."""


@dataclass(frozen=True, slots=True)
class SegmentFault:
    """A damaged segment and its problem."""

    name: str
    problem: str


class Segments:
    """The segments of one instance."""

    def __init__(self, instance: Path, tables: Database, storage: Storage | None = None) -> None:
        self.folder = instance / LEDGER
        self._tables = tables
        self.storage = storage or Storage(instance)

    def add(
        self, name: str, kind: str, table: pa.Table, instead_of: Entering = lambda _session: True
    ) -> Segment | None:
        """Write rows as a segment and enter it in the manifest; a segment of this name is replaced as a whole.

        When this returns, the rows are on the disk.

        Args:
            name: of the file, without its ending.
            kind: ``file`` or ``api``.
            table: as :data:`screening.ledger.rows.SCHEMA`, perhaps with further columns; one row or more.
            instead_of: called in the transaction that enters it, to take out what it takes the place of. The totals
                grow in that transaction, once for each screening.

        Returns:
            what was entered; ``None`` where ``instead_of`` said no.
        """
        screening = one_value(table, "screening")
        if screening is not None:
            # entered before, and put together with others since
            self._take_out(screening)

        def describe(name: str, size: int, digest: str) -> Segment:
            return _described(name, kind, table, size, digest)

        parts = totals.parts_of(table)  # before the lock is held

        def entering(session: Session) -> bool:
            if not instead_of(session):
                return False
            totals.grow(session, parts, screening)
            return True

        return self.enter(name, [table], describe, Segment.name.startswith(f"{name}-"), entering)

    def add_together(
        self,
        name: str,
        kind: str,
        tables: Iterable[pa.Table],
        entering: Callable[[Session, Sums], bool],
        *,
        once: str | None,
    ) -> bool:
        """Write rows as segments, one of each table, and enter all of them in one transaction, or none.

        Args:
            name: how the files' names begin.
            kind: as :meth:`add` has it.
            tables: the rows; they may take their time.
            entering: called in the transaction with the numbers of rows and of flags; where it returns ``False`` or
                raises, nothing is entered, and the files go.
            once: the totals grow once for each of these names; ``None``: they don't, for the rows were counted before.

        Returns:
            whether they were entered.

        Raises:
            BucketUnavailable: one couldn't be put into the bucket; nothing was entered.
            DamagedLedger: some were swept before they were entered; nothing was.
        """
        mine = SegmentDraft.name.startswith(f"{name}-")
        names: list[str] = []
        found: list[Segment] = []
        parts: list[totals.TotalPart] = []
        entered = False
        try:
            for table in tables:
                with self._tables.write() as session:
                    # those that were written are still wanted, however long the later ones take
                    session.execute(
                        update(SegmentDraft).where(mine, SegmentDraft.name.in_(names)).values(since=now())
                    )
                path, size, digest = self.write(name, [table])
                names.append(path.stem)
                found.append(_described(path.stem, kind, table, size, digest))
                parts += totals.parts_of(table)
            sums = sum(each.rows for each in found), sum(each.flagged for each in found)
            with self._tables.write() as session:
                noted = set(session.scalars(select(SegmentDraft.name).where(mine)))
                if not noted.issuperset(names):
                    raise DamagedLedger(
                        "Files that were written for the ledger were swept before they were entered: nothing was "
                        "entered.",
                        remedy="Do it again.",
                    )
                entered = entering(session, sums)
                if entered:
                    if once is not None:
                        ordered = sorted(parts, key=lambda each: (each.detector, each.source, each.up_to))
                        totals.grow(session, ordered, once)
                    session.execute(delete(SegmentDraft).where(mine, SegmentDraft.name.in_(names)))
                    session.add_all(found)
        finally:
            if not entered:
                self.remove(names)
        return entered

    def enter(
        self,
        name: str,
        tables: Iterable[pa.Table],
        describe: Callable[[str, int, str], Segment],
        which: ColumnElement[bool],
        entering: Entering,
    ) -> Segment | None:
        """Write a segment, and enter it in the manifest in the place of others.

        Args:
            name: how the file's name begins; each file has one of its own, since a replaced one may still be read.
            tables: its rows, some at a time; all have the columns of the first.
            describe: what the manifest says of it, by its name, its size in bytes and its SHA-256.
            which: the segments whose place it takes.
            entering: called in the transaction, before they are taken out.

        Raises:
            BucketUnavailable: it couldn't be put into the bucket; nothing was entered.
        """
        path, size, digest = self.write(name, tables)
        found = describe(path.stem, size, digest)
        with self._tables.write() as session:
            entered = entering(session)
            before: Sequence[str] = [found.name]
            if entered:
                session.execute(delete(SegmentDraft).where(SegmentDraft.name == found.name))
                before = dropped(session, which)
                session.add(found)
        # after the commit: until then the manifest may name these files
        self.remove(before)
        return found if entered else None

    def write(self, name: str, tables: Iterable[pa.Table]) -> tuple[Path, int, str]:
        """Write a file that the manifest doesn't name yet, and return its path, size and SHA-256.

        Args:
            name: how its name begins.
            tables: its rows, some at a time; all have the columns of the first.

        Raises:
            BucketUnavailable: it couldn't be put into the bucket.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        path = self.path(f"{name}-{secrets.token_hex(4)}")
        with self._tables.write() as session:
            # noted before the file is begun, so that a sweep finds what a killed writer leaves
            session.add(SegmentDraft(name=path.stem, since=now()))
        size, digest = write_whole(path, tables)
        try:
            # before the manifest names it: another machine may read it at once, and this disk may be lost
            self.storage.keep(path)
        except BucketUnavailable:
            path.unlink(missing_ok=True)  # the note stays, for what the bucket may have got of it
            raise
        return path, size, digest

    def forget(self, screening: str) -> bool:
        """Take the rows of a screening out of the ledger, with later labels of theirs; ``False`` when it has none."""
        taken_out = self._take_out(screening)
        with self._tables.write() as session:
            for origin in session.scalars(select(Segment.origin).where(Segment.screening == screening)):
                if origin is not None:
                    drop_labels(session, origin)
            names = dropped(session, Segment.screening == screening)
            session.execute(delete(FileCounts).where(FileCounts.screening == screening))
            for said in (ShadowScores, ShadowFile):
                session.execute(delete(said).where(said.screening == screening))
        self.remove(names)
        return taken_out or bool(names)

    def _take_out(self, screening: str) -> bool:
        """Take a screening's rows, and later labels of theirs, out of a segment of several; whether they were in one.

        The segment is written again without them. Where it is put together with others meanwhile, that one is.
        """
        while True:
            with self._tables.read() as session:
                content = session.scalar(select(SegmentContent).where(SegmentContent.screening == screening))
                holder = None if content is None else session.get(Segment, content.segment)
            if content is None or holder is None:
                return False
            if self._without(holder, content):
                return True

    def _without(self, holder: Segment, content: SegmentContent) -> bool:
        """Write a segment without one of its screenings; ``False`` if it isn't in the manifest any more."""
        try:
            with self.reading([holder]):
                left = pq.read_table(self.path(holder.name), partitioning=None)
        except FileNotFoundError:  # put together with others in this moment
            return False
        left = left.filter(pc.not_equal(left.column("screening"), content.screening))

        def leave(session: Session) -> bool:
            # put together with others while it was read: the caller looks for the new one
            if session.get(Segment, holder.name) is None:
                return False
            drop_labels(session, content.origin)
            session.execute(delete(SegmentContent).where(SegmentContent.screening == content.screening))
            return True

        if not len(left):
            with self._tables.write() as session:
                names = dropped(session, Segment.name == holder.name) if leave(session) else []
            self.remove(names)
            return bool(names)

        def rename(session: Session) -> bool:
            return leave(session) and moved(session, [holder.name], made.name)

        made = _described("", holder.kind, left, 0, "")
        # also of a single one that is left: its contents say whose rows it has
        made.screening = made.origin = None

        def describe(name: str, size: int, digest: str) -> Segment:
            made.name, made.size, made.sha256 = name, size, digest
            return made

        begin = holder.name.rpartition("-")[0]
        return self.enter(begin, [left], describe, Segment.name == holder.name, rename) is not None

    def expire(self, before: datetime) -> int:
        """Take segments out of the ledger whose decisions are all older than a moment; return how many rows.

        Later labels go with their rows: ids begin with the time when they were given, which is never before the
        decision.
        """
        with self._tables.write() as session:
            old = Segment.decided_last < before
            rows: int = session.scalar(select(func.sum(Segment.rows)).where(old)) or 0
            names = dropped(session, old)
            oldest = session.scalar(select(func.min(Segment.decided_first))) or before
            limit = first_id(int(min(oldest, before).timestamp() * 1000))
            session.execute(delete(Label).where(Label.id < limit))
            session.execute(delete(FileCounts).where(FileCounts.decided_at < before))
            # its rows are older than it
            session.execute(delete(BatchJob).where(BatchJob.entered < before))
            session.execute(delete(ShadowScores).where(ShadowScores.written < before))
        self.remove(names)
        return rows

    def all(self) -> Sequence[Segment]:
        """Return the manifest, the oldest decisions first."""
        with self._tables.read() as session:
            return session.scalars(select(Segment).order_by(Segment.decided_first, Segment.name)).all()

    def of(self, screening: str) -> Segment | None:
        """Return the segment in which a screening's rows stand."""
        with self._tables.read() as session:
            return session.scalar(select(Segment).where(has(screening)))

    def screenings(self) -> set[str]:
        """Return the ids of the screenings that are in the ledger."""
        with self._tables.read() as session:
            alone = session.scalars(select(Segment.screening).where(Segment.screening.is_not(None))).all()
            return {
                each
                for each in (*alone, *session.scalars(select(SegmentContent.screening)))
                if each is not None
            }

    def path(self, name: str) -> Path:
        """Return where a segment lies."""
        return self.folder / f"{name}{ENDING}"

    def verify(self) -> list[SegmentFault]:
        """Compare every file with the manifest: its bytes with the hash, its rows and flags with the numbers."""
        return [fault for segment in self.all() if (fault := self.fault(segment))]

    def damage(self, among: Sequence[Segment]) -> DamagedLedger | None:
        """Return what is to be said of the segments that are damaged or gone among some; ``None`` where all are whole.

        Those that have left the manifest meanwhile aren't among them.
        """
        there = {each.name for each in self.all()}
        bad = [each for each in among if each.name in there and self.fault(each) is not None]
        if not bad:
            return None
        first, last = min(each.decided_first for each in bad), max(each.decided_last for each in bad)
        many = f"{len(bad):,} segments hold" if len(bad) > 1 else "It holds"
        named = ", ".join(each.name for each in bad[:MOST_NAMED])
        return DamagedLedger(
            f"The ledger's files are not what was written: {named}{', …' if len(bad) > MOST_NAMED else ''}. "
            f"{many} decisions made from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC.",
            where=f"segment {named}",
            remedy="Ask about another period, which is answered. The operator finds all that is damaged with "
            "“flask --app app ledger verify”, and restores the files from a backup.",
        )

    def bring(self, among: Sequence[Segment]) -> None:
        """See that the files of some segments are on the disk.

        Raises:
            TooMuch: they don't fit into the cache together.
            BucketUnavailable: they are in the bucket, which can't be reached.
            FileNotFoundError: one is nowhere, for it is damaged or has left the manifest.
        """
        if not self.storage.remote:
            return
        size = sum(each.size for each in among)
        if size > self.storage.most:
            raise TooMuch(
                f"The answer needs {size >> 20:,} MB of the ledger's files on the disk at a time, and the cache has "
                f"{self.storage.most >> 20:,} MB (STORAGE_CACHE_MB).",
                remedy="Ask for a shorter period.",
            )
        got = [each for each in among if self.storage.bring(self.path(each.name), each.size, each.sha256)]
        if self.remove_gone([each.name for each in got]):
            raise FileNotFoundError("a segment left the manifest while it was got")

    @contextmanager
    def reading(self, among: Sequence[Segment]) -> Iterator[None]:
        """Read segments, which are brought if they must be, and say which are damaged where that fails.

        Raises:
            DamagedLedger: one is.
            FileNotFoundError: one has left the manifest, and its file is gone.
            TooMuch, BucketUnavailable: as :meth:`bring`.
        """
        try:
            self.bring(among)
            yield
        except (pa.ArrowException, OSError) as problem:
            damage = self.damage(among)
            if damage is None:
                raise
            raise damage from problem

    def missing(
        self, segment: Segment, kept: Mapping[Path, int] = MappingProxyType({})
    ) -> SegmentFault | None:
        """Compare a file's size with the manifest, which takes no time; ``None`` where it is as long as it was.

        Args:
            segment: of the manifest.
            kept: sizes of the files that the bucket has, for those that aren't on the disk.
        """
        path = self.path(segment.name)
        try:
            size = path.stat().st_size
        except OSError as problem:
            if path not in kept:
                return SegmentFault(segment.name, f"can't be read: {problem.strerror}")
            size = kept[path]
        if size != segment.size:
            return SegmentFault(segment.name, f"has {size:,} bytes, the manifest {segment.size:,}")
        return None

    def sweep(self) -> list[str]:
        """Remove what a writer left that was killed, and return the names; a young draft may still be written."""
        with self._tables.read() as session:
            old = session.scalars(select(SegmentDraft.name).where(SegmentDraft.since < now() - YOUNG)).all()
        return sorted(old) if self.remove(old) else []

    def store_missing(self) -> int:
        """Put segments into the bucket that it hasn't yet, as those of before there was one: a few; return how many.

        Raises:
            BucketUnavailable: it can't be reached.
        """
        if not self.storage.remote:
            return 0
        stored, count = self.storage.sizes(LEDGER), 0
        for each in self.all():
            path = self.path(each.name)
            # one that is damaged must not become what others get
            if path not in stored and path.exists() and self.fault(each) is None:
                with suppress(FileNotFoundError):
                    self.storage.keep(path)
                count += not self.remove_gone([each.name])
                if count == MOST_PUT:
                    break
        return count

    def remove(self, names: Sequence[str]) -> bool:
        """Remove files that have left the manifest, and their notes; ``False`` where the bucket still has some."""
        if not names:
            return True
        for name in names:
            self.path(name).with_suffix(PART).unlink(missing_ok=True)
        try:
            self.storage.drop([self.path(name) for name in names])
        except BucketUnavailable as problem:
            # the notes stay, and the next sweep finds them
            log.warning("%d files that left the ledger are still in the bucket: %s", len(names), problem.what)
            return False
        with self._tables.write() as session:
            session.execute(delete(SegmentDraft).where(SegmentDraft.name.in_(names)))
        return True

    def remove_gone(self, names: Sequence[str]) -> bool:
        """Remove files that were got or put while they left the manifest; whether there were any.

        Who took them out of it has removed what there was, and nobody would look for what came after that.
        """
        if not names:
            return False
        with self._tables.read() as session:
            gone = set(names).difference(session.scalars(select(Segment.name).where(Segment.name.in_(names))))
        if gone:
            self.storage.drop([self.path(name) for name in gone])
        return bool(gone)

    def fault(self, segment: Segment) -> SegmentFault | None:
        """Compare a file with the manifest: its bytes with the hash, its rows and flags with the numbers.

        One that is damaged on the disk and whole in the bucket is got from there.

        Raises:
            BucketUnavailable: it is in the bucket, which can't be reached.
        """
        path = self.path(segment.name)
        try:
            self.storage.bring(path, segment.size, segment.sha256)
            digest = sha256_of(path)
        except OSError as problem:
            return SegmentFault(segment.name, f"can't be read: {problem.strerror or problem}")
        if digest != segment.sha256 and not self.storage.renew(path, segment.size, segment.sha256):
            return SegmentFault(segment.name, "isn't what was written: its hash differs from the manifest's")
        flags = pq.read_table(path, columns=["flagged"], partitioning=None).column("flagged")
        counted = (len(flags), pc.sum(flags).as_py() or 0)
        if counted != (segment.rows, segment.flagged):
            return SegmentFault(
                segment.name,
                f"has {counted[0]:,} rows and {counted[1]:,} flags, "
                f"the manifest {segment.rows:,} and {segment.flagged:,}",
            )
        return None


def has(screening: str) -> ColumnElement[bool]:
    """Return the condition that a segment has rows of a screening."""
    together = select(SegmentContent.segment).where(SegmentContent.screening == screening)
    return or_(Segment.screening == screening, Segment.name.in_(together))


def dropped(session: Session, which: ColumnElement[bool]) -> Sequence[str]:
    """Take segments out of the manifest, note that their files are to go, and return their names."""
    names = session.scalars(select(Segment.name).where(which)).all()
    session.execute(delete(Segment).where(Segment.name.in_(names)))
    session.execute(delete(SegmentContent).where(SegmentContent.segment.in_(names)))
    session.add_all(SegmentDraft(name=name, since=now()) for name in names)
    return names


def moved(session: Session, names: Sequence[str], name: str) -> bool:
    """Note that the screenings of some segments appear in another one now."""
    session.execute(update(SegmentContent).where(SegmentContent.segment.in_(names)).values(segment=name))
    return True


def drop_labels(session: Session, origin: str) -> None:
    """Remove what was said later of an origin's transactions."""
    session.execute(delete(Label).where(Label.id.startswith(id_prefix(bytes.fromhex(origin)))))


def write_whole(path: Path, tables: Iterable[pa.Table]) -> tuple[int, str]:
    """Write a file that is whole or not there, and return its size and SHA-256."""
    part = path.with_suffix(PART)
    rest = iter(tables)
    first = next(rest)
    schema = schema_with(first.column_names)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        with pq.ParquetWriter(
            out,
            schema,
            compression="snappy",
            use_dictionary=[name for name in schema.names if name not in {"number", "probability", "values"}],
            column_encoding={"number": "DELTA_BINARY_PACKED"},
            # those of all columns cost a third of the time
            write_statistics=list(SEARCHED),
            coerce_timestamps="us",
        ) as writer:
            for table in chain([first], rest):
                writer.write_table(aligned(table, schema), row_group_size=GROUP_ROWS)
        out.flush()
        os.fsync(out.fileno())
    digest = sha256_of(part)
    size = part.stat().st_size
    part.replace(path)
    sync_folder(path.parent)
    return size, digest


def _described(name: str, kind: str, table: pa.Table, size: int, digest: str) -> Segment:
    decided, event = table.column("decided_at"), table.column("event_time")
    at = pc.coalesce(event, decided)
    none = event.null_count
    origin = one_value(table, "origin")
    return Segment(
        name=name,
        kind=kind,
        screening=one_value(table, "screening"),
        origin=None if origin is None else origin.hex(),
        owner=one_value(table, "owner"),
        detector=one_value(table, "detector"),
        calendar=True if none == 0 else False if none == len(table) else None,
        earliest=with_zone(pc.min(at).as_py()),
        latest=with_zone(pc.max(at).as_py()),
        decided_first=with_zone(pc.min(decided).as_py()),
        decided_last=with_zone(pc.max(decided).as_py()),
        rows=len(table),
        flagged=pc.sum(table.column("flagged")).as_py() or 0,
        size=size,
        sha256=digest,
        written=now(),
    )


def one_value(table: pa.Table, column: str) -> Any:
    """Return what all rows say of a column; ``None`` where they differ."""
    kept = table.column(column)
    first = kept[0].as_py()
    if first is None:
        return None
    return first if pc.all(pc.equal(kept, kept[0])).as_py() and not kept.null_count else None
