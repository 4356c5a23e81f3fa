"""The runner does jobs of any kind: here of one that the product doesn't have."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase

from screening.errors import BadFile, ScreeningError
from screening.infra import job_queue, job_runner, log_context
from screening.infra.database import Database
from screening.infra.job_queue import DONE, FAILED, RUNNING, Job, Jobs, new_id, now
from screening.infra.job_runner import (
    AttemptFailed,
    Handled,
    Lease,
    LeaseLost,
    Preempted,
    Runner,
    ShutdownRequested,
)
from screening.infra.wake_signal import Signals

pytestmark = pytest.mark.both_databases

WAITING = "waiting"


class Own(DeclarativeBase):
    """Tables of this test: the product's are compared with the migrations."""


class Tale(Job, Own):
    """A job of a third kind."""

    __tablename__ = "tales_of_a_test"


class Tales(Jobs[Tale]):
    table = Tale
    waiting = WAITING
    claimable = (WAITING, RUNNING)

    def begin(self) -> str:
        made = new_id()
        with self.database.write() as session:
            session.add(Tale(id=made, owner="ada", filename="a", kind="tale", state=WAITING, created=now()))
        self.tell_waiting()
        return made

    def _hopeless(self) -> ScreeningError:
        return ScreeningError("It was tried too often.")


class Telling:
    """Does what the test says with each job."""

    doing = "the tale was told"

    def __init__(self, queue: Tales) -> None:
        self.queue = queue
        self.act: Callable[[Tale, Lease], dict[str, Any]] = lambda _job, _lease: {"state": DONE}
        self.seen: list[str] = []
        self.over: list[tuple[str, str]] = []
        self.tidied = 0

    def claim(self, holder: str) -> Tale | None:
        return self.queue.claim(holder)

    def run(self, job: Tale, lease: Lease) -> dict[str, Any]:
        self.seen.append(job.id)
        return self.act(job, lease)

    def closing(self, seconds: float) -> dict[str, Any]:
        return {"size": int(seconds * 1000)}

    def ended(self, job: Tale, outcome: dict[str, Any]) -> None:
        self.over.append((job.id, outcome["state"]))

    def discard(self, job: Tale) -> None:
        self.over.append((job.id, "discarded"))

    def tidy(self) -> None:
        self.tidied += 1


@pytest.fixture
def signals(tmp_path: Path, database_url: str) -> Signals:
    return Signals.of(tmp_path, Database(database_url))


@pytest.fixture
def tales(database_url: str, signals: Signals) -> Iterator[Tales]:
    database = Database(database_url)
    Own.metadata.create_all(database.engine)
    yield Tales(database, signals)
    database.engine.dispose()


@pytest.fixture
def telling(tales: Tales) -> Telling:
    return Telling(tales)


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def runner(telling: Telling, signals: Signals, stop: threading.Event) -> Runner:
    return Runner([telling], "slot-0", signals.waiting, stop)


def raising(problem: BaseException) -> Callable[..., dict[str, Any]]:
    def act(_job: Tale, _lease: Lease) -> dict[str, Any]:
        raise problem

    return act


def row(tales: Tales, job_id: str) -> Tale:
    found = tales.get(job_id)
    assert found is not None
    return found


def test_a_job_is_done_once_and_its_end_is_written_with_what_the_handler_says(
    runner: Runner, tales: Tales, telling: Telling
) -> None:
    first, second = tales.begin(), tales.begin()
    assert runner.run_next()
    assert runner.run_next()
    assert not runner.run_next()
    assert telling.seen == [first, second]
    assert telling.over == [(first, DONE), (second, DONE)]
    done = row(tales, first)
    assert (done.state, done.progress, done.error, done.holder) == (DONE, 1.0, None, None)
    assert done.size is not None
    assert done.finished is not None


