"""Tables of monitoring in the app's database. Times are seconds since 1970."""

from __future__ import annotations

from sqlalchemy import Double, Index, Integer, String, Text
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from screening.infra.database import Base
from screening.ledger.tables import WHOLE_NUMBER

MOST_TEXT, MOST_SUBJECT, MOST_ERROR = 500, 160, 200


class Alert(Base):
    """A rule that was broken for a time. Of one rule and subject at most one goes on."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "alerts_going_on",
            "rule",
            "subject",
            unique=True,
            sqlite_where=sql("ended IS NULL"),
            postgresql_where=sql("ended IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    rule: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(MOST_SUBJECT))
    """Subject of the alert: a detector, a feed, a machine."""
    began: Mapped[float] = mapped_column(Double)
    seen: Mapped[float] = mapped_column(Double)
    """Time at which the rule was last found broken."""
    ended: Mapped[float | None] = mapped_column(Double)
    value: Mapped[float] = mapped_column(Double)
    limit: Mapped[float] = mapped_column(Double)
    text: Mapped[str] = mapped_column(String(MOST_TEXT))


class Message(Base):
    """A message for the operator's webhook, until it is delivered or given up, and for a while after."""

    __tablename__ = "webhook_messages"
    __table_args__ = (Index("webhook_messages_by_due", "due"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    """The same each time it is sent."""
    created: Mapped[float] = mapped_column(Double)
    body: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    due: Mapped[float | None] = mapped_column(Double)
    """Time at which it is to be sent; ``None``: it won't be any more."""
    delivered: Mapped[float | None] = mapped_column(Double)
    error: Mapped[str | None] = mapped_column(String(MOST_ERROR))
    """Reason why the last attempt failed."""


class Hour(Base):
    """The totals of a detector and source, as they were when they were read last in an hour."""

    __tablename__ = "decisions_by_hour"

    hour: Mapped[int] = mapped_column(Integer, primary_key=True)
    """Hours since 1970."""
    detector: Mapped[str] = mapped_column(String(64), primary_key=True)
    source: Mapped[str] = mapped_column(String(8), primary_key=True)
    rows: Mapped[int] = mapped_column(WHOLE_NUMBER)
    flagged: Mapped[int] = mapped_column(WHOLE_NUMBER)


class Findings(Base):
    """Latest findings about a detector: :class:`screening.monitoring.findings.DetectorFindings`."""

    __tablename__ = "monitoring_findings"

    detector: Mapped[str] = mapped_column(String(64), primary_key=True)
    computed: Mapped[float] = mapped_column(Double)
    found: Mapped[str] = mapped_column(Text)
    """As JSON."""


class StreamPartition(Base):
    """A partition of a topic that a stream reads, as its process wrote it last."""

    __tablename__ = "stream_partitions"

    group: Mapped[str] = mapped_column("consumer_group", String(249), primary_key=True)
    topic: Mapped[str] = mapped_column(String(249), primary_key=True)
    partition: Mapped[int] = mapped_column("number", Integer, primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(WHOLE_NUMBER)
    """Offset of the next message that is to be decided."""
    lag: Mapped[int | None] = mapped_column(WHOLE_NUMBER)
    """Messages that waited; ``None`` where nobody knew."""
    consumed: Mapped[int] = mapped_column(WHOLE_NUMBER)
    """Messages that were answered since the stream began, rejected ones among them."""
    rejected: Mapped[int] = mapped_column(WHOLE_NUMBER)
    last_message: Mapped[float | None] = mapped_column(Double)
    """Time at which the last message was answered."""
    seen: Mapped[float] = mapped_column(Double)
    """Time at which this was written."""
