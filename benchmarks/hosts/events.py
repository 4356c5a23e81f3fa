"""What happens to the hosts under load, and for how long nobody was answered then."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.hosts.beside import RedisServer
from benchmarks.hosts.load import Pages, Uploads
from benchmarks.hosts.network import Host
from benchmarks.kills import Senders
from screening.settings import ROOT

QUIET_SECONDS, AWAY_SECONDS = 4.0, 8.0
"""Between two events, and for how long a host is cut off, or off."""


@dataclass(frozen=True, slots=True)
class Event:
    """What was done to a host of which role, and when."""

    what: str
    role: str
    moment: float

    def __str__(self) -> str:
        return f"{self.what} ({self.role})"


def hurt(
    hosts: list[Host], rounds: int, chance: random.Random, redis: RedisServer | None = None
) -> Iterator[Event]:
    """Kill hosts and cut them off, in turn; in the middle kill a Redis, and empty it."""
    for number in range(2 * rounds):
        if redis is not None and number == rounds:
            yield from hurt_redis(redis)
        one, what = chance.choice(hosts), ("killed", "cut off")[number % 2]
        time.sleep(QUIET_SECONDS + chance.random())
        yield Event(what, one.role, time.monotonic())
        if what == "killed":
            one.kill()
            time.sleep(AWAY_SECONDS / 2)
            one.start()
        else:
            one.cut_off()
            time.sleep(AWAY_SECONDS)
            one.join()


def hurt_redis(redis: RedisServer) -> Iterator[Event]:
    """Kill Redis and start it again, and empty it a while later."""
    time.sleep(QUIET_SECONDS)
    yield Event("killed", "Redis", time.monotonic())
    redis.kill()
    redis.start()
    time.sleep(AWAY_SECONDS)
    yield Event("emptied", "Redis", time.monotonic())
    redis.empty()
    time.sleep(AWAY_SECONDS)


def roll(hosts: list[Host]) -> Iterator[Event]:
    """Upgrade one host after another to the present code, those with job workers first."""
    for one in sorted(hosts, key=lambda each: each.role, reverse=True):
        yield Event("upgraded", one.role, time.monotonic())
        one.stop()
        one.code = ROOT
        one.start()
        time.sleep(QUIET_SECONDS)


def report(events: list[Event], senders: Senders, uploads: Uploads, pages: Pages) -> None:
    """Print for how long something was refused after each event, and how long was waited for answers."""
    ends = [*(each.moment for each in events[1:]), math.inf]
    refused = {"transactions": senders.refused, "pages": pages.refused, "uploads": uploads.refused}
    spans: dict[str, list[float]] = {}
    for event, end in zip(events, ends, strict=True):
        for name, moments in refused.items():
            seconds = {int(moment - event.moment) for moment in moments if event.moment <= moment < end}
            spans.setdefault(f"{event}: seconds in which {name} were refused,", []).append(
                float(len(seconds))
            )
        near = [event.moment, *(moment for moment in sorted(senders.moments) if event.moment <= moment < end)]
        longest = max((later - before for before, later in pairwise(near)), default=0.0)
        spans.setdefault(f"{event}: no transaction answered for", []).append(longest)
    for what, found in sorted(spans.items()):
        middle = sorted(found)[len(found) // 2]
        print(f"{what} {max(found):.2f} at most of {len(found)}, {middle:.2f} in the middle")
    for what, waits, others in (
        (
            "transactions",
            sorted(senders.waits),
            f"by status {senders.statuses}, lines lost {senders.lost_lines}",
        ),
        ("pages", sorted(pages.waits), f"refused {len(pages.refused)}"),
    ):
        longest_ones = ", ".join(f"{each:.1f}" for each in waits[-8:])
        print(f"{what}: {len(waits):,} answered after {waits[len(waits) // 2]:.3f} s in the middle, {others}")
        print(f"  longest waits until answered, s: {longest_ones}")
    print(f"uploads: {len(uploads.acknowledged)} acknowledged, {len(uploads.refused)} refused")
