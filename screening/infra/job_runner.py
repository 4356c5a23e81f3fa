"""The one loop that does jobs of any kind: it claims a row, holds its lease, has a handler do it, and writes the end.

A kind of job is a table (:class:`screening.infra.job_queue.Jobs`) and a :class:`Handler`. What can happen to a job is
the same for all of them and is said by exceptions: whoever does the work raises one, and the runner knows what becomes
of the row.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError

from screening.errors import ScreeningError
from screening.infra import log_context
from screening.infra.job_queue import FAILED, Job, Jobs
from screening.infra.wake_signal import WakeSignal

log = logging.getLogger(__name__)
RENEW_SECONDS = 5.0
# An idle runner looks for work so often even if nothing has rung: a lease may have run out.
IDLE_SECONDS = 1.0
PROGRESS_SECONDS = 0.3
Row = TypeVar("Row", bound=Job)


class LeaseLost(Exception):
    """The row was removed or cancelled, or went to another worker: what was made of it goes."""


class ShutdownRequested(Exception):
    """The process was told to stop: the job goes back to those that wait, and this attempt doesn't count."""


class Preempted(Exception):
    """The job could only wait while others could be done: it goes back, and this attempt doesn't count."""


class AttemptFailed(Exception):
    """The attempt was ended from outside: the job goes back, and the attempt counts."""


class Handled(Exception):
    """The handler has already said what becomes of the row; nothing is left to write."""


class Lease:
    """A job that is held by this process.

    While it is entered it renews itself, since one slow step must not look like a death.
    """

    def __init__(self, queue: Jobs[Any], job_id: str, holder: str, stop: threading.Event) -> None:
        self.holder = holder
        self._queue, self._id, self._stop = queue, job_id, stop
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._next = time.monotonic() + PROGRESS_SECONDS

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()

    def check(self) -> None:
        """Go on unless the process is to stop; costs nothing.

        Raises:
            ShutdownRequested: it is.
        """
        if self._stop.is_set():
            raise ShutdownRequested

    def note(self, **news: Any) -> None:
        """Write values into the row, and renew the lease.

        Raises:
            ShutdownRequested: the process is to stop.
            LeaseLost: the row isn't held any more.
        """
        self.check()
        if not self._queue.renew(self._id, self.holder, **news):
            raise LeaseLost

    def report(self, news: Callable[[], dict[str, Any]]) -> None:
        """Write down how far it is, a few times a second at most; call it as often as you like.

        Raises:
            ShutdownRequested, LeaseLost: as :meth:`note`.
        """
        self.check()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PROGRESS_SECONDS
            self.note(**news())

    def _keep(self) -> None:
        while not self._left.wait(RENEW_SECONDS):
            try:
                # a lease that was lost is noticed by the work itself, when it next notes something
                self._queue.renew(self._id, self.holder)
            except Exception:
                # the database may be locked or gone for a while: the next renewal may get through
                with log_context.bound(job=self._id):
                    log.exception("the lease of %s could not be renewed", self._id)


class Handler(Protocol[Row]):
    """Handler of the jobs of one kind."""

    @property
    def queue(self) -> Jobs[Row]:
        """The table of the jobs."""

    @property
    def doing(self) -> str:
        """Activity that a failure message names, as "the file was read or scored"."""

    def claim(self, holder: str) -> Row | None:
        """Claim the next job, by rules of its own about what may go first."""

    def run(self, job: Row, lease: Lease) -> dict[str, Any]:
        """Do the job; return the values of its row at the end, ``state`` among them.

        Raises:
            ScreeningError: it can't be done; the row fails with this error.
            LeaseLost, ShutdownRequested, Preempted, AttemptFailed, Handled: as they say.
        """

    def closing(self, seconds: float) -> dict[str, Any]:
        """Return values of the row that are written at its end, whether it was done or failed."""

    def ended(self, job: Row, outcome: dict[str, Any]) -> None:
        """Do what follows once the end has been written."""

    def discard(self, job: Row) -> None:
        """Remove what was made of a job whose lease was lost."""

    def tidy(self) -> None:
        """Clear what nobody needs; called when there is no work."""


