"""Limits of keys: exact in one process, and together over several."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.accounts.key_rates import SharedBuckets, TokenBucket
from screening.settings import ROOT


@pytest.fixture
def buckets(tmp_path: Path) -> SharedBuckets:
    made = SharedBuckets(tmp_path / "limits")
    made.make_room(10)
    return made


def test_a_burst_passes_and_then_the_rate(buckets: SharedBuckets) -> None:
    bucket = TokenBucket.of(3, per_minute=60, burst=5)
    assert [buckets.take(bucket, 100.0) for _ in range(5)] == [0.0] * 5
    assert buckets.take(bucket, 100.0) == pytest.approx(1.0)
    assert buckets.take(bucket, 100.75) == pytest.approx(0.25)
    assert buckets.take(bucket, 101.0) == 0.0
    assert buckets.take(bucket, 101.0) > 0
    assert [buckets.take(bucket, 200.0) for _ in range(6)][:5] == [0.0] * 5
    assert buckets.take(bucket, 200.0) > 0, "no more than a burst was saved"
    assert buckets.take(TokenBucket.of(4, per_minute=60, burst=1), 200.0) == 0.0, "another key has its own"


@given(
    st.integers(1, 100_000),
    st.integers(1, 50),
    st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=200),
)
def test_never_more_pass_than_the_limit_says(per_minute: int, burst: int, pauses: list[float]) -> None:
    buckets = SharedBuckets(Path("/nowhere/at/all"))  # counts in memory
    buckets.make_room(1)
    bucket, now, passed = TokenBucket.of(0, per_minute, burst), 1000.0, []
    for pause in pauses:
        now += pause
        wait = buckets.take(bucket, now)
        if wait:
            assert buckets.take(bucket, now + wait * 0.99) > 0, "a refused request costs nothing and is right"
        else:
            passed.append(now)
    for number, first in enumerate(passed):
        for count, last in enumerate(passed[number:], start=1):
            assert count <= burst + (last - first) * per_minute / 60 + 1e-3


def test_what_lies_in_the_file_from_before_fills_the_bucket(tmp_path: Path) -> None:
    path = tmp_path / "limits"
    first = SharedBuckets(path)
    first.make_room(2)
    bucket = TokenBucket.of(1, per_minute=60, burst=2)
    assert first.take(bucket, 1e9) == 0.0
    assert first.take(bucket, 5.0) == 0.0, "the machine started again: its clock begins at 0"
    path.write_bytes(b"\xff" * path.stat().st_size)  # no number at all
    assert [first.take(bucket, 6.0) for _ in range(2)] == [0.0, 0.0]
    assert first.take(bucket, 6.0) > 0
    first.close()


def test_a_request_that_was_interrupted_does_not_fill_the_bucket(buckets: SharedBuckets) -> None:
    bucket = TokenBucket.of(0, per_minute=60, burst=3)
    assert [buckets.take(bucket, 100.0) for _ in range(3)] == [0.0] * 3
    assert min(buckets.take(bucket, late) for late in (99.9999, 99.0, 96.0)) > 0
    assert buckets.take(bucket, 100.0) > 0


def test_more_keys_find_room_and_the_limits_of_the_others_stay(
    buckets: SharedBuckets, tmp_path: Path
) -> None:
    low, high = TokenBucket.of(0, 1, 1), TokenBucket.of(9_999, 1, 1)
    assert buckets.take(low, 50.0) == 0.0
    buckets.make_room(10_000)
    other = SharedBuckets(tmp_path / "limits")
    other.make_room(10)
    assert buckets.take(high, 50.0) == 0.0
    assert min(buckets.take(low, 50.0), buckets.take(high, 50.0), other.take(low, 50.0)) > 0
    assert (tmp_path / "limits").stat().st_size == 10_240 * 8
    assert (tmp_path / "limits").stat().st_blocks * 512 >= 10_000 * 8, (
        "no hole that a full disk could not fill"
    )


def test_without_the_file_each_process_counts_for_itself_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    buckets = SharedBuckets(tmp_path / "not there" / "limits")
    buckets.make_room(3)
    assert "count in each process alone" in caplog.text
    bucket = TokenBucket.of(2, 60, 1)
    assert buckets.take(bucket, 1.0) == 0.0
    assert buckets.take(bucket, 1.0) > 0


def test_threads_together_get_exactly_the_burst(buckets: SharedBuckets) -> None:
    bucket, now = TokenBucket.of(0, per_minute=1, burst=500), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        counts = pool.map(lambda _: sum(buckets.take(bucket, now) == 0.0 for _ in range(200)), range(8))
        assert sum(counts) == 500


PROGRAM = """
import sys, time
from pathlib import Path
from screening.accounts.key_rates import TokenBucket, SharedBuckets
buckets = SharedBuckets(Path(sys.argv[1]))
buckets.make_room(1)
bucket = TokenBucket.of(0, 60_000, 500)
print("ready", flush=True)
begin = float(input())
passed = 0
while time.monotonic() < begin + 2:
    passed += buckets.take(bucket, time.monotonic()) == 0.0
print(passed)
"""


@pytest.mark.security(14)
def test_processes_share_the_limit(tmp_path: Path) -> None:
    """1,000 a second and 500 at once: 2,500 in two seconds over three processes, and a few more at most."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "limits")]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) for _ in range(3)]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    begin = time.monotonic()
    for one in started:  # their imports took what they took
        assert one.stdin is not None
        one.stdin.write(f"{begin}\n")
        one.stdin.flush()
    passed = [int(one.communicate(timeout=60)[0]) for one in started]
    assert 2_300 <= sum(passed) <= 2_650, passed
