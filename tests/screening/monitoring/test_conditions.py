"""The operator's rules: what breaks them, and what isn't enough to go by."""

from __future__ import annotations

import math

import pytest

from screening.monitoring import conditions
from screening.monitoring.activity import Feed
from screening.monitoring.request_metrics import RequestMetrics
from screening.monitoring.tables import StreamPartition

NOW = 1_000_000 * 3600.0
HOUR = 1_000_000


def feed(before: tuple[int, int], last: tuple[int, int]) -> Feed:
    """A week of some rows and flags a day, then a day."""
    days = [(0, 0)] + [before] * 7 + [last]
    hours = [HOUR - 24 * (8 - day) for day in range(9)]
    sums = [tuple(map(sum, zip(*days[: place + 1], strict=True))) for place in range(9)]
    return Feed(hours, [rows for rows, _ in sums], [flags for _, flags in sums])


@pytest.mark.parametrize(
    ("before", "last", "broken"),
    [
        ((1000, 10), (1000, 35), True),
        ((1000, 10), (1000, 25), False),  # less than three times
        ((1000, 30), (1000, 1), True),  # far fewer are as odd
        ((1000, 1), (200, 1), False),  # five times, of one flag
        ((1000, 0), (1000, 40), True),
        ((1000, 0), (1000, 0), False),
        ((10, 0), (1000, 500), False),  # too little to compare with
        ((1000, 10), (100, 90), False),
    ],
)
def test_a_share_of_flags_is_compared_with_the_week_before(
    before: tuple[int, int], last: tuple[int, int], broken: bool
) -> None:
    found = list(conditions.flag_rate({("card", "api"): feed(before, last)}, NOW, 3.0))
    assert bool(found) is broken
    if broken:
        assert found[0].subject == "card, api"
        assert f"{last[1] / last[0]:.2%}" in found[0].text


def test_a_feed_that_came_each_day_and_stops_is_silent() -> None:
    daily = Feed([HOUR - 24 * day for day in range(9, 1, -1)], list(range(8)), [0] * 8)
    assert [each.rule for each in conditions.silence({("card", "file"): daily}, NOW, 24.0)] == ["silence"]
    assert not list(conditions.silence({("card", "file"): daily}, NOW, 60.0))
    weekly = Feed([HOUR - 24 * 9, HOUR - 24 * 8, HOUR - 24 * 2], [0, 5, 10], [0] * 3)
    assert not list(conditions.silence({("card", "file"): weekly}, NOW, 24.0))


def test_room_and_waiting_jobs() -> None:
    assert list(conditions.disk(10**9 + 1, "a", 1.0)) == []
    assert [each.value for each in conditions.disk(5 * 10**8, "a", 1.0)] == [0.5]
    waiting = {"screenings": (3, NOW - 1000.0), "ledger": (1, NOW - 10.0)}
    assert [each.subject for each in conditions.backlog(waiting, NOW, 15.0)] == ["screenings"]


def test_a_topic_that_nobody_reads_or_that_falls_behind() -> None:
    def partition(number: int, seen: float, lag: int | None) -> StreamPartition:
        return StreamPartition(group="bank", topic="payments", partition=number, seen=seen, lag=lag)

    read = [partition(0, NOW - 5, 600), partition(1, NOW - 5, 400), partition(2, NOW - 5, None)]
    assert not list(conditions.stream(read, NOW, 1000.0))
    (behind,) = conditions.stream(read, NOW, 999.0)
    assert (behind.subject, behind.value) == ("payments, bank", 1000)
    assert behind.text == "1,000 messages of payments wait for a decision."
    (some,) = conditions.stream([*read, partition(3, NOW - 600, 7)], NOW, 1e9)
    assert "1 of 4 partitions of payments for 10 minutes; 1,007 messages" in some.text
    (gone,) = conditions.stream([partition(0, NOW - 600, 7)], NOW, 1e9)
    assert gone.text == "Nobody has read payments for 10 minutes; 7 messages waited by then."


def test_a_server_that_was_started_again_counts_from_nothing() -> None:
    requests = conditions.Requests("a")
    for moment, count in ((NOW, 500), (NOW + 60, 100)):
        counted = RequestMetrics()
        for _ in range(count):
            counted.observe("/", 500, 0.001)
        requests.note(counted.collect(), moment)
    (broken,) = requests.errors(0.01)
    assert broken.text == "100 of 100 answers were errors of the server (500 or more)."


def test_only_the_last_minutes_of_requests_count() -> None:
    counted, requests = RequestMetrics(), conditions.Requests("a")
    for _ in range(500):
        counted.observe("/detect_fraud", 503, 20.0)
    requests.note(counted.collect(), NOW)
    assert not list(requests.latency(1.0))
    for _ in range(500):
        counted.observe("/detect_fraud", 200, 0.004)
    requests.note(counted.collect(), NOW + 60)
    assert not list(requests.latency(1.0))
    assert not list(requests.errors(0.05))
    for _ in range(60):
        counted.observe("/detect_fraud", 500, 4.0)
    requests.note(counted.collect(), NOW + 120)
    (slow,), (bad,) = requests.latency(1.0), requests.errors(0.05)
    assert 2.5 < slow.value <= 5.0
    assert bad.value == pytest.approx(60 / 560)
    requests.note(counted.collect(), NOW + 500)
    assert not list(requests.errors(0.05))


def test_a_quantile_is_read_between_two_bounds() -> None:
    buckets = {0.1: 0.0, 0.2: 98.0, 0.4: 100.0, math.inf: 100.0}
    assert conditions.quantile(buckets, 0.99) == pytest.approx(0.3)
    assert conditions.quantile({0.1: 0.0, math.inf: 10.0}, 0.99) == 0.1  # all that is known: longer than this
