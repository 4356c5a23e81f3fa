"""Progress of streams by partition: a process that runs one writes it every few seconds, ``/metrics`` reads it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import CursorResult, delete, select, text
from sqlalchemy.orm import Session

from screening.infra.database import Database
from screening.monitoring.tables import StreamPartition

LABELS = ("group", "topic", "partition")
ADD = (
    "INSERT INTO stream_partitions "
    "(consumer_group, topic, number, position, lag, consumed, rejected, last_message, seen) "
    "VALUES (:group, :topic, :partition, :position, :lag, :consumed, :rejected, :last_message, :seen) "
    "ON CONFLICT (consumer_group, topic, number) DO UPDATE SET "
    "consumed = stream_partitions.consumed + excluded.consumed, "
    "rejected = stream_partitions.rejected + excluded.rejected, "
    "last_message = coalesce(excluded.last_message, stream_partitions.last_message)"
)
COUNT = text(ADD)
NOTE = text(f"{ADD}, position = excluded.position, lag = excluded.lag, seen = excluded.seen")
KEEP_SECONDS = 30 * 86400.0
"""So long a partition is listed that no process of the stream has any more."""


@dataclass(slots=True)
class PartitionProgress:
    """Progress of one partition since it was written last."""

    topic: str
    partition: int
    position: int
    """Offset of the next message that is to be decided."""
    end: int | None
    """Offset that the next message will get which is sent; ``None`` where it isn't known."""
    consumed: int = 0
    """Messages that were answered, rejected ones among them, since it was written last."""
    rejected: int = 0
    last_message: float | None = None
    """Time at which the last message was answered, in seconds since 1970."""
    recent: bool = True
    """Whether this process has the partition, and the brokers said so a moment ago. Otherwise another one may be
    further: only what was counted is written."""

    @property
    def lag(self) -> int | None:
        """Messages that wait; ``None`` where nobody knows."""
        return None if self.end is None else max(self.end - self.position, 0)


def write(database: Database, group: str, found: Sequence[PartitionProgress]) -> None:
    """Add what was done, and note how far each partition is.

    Raises:
        SQLAlchemyError: nothing was written.
    """
    now = time.time()
    # in one order in every process: two that wait for each other's rows would wait for ever
    rows = sorted(found, key=lambda each: (each.topic, each.partition))
    with database.write() as session:
        for each in rows:
            values = {**asdict(each), "group": group, "lag": each.lag, "seen": now}
            session.execute(NOTE if each.recent else COUNT, values)


def standing(database: Database) -> Sequence[StreamPartition]:
    """Return all partitions that were seen of late, in order of group, topic and number."""
    with database.read() as session:
        return rows_of(session)


def forget(database: Database, group: str, topic: str) -> int:
    """Forget how far a group is in a topic that it reads no more, and return in how many partitions."""
    gone = delete(StreamPartition).where(StreamPartition.group == group, StreamPartition.topic == topic)
    with database.write() as session:
        found = session.execute(gone)
        return found.rowcount if isinstance(found, CursorResult) else 0


def positions(database: Database, group: str) -> dict[tuple[str, int], int]:
    """Return the offset that each partition of a group had reached when it was written last."""
    return {(row.topic, row.partition): row.position for row in standing(database) if row.group == group}


def oldest(database: Database) -> float | None:
    """Return when the stream that has been silent for longest was seen last; ``None`` where there is none.

    What it was answering then may be delivered to it again.
    """
    return min((row.seen for row in standing(database)), default=None)


def rows_of(session: Session) -> Sequence[StreamPartition]:
    """Return all partitions that were seen of late, in order."""
    there = StreamPartition.seen > time.time() - KEEP_SECONDS
    order = (StreamPartition.group, StreamPartition.topic, StreamPartition.partition)
    return session.scalars(select(StreamPartition).where(there).order_by(*order)).all()


def metrics(database: Database) -> Sequence[Metric]:
    """Return the progress of all streams for Prometheus.

    Raises:
        DatabaseError: it can't be read.
    """
    labels = list(LABELS)
    consumed = CounterMetricFamily(
        "fraud_stream_consumed", "Messages that were answered, rejected ones among them.", labels=labels
    )
    rejected = CounterMetricFamily(
        "fraud_stream_rejected", "Messages that couldn't be decided on.", labels=labels
    )
    lag = GaugeMetricFamily("fraud_stream_lag", "Messages that wait.", labels=labels)
    silent = GaugeMetricFamily(
        "fraud_stream_idle_seconds", "Seconds since a message was last answered.", labels=labels
    )
    seen = GaugeMetricFamily(
        "fraud_stream_timestamp_seconds", "When a process of the stream wrote this last.", labels=labels
    )
    now = time.time()
    for row in standing(database):
        place = [row.group, row.topic, str(row.partition)]
        consumed.add_metric(place, row.consumed)
        rejected.add_metric(place, row.rejected)
        seen.add_metric(place, row.seen)
        if row.lag is not None:
            lag.add_metric(place, row.lag)
        if row.last_message is not None:
            silent.add_metric(place, max(now - row.last_message, 0.0))
    return consumed, rejected, lag, silent, seen
