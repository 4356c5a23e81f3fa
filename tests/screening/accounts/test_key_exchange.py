"""Limits of keys over several hosts: exact on each, and together within what comes at once and within a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from screening.accounts.key_exchange import FORGIVEN_SECONDS, HOST_SECONDS, ROUND_SECONDS, KeyExchange
from screening.accounts.key_rates import SharedBuckets, TokenBucket
from screening.accounts.key_refusals import Throttled
from screening.accounts.key_ring import KeyHolder, KeyRing
from screening.infra.database import Database
from tests.postgres_server import Postgres
from tests.screening.accounts.keys_fixture import Desk

LONG = 60.0
BUCKET = TokenBucket.of(1, per_minute=60, burst=5)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    with postgres.database() as made:
        yield made


class Host:
    """The buckets of a host, and its exchange."""

    def __init__(self, folder: Path, name: str, database: Database) -> None:
        self.buckets = SharedBuckets(folder / name, counted=True)
        self.buckets.make_room(3)
        self.exchange = KeyExchange(database.engine, self.buckets, name, lambda: {1: BUCKET})

    def passed(self, now: float, count: int = 1) -> int:
        return self.buckets.take_all(BUCKET, now, count).count(0.0)


@pytest.fixture
def hosts(tmp_path: Path, database: Database) -> tuple[Host, Host]:
    one, other = (Host(tmp_path, name, database) for name in ("one", "other"))
    for each in (one, other, one):
        each.exchange.step(100.0)
    return one, other


def written(database: Database) -> list[tuple[str, str]]:
    with database.read() as session:
        rows = session.execute(text("SELECT host, xmin::text FROM key_counts ORDER BY host")).all()
    return [(row[0], row[1]) for row in rows]


def exchange(now: float, *hosts: Host) -> None:
    for _ in range(2):
        for each in hosts:
            each.exchange.step(now)


def test_what_others_let_in_counts_and_is_waited_for(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    assert one.passed(100.0, 9) == 5
    assert other.passed(100.2, 9) == 5, "it hasn't heard of them yet"
    exchange(100.5, one, other)
    # ten were let in where five could be: the next one comes when six have become due, as on one host
    for moment in (101.0, 104.0, 105.9):
        assert one.passed(moment) == other.passed(moment) == 0
        exchange(moment, one, other)
    assert one.passed(106.1) == 1
    exchange(106.3, one, other)
    assert other.buckets.take(BUCKET, 106.3) == pytest.approx(0.9, abs=0.01)


def test_over_a_minute_no_more_pass_than_on_one_host(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    now, passed = 100.0, 0
    while now < 160.0:
        passed += one.passed(now, 3) + other.passed(now, 3)
        now += 0.25
        if now % 0.5 == 0.0:
            exchange(now, one, other)
    # a burst and 60, and once more what one further host lets in before it hears of it
    assert 60 <= passed <= 5 + 60 + 5 + 1


def test_nothing_is_written_where_no_key_was_used(hosts: tuple[Host, Host], database: Database) -> None:
    one, other = hosts
    assert written(database) == []
    one.passed(100.0)
    exchange(100.5, one, other)
    ((who, version),) = written(database)
    assert who == "one"
    exchange(101.0, one, other)
    assert written(database) == [("one", version)]
    one.passed(103.0)
    exchange(103.5, one, other)
    assert written(database) != [("one", version)]


def test_a_round_begins_at_nothing_and_loses_nothing(hosts: tuple[Host, Host], database: Database) -> None:
    one, other = hosts
    assert one.passed(100.0, 2) == 2
    exchange(100.5, one, other)
    later = 101.0 + ROUND_SECONDS
    exchange(later - 1, one, other)
    assert one.passed(later, 3) == 3
    exchange(later, one, other)
    with database.read() as session:
        assert session.scalar(text("SELECT counts FROM key_counts")) == '{"1": 3}'
    assert other.passed(later, 9) == 2, "three of the five were let in by the other"


@pytest.mark.parametrize("order", [("one", "other"), ("other", "one")])
def test_without_the_database_each_host_counts_alone_and_what_was_missed_is_forgiven(
    hosts: tuple[Host, Host],
    postgres: Postgres,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    order: tuple[str, str],
) -> None:
    one, other = hosts
    away = KeyExchange(
        Database(f"postgresql://fraud@/bank?host={tmp_path}").engine, one.buckets, "one", lambda: {1: BUCKET}
    )
    for moment in (101.0, 102.0):
        away.step(moment)
    assert caplog.text.count("count on this host alone") == 1
    assert one.passed(102.0, 9) == 5
    late = 102.0 + FORGIVEN_SECONDS
    # whoever is there first
    for name in order:
        {"one": one, "other": other}[name].exchange.step(late)
    other.exchange.step(late)
    assert other.passed(late, 9) == 5, "it couldn't hear of them for too long"
    other.exchange.step(late + 0.5)
    assert other.passed(late + 1.1, 9) == 1
    one.passed(late + 1.2)
    exchange(late + 1.5, one, other)
    assert other.passed(late + 2.1, 9) == 0, "it hears of what is let in from then on"


def test_a_host_that_has_been_gone_for_a_day_is_forgotten(
    hosts: tuple[Host, Host], database: Database
) -> None:
    one, other = hosts
    assert one.passed(100.0) == 1
    exchange(100.5, one, other)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE key_counts SET written = written - 90000"))
    other.exchange.step(101.0)
    assert [host for host, _ in written(database)] == ["one"]
    other.exchange.step(101.0 + ROUND_SECONDS)
    assert written(database) == []


def test_what_lies_in_the_file_from_before_holds_up_no_key_for_long(
    hosts: tuple[Host, Host], database: Database
) -> None:
    one, other = hosts
    assert (one.buckets.others, other.buckets.others) == (0, 0)
    one.passed(100.0, 5)
    exchange(100.0, one, other)
    assert other.buckets.others == 1
    one.buckets.count_elsewhere(BUCKET, 100.0, 10**9)
    assert one.passed(100.0 + 5 + 5 + FORGIVEN_SECONDS) == 1, "a burst of its own, and one of the other host"
    exchange(101.0, one, other)
    with database.engine.begin() as connection:
        connection.execute(text(f"UPDATE key_counts SET written = written - {HOST_SECONDS + 1}"))
    other.exchange.step(101.0)
    assert other.buckets.others == 0


def test_rings_of_two_hosts_tell_each_other(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.accounts.key_exchange.EVERY_SECONDS", 0.05)
    name = postgres.new()
    desk = Desk(tmp_path, url=postgres.url(name))
    often = desk.make(name="often", per_minute=60_000, burst=1_000)
    rarely = desk.make(name="rarely", per_minute=1, burst=10)
    rings = []
    # two processes of the first one
    for host in ("one", "one", "other"):
        folder = tmp_path / "hosts" / host
        (folder / "signals").mkdir(parents=True, exist_ok=True)
        rings.append(KeyRing(desk.database, desk.users, tmp_path, of_host=folder, host=host))
    one, beside, other = rings

    deadline = time.monotonic() + LONG

    def passed(ring: KeyRing) -> int:
        """How many requests it lets in until it lets in no more."""
        count = 0
        while not isinstance(found := ring.check(f"Bearer {rarely}", "score"), Throttled):
            assert time.monotonic() < deadline
            count += isinstance(found, KeyHolder)
        return count

    while not all(ring._buckets.others for ring in rings):
        assert time.monotonic() < deadline
        for ring in rings:
            ring.check(f"Bearer {often}", "score")
        time.sleep(0.05)
    assert (passed(one), passed(beside)) == (10, 0)
    (bucket,) = (each for each in other.limits().values() if each.interval == 60)
    while other._buckets._full_at(bucket, now := time.monotonic()) <= now:
        assert now < deadline
        time.sleep(0.05)
    assert passed(other) == 0
    for ring in rings:
        ring.close()
    desk.close()
    postgres.drop(name)
