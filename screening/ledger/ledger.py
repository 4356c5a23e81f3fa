"""The ledger of an instance: its tables, its segments, and whoever asks them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sqlalchemy import delete, select

from screening.bucket.storage import Storage
from screening.errors import NotReady
from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger.jobs import BatchJobs
from screening.ledger.labels import Labels
from screening.ledger.tables import (
    IdempotentAnswer,
    LedgerName,
    Parting,
    Segment,
    SegmentDraft,
    open_tables,
)
from screening.ledger.tail import Tail
from screening.ledger.velocity.sql_state import SqlVelocity
from screening.ledger.velocity.state import Velocity

if TYPE_CHECKING:
    from screening.ledger.compaction import Compaction
    from screening.ledger.inspection import Inspection
    from screening.ledger.queries.observed import Observed
    from screening.ledger.queries.questions import Questions
    from screening.ledger.rebuilding import Rebuilding, Settling
    from screening.ledger.sealing import Sealing
    from screening.ledger.segments import Segments


@dataclass(frozen=True)
class Ledger:
    """One for each process. A process that only adds to the tail loads neither Arrow nor DuckDB."""

    instance: Path
    tables: Database
    tail: Tail
    labels: Labels
    velocity: Velocity
    storage: Storage

    @classmethod
    def open(
        cls,
        instance: Path,
        database_url: str,
        durability: str = "full",
        state_url: str | None = None,
        storage: Storage | None = None,
    ) -> Self:
        """Open the ledger, which is made where there is none.

        Args:
            instance: the folder of the instance.
            database_url: of the app's database.
            durability: as :func:`screening.ledger.tables.open_tables` takes it.
            state_url: of the Redis in which the velocity state is; by default it is among the tables.
            storage: home of the segments; by default the folder of the instance.

        Raises:
            NotReady, BadSetting: its tables can't be used.
        """
        tables = open_tables(instance, database_url, durability)
        velocity: Velocity = SqlVelocity(tables) if state_url is None else _in_redis(tables, state_url)
        tail, labels = Tail(tables, velocity), Labels(tables, velocity)
        return cls(instance, tables, tail, labels, velocity, storage or Storage(instance))

    def require_manifest(self) -> None:
        """See that the segments of the folder have a manifest.

        A file that was being written when the disk failed, or the server was killed, is no segment, and the manifest
        knows of it as a draft: of the first segment of all there is nothing else.

        Raises:
            NotReady: there are files, and it is empty: the decisions of the API would be lost without a word.
        """
        with self.tables.read() as session:
            if session.scalar(select(Segment.name).limit(1)) is not None:
                return
            drafts = set(session.scalars(select(SegmentDraft.name)))
        if any(file.stem not in drafts for file in (self.instance / "ledger").glob("*.parquet")):
            raise NotReady(
                "The folder of the ledger has segments, and its manifest knows none.",
                where=str(self.instance / "ledger"),
                remedy="Restore ledger.sqlite3 from a backup; or move the folder ledger away to have the screenings "
                "entered again, without what came through the API. Nothing was changed.",
            )

    def detach_owner(self, owner: str) -> None:
        """Take decisions away from a name that somebody new has signed up with; they stay for those who see all.

        Args:
            owner: the name.
        """
        name = owner.casefold()
        with self.tables.write() as session:
            session.merge(Parting(owner=name, at=now()))
            session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.owner == name))
        self.velocity.detach_owner(name)

    @cached_property
    def segments(self) -> Segments:
        """The files and their manifest."""
        from screening.ledger.segments import Segments

        return Segments(self.instance, self.tables, self.storage)

    @cached_property
    def jobs(self) -> BatchJobs:
        """The jobs over folders that were entered."""
        return BatchJobs(self.tables)

    @cached_property
    def sealing(self) -> Sealing:
        """Sealing of the tail into segments."""
        from screening.ledger.sealing import Sealing

        return Sealing(self.tables, self.segments)

    @cached_property
    def compaction(self) -> Compaction:
        """Compaction of segments."""
        from screening.ledger.compaction import Compaction

        return Compaction(self.tables, self.segments)

    @cached_property
    def inspection(self) -> Inspection:
        """Inspection of segments: whether they still are as they were written."""
        from screening.ledger.inspection import Inspection

        return Inspection(self.segments)

    @cached_property
    def rebuilding(self) -> Rebuilding:
        """Rebuilding of the velocity state from the decisions."""
        from screening.ledger.rebuilding import Rebuilding

        return Rebuilding(self.tables, self.segments, self.sealing, self.velocity)

    @cached_property
    def settling(self) -> Settling:
        """Settling of rows of the velocity state that may have no decision."""
        from screening.ledger.rebuilding import Settling

        return Settling(self.tables, self.questions, self.velocity)

    @cached_property
    def observed(self) -> Observed:
        """Answers to the questions of monitoring."""
        from screening.ledger.queries.observed import Observed

        return Observed(self.tables, self.questions)

    @cached_property
    def questions(self) -> Questions:
        """Answers to questions about the ledger."""
        from screening.ledger.queries.engine import Engine
        from screening.ledger.queries.questions import Questions

        return Questions(self.segments, self.sealing, self.tables, Engine(self.segments.folder))


def _in_redis(tables: Database, url: str) -> Velocity:
    # who has none doesn't load its client
    from screening.ledger.velocity.redis_state import RedisVelocity

    with tables.read() as session:
        return RedisVelocity(tables, url, str(session.scalar(select(LedgerName.name))))
