"""Precision and recall over time: what counts, what doesn't, and when figures are final."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from scipy.stats import binomtest

from screening.ledger.queries.day_counts import DayCounts
from screening.monitoring.quality import periods, together
from screening.scoring.metrics import wilson

DAY = 86_400
MONDAY = 20_514  # 2 March 2026


def day(number: int, source: str = "api", **counts: Any) -> DayCounts:
    given = {"rows": 100, "flagged": 20, "caught": 0, "false_alarms": 0, "missed": 0, "passed": 0, **counts}
    return DayCounts(day=MONDAY + number, source=source, **given)


def told(*days: DayCounts, at: int = 60, by: str = "day", delay: int = 10, **more: Any) -> list[Any]:
    return periods(days, by=by, now=(MONDAY + at) * DAY, delay=delay * DAY, **more)


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (1, 1), (0, 30), (3, 10), (50, 100), (999, 1000)])
def test_the_interval_is_wilsons(hits: int, trials: int) -> None:
    known = binomtest(hits, trials).proportion_ci(0.95, "wilson")
    assert wilson(hits, trials) == pytest.approx((known.low, known.high), abs=1e-9)


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (2, 1), (-1, 3)])
def test_no_share_has_no_interval(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match="share"):
        wilson(hits, trials)


def test_rows_without_a_label_are_in_no_figure() -> None:
    (one,) = told(day(0, caught=12, false_alarms=4, missed=3, passed=1))
    assert (one.precision.hits, one.precision.of) == (12, 16)
    assert one.recall is not None
    assert (one.recall.hits, one.recall.of) == (12, 15)
    assert (one.rows, one.flagged, one.labelled) == (100, 20, 20)
    assert one.precision.share == 0.75
    assert one.precision.interval == wilson(12, 16)


def test_a_few_labels_give_no_share() -> None:
    (one,) = told(day(0, caught=5, false_alarms=4, passed=1))
    assert (one.precision.share, one.precision.interval, one.precision.of) == (None, None, 9)


def test_labels_of_flagged_rows_alone_say_nothing_of_what_was_missed() -> None:
    (one,) = told(day(0, caught=12, false_alarms=8))
    assert one.precision.share == 0.6
    assert one.recall is None


def test_a_day_is_open_while_its_labels_may_still_come() -> None:
    old, young, whole = told(
        day(0, caught=10), day(58, caught=10), day(59, rows=20, caught=10, false_alarms=10)
    )
    assert (old.open, young.open) == (False, True)
    assert not whole.open  # all its rows have one
    assert [each.open for each in told(day(49), day(50))] == [False, True]  # days end at midnight


def test_weeks_begin_on_monday_and_are_open_if_a_day_is() -> None:
    first, second = told(day(0, caught=1), day(6, caught=2), day(7, caught=4), at=17, by="week")
    assert (first.start, second.start) == (date(2026, 3, 2), date(2026, 3, 9))
    assert (first.precision.hits, second.precision.hits) == (3, 4)
    assert (first.open, second.open) == (False, True)


def test_silence_means_legitimate_only_of_sources_that_report_all_and_only_in_time() -> None:
    days = day(0, caught=10), day(0, "file", caught=10), day(58, caught=10)
    plain = told(*days)
    assert [each.precision.of for each in plain] == [20, 10]
    assert plain[0].recall is None
    covered = told(*days, coverage={"api"})
    assert [each.precision.of for each in covered] == [
        30,
        10,
    ]  # ten flagged rows of the API that nobody reported
    assert covered[0].recall is not None
    assert covered[1].recall is None


def test_all_final_days_together() -> None:
    days = day(0, caught=10, missed=5), day(1, caught=2, false_alarms=3), day(58, rows=200, caught=100)
    one = together(days, now=(MONDAY + 60) * DAY, delay=10 * DAY)
    assert one is not None
    assert (one.precision.hits, one.precision.of) == (12, 15)
    assert together(days[2:], now=(MONDAY + 60) * DAY, delay=10 * DAY) is None
