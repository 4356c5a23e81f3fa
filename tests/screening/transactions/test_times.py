"""Cells that look like ISO 8601 and mean something else than Python makes of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from screening.transactions import times
from screening.transactions.guards import unguarded


def shown(text: str) -> str | None:
    seconds = times.time_of(text)
    return None if seconds is None else str(times.EPOCH + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2025-01-04 07.30", "2025-01-04 07:30:00"),
        ("2025-01-04T07.30", "2025-01-04 07:30:00"),
        ("2025-01-04 07.30.44,5", "2025-01-04 07:30:44.500000"),
        ("2025-01-04T07:30:44,5+02:00", "2025-01-04 05:30:44.500000"),
        ("2025-01-04T073044.5", "2025-01-04 07:30:44.500000"),
        ("2025-01-04T0730", "2025-01-04 07:30:00"),
        ("2025-01-04-07.30.44.5", "2025-01-04 07:30:44.500000"),
    ],
)
def test_points_between_hours_and_minutes_are_no_fractions(text: str, meant: str) -> None:
    assert shown(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-04-07:00",
        "2025-01-04+02:00",
        "2025-01-04-07",
        "2025-01-04x07:30",
        "2025-01-04 07,30",
        "2025-01-04 07:30.5",
        "04 Jan 12:07:30",
        "31DEC25:10:00",
        "2025-01-04T07:30:44[UTC]",
    ],
)
def test_a_day_with_a_zone_and_times_that_lack_something_are_no_times(text: str) -> None:
    assert shown(text) is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("'007", "007"),
        ('="007"', "007"),
        ('\'="007"', "007"),
        ("'-12.5", "-12.5"),
        ('=""', ""),
        ("'t Hooft", "'t Hooft"),
        ("=1+1", "=1+1"),
        ("'", "'"),
        ("", ""),
    ],
)
def test_only_a_spreadsheets_guard_is_taken_off(text: str, plain: str) -> None:
    assert unguarded(text) == plain
