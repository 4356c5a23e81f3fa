"""What was screened, by whom, and how far it got. A row of ``screenings`` is both the record and the job.

A job needs no second queue: a row that is not finished and that nobody holds *is* the queue, so the two can't
disagree after a crash. Whoever works on a row holds a lease and renews it; a lease that ran out is free again.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Float,
    Index,
    Integer,
    String,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from screening.database import Base, Database
from screening.errors import NotFound

RECEIVING, QUEUED, RUNNING, DONE, FAILED = "receiving", "queued", "running", "done", "failed"
OPEN_STATES = (RECEIVING, QUEUED, RUNNING)
LEASE = timedelta(seconds=30)
MOST_ATTEMPTS = 3  # a file that killed its worker this often would do so for ever


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python on every database; SQLite keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _dialect: Any) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Screening(Base):
    """One file that was uploaded. ``rows`` = ``flagged`` + ``legitimate`` + ``set_aside`` once it is done."""

    __tablename__ = "screenings"
    __table_args__ = (Index("screenings_by_owner", "owner", "created"), Index("screenings_by_state", "state"))

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    filename: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(16))
    wanted_detector: Mapped[str | None] = mapped_column(String(64))
    set_aside_bad: Mapped[bool]
    threshold: Mapped[float] = mapped_column(Float)
    state: Mapped[str] = mapped_column(String(16), default=RECEIVING)
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    detector: Mapped[str | None] = mapped_column(String(64))
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64))
    rows: Mapped[int] = mapped_column(Integer, default=0)
    flagged: Mapped[int] = mapped_column(Integer, default=0)
    set_aside: Mapped[int] = mapped_column(Integer, default=0)
    quality: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    notes: Mapped[list[str] | None] = mapped_column(JSON)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    finished: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seconds: Mapped[float | None] = mapped_column(Float)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    holder: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def legitimate(self) -> int:
        """Rows that were scored below the threshold."""
        return self.rows - self.flagged - self.set_aside if self.state == DONE else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a user asked for when sending a file."""

    owner: str
    filename: str
    kind: str
    detector: str | None
    set_aside_bad: bool
    threshold: float


def new_id() -> str:
    """An id that can't be guessed (128 bits)."""
    return secrets.token_hex(16)


