"""The ledger's tables in SQL: what must be true. What is large is in Parquet (:mod:`screening.ledger.segments`)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Double,
    Float,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    event,
    false,
)
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from screening.infra.database import Database, Schema
from screening.infra.job_queue import UtcDateTime

FILE, API, BATCH, STREAM = "file", "api", "batch", "stream"
LIVE = API, STREAM
"""Sources of decisions that somebody waits for. Their rows come by the tail, and have the values that were sent."""
"""Ways in which a transaction came in."""
OWNER_LENGTH = 64
WHOLE_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
SCHEMA = Schema("screening.ledger:migrations", "0010", "ledger_version", oldest="0008")


class LedgerBase(DeclarativeBase):
    """Tables of the ledger."""


class Segment(LedgerBase):
    """One Parquet file of the ledger. What isn't in this table isn't in the ledger, whatever lies in the folder."""

    __tablename__ = "ledger_segments"
    __table_args__ = (Index("ledger_segments_by_screening", "screening"),)

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The file's name without its ending."""
    kind: Mapped[str] = mapped_column(String(8))
    """``file``: the rows of one screening; ``api``: sealed rows of the tail; ``batch``: rows of jobs over folders."""
    screening: Mapped[str | None] = mapped_column(String(32))
    origin: Mapped[str | None] = mapped_column(String(24))
    """The first 96 bits of the ids of its rows, in hexadecimal; ``None`` where they have several."""
    owner: Mapped[str | None] = mapped_column(String(64))
    """Owner of the rows; ``None`` where they are several people's."""
    detector: Mapped[str | None] = mapped_column(String(64))
    """Detector of the decisions; ``None`` where they are several detectors'."""
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


class BatchJob(LedgerBase):
    """A job over a folder whose decisions were entered: all at once, and once."""

    __tablename__ = "ledger_batch_jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """Hash of the detector's fingerprint and of the rows as it reads them: the same rows are the same job, whatever
    folder they lie in. It appears in the rows as their ``request``."""
    owner: Mapped[str] = mapped_column(String(64))
    counts_for_all: Mapped[bool]
    """Whether its rows count for all, as the rows of a manager do."""
    detector: Mapped[str] = mapped_column(String(64))
    fingerprint: Mapped[str] = mapped_column(String(64))
    folder: Mapped[str] = mapped_column(Text)
    """Where the rows lay, as the operator called it."""
    rows: Mapped[int] = mapped_column(BigInteger)
    flagged: Mapped[int] = mapped_column(BigInteger)
    entered: Mapped[datetime] = mapped_column(UtcDateTime)


class SegmentContent(LedgerBase):
    """One screening of several whose rows appear in one segment."""

    __tablename__ = "ledger_contents"
    __table_args__ = (Index("ledger_contents_by_screening", "screening"),)

    segment: Mapped[str] = mapped_column(String(64), primary_key=True)
    screening: Mapped[str] = mapped_column(String(32), primary_key=True)
    origin: Mapped[str] = mapped_column(String(24))
    """As that of a segment of its own."""


class SegmentDraft(LedgerBase):
    """A file that is being written or has left the manifest: the only files that may ever be swept."""

    __tablename__ = "ledger_drafts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    since: Mapped[datetime] = mapped_column(UtcDateTime)


class TailRow(LedgerBase):
    """Rows that appear in no segment yet: of one request, or of some of one caller that were decided together."""

    __tablename__ = "ledger_tail"

    seq: Mapped[int] = mapped_column(WHOLE_NUMBER, primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int] = mapped_column(Integer)
    written: Mapped[float] = mapped_column(Float)
    """Seconds since 1970."""
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    """The rows as JSON: :mod:`screening.ledger.tail`."""
    shadowed: Mapped[bool] = mapped_column(server_default=false())
    """Whether a detector in the shadow needs them no more; it looks at the others in the order of ``seq``."""


class IdempotentAnswer(LedgerBase):
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


class Label(LedgerBase):
    """Label of a transaction, as somebody said after it was scored; the last word counts."""

    __tablename__ = "ledger_labels"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    """The transaction's id."""
    label: Mapped[int] = mapped_column(Integer)
    """1 for fraud, 0 for legitimate."""
    fraud_type: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    """Time at which it became known."""
    source: Mapped[str] = mapped_column(String(16))
    by: Mapped[str] = mapped_column(String(64))
    written: Mapped[datetime] = mapped_column(UtcDateTime)


