"""Guessing is stopped, over all workers and a restart."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from screening.accounts.login_throttle import (
    LOCK_SECONDS,
    SIGN_UPS,
    Limit,
    Lockout,
    Throttle,
    TooMany,
    network,
)
from screening.infra.database import Database
from screening.settings import ROOT
from tests.clock import Clock

pytestmark = pytest.mark.both_databases


def fail(lockout: Lockout, times: int, name: str = "ada") -> list[bool]:
    return [lockout.settle(name, fits=False).locked_now for _ in range(times)]


@pytest.mark.security(6)
def test_the_tenth_failure_locks_and_the_right_password_is_refused_too(database: Database) -> None:
    lockout = Lockout(database)
    assert fail(lockout, 10) == [False] * 9 + [True]
    assert not lockout.settle("ada", fits=True).allowed
    assert lockout.settle("ada", fits=True).was_locked
    assert lockout.settle("bo", fits=True).allowed


@pytest.mark.security(6)
def test_nine_failures_do_not_lock_and_a_login_forgets_them(database: Database) -> None:
    lockout = Lockout(database)
    fail(lockout, 9)
    assert lockout.settle("ada", fits=True).allowed
    fail(lockout, 9)
    assert lockout.settle("ADA", fits=True).allowed


@pytest.mark.security(6)
def test_a_lock_ends_after_thirty_minutes_and_not_before(database: Database) -> None:
    clock = Clock()
    lockout = Lockout(database, clock)
    fail(lockout, 10)
    clock.now += LOCK_SECONDS - 1
    assert not lockout.settle("ada", fits=True).allowed
    clock.now += 2
    assert lockout.settle("ada", fits=True).allowed


@pytest.mark.security(6)
def test_tries_on_a_locked_account_do_not_prolong_the_lock(database: Database) -> None:
    clock = Clock()
    lockout = Lockout(database, clock)
    fail(lockout, 10)
    clock.now += LOCK_SECONDS - 60
    fail(lockout, 20)
    clock.now += 61
    assert lockout.settle("ada", fits=True).allowed


@pytest.mark.security(6)
def test_capitals_do_not_give_ten_more_guesses(database: Database) -> None:
    lockout = Lockout(database)
    for name in ("ada", "Ada", "ADA", "aDa", " ada"):
        fail(lockout, 2, name)
    assert not lockout.settle("ada", fits=True).allowed


@pytest.mark.security(6)
def test_the_lock_holds_over_four_workers_and_a_restart(database: Database, database_url: str) -> None:
    script = textwrap.dedent("""
        import sys
        from screening.infra.database import Database
        from screening.accounts.login_throttle import Lockout
        lockout = Lockout(Database(sys.argv[1]))
        print(sum(not lockout.settle("ada", fits=False).was_locked for _ in range(5)))
    """)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, database_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    let_through = sum(int(worker.communicate(timeout=60)[0]) for worker in workers)
    assert let_through == 10
    database.engine.dispose()
    assert not Lockout(Database(database_url)).settle("ada", fits=True).allowed


@pytest.mark.security(6)
def test_of_many_guesses_at_once_none_is_let_in_after_the_tenth_failure(database: Database) -> None:
    lockout = Lockout(database)
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda _: lockout.settle("ada", fits=False), range(40)))
    assert sum(verdict.locked_now for verdict in verdicts) == 1
    assert sum(not verdict.was_locked for verdict in verdicts) == 10


def test_an_unlocked_account_begins_anew(database: Database) -> None:
    lockout = Lockout(database)
    fail(lockout, 10)
    lockout.unlock("Ada")
    assert lockout.settle("ada", fits=True).allowed


@pytest.mark.security(4)
def test_sixty_sign_ups_an_hour_pass_and_the_next_is_told_how_long_to_wait(database: Database) -> None:
    clock = Clock()
    throttle = Throttle(database, clock)
    for _ in range(SIGN_UPS.most):
        throttle.count(SIGN_UPS, "192.0.2.7")
    for act in (throttle.require_room, throttle.count):
        with pytest.raises(TooMany, match="60 minutes") as refused:
            act(SIGN_UPS, "192.0.2.7")
    assert 3590 <= refused.value.retry_after <= 3601
    throttle.count(SIGN_UPS, "192.0.2.8")
    clock.now += 3601
    throttle.require_room(SIGN_UPS, "192.0.2.7")
    throttle.count(SIGN_UPS, "192.0.2.7")


def test_counts_of_different_things_do_not_mix(database: Database) -> None:
    throttle = Throttle(database)
    throttle.count(Limit("a", 1, 60.0), "192.0.2.7")
    throttle.count(Limit("b", 1, 60.0), "192.0.2.7")


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("a unix socket", "a unix socket"),
    ],
)
def test_a_subscriber_is_counted_once(address: str, counted: str) -> None:
    assert network(address) == counted
