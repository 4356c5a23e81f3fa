"""Keep screenings: the file, its owner, and the progress. A row of ``screenings`` is both the record and the job."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Float,
    Index,
    Integer,
    String,
    and_,
    delete,
    false,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column

from screening.errors import NotFound, ScreeningError
from screening.infra.database import Base, Database, UntilChanged
from screening.infra.job_queue import (
    ARRIVAL,
    DONE,
    FAILED,
    MOST_ATTEMPTS,
    OWNER_LENGTH,
    RECEIVING,
    RUNNING,
    Job,
    Jobs,
    Payload,
    UtcDateTime,
    new_id,
    now,
)
from screening.infra.wake_signal import Signals

__all__ = [
    "CHECKED",
    "DONE",
    "FAILED",
    "OPEN_STATES",
    "QUEUED",
    "RECEIVING",
    "RUNNING",
    "Screening",
    "Screenings",
    "UploadRequest",
    "new_id",
]

QUEUED = "queued"
# Read but not scored: it waits for its owner's answer, so no worker takes it.
CHECKED = "checked"
CHECKING = "checking"
OPEN_STATES = (RECEIVING, QUEUED, RUNNING)


class Screening(Job, Base):
    """One file that was uploaded; ``owner`` in small letters.

    ``rows`` = ``flagged`` + ``legitimate`` + ``set_aside`` once it is done.
    """

    __tablename__ = "screenings"
    __table_args__ = (
        Index("screenings_by_owner", "owner", "created"),
        Index("screenings_by_state", "state"),
        Index("screenings_by_fingerprint", "fingerprint"),
    )

    wanted_detector: Mapped[str | None] = mapped_column(String(64))
    set_aside_bad: Mapped[bool]
    threshold: Mapped[float] = mapped_column(Float)
    """The operator's, and once it is done that of its detector."""
    block: Mapped[float | None] = mapped_column(Float)
    """From which on flagged rows are to be stopped without a look; ``None`` where none is."""
    blocked: Mapped[int | None] = mapped_column(Integer)
    """Number of these."""
    detector: Mapped[str | None] = mapped_column(String(64))
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    rows: Mapped[int] = mapped_column(Integer, default=0)
    flagged: Mapped[int] = mapped_column(Integer, default=0)
    set_aside: Mapped[int] = mapped_column(Integer, default=0)
    quality: Mapped[dict[str, Any] | None] = mapped_column(Payload(dict))
    notes: Mapped[list[str] | None] = mapped_column(Payload(list))
    seconds: Mapped[float | None] = mapped_column(Float)
    mapping: Mapped[dict[str, str] | None] = mapped_column(Payload(dict))
    """For each column of the detector the file's, where a user said so."""
    answers: Mapped[dict[str, str] | None] = mapped_column(Payload(dict))
    """Meaning of columns that can be read in two ways, where a user chose one."""
    check_first: Mapped[bool] = mapped_column(default=False)
    """Whether the file is to be checked, and scored only when its owner says so."""
    tokenize: Mapped[bool] = mapped_column(default=False)
    """Whether card numbers that are found may be replaced by tokens without a further word."""
    counts_for_all: Mapped[bool] = mapped_column(default=False)
    """Whether its rows and labels are the past of everybody's later files; else of its owner's alone."""
    counts_said_by: Mapped[str | None] = mapped_column(String(64))
    """The manager who has said so since; ``None`` as long as nobody has."""
    counts_said: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pace: Mapped[dict[str, Any] | None] = mapped_column(Payload(dict))
    """Progress of the work: see :meth:`screening.uploads.line.pace.Pace.told`."""
    history_key: Mapped[str | None] = mapped_column(String(64))
    """Of which detector the history is read and added to, its fingerprint; empty for a detector that has none, ``None``
    as long as the detector isn't known."""
    history_turn: Mapped[bool] = mapped_column(default=False)
    """Whether the history is being read, or was, by the present attempt."""

    out_of_reach: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Since when it waits for files in a bucket that is away; ``None`` where it doesn't."""

    @property
    def stage(self) -> str:
        """The state, told apart where a check is in hand: ``checking``."""
        return CHECKING if self.state == RUNNING and self.check_first else self.state

    @property
    def legitimate(self) -> int:
        """Rows that were scored below the threshold."""
        return self.rows - self.flagged - self.set_aside if self.state == DONE else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """Request of a user with a file."""

    owner: str
    filename: str
    kind: str
    detector: str | None
    set_aside_bad: bool
    threshold: float
    check_first: bool = False
    tokenize: bool = False
    counts_for_all: bool = False
    """Whether its rows count for everybody's later files, as those of managers do."""
    mapping: dict[str, str] | None = None
    """For each column of the detector the file's, where that was said of the same file before."""
    answers: dict[str, str] | None = None
    """Meaning of columns that can be read in two ways, likewise."""