class LedgerName(LedgerBase):
    """Name of this ledger where it shares something with others; one row."""

    __tablename__ = "ledger_name"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)


class Parting(LedgerBase):
    """A name that somebody else had before: what was decided for it until then isn't the present one's."""

    __tablename__ = "ledger_partings"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class VelocitySubject(LedgerBase):
    """A detector, as it was trained once, whose transactions look back: what its velocity state has seen."""

    __tablename__ = "ledger_velocity_subjects"
    __table_args__ = (UniqueConstraint("detector", "fingerprint"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    detector: Mapped[str] = mapped_column(String(64))
    fingerprint: Mapped[str] = mapped_column(String(64))
    horizon: Mapped[float] = mapped_column(Double)
    """Seconds that its features look back at most."""
    last: Mapped[int] = mapped_column(WHOLE_NUMBER)
    """The number of the row that came last."""
    late: Mapped[int] = mapped_column(WHOLE_NUMBER)
    """Rows that were earlier than one that had come before them."""
    repeated: Mapped[int] = mapped_column(WHOLE_NUMBER)
    """Rows that were there already, as they are."""
    newest: Mapped[float | None] = mapped_column(Double)
    """The latest time of its rows."""
    built: Mapped[float | None] = mapped_column(Double)
    """Time at which it was made of the ledger, in seconds since 1970; ``None`` if it still has to be."""


class VelocityRow(LedgerBase):
    """A transaction of the API as its detector reads it."""

    __tablename__ = "ledger_velocity_rows"
    __table_args__ = (
        Index("ledger_velocity_by_id", "id"),
        Index("ledger_velocity_by_time", "subject", "time"),
        {"sqlite_with_rowid": False},
    )

    subject: Mapped[int] = mapped_column(Integer, primary_key=True)
    seq: Mapped[int] = mapped_column(WHOLE_NUMBER, primary_key=True)
    id: Mapped[str] = mapped_column(String(36))
    """The transaction's id."""
    owner: Mapped[str] = mapped_column(String(64))
    shared: Mapped[bool]
    """Whether it counts for all, as the rows of a manager do."""
    time: Mapped[float] = mapped_column(Double)
    label: Mapped[int] = mapped_column(SmallInteger)
    """1 for fraud, 0 for none, -1 where it isn't known."""
    cells: Mapped[bytes] = mapped_column(LargeBinary)
    """float64 of each column of the contract."""


class VelocityEntity(LedgerBase):
    """An entity of a transaction: where it stands by entity and time."""

    __tablename__ = "ledger_velocity_entities"
    __table_args__ = ({"sqlite_with_rowid": False},)

    subject: Mapped[int] = mapped_column(Integer, primary_key=True)
    place: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    """Of the entity's column in the contract."""
    cell: Mapped[float] = mapped_column(Double, primary_key=True)
    time: Mapped[float] = mapped_column(Double, primary_key=True)
    seq: Mapped[int] = mapped_column(WHOLE_NUMBER, primary_key=True)


class Total(LedgerBase):
    """Number of rows of a detector and source that entered the segments, in one range of probabilities; it only grows.

    What leaves the ledger stays counted. Rows of the tail aren't counted yet: :mod:`screening.ledger.totals` adds them.
    """

    __tablename__ = "ledger_totals"

    detector: Mapped[str] = mapped_column(String(64), primary_key=True)
    source: Mapped[str] = mapped_column(String(8), primary_key=True)
    up_to: Mapped[float] = mapped_column(Double, primary_key=True)
    """The highest probability of the range."""
    rows: Mapped[int] = mapped_column(WHOLE_NUMBER)
    flagged: Mapped[int] = mapped_column(WHOLE_NUMBER)
    probability: Mapped[float] = mapped_column(Double)
    """The sum of their probabilities."""


class FileCounts(LedgerBase):
    """Distribution of a file's values, which appear in no row of the ledger: kept as long as its rows are."""

    __tablename__ = "ledger_file_counts"
    __table_args__ = (Index("ledger_file_counts_by_time", "detector", "decided_at"),)

    screening: Mapped[str] = mapped_column(String(32), primary_key=True)
    detector: Mapped[str] = mapped_column(String(64))
    fingerprint: Mapped[str] = mapped_column(String(64))
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)
    rows: Mapped[int] = mapped_column(Integer)
    """That were scored."""
    counts: Mapped[str] = mapped_column(Text)
    """:attr:`screening.scoring.drift.BinCounts.as_dict`, as JSON."""


class CountedScreening(LedgerBase):
    """A screening whose rows are in the totals: entering it again doesn't count it again."""

    __tablename__ = "ledger_counted"

    screening: Mapped[str] = mapped_column(String(32), primary_key=True)


# Pages of SQLite's write-ahead log, 40 MB. The worker checkpoints it each second
# (:meth:`screening.infra.database.Database.put_log_away`). When a long file keeps the worker from that, the
# request that reaches this length does it, and those behind it wait.
LONGEST_LOG = 10_000


class ShadowWaiting(LedgerBase):
    """The rows of a request that were sealed before a detector in the shadow has scored them."""

    __tablename__ = "ledger_shadow_waiting"

    seq: Mapped[int] = mapped_column(WHOLE_NUMBER, primary_key=True)
    rows: Mapped[int] = mapped_column(Integer)
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class ShadowScores(LedgerBase):
    """Probabilities of a detector in the shadow, of some rows of the ledger."""

    __tablename__ = "ledger_shadow_scores"
    __table_args__ = (
        Index("ledger_shadow_scores_by_run", "run"),
        Index("ledger_shadow_scores_by_screening", "screening"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    run: Mapped[str] = mapped_column(String(32))
    screening: Mapped[str | None] = mapped_column(String(32))
    """Screening of the rows; ``None`` for the API's."""
    rows: Mapped[int] = mapped_column(Integer)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    """:mod:`screening.ledger.shadow_scores`."""
    written: Mapped[datetime] = mapped_column(UtcDateTime)


class ShadowFile(LedgerBase):
    """A screening that a detector in the shadow is done with: its scores count from then on."""

    __tablename__ = "ledger_shadow_files"

    run: Mapped[str] = mapped_column(String(32), primary_key=True)
    screening: Mapped[str] = mapped_column(String(32), primary_key=True)
    problem: Mapped[str | None] = mapped_column(String(300))
    """Reason why its rows couldn't be scored."""


class ShadowCount(LedgerBase):
    """Progress of a shadow run of a detector."""

    __tablename__ = "ledger_shadow_counts"

    run: Mapped[str] = mapped_column(String(32), primary_key=True)
    runs: Mapped[bool]
    """Whether it goes on: then what is sealed before it was scored waits."""
    seeded: Mapped[bool]
    """Whether it knows the past of before its start."""
    scored: Mapped[int] = mapped_column(WHOLE_NUMBER)
    unreadable: Mapped[int] = mapped_column(WHOLE_NUMBER)
    """Rows that it can't score: a column is missing, or a cell can't be read."""
    failed: Mapped[int] = mapped_column(WHOLE_NUMBER)
    """Rows at which it went wrong."""
    dropped: Mapped[int] = mapped_column(WHOLE_NUMBER)
    """Rows for which there was no room among those that wait."""
    trying: Mapped[int] = mapped_column(Integer)
    """Attempts since it last came to an end."""
    problem: Mapped[str | None] = mapped_column(String(300))
    """Problem that it last stumbled on."""


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
        event.listen(found.engine, "connect", sync_normally)
    if own:
        event.listen(found.engine, "connect", bound_log)
    found.create_tables()
    return found


def bound_log(connection: Any, _record: Any) -> None:
    """Have SQLite write its log back only when that is long."""
    connection.execute(f"PRAGMA wal_autocheckpoint={LONGEST_LOG}")


def sync_normally(connection: Any, _record: Any) -> None:
    """Let a commit outlive any process, but not a loss of power."""
    connection.execute("PRAGMA synchronous=NORMAL")