def test_what_a_handler_refuses_fails_with_its_own_words(
    runner: Runner, tales: Tales, telling: Telling
) -> None:
    job = tales.begin()
    telling.act = raising(BadFile("Row 3 is odd.", remedy="Fix row 3."))
    runner.run_next()
    error = row(tales, job).error
    assert error is not None
    assert (row(tales, job).state, error["what"], error["remedy"]) == (FAILED, "Row 3 is odd.", "Fix row 3.")
    assert telling.over == [(job, FAILED)]


def test_a_mistake_of_ours_fails_with_its_number_and_is_in_the_log(
    runner: Runner, tales: Tales, telling: Telling, caplog: pytest.LogCaptureFixture
) -> None:
    job = tales.begin()
    telling.act = raising(ZeroDivisionError("by nought"))
    runner.run_next()
    error = row(tales, job).error
    assert error is not None
    assert "while the tale was told" in error["what"]
    assert job in error["remedy"]
    assert "by nought" in caplog.text


@pytest.mark.parametrize(
    ("problem", "attempts"), [(ShutdownRequested(), 0), (Preempted(), 0), (AttemptFailed(), 1)]
)
def test_a_job_that_is_put_back_waits_again_and_only_a_failed_attempt_counts(
    runner: Runner, tales: Tales, telling: Telling, problem: Exception, attempts: int
) -> None:
    job = tales.begin()
    telling.act = raising(problem)
    runner.run_next()
    back = row(tales, job)
    assert (back.state, back.holder, back.attempts) == (WAITING, None, attempts)
    assert telling.over == []


def test_what_a_handler_has_settled_itself_is_left_as_it_is(
    runner: Runner, tales: Tales, telling: Telling
) -> None:
    job = tales.begin()

    def forgotten(one: Tale, _lease: Lease) -> dict[str, Any]:
        tales.remove(one.id)
        raise Handled

    telling.act = forgotten
    runner.run_next()
    assert tales.get(job) is None
    assert telling.over == []


@pytest.mark.parametrize("when", ["noticed while it ran", "noticed at the end"])
def test_a_job_that_was_removed_while_it_ran_is_discarded(
    runner: Runner, tales: Tales, telling: Telling, when: str
) -> None:
    job = tales.begin()

    def act(one: Tale, lease: Lease) -> dict[str, Any]:
        tales.remove(one.id)
        if when == "noticed while it ran":
            with pytest.raises(LeaseLost):
                lease.note(progress=0.5)
            lease.note(progress=0.5)
        return {"state": DONE}

    telling.act = act
    runner.run_next()
    assert telling.over == [(job, "discarded")]


def test_a_lease_renews_itself_while_one_step_takes_long(
    runner: Runner, tales: Tales, telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_runner, "RENEW_SECONDS", 0.02)
    job = tales.begin()
    ends: list[datetime | None] = []

    def act(_one: Tale, _lease: Lease) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while len(set(ends)) < 3 and time.monotonic() < deadline:
            ends.append(row(tales, job).lease_until)
            time.sleep(0.01)
        return {"state": DONE}

    telling.act = act
    runner.run_next()
    assert len(set(ends)) == 3


def test_a_lease_that_cant_be_renewed_for_a_while_doesnt_end_the_work(
    runner: Runner, tales: Tales, telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_runner, "RENEW_SECONDS", 0.01)
    job = tales.begin()
    failed = threading.Event()
    renew = tales.renew

    def broken(*given: Any, **more: Any) -> bool:
        if not failed.is_set():
            failed.set()
            raise OSError("the database is locked")
        return renew(*given, **more)

    monkeypatch.setattr(tales, "renew", broken)
    telling.act = lambda _one, _lease: {"state": DONE if failed.wait(20) else FAILED}
    runner.run_next()
    assert row(tales, job).state == DONE


