"""Jobs over folders in the ledger: the decisions of one are entered together, or none of them, and once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import Session

from screening.errors import Conflict
from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger.tables import BATCH, BatchJob, Parting

if TYPE_CHECKING:
    import pyarrow as pa

    from screening.ledger.segments import Segments


class BatchJobs:
    """The jobs over folders that are in the ledger."""

    def __init__(self, tables: Database) -> None:
        self._tables = tables

    def find(self, job: str) -> BatchJob | None:
        """Return a job that was entered."""
        with self._tables.read() as session:
            return session.get(BatchJob, job)

    def counting(self, fingerprint: str, owner: str | None, *, for_all: bool) -> frozenset[str]:
        """Return the ids of the jobs of one detector whose rows count for a user's files.

        Args:
            fingerprint: the detector's.
            owner: the user whose own count; ``None``: nobody's.
            for_all: whether those that count for all do.
        """
        whose: list[ColumnElement[bool]] = [BatchJob.counts_for_all.is_(True)] if for_all else []
        with self._tables.read() as session:
            if owner is not None:
                mine = BatchJob.owner == owner.casefold()
                parting = session.get(Parting, owner.casefold())
                # those of a namesake, who had the name before, aren't
                whose.append(mine if parting is None else and_(mine, BatchJob.entered > parting.at))
            query = select(BatchJob.id).where(BatchJob.fingerprint == fingerprint, or_(false(), *whose))
            return frozenset(session.scalars(query))

    def enter(self, job: BatchJob, segments: Segments, tables: Iterable[pa.Table]) -> bool:
        """Write the decisions of a job as segments, and enter all of them in one transaction.

        Whoever is killed on the way leaves files that count nowhere, and are swept.

        Args:
            job: what is entered; ``rows`` and ``flagged`` must be those of the tables together.
            segments: the ledger's.
            tables: the decisions, as :data:`screening.ledger.rows.SCHEMA`; each becomes a segment.

        Returns:
            whether they were entered; not if they were before.

        Raises:
            Conflict: there are more or fewer rows than the job has. Nothing was entered.
        """
        name, rows, flagged = job.id, job.rows, job.flagged

        def entering(session: Session, found: tuple[int, int]) -> bool:
            if session.get(BatchJob, name) is not None:
                return False
            if found != (rows, flagged):
                raise Conflict(
                    f"The job has {rows:,} rows and {flagged:,} flags, and {found[0]:,} and {found[1]:,} came: nothing "
                    "was entered in the ledger.",
                    remedy="Run it again, with another OUTPUT.",
                )
            job.entered = now()
            session.add(job)
            return True

        return segments.add_together(f"{BATCH}-{name}", BATCH, tables, entering)
