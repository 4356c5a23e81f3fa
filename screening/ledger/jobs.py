"""Jobs over folders in the ledger: the decisions of one are entered together, or none of them, and once. All of them
can be taken out together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, or_, select, text
from sqlalchemy.orm import Session

from screening.errors import Conflict
from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger.tables import BATCH, BatchJob, Segment

if TYPE_CHECKING:
    import pyarrow as pa  # web processes do without it

    from screening.ledger.segments import Segments

# asked at each request of a detector that looks back: SQLAlchemy takes ten times as long around it
COUNTING = text(
    "SELECT job.id FROM ledger_batch_jobs job LEFT JOIN ledger_partings parting ON parting.owner = job.owner "
    "WHERE job.fingerprint = :fingerprint AND (job.counts_for_all AND :for_all "
    # those of a namesake, who had the name before, aren't the owner's
    "OR job.owner = :owner AND (parting.at IS NULL OR job.entered > parting.at))"
)


class BatchJobs:
    """The jobs over folders that are in the ledger."""

    def __init__(self, tables: Database) -> None:
        self._tables = tables

    def find(self, job: str) -> BatchJob | None:
        """Return a job that was entered."""
        with self._tables.read() as session:
            return session.get(BatchJob, job)

    def all(self) -> Sequence[BatchJob]:
        """Return all jobs, the latest first."""
        with self._tables.read() as session:
            return session.scalars(select(BatchJob).order_by(BatchJob.entered.desc(), BatchJob.id)).all()

    def counting(self, fingerprint: str, owner: str | None, *, for_all: bool) -> frozenset[str]:
        """Return the ids of the jobs of one detector whose rows count for a user's files.

        Args:
            fingerprint: the detector's.
            owner: the user whose own count; ``None``: nobody's.
            for_all: whether those that count for all do.
        """
        given = {
            "fingerprint": fingerprint,
            "owner": None if owner is None else owner.casefold(),
            "for_all": for_all,
        }
        with self._tables.driver_write(begin=False) as read:
            return frozenset(row[0] for row in read.one(COUNTING, given).fetchall())

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

        return segments.add_together(f"{BATCH}-{name}", BATCH, tables, entering, once=name)

    def origins(self, job: BatchJob, segments: Segments) -> set[bytes]:
        """Return the first 96 bits of the ids of a job's rows.

        Raises:
            DamagedLedger: a segment can't be read.
        """
        return {
            origin
            for holder in self._may_hold(job)
            for origin in origins_of(segments, holder, job.id).to_pylist()
        }

    def remove(self, job: BatchJob, segments: Segments) -> int:
        """Take the rows of a job out of the ledger, with later labels of theirs and the job itself, in one transaction;
        return how many there were.

        Segments that have rows of other jobs, too, are written again without them. The totals stay, as they do when a
        screening is deleted; rows that are entered again aren't counted again.

        Args:
            job: which one.
            segments: the ledger's.

        Raises:
            DamagedLedger: a segment can't be read. Nothing was changed.
            BucketUnavailable: one couldn't be put into the bucket. Nothing was changed.
        """
        while True:
            count = self._remove(job, segments)
            if count is not None:
                return count

    def _remove(self, job: BatchJob, segments: Segments) -> int | None:
        """Take a job out; ``None`` where its segments were put together with others meanwhile."""
        import pyarrow.compute as pc

        from screening.ledger.segments import drop_labels, dropped
        from screening.ledger.totals import note_counted

        holders = {each.name: origins_of(segments, each, job.id) for each in self._may_hold(job)}
        holders = {name: origins for name, origins in holders.items() if len(origins)}
        with self._tables.read() as session:
            kept = {
                each.name: each for each in session.scalars(select(Segment).where(Segment.name.in_(holders)))
            }
        if kept.keys() != holders.keys():
            return None
        count = 0

        def left() -> Iterator[pa.Table]:
            nonlocal count
            for holder in kept.values():
                table = whole(segments, holder)
                others = table.filter(
                    pc.fill_null(pc.not_equal(table.column("request"), job.id), fill_value=True)
                )
                count += len(table) - len(others)
                if len(others):
                    yield others

        gone: Sequence[str] = []

        def entering(session: Session, _sums: tuple[int, int]) -> bool:
            nonlocal gone
            mine = Segment.name.in_(holders)
            if session.scalar(select(func.count()).select_from(Segment).where(mine)) != len(holders):
                return False
            gone = dropped(session, mine)
            for origin in {each for origins in holders.values() for each in origins.to_pylist()}:
                drop_labels(session, origin.hex())
            # jobs of before were counted without a note
            note_counted(session, job.id)
            session.execute(delete(BatchJob).where(BatchJob.id == job.id))
            return True

        if not segments.add_together(f"{BATCH}-without", BATCH, left(), entering, once=None):
            return None
        # after the commit: until then the manifest may name these files
        segments.remove(gone)
        return count

    def _may_hold(self, job: BatchJob) -> Sequence[Segment]:
        """Return the segments that may have rows of a job: of one that were entered with others' it isn't known."""
        with self._tables.read() as session:
            return session.scalars(
                select(Segment).where(
                    Segment.kind == BATCH,
                    Segment.decided_first <= job.entered,
                    or_(Segment.owner.is_(None), Segment.owner == job.owner),
                    or_(Segment.detector.is_(None), Segment.detector == job.detector),
                )
            ).all()


def origins_of(segments: Segments, holder: Segment, job: str) -> Any:
    """Return the origins of a job's rows in a segment, an Arrow array without duplicates.

    Raises:
        DamagedLedger: the segment can't be read.
    """
    import pyarrow.compute as pc

    table = whole(segments, holder, ["origin", "request"])
    return pc.unique(table.column("origin").filter(pc.equal(table.column("request"), job)))


def whole(segments: Segments, holder: Segment, columns: list[str] | None = None) -> pa.Table:
    """Return the rows of a segment; none where it was put together with others in this moment.

    Raises:
        DamagedLedger: it can't be read.
    """
    import pyarrow.parquet as pq

    from screening.ledger.rows import SCHEMA

    try:
        with segments.reading([holder]):
            return pq.read_table(segments.path(holder.name), columns=columns, partitioning=None)
    except FileNotFoundError:
        return SCHEMA.empty_table()