class History:
    """The screenings, each change one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, screening_id: str, request: Request) -> None:
        """Note that a file is being received; its folder must be there already, for a worker looks at once."""
        screening = Screening(
            id=screening_id,
            owner=request.owner,
            filename=request.filename[:255],
            kind=request.kind,
            wanted_detector=request.detector,
            set_aside_bad=request.set_aside_bad,
            threshold=request.threshold,
            created=_now(),
            lease_until=_now() + LEASE,
        )
        with self._database.write() as session:
            session.add(screening)

    def received(self, screening_id: str, size: int, sha256: str) -> None:
        """The whole file is here: from now on it is never lost."""
        with self._database.write() as session:
            screening = session.get(Screening, screening_id, with_for_update=True)
            if screening is None:
                return
            screening.size, screening.sha256 = size, sha256
            if screening.state == RECEIVING:  # a worker may have failed it already, on what had arrived
                screening.state = RUNNING if screening.holder else QUEUED

    def touch(self, screening_id: str) -> None:
        """The upload is still arriving; without this an upload that no worker holds yet is taken for left."""
        with self._database.write() as session:
            session.execute(
                update(Screening)
                .where(Screening.id == screening_id, Screening.holder.is_(None))
                .values(lease_until=_now() + LEASE)
            )

    def get(self, screening_id: str) -> Screening | None:
        """The row, whoever owns it."""
        with self._database.read() as session:
            return session.get(Screening, screening_id)

    def owned(self, screening_id: str, owner: str) -> Screening:
        """The row, if it is this user's.

        Raises:
            NotFound: there is none, or it is somebody else's; the answer doesn't tell which.
        """
        screening = self.get(screening_id)
        if screening is None or screening.owner != owner:
            raise NotFound(
                "There is no such screening.", remedy="Look for it in the list of your screenings."
            )
        return screening

    def of(self, owner: str, *, offset: int = 0, limit: int = 50) -> Sequence[Screening]:
        """This user's screenings, latest first."""
        query = select(Screening).where(Screening.owner == owner).order_by(Screening.created.desc())
        with self._database.read() as session:
            return session.scalars(query.offset(offset).limit(limit)).all()

    def count(self, owner: str) -> int:
        """How many screenings this user has."""
        with self._database.read() as session:
            return session.scalar(select(func.count()).where(Screening.owner == owner)) or 0

    def state(self, screening_id: str) -> str | None:
        """Only the state; ``None`` when the row is gone."""
        with self._database.read() as session:
            return session.scalar(select(Screening.state).where(Screening.id == screening_id))

    def remove(self, screening_id: str) -> None:
        """Forget a screening."""
        with self._database.write() as session:
            session.execute(delete(Screening).where(Screening.id == screening_id))

    def ids(self) -> set[str]:
        """Every id there is, for clearing folders that belong to none."""
        with self._database.read() as session:
            return set(session.scalars(select(Screening.id)))

    # ---- the job side -----------------------------------------------------------------------------------------

    def claim(self, holder: str) -> Screening | None:
        """Take the oldest row that waits for work and hold it; ``None`` when there is none."""
        free = or_(
            Screening.holder.is_(None), Screening.lease_until < _now()
        )  # an upload's own lease has no holder
        query = (
            select(Screening)
            .where(Screening.state.in_(OPEN_STATES), free, Screening.attempts < MOST_ATTEMPTS)
            .order_by(Screening.created)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._database.read() as session:
            if session.scalar(query.with_only_columns(Screening.id)) is None:
                return None  # the common case takes no write lock
        with self._database.write() as session:
            screening = session.scalar(query)
            if screening is not None:
                screening.holder, screening.lease_until = holder, _now() + LEASE
                screening.attempts += 1
                screening.state = RUNNING if screening.state == QUEUED else screening.state
            return screening

    def renew(self, screening_id: str, holder: str, progress: float | None = None) -> bool:
        """Hold on; ``False`` when the row is gone or somebody else's by now."""
        values: dict[str, Any] = {"lease_until": _now() + LEASE}
        if progress is not None:
            values["progress"] = progress
        with self._database.write() as session:
            mine = update(Screening).where(Screening.id == screening_id, Screening.holder == holder)
            return bool(session.execute(mine.values(values)).rowcount)  # type: ignore[attr-defined]

    def finish(self, screening_id: str, holder: str, **outcome: Any) -> bool:
        """Write the outcome (``state`` and what goes with it), if the row is still held by ``holder``."""
        values = {"holder": None, "lease_until": None, "finished": _now(), "progress": 1.0, **outcome}
        with self._database.write() as session:
            mine = update(Screening).where(Screening.id == screening_id, Screening.holder == holder)
            return bool(session.execute(mine.values(values)).rowcount)  # type: ignore[attr-defined]

    def release(self, holder: str, *, in_order: bool = False) -> None:
        """Free what ``holder`` held. ``in_order``: it stopped when told to, which is no failed attempt."""
        with self._database.write() as session:
            held = select(Screening).where(Screening.holder == holder, Screening.state.in_(OPEN_STATES))
            for screening in session.scalars(held):
                screening.holder = None
                screening.lease_until = _now() + LEASE if screening.state == RECEIVING else None
                screening.state = QUEUED if screening.state == RUNNING else screening.state
                screening.attempts -= in_order

    def give_up(self) -> list[str]:
        """Fail what was tried too often; remove what stopped arriving. Returns the ids that were removed."""
        stale = [Screening.state == RECEIVING, Screening.size.is_(None), Screening.lease_until < _now()]
        hopeless = [
            Screening.state.in_(OPEN_STATES),
            Screening.attempts >= MOST_ATTEMPTS,
            or_(Screening.holder.is_(None), Screening.lease_until < _now()),
        ]
        with self._database.read() as session:
            removed = list(session.scalars(select(Screening.id).where(*stale)))
            if not removed and session.scalar(select(Screening.id).where(*hopeless)) is None:
                return []
        with self._database.write() as session:
            session.execute(delete(Screening).where(*stale))
            session.execute(update(Screening).where(*hopeless).values(_given_up()))
        return removed


def _given_up() -> dict[str, Any]:
    error = {
        "title": "This screening did not finish",
        "status": 500,
        "what": f"The worker stopped {MOST_ATTEMPTS} times while it screened this file.",
        "where": None,
        "remedy": "Send the file in smaller parts; if that fails too, tell the operator to look at the log.",
        "problems": [],
        "problem_count": 0,
    }
    return {"state": FAILED, "error": error, "finished": _now(), "holder": None, "lease_until": None}


def _now() -> datetime:
    return datetime.now(UTC)
