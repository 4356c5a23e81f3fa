"""Gives a detector in the shadow the past of before its start: what the first detector was told of until then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import select

from screening.detectors.detector import Detector
from screening.detectors.shadow_runs import ShadowRun
from screening.ledger import sealing
from screening.ledger.history import DetectorHistory
from screening.ledger.identity import TransactionId
from screening.ledger.ledger import Ledger
from screening.ledger.rebuilding import NEEDED, ROWS, entry_of, ordered
from screening.ledger.tables import API, Label, TailRow
from screening.ledger.velocity.entries import TrainedSubject
from screening.shadow.requests import WaitingRequest
from screening.shadow.scores import Pending, ShadowStore
from screening.transactions.schema import ColumnContract, Matrix


def seed_requests(
    run: ShadowRun,
    detector: Detector,
    subject: TrainedSubject,
    *,
    ledger: Ledger,
    store: ShadowStore,
    shares: Callable[[str], bool],
) -> int:
    """Add to a run's velocity state what the first detector has decided on before; return how many rows came.

    It may be repeated. What waits to be scored comes when it is.

    Raises:
        FileNotFoundError: the ledger's segments changed while they were read; do it again.
    """
    added = 0
    for table in _before(run, ledger, store):
        for start in range(0, len(table), ROWS):
            part = table.slice(start, ROWS).to_pylist()
            rows = {str(TransactionId(row["origin"], row["number"])): row for row in part}
            with ledger.tables.read() as session:
                for row_id, label in session.execute(
                    select(Label.id, Label.label).where(Label.id.in_(list(rows)))
                ):
                    rows[row_id]["label"] = label
            entries = [entry_of(row_id, row, detector, subject) for row_id, row in rows.items()]
            added += ledger.velocity.complete(
                [replace(one, shared=shares(one.viewer.owner)) for one in entries if one is not None]
            )
    return added


def _before(run: ShadowRun, ledger: Ledger, store: ShadowStore) -> Iterator[pa.Table]:
    segments = [each for each in ledger.segments.all() if each.kind == API]
    with ledger.tables.read() as session:
        tail = session.scalars(select(TailRow.payload).where(TailRow.shadowed).order_by(TailRow.seq)).all()
    if tail:
        yield _theirs(sealing.table_of(tail).select(NEEDED), run, ())
    # asked after the list: whatever was sealed until then without being scored is among what waits
    waiting = {
        bytes.fromhex(WaitingRequest.of(Pending(0, payload, None)).kept.same["origin"])
        for payload in store.payloads()
    }
    for segment in segments:
        with ledger.segments.reading([segment]):
            table = pq.read_table(ledger.segments.path(segment.name), columns=list(NEEDED), partitioning=None)
        yield _theirs(table, run, waiting)


def _theirs(table: pa.Table, run: ShadowRun, without: Collection[bytes]) -> pa.Table:
    found = ordered(table, run.first)
    if not without:
        return found
    return found.filter(pc.invert(pc.is_in(found["origin"], pa.array(list(without), pa.binary(12)))))


def seed_file(
    name: str, first: DetectorHistory, shadow: DetectorHistory, conversion: NDArray[np.int64] | None
) -> bool:
    """Let a run remember a file that the first detector remembers; whether it could be read as the other one's.

    Args:
        name: the screening's id.
        first: what the first detector has seen.
        shadow: what the run has.
        conversion: of :func:`converting`.
    """
    found = first.recall(name)
    if found is None or conversion is None:
        return False
    values, labels = found
    wide: Matrix = np.concatenate([values, np.full((len(values), 1), np.nan)], axis=1)
    shadow.remember(name, wide[:, conversion], labels)
    return True


def converting(first: ColumnContract, shadow: ColumnContract) -> NDArray[np.int64] | None:
    """Return where each column of one detector stands among another's, -1 for one that may be blank and isn't there.

    ``None`` where a column is missing, or is read otherwise.
    """
    places = {column.name.strip().casefold(): place for place, column in enumerate(first.parts())}
    theirs = first.parts()
    if len(theirs) != len(first.columns) or len(shadow.parts()) != len(shadow.columns):
        # columns that are made of several
        return None
    found = []
    for column in shadow.parts():
        place = places.get(column.name.strip().casefold(), -1)
        same = place >= 0 and (theirs[place].kind, theirs[place].scale) == (column.kind, column.scale)
        if not same and (place >= 0 or not column.optional):
            return None
        found.append(place)
    return np.array(found, np.int64)
