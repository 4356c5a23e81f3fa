"""Compaction: many small segments of a day become one, so that a question opens few files.

A sealed segment has half a minute of the API's decisions, and a screening's has one file's: 2,000 files cost a question
two thirds of a second by themselves. Each run writes one segment and enters it in the transaction that takes out those
it was made of; where one of them has gone meanwhile, nothing is entered.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger.filters import DamagedLedger
from screening.ledger.rows import aligned, schema_with
from screening.ledger.segments import GROUP_ROWS, Segments, moved
from screening.ledger.tables import Segment, SegmentContent

# Bytes of a merged segment: deleting one of its screenings rewrites it.
MOST_ROWS = 500_000
MOST_OF_TODAY = 32
"""Segments of the present day that may stand side by side."""


class Compaction:
    """Puts segments of one instance together."""

    def __init__(self, tables: Database, segments: Segments) -> None:
        self._tables, self._segments = tables, segments
        self._damaged: set[str] = set()

    def due(self, *, today: bool = False) -> list[list[Segment]]:
        """Return the segments that are to be put together, each list to one, the oldest decisions first.

        Args:
            today: also those of the present day, however few they are.
        """
        whole = [each for each in self._segments.all() if each.name not in self._damaged]
        kept = sorted(whole, key=lambda each: (each.kind, each.decided_first, each.name))
        found = []
        for (_, day), some in groupby(kept, key=lambda each: (each.kind, each.decided_first.date())):
            small = [each for each in some if each.rows < MOST_ROWS // 2]
            if len(small) > (1 if today or day < now().date() else MOST_OF_TODAY):
                found += [each for each in divide_by_rows(small) if len(each) > 1]
        return found

    def put_together(self, some: Sequence[Segment]) -> Segment | None:
        """Write one segment in the place of some of one kind; ``None`` if one of them has gone meanwhile.

        Raises:
            DamagedLedger: one can't be read; it stays as it is, and isn't due any more in this process.
        """
        names = [each.name for each in some]
        made = segment_of(some)

        def describe(name: str, size: int, digest: str) -> Segment:
            made.name, made.size, made.sha256 = name, size, digest
            return made

        def enter(session: Session) -> bool:
            still = select(func.count()).select_from(Segment).where(Segment.name.in_(names))
            # one has gone since it was read: its rows must not come back with the new segment
            if session.scalar(still) != len(names):
                return False
            noted = set(
                session.scalars(select(SegmentContent.screening).where(SegmentContent.segment.in_(names)))
            )
            session.add_all(
                SegmentContent(segment=made.name, screening=each.screening, origin=each.origin)
                for each in some
                if each.screening is not None and each.origin is not None and each.screening not in noted
            )
            return moved(session, names, made.name)

        kind = some[0].kind
        which = Segment.name.in_(names)
        try:
            with self._segments.reading(some):
                return self._segments.enter(
                    f"{kind}s-{uuid.uuid4().hex}", self._rows(some), describe, which, enter
                )
        except DamagedLedger:
            self._damaged |= {each.name for each in some if self._segments.fault(each) is not None}
            raise
        except FileNotFoundError:
            # its screening was deleted; what was begun is swept
            return None

    def _rows(self, some: Sequence[Segment]) -> Iterator[pa.Table]:
        """Read segments one after the other, in pieces of a row group: small ones share one."""
        paths = [self._segments.path(each.name) for each in some]
        schema = schema_with(name for path in paths for name in pq.read_schema(path).names)
        waiting: list[pa.Table] = []
        count = 0
        for path in paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(GROUP_ROWS):
                    if waiting and count + len(batch) > GROUP_ROWS:
                        yield pa.concat_tables(waiting)
                        waiting, count = [], 0
                    waiting.append(aligned(pa.Table.from_batches([batch]), schema))
                    count += len(batch)
        if waiting:
            yield pa.concat_tables(waiting)


def divide_by_rows(some: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Divide segments into lists of at most ``MOST_ROWS`` rows, in their order."""
    part: list[Segment] = []
    for each in some:
        if part and sum(one.rows for one in part) + each.rows > MOST_ROWS:
            yield part
            part = []
        part.append(each)
    if part:
        yield part


def segment_of(some: Sequence[Segment]) -> Segment:
    """Return what the manifest will say of the segment, but its name, size and hash."""
    owners, detectors, calendars = (
        {getattr(each, name) for each in some} for name in ("owner", "detector", "calendar")
    )
    return Segment(
        kind=some[0].kind,
        screening=None,
        origin=None,
        owner=owners.pop() if len(owners) == 1 else None,
        detector=detectors.pop() if len(detectors) == 1 else None,
        calendar=calendars.pop() if len(calendars) == 1 else None,
        earliest=min(each.earliest for each in some),
        latest=max(each.latest for each in some),
        decided_first=min(each.decided_first for each in some),
        decided_last=max(each.decided_last for each in some),
        rows=sum(each.rows for each in some),
        flagged=sum(each.flagged for each in some),
        written=now(),
    )
