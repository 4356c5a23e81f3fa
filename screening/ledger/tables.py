"""The ledger's tables in SQL: what must be true. What is large is in Parquet (:mod:`screening.ledger.segments`)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Float, Index, Integer, LargeBinary, String, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from screening.infra.database import Database, Schema
from screening.infra.job_queue import UtcDateTime

FILE, API = "file", "api"
"""Where a transaction came in."""
LATEST_SECONDS = 253_402_300_799.0
"""The end of the year 9999, which is where times end."""
SCHEMA = Schema("screening.ledger:migrations", "0002", "ledger_version")


class Base(DeclarativeBase):
    """Tables of the ledger."""


class Segment(Base):
    """One Parquet file of the ledger. What isn't in this table isn't in the ledger, whatever lies in the folder."""

    __tablename__ = "ledger_segments"
    __table_args__ = (Index("ledger_segments_by_screening", "screening"),)

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The file's name without its ending."""
    kind: Mapped[str] = mapped_column(String(8))
    """``file``: the rows of one screening; ``api``: sealed rows of the API."""
    screening: Mapped[str | None] = mapped_column(String(32))
    origin: Mapped[str | None] = mapped_column(String(24))
    """The first 96 bits of the ids of its rows, in hexadecimal; ``None`` where they have several."""
    owner: Mapped[str | None] = mapped_column(String(64))
    """Whose rows they are; ``None`` where they are several people's."""
    detector: Mapped[str | None] = mapped_column(String(64))
    """Whose decisions they are; ``None`` where they are several detectors'."""
    calendar: Mapped[bool | None]
    """Whether the rows have a time of their own; ``None`` where some have."""
    earliest: Mapped[datetime] = mapped_column(UtcDateTime)
    latest: Mapped[datetime] = mapped_column(UtcDateTime)
    """Of the rows' own times, or where they have none of the times when they were scored."""
    decided_first: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_last: Mapped[datetime] = mapped_column(UtcDateTime)
    rows: Mapped[int] = mapped_column(Integer)
    flagged: Mapped[int] = mapped_column(Integer)
    size: Mapped[int] = mapped_column(BigInteger)
    """In bytes."""
    sha256: Mapped[str] = mapped_column(String(64))
    written: Mapped[datetime] = mapped_column(UtcDateTime)


class Content(Base):
    """One screening of several whose rows stand in one segment."""

    __tablename__ = "ledger_contents"
    __table_args__ = (Index("ledger_contents_by_screening", "screening"),)

    segment: Mapped[str] = mapped_column(String(64), primary_key=True)
    screening: Mapped[str] = mapped_column(String(32), primary_key=True)
    origin: Mapped[str] = mapped_column(String(24))
    """As that of a segment of its own."""


class Draft(Base):
    """A file that is being written or has left the manifest: the only files that may ever be swept."""

    __tablename__ = "ledger_drafts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    since: Mapped[datetime] = mapped_column(UtcDateTime)


class TailRow(Base):
    """The rows of one request that stand in no segment yet."""

    __tablename__ = "ledger_tail"

    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int] = mapped_column(Integer)
    written: Mapped[float] = mapped_column(Float)
    """Seconds since 1970."""
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    """The rows as JSON: :mod:`screening.ledger.tail`."""


class Answered(Base):
    """A request that came with an ``Idempotency-Key``: who sends it again gets the first answer."""

    __tablename__ = "ledger_requests"
    __table_args__ = (Index("ledger_requests_by_age", "written"),)

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of the request's body."""
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    written: Mapped[float] = mapped_column(Float)
    """Seconds since 1970."""


class Label(Base):
    """What a transaction turned out to be, as somebody said after it was scored; the last word counts."""

    __tablename__ = "ledger_labels"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    """The transaction's id."""
    label: Mapped[int] = mapped_column(Integer)
    """1 for fraud, 0 for legitimate."""
    fraud_type: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When it became known."""
    source: Mapped[str] = mapped_column(String(16))
    by: Mapped[str] = mapped_column(String(64))
    written: Mapped[datetime] = mapped_column(UtcDateTime)


def open_tables(instance: Path, database_url: str, durability: str = "full") -> Database:
    """Return the database of the ledger's tables, which are made or brought to the present version.

    With SQLite they are in a file of their own, so that a log-in never waits for a payment; any other database has
    them beside the app's tables.

    Args:
        instance: the folder of the instance.
        database_url: of the app's database.
        durability: ``full`` survives a loss of power, ``normal`` the end of any process; only SQLite is told.

    Raises:
        NotReady, BadSetting: the database can't be used.
    """
    own = make_url(database_url).get_backend_name() == "sqlite"
    found = Database(f"sqlite:///{instance / 'ledger.sqlite3'}" if own else database_url, SCHEMA)
    if own and durability == "normal":
        event.listen(found.engine, "connect", _normal)
    found.create_tables()
    return found


def _normal(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