class Runner:
    """Does the jobs of some handlers, one at a time, in the order of the handlers.

    ``slot`` is the name under which it holds jobs. It is the same after a restart, so what a dead predecessor held is
    freed at once; two runners of one slot must not run at the same time.
    """

    def __init__(
        self,
        handlers: Sequence[Handler[Any]],
        slot: str,
        waiting: WakeSignal,
        stop: threading.Event,
        between: Callable[[], object] = lambda: None,
        *,
        ended: Callable[[Any, dict[str, Any], float], None] = lambda _job, _outcome, _seconds: None,
        several: bool = False,
    ) -> None:
        """``between`` is called after each job, and when there is none; where it says ``True``, it has more to do.
        ``ended`` is told of each job that has ended, how, and after how many seconds. ``several``: other hosts may hold
        jobs, and die.
        """
        self._handlers, self._slot, self._waiting, self._stop = handlers, slot, waiting, stop
        self._between, self._ended, self._several = between, ended, several
        self._was_away = False
        """Whether what is still held was given up since the database was away."""

    def loop(self) -> None:
        """Work until the stop is set and the signal rung."""
        listener = self._waiting.listen()
        worked = more = freed = False
        while not self._stop.is_set():
            try:
                freed = freed or self.free()
                worked = self.run_next()
                more = self._between() is True
                if not worked:
                    for handler in self._handlers:
                        handler.tidy()
                        more = (self._several and handler.queue.release_gone() > 0) or more
            except (
                Exception
            ) as problem:  # the database may be locked or gone for a while: the runner must live
                self._was_away = self._is_away(problem)
                if self._was_away:
                    log.error("%s could not look for work: %s", self._slot, problem)
                else:
                    log.exception("%s could not look for work", self._slot)
                # a job whose end couldn't be written is still held, and nobody is at it
                worked = more = freed = False
            if not (worked or more):
                listener.wait(IDLE_SECONDS)

    def free(self) -> bool:
        """Let go of what a dead predecessor of this slot held; return ``True``."""
        for handler in self._handlers:
            handler.queue.release(self._slot, in_order=self._was_away)
        self._was_away = False
        return True

    def _is_away(self, problem: Exception) -> bool:
        """Return whether a fault says that the database, which is elsewhere, can't be reached: no job is to blame."""
        elsewhere = not self._handlers[0].queue.database.is_sqlite
        return elsewhere and isinstance(problem, (OperationalError, InterfaceError))

    def run_next(self) -> bool:
        """Do one job; return ``False`` when none waits."""
        for handler in self._handlers:
            job = handler.claim(self._slot)
            if job is not None:
                with log_context.bound(job=job.id):
                    self._do(handler, job)
                return True
        return False

    def _do(self, handler: Handler[Any], job: Job) -> None:
        started = time.monotonic()
        with Lease(handler.queue, job.id, self._slot, self._stop) as lease:
            try:
                outcome = handler.run(job, lease)
            except Handled:
                return
            except LeaseLost:
                self._discard(handler, job)
                return
            except (ShutdownRequested, Preempted):
                handler.queue.release(self._slot, in_order=True)
                return
            except AttemptFailed:
                handler.queue.release(self._slot)
                return
            except ScreeningError as problem:
                outcome = {"state": FAILED, "error": problem.as_dict()}
            except Exception as problem:
                if self._is_away(problem):
                    log.warning("job %s goes back, for the database was away: %s", job.id, problem)
                    # for the next try, where this one fails as well
                    self._was_away = True
                    self.free()
                    return
                log.exception("job %s of %s failed", job.id, handler.queue.table.__tablename__)
                unexpected = ScreeningError(
                    f"Something went wrong here while {handler.doing}; the file isn't to blame as far as is known.",
                    remedy=f"Try once more. If it happens again, tell the operator this number: {job.id}.",
                )
                outcome = {"state": FAILED, "error": unexpected.as_dict()}
            else:
                outcome = {"error": None, **outcome}
            seconds = round(time.monotonic() - started, 3)
            closing = handler.closing(seconds)
            if handler.queue.finish(job.id, self._slot, **closing, **outcome):
                handler.ended(job, outcome)
                self._ended(job, outcome, seconds)
            else:
                self._discard(handler, job)

    @staticmethod
    def _discard(handler: Handler[Any], job: Job) -> None:
        log.info("job %s was removed, or taken by another worker, while it ran", job.id)
        handler.discard(job)
