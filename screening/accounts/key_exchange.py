"""Limits of keys over several hosts: each tells the others how many requests it let in, and counts theirs as its own.

Buckets (:mod:`screening.accounts.key_rates`) are shared by the processes of one host. One of these processes writes
twice a second how often each key was let in here, if any was, and reads what the other hosts wrote. Their requests fill
the bucket as one's own do, half a second later or a whole one. So over longer times a limit holds for all hosts
together; a sender who asks all of them at once has, on each further host, so many more let in as come at once
(``burst``) and within that second, and waits longer for the next ones.

Nothing of it is on a request's way. Without the database each host counts for itself, and what the others let in
meanwhile is forgiven.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import lock_descriptor
from sqlalchemy import Double, Engine, String, Text, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from screening.accounts.key_rates import SharedBuckets, TokenBucket
from screening.infra.atomic_file import MODE
from screening.infra.database import Base

log = logging.getLogger("screening.accounts")
EVERY_SECONDS = 0.5
"""Between two exchanges."""
# What others let in is forgiven where it wasn't read for so long: the database was away, or this machine stood still.
FORGIVEN_SECONDS = 5.0
# After so long counting begins at 0 again, so that keys that aren't used any more aren't told of.
ROUND_SECONDS = 600.0
HOST_SECONDS = 600.0
"""So long after it last told of a key a host is expected to let in requests beside this one."""
TELL = text(
    "INSERT INTO key_counts (host, round, counts, written) "
    "VALUES (:host, :round, :counts, extract(epoch FROM clock_timestamp())) ON CONFLICT (host) DO UPDATE "
    "SET round = excluded.round, counts = excluded.counts, written = excluded.written"
)
HEAR = text(
    "SELECT host, round, counts, extract(epoch FROM clock_timestamp()) - written FROM key_counts WHERE host <> :host"
)
# Whoever comes back later has begun a new round by then, and none of it is counted twice.
FORGET = text("DELETE FROM key_counts WHERE written < extract(epoch FROM clock_timestamp()) - 86400")
Counts = Mapping[int, int]
"""Requests that were let in, by the number of the key."""


class HostKeyCounts(Base):
    """Requests that a host has let in. Nobody else writes its row, so it is written without a writer's turn."""

    __tablename__ = "key_counts"

    host: Mapped[str] = mapped_column(String(63), primary_key=True)
    round: Mapped[str] = mapped_column(String(16))
    """Drawn whenever counting began at 0."""
    counts: Mapped[str] = mapped_column(Text)
    """Of each key that was used in this round, by its number: JSON."""
    written: Mapped[float] = mapped_column(Double)
    """By the database's clock, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class HeardCounts:
    """Counts of a host, as it had told them when it was last read."""

    round: str
    counts: Counts


class KeyExchange:
    """The exchange of one host.

    Args:
        engine: of the database.
        buckets: of this host.
        host: its name.
        limits: gives the bucket of each key, by the key's number.
    """

    def __init__(
        self,
        engine: Engine,
        buckets: SharedBuckets,
        host: str,
        limits: Callable[[], Mapping[int, TokenBucket]],
    ) -> None:
        self._engine, self._buckets, self._host, self._limits = engine, buckets, host, limits
        self._round, self._began = "", float("-inf")
        self._from: Counts = {}
        """Counts with which the round began."""
        self._told: Counts = {}
        self._heard: dict[str, HeardCounts] = {}
        self._heard_at = float("-inf")
        self._away = False

    def step(self, now: float) -> None:
        """Tell what was let in here since the last time, if anything was, and count what others have.

        Args:
            now: ``time.monotonic()``.
        """
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                began, mine = self._began, self._let_in(now)
                if began != self._began:
                    # now and then: hosts may have names that don't come back, as pods have
                    connection.execute(FORGET)
                if mine != self._told:
                    given = {"host": self._host, "round": self._round, "counts": json.dumps(mine)}
                    connection.execute(TELL, given)
                    self._told = mine
                rows = connection.execute(HEAR, {"host": self._host}).all()
        except SQLAlchemyError as problem:
            if not self._away:
                log.warning(
                    "limits of API keys count on this host alone: %s", getattr(problem, "orig", problem)
                )
            self._away = True
            return
        if self._away:
            log.info("limits of API keys count over all hosts again")
        self._away = False
        # first: it says how far ahead a bucket may be full
        self._buckets.others = sum(age < HOST_SECONDS for *_, age in rows)
        self._hear({host: HeardCounts(of, counts_of(told)) for host, of, told, _ in rows}, now)

    def _let_in(self, now: float) -> Counts:
        """Return what was let in in this round, which is a new one now and then."""
        counts = self._buckets.counts()
        if now - self._heard_at > FORGIVEN_SECONDS:
            # the others don't count what they couldn't hear of, and this host not what it let in alone
            self._begin(now, counts)
        elif now - self._began > ROUND_SECONDS:
            told = {key: self._from.get(key, 0) + count for key, count in self._told.items()}
            self._begin(now, {**self._from, **told})
        counted = {key: count - self._from.get(key, 0) for key, count in counts.items()}
        return {key: count for key, count in counted.items() if count > 0}

    def _begin(self, now: float, counts: Counts) -> None:
        self._from, self._began, self._round, self._told = counts, now, secrets.token_hex(8), {}

    def _hear(self, found: dict[str, HeardCounts], now: float) -> None:
        """Count what other hosts have let in since they were read before; the first time nothing."""
        if now - self._heard_at <= FORGIVEN_SECONDS:
            limits = self._limits()
            for host, said in found.items():
                before = self._heard.get(host)
                known = before.counts if before is not None and before.round == said.round else {}
                for key, count in said.counts.items():
                    if (more := count - known.get(key, 0)) > 0 and key in limits:
                        self._buckets.count_elsewhere(limits[key], now, more)
        self._heard, self._heard_at = found, now


def counts_of(told: str) -> Counts:
    """Return counts as they were told."""
    return {int(key): int(count) for key, count in json.loads(told).items()}


def exchange_until_closed(exchange: KeyExchange, lock: Path, closed: threading.Event) -> None:
    """Exchange twice a second, in one process of a host at a time.

    Args:
        exchange: of this process, which does nothing before its turn.
        lock: a file that the process holds whose turn it is.
        closed: ends it.
    """
    with turn_of_host(lock) as is_mine:
        mine = False
        while not closed.wait(EVERY_SECONDS):
            try:
                mine = mine or is_mine()
                if mine:
                    exchange.step(time.monotonic())
            except Exception:  # a fault of ours mustn't end the thread, and with it the limits
                log.exception("limits of API keys count on this host alone for a moment")


@contextmanager
def turn_of_host(lock: Path) -> Iterator[Callable[[], bool]]:
    """Give what tries to get the turn of a host's processes, and returns whether it is had; it is given back at the
    end, or by the kernel when the process ends.
    """
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), MODE)
    with closing(os.fdopen(handle)):
        yield lambda: lock_descriptor(handle, blocking=False)