class Screenings(Jobs[Screening]):
    """The screenings, each change one short transaction."""

    table = Screening
    waiting = QUEUED
    claimable = OPEN_STATES

    def __init__(self, database: Database, signals: Signals | None = None) -> None:
        super().__init__(database, signals)
        self._counting: UntilChanged[tuple[str, str | None, bool], frozenset[str]] = UntilChanged(database)

    def begin(self, screening_id: str, request: UploadRequest) -> None:
        """Note that a file is being received; its folder must be there already, for a worker looks at once."""
        screening = Screening(
            id=screening_id,
            owner=key_of(request.owner),
            filename=request.filename[:255],
            kind=request.kind,
            wanted_detector=request.detector,
            set_aside_bad=request.set_aside_bad,
            threshold=request.threshold,
            check_first=request.check_first,
            tokenize=request.tokenize,
            counts_for_all=request.counts_for_all,
            mapping=request.mapping,
            answers=request.answers,
            created=self.moment(),
            lease_until=self.moment(ARRIVAL),
        )
        with self._database.write() as session:
            session.add(screening)
        # it can be read while it arrives
        self.tell_waiting()

    def received(self, screening_id: str, size: int, sha256: str) -> bool:
        """Mark a file as received: it is never lost from now on. ``False`` when its row was removed meanwhile."""
        with self._database.write() as session:
            screening = session.get(Screening, screening_id, with_for_update=True)
            if screening is None:
                return False
            screening.size, screening.sha256 = size, sha256
            # a worker may have failed it already, on what had arrived
            if screening.state == RECEIVING:
                screening.state = RUNNING if screening.holder else QUEUED
        self.tell_waiting()
        return True

    def requeue(
        self, screening_id: str, detector: str, mapping: dict[str, str], *, check_first: bool = False
    ) -> None:
        """Screen or check a file that failed or was checked once more, with its columns mapped."""
        with self._database.write() as session:
            screening = session.get(Screening, screening_id, with_for_update=True)
            if screening is not None and screening.state in (FAILED, CHECKED):
                screening.wanted_detector, screening.mapping = detector, mapping
                back_to_queue(screening, check_first=check_first)
        self.tell_waiting()

    def answer(self, screening_id: str, answers: dict[str, str]) -> None:
        """Screen or check a file once more that failed for want of an answer; earlier answers stay."""
        with self._database.write() as session:
            screening = session.get(Screening, screening_id, with_for_update=True)
            if screening is not None and screening.state == FAILED:
                screening.answers = {**(screening.answers or {}), **answers}
                back_to_queue(screening, check_first=screening.check_first)
        self.tell_waiting()

    def approve(self, screening_id: str, *, set_aside_bad: bool) -> bool:
        """Screen a file that was checked, by the detector that it was checked for; ``False`` when it isn't checked."""
        with self._database.write() as session:
            screening = session.get(Screening, screening_id, with_for_update=True)
            if screening is None or screening.state != CHECKED:
                return False
            # a newer one may fit the header too by now
            screening.wanted_detector = screening.detector
            screening.set_aside_bad = set_aside_bad
            back_to_queue(screening, check_first=False)
        self.tell_waiting()
        return True

    def take_turn(self, screening_id: str) -> bool:
        """Let a running screening read a detector's history, and add to it; ``False`` as long as it must wait.

        Files are scored against those that were sent before them, however many workers there are: a screening waits for
        one that is at it, and for every earlier whole file that has the same history or may turn out to have it. The
        turn ends with the run.
        """
        with self._database.write() as session:
            mine = session.get(Screening, screening_id)
            if mine is None or not mine.history_key:
                return False
            same = Screening.history_key == mine.history_key
            # locks all rows of this history where the database has no single writer, in one order
            session.execute(select(Screening.id).where(same).order_by(Screening.id).with_for_update())
            held = and_(Screening.state == RUNNING, Screening.lease_until >= self.moment())
            before = or_(
                Screening.created < mine.created,
                and_(Screening.created == mine.created, Screening.id < mine.id),
            )
            goes_on = or_(held, and_(Screening.state.in_(OPEN_STATES), Screening.attempts < MOST_ATTEMPTS))
            # of a file whose header wasn't read yet the history isn't known: it may turn out to be the same
            first = and_(
                Screening.size.is_not(None), before, goes_on, or_(same, Screening.history_key.is_(None))
            )
            blocking = or_(and_(held, same, Screening.history_turn), first)
            scored = Screening.check_first.is_(False)
            query = select(Screening.id).where(Screening.id != mine.id, scored, blocking).limit(1)
            if session.scalar(query) is not None:
                return False
            mine.history_turn = True
            return True

    def counting(self, fingerprint: str, owner: str | None, *, for_all: bool) -> frozenset[str]:
        """Return the ids of the screenings by one detector whose rows count for a user's files.

        Args:
            fingerprint: the detector's.
            owner: the user whose own count; ``None``: nobody's.
            for_all: whether those that count for all do.
        """
        key = None if owner is None else key_of(owner)
        return self._counting.get(
            (fingerprint, key, for_all), lambda: self._read_counting(fingerprint, key, for_all=for_all)
        )

    def _read_counting(self, fingerprint: str, key: str | None, *, for_all: bool) -> frozenset[str]:
        whose: list[ColumnElement[bool]] = [Screening.counts_for_all.is_(True)] if for_all else []
        if key is not None:
            whose.append(Screening.owner == key)
        query = select(Screening.id).where(Screening.fingerprint == fingerprint, or_(false(), *whose))
        with self._database.read() as session:
            return frozenset(session.scalars(query))

    def remembered(
        self, fingerprints: Collection[str], *, offset: int = 0, limit: int = 50
    ) -> Sequence[Screening]:
        """Return those of all users that were scored by one of some detectors, latest first."""
        query = select(Screening).where(*scored_by(fingerprints)).order_by(Screening.created.desc())
        with self._database.read() as session:
            return session.scalars(query.offset(offset).limit(limit)).all()

    def count_remembered(self, fingerprints: Collection[str]) -> int:
        """Count the screenings of all users that were scored by one of some detectors."""
        query = select(func.count()).select_from(Screening).where(*scored_by(fingerprints))
        with self._database.read() as session:
            return session.scalar(query) or 0

    def let_count(
        self, screening_id: str, fingerprints: Collection[str], by: str, *, for_all: bool
    ) -> Screening:
        """Let a screening's rows count for all later files, or for its owner's alone.

        Raises:
            NotFound: there is none that was scored by one of these detectors.
        """
        query = select(Screening).where(Screening.id == screening_id, *scored_by(fingerprints))
        with self._database.write() as session:
            screening = session.scalar(query.with_for_update())
            if screening is None:
                raise NotFound("No rows of such a screening are remembered.", remedy="Load the page again.")
            screening.counts_for_all, screening.counts_said_by, screening.counts_said = for_all, by, now()
            return screening

    def owned(self, screening_id: str, owner: str) -> Screening:
        """Return the row, if it is this user's.

        Raises:
            NotFound: there is none, or it is somebody else's; the answer doesn't tell which.
        """
        screening = self.get(screening_id)
        if screening is None or screening.owner != key_of(owner):
            raise NotFound(
                "There is no such screening.", remedy="Look for it in the list of your screenings."
            )
        return screening

    def list_for(self, owner: str, *, offset: int = 0, limit: int = 50) -> Sequence[Screening]:
        """Return this user's screenings, latest first."""
        query = select(Screening).where(Screening.owner == key_of(owner)).order_by(Screening.created.desc())
        with self._database.read() as session:
            return session.scalars(query.offset(offset).limit(limit)).all()

    def twin(self, screening: Screening, detector: str) -> Screening | None:
        """Return the latest screening of the same file, byte for byte and of the same owner, that a detector was asked
        for or made; one that is done before any other.
        """
        same = Screening.sha256 == screening.sha256, Screening.owner == screening.owner
        by = or_(Screening.detector == detector, Screening.wanted_detector == detector)
        query = select(Screening).where(
            *same, by, Screening.id != screening.id, Screening.check_first.is_(False)
        )
        latest = query.order_by((Screening.state == DONE).desc(), Screening.created.desc()).limit(1)
        with self._database.read() as session:
            return session.scalar(latest)

    def named(self, owner: str, part: str, *, limit: int) -> Sequence[Screening]:
        """Return this user's screenings of files whose name has a part, latest first; capital letters don't matter."""
        query = select(Screening).where(Screening.owner == key_of(owner))
        query = query.where(Screening.filename.icontains(part, autoescape=True))
        with self._database.read() as session:
            return session.scalars(query.order_by(Screening.created.desc()).limit(limit)).all()

    def count(self, owner: str) -> int:
        """Count the screenings of this user."""
        with self._database.read() as session:
            return session.scalar(select(func.count()).where(Screening.owner == key_of(owner))) or 0

    def detach_owner(self, owner: str) -> int:
        """Take screenings away from a name that somebody new has signed up with; returns how many there were.

        They stay, for the operator, under a name that nobody can have.
        """
        former = func.substr("~" + Screening.owner, 1, OWNER_LENGTH)
        theirs = update(Screening).where(Screening.owner == key_of(owner))
        with self._database.write() as session:
            done = session.execute(theirs.values(owner=former))
            return done.rowcount if isinstance(done, CursorResult) else 0

    def ids(self) -> set[str]:
        """Return every id there is, for clearing folders that belong to none."""
        with self._database.read() as session:
            return set(session.scalars(select(Screening.id)))

    def states(self) -> dict[str, str]:
        """Return the state of each, by its id."""
        with self._database.read() as session:
            return dict(session.execute(select(Screening.id, Screening.state)).all())

    def ended_before(self, fingerprint: str, moment: datetime) -> Sequence[str]:
        """Return the ids of those by one detector that were done before a moment, the oldest first."""
        mine = Screening.state == DONE, Screening.fingerprint == fingerprint, Screening.finished < moment
        with self._database.read() as session:
            return session.scalars(select(Screening.id).where(*mine).order_by(Screening.finished)).all()

    def ended(self) -> Sequence[str]:
        """Return the ids of those on which nobody works and for which no worker waits."""
        with self._database.read() as session:
            return session.scalars(select(Screening.id).where(Screening.state.not_in(OPEN_STATES))).all()

    def older(self, than: datetime, *, limit: int) -> Sequence[Screening]:
        """Return those that ended before a moment, the oldest first."""
        query = select(Screening).where(*ended_by(than)).order_by(Screening.created).limit(limit)
        with self._database.read() as session:
            return session.scalars(query).all()

    def remove_older(self, screening_id: str, than: datetime) -> bool:
        """Forget a row if it still is one of :meth:`older`: its owner may have set it to work again."""
        with self._database.write() as session:
            theirs = delete(Screening).where(Screening.id == screening_id, *ended_by(than))
            return bool(session.execute(theirs).rowcount)  # type: ignore[attr-defined]

    def _claimed(self, row: Screening) -> None:
        row.history_turn = False

    def _hopeless(self) -> ScreeningError:
        return ScreeningGivenUp(
            f"The worker stopped {MOST_ATTEMPTS} times while it screened this file.",
            remedy="Send the file in smaller parts; if that fails too, tell the operator to look at the log.",
        )


def key_of(username: str) -> str:
    """Return an owner's name as it is kept: users.txt may have Ana for ana, and both are one account."""
    return username.casefold()


def ended_by(moment: datetime) -> tuple[Any, ...]:
    """Return the conditions for screenings that ended before a moment."""
    return Screening.state.not_in(OPEN_STATES), func.coalesce(Screening.finished, Screening.created) < moment


def scored_by(fingerprints: Collection[str]) -> tuple[Any, ...]:
    """Return the conditions for screenings that one of some detectors has scored."""
    return Screening.state == DONE, Screening.fingerprint.in_(fingerprints)


def back_to_queue(screening: Screening, *, check_first: bool) -> None:
    """Let a worker begin with it again."""
    screening.check_first = check_first
    screening.state, screening.error, screening.finished = QUEUED, None, None
    screening.attempts, screening.progress, screening.pace, screening.notes = 0, 0.0, None, None
    screening.detector = screening.fingerprint = screening.history_key = None
    screening.out_of_reach = None
    screening.rows = screening.set_aside = 0


class ScreeningGivenUp(ScreeningError):
    """A file whose worker died again and again."""

    status = 500
    title = "This screening did not finish"
