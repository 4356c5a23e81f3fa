"""Read the ledger as one table of Spark: the segments that the manifest names, as they lie there."""

from __future__ import annotations

from typing import Any

from screening.errors import NotFound
from screening.ledger.segments import Segments


def read_decisions(spark: Any, segments: Segments) -> Any:
    """Return the decisions of all segments, with the columns of :data:`screening.ledger.rows.SCHEMA`.

    The list is that of one moment: a segment that is put together with others later may be gone when it is read, and
    Spark says so; ask again then. Decisions of the API come when they are sealed, labels that came later aren't there.

    Args:
        spark: a session whose executors see the ledger's folder.
        segments: the ledger's.

    Raises:
        NotFound: there is none.
        TooMuch, BucketUnavailable: they can't be brought out of the bucket.
    """
    kept = segments.all()
    segments.bring(kept)
    files = [str(segments.path(each.name)) for each in kept]
    if not files:
        raise NotFound(
            "The ledger has no segments yet.", remedy="Decisions are sealed after 30 seconds at most."
        )
    # further columns are in some segments only, and in the others null
    return spark.read.option("mergeSchema", "true").parquet(*files)
