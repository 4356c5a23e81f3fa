"""Reads the rows of a segment that somebody should look at: flagged ones, and those that a rule raised."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from screening.ledger import money
from screening.ledger.fields import ENTITIES
from screening.ledger.identity import TransactionId
from screening.ledger.moments import with_zone
from screening.review.tables import MOST_TYPE

NEEDED = (
    "origin", "number", "screening", "owner", "decided_at", "event_time", "detector", "probability", "threshold",
    "flagged", "amount", "currency", *ENTITIES, "fraud_type", "label", "rules", "reasons", "source", "request",
)  # fmt: skip
MOST_REASONS = 10


def rows_of(
    path: Path, raised: Collection[str], *, skip: int, limit: int, share: float = 0.0
) -> list[dict[str, Any]]:
    """Return rows of a segment that belong into cases, in its order.

    Args:
        path: of the segment.
        raised: the rules whose rows are looked at even where they aren't flagged.
        skip: so many of such rows are left out at the beginning.
        limit: at most so many.
        share: of the other rows, this one is drawn at random; they have ``sampled``. A row is drawn or not by its id:
            whoever draws again draws the same ones.

    Raises:
        FileNotFoundError: the segment was removed meanwhile.
    """
    found: list[dict[str, Any]] = []
    with pq.ParquetFile(path) as file:
        for group in chosen_groups(file, raised, share):
            here = group.slice(skip, limit - len(found))
            skip = max(0, skip - len(group))
            found += here.to_pylist()
            if len(found) >= limit:
                break
    return found


def chosen_groups(file: pq.ParquetFile, raised: Collection[str], share: float) -> Iterator[pa.Table]:
    """Yield the rows of a segment that are flagged, raised by a rule or drawn, a row group at a time."""
    for number in range(file.num_row_groups):
        marks = file.read_row_group(number, columns=["flagged", "rules", "origin", "number"])
        wanted = marks.column("flagged").combine_chunks()
        if raised:
            wanted = pc.or_(wanted, raised_by(marks.column("rules"), raised))
        drawn = pc.and_(pc.invert(wanted), is_drawn(marks, share))
        chosen = pc.or_(wanted, drawn)
        if pc.any(chosen).as_py():
            rows = file.read_row_group(number, columns=list(NEEDED)).append_column("sampled", drawn)
            yield rows.filter(chosen)


def is_drawn(rows: pa.Table, share: float) -> pa.Array:
    """Return bool (rows,): whether a row is drawn, by a number that is made of its id (splitmix64)."""
    if share <= 0:
        return pa.repeat(pa.scalar(value=False), len(rows))
    coded = rows.column("origin").combine_chunks().dictionary_encode()
    starts = np.array([int.from_bytes(each[4:], "big") for each in coded.dictionary.to_pylist()], np.uint64)
    number = rows.column("number").to_numpy().astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = starts[coded.indices.to_numpy()] + number * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return pa.array((mixed ^ (mixed >> np.uint64(31))) < np.uint64(min(share, 1.0) * (2**64 - 2**11)))


def raised_by(rules: pa.ChunkedArray, raised: Collection[str]) -> pa.Array:
    """Return bool (rows,): whether one of these rules fired."""
    together = rules.combine_chunks()
    parents = pc.list_parent_indices(together)
    hits = parents.filter(
        pc.is_in(pc.list_flatten(together), value_set=pa.array(sorted(raised), pa.string()))
    )
    return pc.is_in(pa.array(range(len(together)), pa.int64()), value_set=pc.unique(hits).cast(pa.int64()))


def item_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as :class:`screening.review.tables.CaseItem` has it, without the case that it comes into."""
    amount, currency = row["amount"], row["currency"]
    return {
        "id": str(TransactionId(row["origin"], row["number"])),
        "screening": row["screening"],
        "number": row["number"],
        "decided_at": with_zone(row["decided_at"]),
        "event_time": None if row["event_time"] is None else with_zone(row["event_time"]),
        "probability": float(row["probability"]),
        "threshold": float(row["threshold"]),
        "flagged": bool(row["flagged"]),
        "amount": None if amount is None else money.major(amount, currency),
        "currency": None if currency is None else currency[:16],
        "fraud_type": None if row["fraud_type"] is None else row["fraud_type"][:MOST_TYPE],
        "label": row["label"],
        "who": {kind: row[kind] for kind in ENTITIES if row[kind] is not None},
        "rules": row["rules"] or [],
        "reasons": (row["reasons"] or [])[:MOST_REASONS],
    }