def test_progress_is_written_a_few_times_a_second_however_often_it_is_told(
    runner: Runner, tales: Tales, telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    renew = tales.renew

    def noting(*given: Any, **more: Any) -> bool:
        written.append(more)
        return renew(*given, **more)

    monkeypatch.setattr(tales, "renew", noting)
    tales.begin()

    def act(_one: Tale, lease: Lease) -> dict[str, Any]:
        began = time.monotonic()
        told = 0
        while time.monotonic() - began < 3 * job_runner.PROGRESS_SECONDS:
            told += 1
            lease.report(lambda: {"progress": 0.25})
        assert told > 100
        return {"state": DONE}

    telling.act = act
    runner.run_next()
    assert 1 <= len([one for one in written if "progress" in one]) <= 4


def test_the_loop_wakes_when_a_job_waits_and_stops_when_told_to(
    runner: Runner,
    tales: Tales,
    telling: Telling,
    stop: threading.Event,
    signals: Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_runner, "IDLE_SECONDS", 60.0)  # only the signal can wake it
    ends = signals.ended.listen()
    thread = threading.Thread(target=runner.loop)
    thread.start()
    while not telling.tidied:
        time.sleep(0.01)
    for _ in range(5):
        job = tales.begin()
        assert ends.wait(20)
        assert row(tales, job).state == DONE
    stop.set()
    signals.waiting.ring()
    thread.join(20)
    assert not thread.is_alive()


def test_what_a_dead_predecessor_of_the_slot_held_is_freed_at_the_start(
    tales: Tales, telling: Telling, stop: threading.Event, signals: Signals
) -> None:
    job = tales.begin()
    assert tales.claim("slot-0") is not None
    assert tales.claim("slot-0") is None

    def last(_one: Tale, _lease: Lease) -> dict[str, Any]:
        stop.set()
        return {"state": DONE}

    telling.act = last
    Runner([telling], "slot-0", signals.waiting, stop).loop()
    assert (row(tales, job).state, row(tales, job).attempts) == (DONE, 2)


def test_a_database_that_is_gone_for_a_while_doesnt_end_the_loop(
    runner: Runner,
    tales: Tales,
    telling: Telling,
    stop: threading.Event,
    signals: Signals,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tales.begin()
    claim, tries = telling.claim, []

    def broken(holder: str) -> Tale | None:
        tries.append(holder)
        if len(tries) == 1:
            signals.waiting.ring()
            raise OSError("no such disk")
        return claim(holder)

    telling.claim = broken  # type: ignore[method-assign]
    telling.act = lambda _one, _lease: stop.set() or {"state": DONE}  # type: ignore[func-returns-value]
    with caplog.at_level(logging.ERROR):
        runner.loop()
    assert "slot-0 could not look for work" in caplog.text
    assert telling.over[0][1] == DONE


def test_a_database_that_is_locked_at_the_start_doesnt_keep_the_runner_from_freeing_its_slot(
    runner: Runner, tales: Tales, telling: Telling, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tales.begin()
    assert tales.claim("slot-0") is not None
    release, tries = tales.release, []

    def broken(holder: str, **more: bool) -> None:
        tries.append(holder)
        if len(tries) == 1:
            raise OSError("the database is locked")
        release(holder, **more)

    monkeypatch.setattr(job_runner, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(tales, "release", broken)
    telling.act = lambda _one, _lease: stop.set() or {"state": DONE}  # type: ignore[func-returns-value]
    runner.loop()
    assert telling.over == [(job, DONE)]


def test_two_runners_share_the_jobs_and_a_long_one_keeps_none_waiting(
    tales: Tales, signals: Signals, stop: threading.Event
) -> None:
    release = threading.Event()
    first, second = Telling(tales), Telling(tales)

    def act(one: Tale, _lease: Lease) -> dict[str, Any]:
        assert one.id != long or release.wait(20)
        return {"state": DONE}

    first.act = second.act = act
    long = tales.begin()
    runners = [
        Runner([handler], f"slot-{number}", signals.waiting, stop)
        for number, handler in enumerate((first, second))
    ]
    threads = [threading.Thread(target=runner.loop) for runner in runners]
    ends = signals.ended.listen()
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            short = tales.begin()
            while row(tales, short).state != DONE:
                assert ends.wait(20)
            assert row(tales, long).state in (WAITING, RUNNING)
    finally:
        release.set()
        stop.set()
        signals.waiting.ring()
        for thread in threads:
            thread.join(20)
    assert row(tales, long).state == DONE
    assert len(first.seen) + len(second.seen) == 7


def test_the_handlers_come_in_their_order(tales: Tales, signals: Signals, stop: threading.Event) -> None:
    first, second = Telling(tales), Telling(tales)
    first.claim = lambda _holder: None  # type: ignore[method-assign,assignment]  # it never has a job
    tales.begin()
    assert Runner([first, second], "slot-0", signals.waiting, stop).run_next()
    assert (first.seen, len(second.seen)) == ([], 1)


def test_a_row_that_another_took_meanwhile_is_not_ended_here(
    runner: Runner, tales: Tales, telling: Telling
) -> None:
    job = tales.begin()

    def act(one: Tale, _lease: Lease) -> dict[str, Any]:
        with tales.database.write() as session:
            session.execute(update(Tale).where(Tale.id == one.id).values(holder="slot-1"))
        return {"state": DONE}

    telling.act = act
    runner.run_next()
    assert (row(tales, job).state, row(tales, job).holder) == (RUNNING, "slot-1")
    assert telling.over == [(job, "discarded")]
    with tales.database.write() as session:
        session.execute(delete(Tale))


def test_lines_that_a_job_writes_have_its_id(tales: Tales, telling: Telling, runner: Runner) -> None:
    seen = []
    telling.act = lambda _job, _lease: seen.append(dict(log_context.current())) or {"state": DONE}  # type: ignore[func-returns-value]
    made = tales.begin()
    runner.run_next()
    assert seen == [{"job": made}]
    assert dict(log_context.current()) == {}


def test_a_job_goes_back_when_the_database_was_away(
    runner: Runner, tales: Tales, telling: Telling, caplog: pytest.LogCaptureFixture
) -> None:
    job = tales.begin()

    def act(_one: Tale, _lease: Lease) -> dict[str, Any]:
        raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))

    telling.act = act
    runner.run_next()
    found = row(tales, job)
    if tales.database.is_sqlite:
        assert found.state == FAILED
        return
    assert (found.state, found.holder, found.attempts) == (WAITING, None, 0), "the job isn't to blame"
    assert "the database was away" in caplog.text


def test_a_job_that_is_postponed_waits_and_is_no_failed_attempt(
    runner: Runner, tales: Tales, telling: Telling
) -> None:
    job, other = tales.begin(), tales.begin()

    def act(one: Tale, lease: Lease) -> dict[str, Any]:
        if one.id == job:
            tales.postpone(one.id, lease.holder, timedelta(hours=1), filename="b")
            raise Handled
        return {"state": DONE}

    telling.act = act
    assert [runner.run_next() for _ in range(3)] == [True, True, False]
    found = row(tales, job)
    assert (found.state, found.holder, found.attempts, found.filename) == (WAITING, job_queue.LATER, 0, "b")
    assert row(tales, other).state == DONE
    assert tales.give_up() == []
    with tales.database.write() as session:
        session.execute(update(Tale).values(lease_until=now() - timedelta(seconds=1)))
    assert runner.run_next()
    # somebody else's by now: nothing is changed
    tales.postpone(other, "nobody", timedelta(hours=1), filename="c")
    assert row(tales, other).filename == "a"


def test_leases_go_by_the_clock_that_all_hosts_share(tales: Tales, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose clock is an hour ahead takes nothing out of the hands of another one."""
    job = tales.begin()
    assert tales.claim("one") is not None
    monkeypatch.setattr(job_queue, "now", lambda: datetime.now(UTC) + timedelta(hours=1))
    taken = tales.claim("another")
    assert (taken is not None) is tales.database.is_sqlite, "one machine has one clock"
    if taken is None:
        assert tales.renew(job, "one")
        assert tales.give_up() == []
