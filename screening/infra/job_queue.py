"""Tables whose rows are both the record and the job, and the leases by which workers hold them.

A job needs no second queue: a row that is not finished and that nobody holds *is* the queue, so the two can't
disagree after a crash. Whoever works on a row holds a lease and renews it; a lease that ran out is free again.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import JSON, BigInteger, DateTime, Float, Integer, String, delete, func, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from screening.cards.masking import masked
from screening.errors import ScreeningError
from screening.infra.database import Database
from screening.infra.host_locks import hosts_gone
from screening.infra.wake_signal import Signals, WakeSignal

log = logging.getLogger(__name__)
RECEIVING, RUNNING, DONE, FAILED = "receiving", "running", "done", "failed"
LEASE = timedelta(seconds=30)
# A job of a host whose lock nobody holds is free so long after its lease was last renewed: by then a host that was cut
# off has noticed, and makes nothing of it any more.
GONE = timedelta(seconds=10)
HOLDER_OF_HOST = re.compile(r"[a-z]+-\d+@(.+)")
# An upload that nobody works on, and that has grown no more for so long, was abandoned. The next piece of a
# slow line may take two minutes.
ARRIVAL = timedelta(seconds=150)
OWNER_LENGTH = 64
# Holder of a row that nobody shall take before its lease is over. A name of a runner has a dash.
LATER = "later"
# a file that killed its worker this often would do so for ever
MOST_ATTEMPTS = 3


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python on every database; SQLite keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _dialect: Any) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Payload(TypeDecorator[Any]):
    """JSON of one kind. What is damaged is as if it weren't there, with a line in the log: one row must not keep the
    pages of all others from being shown. A mapping or an answer that is lost is asked for again.

    Args:
        kind: ``dict`` or ``list``.
        sound: what else it must be, if it is to be shown.
        lost: makes what stands for something damaged.
    """

    impl = JSON
    cache_ok = True

    def __init__(
        self, kind: type, sound: Callable[[Any], bool] = bool, lost: Callable[[], Any] = lambda: None
    ) -> None:
        super().__init__()
        self.kind, self.sound, self.lost = kind, sound, lost

    def result_processor(self, dialect: Any, coltype: object) -> Callable[[Any], Any]:
        process = super().result_processor(dialect, coltype)

        def read(value: Any) -> Any:
            try:
                found = value if process is None else process(value)
                # half a sign can be kept and not be shown
                json.dumps(found, ensure_ascii=False).encode()
            except (ValueError, RecursionError):
                log.error("a damaged value in the database is left out")  # what it holds is nobody's
                return self.lost()
            if found is None:
                return self.lost()
            if not isinstance(found, self.kind) or (found and not self.sound(found)):
                log.error("a value of a wrong kind in the database is left out")
                return self.lost()
            return found

        return read


def is_error(found: dict[str, Any]) -> bool:
    """Return whether it is a :meth:`ScreeningError.as_dict`, as far as every page and caller needs it."""
    problems, told = found.get("problems"), [found.get(name) for name in ("where", "remedy")]
    return (
        isinstance(found.get("what"), str)
        and all(each is None or isinstance(each, str) for each in told)
        and isinstance(problems, list)
        and all(isinstance(each, dict) and is_problem(each) for each in problems)
        and isinstance(found.get("problem_count"), int)
        and isinstance(found.get("status"), int)
    )


def is_problem(found: dict[str, Any]) -> bool:
    """Return whether it is a :class:`CellProblem` as JSON, as far as a page shows it."""
    places, words = ("row", "line"), ("problem", "column", "value")
    return all(isinstance(found.get(name, ""), (int, type(None))) for name in places) and all(
        isinstance(found.get(name, 0), (str, type(None))) for name in words
    )


class Job:
    """The columns that every table of jobs has: a file that somebody sent, and how far the work on it is."""

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(OWNER_LENGTH))
    filename: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), default=RECEIVING)
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[dict[str, Any] | None] = mapped_column(Payload(dict, is_error))
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    finished: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    holder: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Staged(Job):
    """A job that says what is being done for it, and since when."""

    open_states: ClassVar[tuple[str, ...]]
    """The states of those of which something is still to come."""

    stage: Mapped[str] = mapped_column(String(200), default="")
    """Work that is being done, in words."""
    started: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def open(self) -> bool:
        """Return whether something is still to come of it."""
        return self.state in self.open_states


Row = TypeVar("Row", bound=Job)


@dataclass(frozen=True, slots=True)
class Owned:
    """A file that an account sent."""

    id: str
    filename: str
    created: datetime
    size: int
    """Bytes of the file itself, as its row says; 0 as long as that isn't known."""
    ended: bool
    """Whether no work goes on that may add to its files."""


class Jobs(Generic[Row]):
    """The rows of one table, each change one short transaction."""

    table: ClassVar[type[Any]]
    waiting: ClassVar[str]
    """The state of a row that waits for a worker."""
    claimable: ClassVar[tuple[str, ...]]
    """The states of rows that a worker may take."""

    def __init__(self, database: Database, signals: Signals | None = None) -> None:
        """``signals``: rung when a row waits for a worker and when one ends; without them workers and requests look by
        themselves.
        """
        self._database = database
        self._signals = signals

    @property
    def database(self) -> Database:
        """Database that holds the rows."""
        return self._database

    def get(self, job_id: str) -> Row | None:
        """Return the row, whoever owns it."""
        with self._database.read() as session:
            found: Row | None = session.get(self.table, job_id)
            return found

    def state(self, job_id: str) -> str | None:
        """Return the state only; ``None`` when the row is gone."""
        with self._database.read() as session:
            return session.scalar(select(self.table.state).where(self.table.id == job_id))

    def owned_by(self, owner: str) -> list[Owned]:
        """Return the files of an account, whatever its capitals."""
        table = self.table
        mine = select(table.id, table.filename, table.created, table.size, table.finished, table.state)
        with self._database.read() as session:
            rows = session.execute(mine.where(func.lower(table.owner) == owner.casefold())).all()
        busy = (RECEIVING, *self.claimable)
        return [
            Owned(
                each.id,
                each.filename,
                each.created,
                each.size or 0,
                each.state not in busy and each.finished is not None,
            )
            for each in rows
        ]

    def remove(self, job_id: str) -> None:
        """Forget a row."""
        with self._database.write() as session:
            session.execute(delete(self.table).where(self.table.id == job_id))
        self.tell_ended()

    def touch(self, job_id: str) -> None:
        """Note that the file is still arriving; without this an upload that no worker holds yet is taken for left."""
        with self._database.write() as session:
            session.execute(
                update(self.table)
                .where(self.table.id == job_id, self.table.holder.is_(None))
                .values(lease_until=self.moment(ARRIVAL))
            )

    # ---- the worker's side ------------------------------------------------------------------------------------

    def claim(
        self,
        holder: str,
        *,
        slow: Collection[str] = (),
        passed_over: Collection[str] = (),
        whole: bool = False,
    ) -> Row | None:
        """Take the oldest row that waits for work and hold it; ``None`` when there is none.

        Whole files go before those that are still arriving; of these, the ones in ``slow`` are left alone, and with
        ``whole`` all. Those that are ``passed_over`` are left alone whatever their state.
        """
        query = (
            select(self.table)
            .where(*self._waits(slow, whole=whole), self.table.id.not_in(passed_over))
            # false sorts first: whole files before those that are still arriving
            .order_by(self.table.state == RECEIVING, self.table.created)
            .limit(1)
        )
        with self._database.read() as session:
            if session.scalar(query.with_only_columns(self.table.id)) is None:
                # the common case takes no write lock
                return None
        with self._database.write() as session:
            # asked once more under the lock: another worker may have taken it meanwhile
            row: Row | None = session.scalar(query)
            if row is not None:
                row.holder, row.lease_until = holder, self.moment(LEASE)
                row.attempts += 1
                row.state = RUNNING if row.state == self.waiting else row.state
                self._claimed(row)
            return row

    def others_wait(
        self,
        job_id: str,
        *,
        slow: Collection[str] = (),
        passed_over: Collection[str] = (),
        whole: bool = False,
    ) -> bool:
        """Return whether there is work that :meth:`claim` would give, besides this row."""
        others = self.table.id.not_in({job_id, *passed_over})
        query = select(self.table.id).where(*self._waits(slow, whole=whole), others).limit(1)
        with self._database.read() as session:
            return session.scalar(query) is not None

    def renew(self, job_id: str, holder: str, **progress: Any) -> bool:
        """Hold on, and note how far it is; ``False`` when the row is gone or somebody else's by now."""
        return self._change_held(job_id, holder, {"lease_until": self.moment(LEASE), **progress})

    def finish(self, job_id: str, holder: str, **outcome: Any) -> bool:
        """Write the outcome (``state`` and what goes with it), if the row is still held by ``holder``."""
        ended = {"holder": None, "lease_until": None, "finished": now(), "progress": 1.0}
        done = self._change_held(job_id, holder, {**ended, **outcome})
        self.tell_ended()
        return done

    def release(self, holder: str, *, in_order: bool = False) -> None:
        """Free what ``holder`` held. ``in_order``: it stopped when told to, which is no failed attempt."""
        with self._database.write() as session:
            held = select(self.table).where(self.table.holder == holder, self.table.state.in_(self.claimable))
            rows = session.scalars(held).all()
            self._free_all(rows, in_order=in_order)
        if rows:
            self.tell_waiting()

    def postpone(self, job_id: str, holder: str, wait: timedelta, **values: Any) -> None:
        """Free a row that ``holder`` held, for whoever looks after a while; this is no failed attempt.

        Args:
            job_id: of the row.
            holder: as :meth:`claim` had it.
            wait: so long nobody takes it. A file that still arrives is free at once: its lease says whether it does.
            values: of its columns.
        """
        with self._database.write() as session:
            held = select(self.table).where(self.table.id == job_id, self.table.holder == holder)
            row = session.scalar(held)
            if row is None:
                return
            arrives = row.state == RECEIVING
            row.holder, row.lease_until = (
                None if arrives else LATER,
                self.moment(ARRIVAL if arrives else wait),
            )
            row.state = self.waiting if row.state == RUNNING else row.state
            row.attempts -= 1
            for name, value in values.items():
                setattr(row, name, value)

    def _free_all(self, rows: Sequence[Row], *, in_order: bool = False) -> None:
        for row in rows:
            row.holder = None
            # a file that is still arriving has a lease without a holder: when it runs out, the sender has left
            row.lease_until = self.moment(ARRIVAL) if row.state == RECEIVING else None
            row.state = self.waiting if row.state == RUNNING else row.state
            row.attempts -= in_order

    def release_gone(self) -> int:
        """Free what hosts held that are gone, and return how many jobs. The attempt counts."""
        table = self.table
        silent = [table.holder.is_not(None), table.lease_until < self.moment(LEASE - GONE)]
        with self._database.read() as session:
            holders = session.scalars(
                select(table.holder).where(*silent, table.state.in_(self.claimable))
            ).all()
        hosts = {holder: found[1] for holder in holders if (found := HOLDER_OF_HOST.fullmatch(holder))}
        if not hosts:
            return 0
        freed = 0
        with self._database.write() as session:
            gone = hosts_gone(session, set(hosts.values()))
            for holder in (holder for holder, host in hosts.items() if host in gone):
                rows = session.scalars(select(table).where(*silent, table.holder == holder)).all()
                self._free_all(rows)
                freed += len(rows)
        if freed:
            log.info("%d jobs of hosts that are gone go back to those that wait", freed)
            self.tell_waiting()
        return freed

    def give_up(self) -> list[str]:
        """Fail what was tried too often; remove what stopped arriving. Returns the ids that were removed."""
        table = self.table
        stale = [table.state == RECEIVING, table.size.is_(None), table.lease_until < self.moment()]
        hopeless = [table.state.in_(self.claimable), table.attempts >= MOST_ATTEMPTS, self._free()]
        with self._database.read() as session:
            removed = list(session.scalars(select(table.id).where(*stale)))
            # mostly there is nothing to do, which takes no write lock
            if not removed and session.scalar(select(table.id).where(*hopeless)) is None:
                return []
        ended = {"state": FAILED, "error": self._hopeless().as_dict(), "finished": now()}
        with self._database.write() as session:
            session.execute(delete(table).where(*stale))
            session.execute(update(table).where(*hopeless).values(holder=None, lease_until=None, **ended))
        self.tell_ended()
        return removed

    def _claimed(self, row: Row) -> None:
        """Change what a row must not keep of an earlier attempt."""

    def tell_waiting(self) -> None:
        """Tell the workers that a row waits; call it after the change was committed."""
        if self._signals is not None:
            ring_or_log(self._signals.waiting)

    def tell_ended(self) -> None:
        """Tell whoever waits for a row's end that one ended or is gone."""
        if self._signals is not None:
            ring_or_log(self._signals.ended)

    def _hopeless(self) -> ScreeningError:
        """Return the error of a row that was tried too often."""
        raise NotImplementedError

    def _waits(self, slow: Collection[str], *, whole: bool) -> tuple[Any, ...]:
        table = self.table
        there = table.state != RECEIVING
        if not whole:
            there = or_(there, table.id.not_in(slow))
        return table.state.in_(self.claimable), self._free(), table.attempts < MOST_ATTEMPTS, there

    def _free(self) -> Any:
        """Return the condition for rows held by nobody, or by somebody who is gone; an upload's own lease has no
        holder.
        """
        return or_(self.table.holder.is_(None), self.table.lease_until < self.moment())

    def moment(self, later: timedelta = timedelta(0)) -> Any:
        """Return the present time, or one so much later, for a statement: the database's, which all hosts share. Their
        own clocks may differ by more than a lease lasts. With SQLite there is one machine, and one clock.
        """
        if self._database.is_sqlite:
            return now() + later
        return func.clock_timestamp(type_=DateTime(timezone=True)) + later

    def _change_held(self, job_id: str, holder: str, values: dict[str, Any]) -> bool:
        with self._database.write() as session:
            # a worker whose lease ran out must not overwrite what the next holder does
            mine = update(self.table).where(self.table.id == job_id, self.table.holder == holder)
            return bool(session.execute(mine.values(values)).rowcount)  # type: ignore[attr-defined]


def ring_or_log(signal: WakeSignal) -> None:
    """Ring a signal, or log why not: a change that was committed has happened, whether or not it could be told."""
    try:
        signal.ring()
    except OSError as problem:
        log.warning("a wake signal can't be rung, so others hear of this a second later: %s", problem)


def new_id() -> str:
    """Return an id that can't be guessed (128 bits), and that nobody takes for a card's number.

    Of thirty drawn ones, one has so many decimal digits in a row that logs mask it: nothing says then what was meant.
    """
    while masked(found := secrets.token_hex(16)) != found:
        pass
    return found


def now() -> datetime:
    """Return the present time, aware."""
    return datetime.now(UTC)
