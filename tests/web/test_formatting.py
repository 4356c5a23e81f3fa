"""Numbers on pages: rounding never changes what they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.web.views import formatting

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "threshold", "shown"),
    [
        (0.9871234, 0.8, "0.9871"),
        (0.8, 0.8, "0.8000"),
        (0.79999, 0.8, "0.79999"),
        (0.00001, 0.8, "< 0.0001"),
        (0.99999, 0.8, "> 0.9999"),
        (0.0, None, "0.0000"),
        (1.0, None, "1.0000"),
        (None, None, "–"),
        (float("nan"), None, "–"),
    ],
)
def test_a_probability_is_written_so_that_it_stays_on_its_side(
    value: float | None, threshold: float | None, shown: str
) -> None:
    assert formatting.probability(value, threshold) == shown


@given(st.floats(0, 1, width=32), st.floats(0.01, 1))
def test_no_probability_reads_as_if_it_were_on_the_other_side_of_the_threshold(
    value: float, threshold: float
) -> None:
    shown = formatting.probability(value, threshold)
    if shown[0] not in "<>":
        assert (float(shown) >= threshold) == (value >= threshold)


def test_the_float32_just_below_the_threshold_does_not_read_as_the_threshold() -> None:
    below = float(np.nextafter(np.float32(0.8), np.float32(0)))
    assert float(formatting.probability(below, 0.8)) < 0.8


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.042, "4.2 %"),
        (0.0001, "< 0.1 %"),
        (0.99999, "> 99.9 %"),
        (None, "–"),
    ],
)
def test_a_share_above_nought_never_reads_as_nought(value: float | None, shown: str) -> None:
    assert formatting.percent(value).replace("\u00a0", " ") == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "00:00:00"),
        (45_045, "12:30:45"),
        (127_671, "1 d 11:27:51"),
        (1_767_225_600, "2026-01-01 00:00:00"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_seconds_since_the_first_payment_read_as_a_clock(seconds: float | None, shown: str) -> None:
    assert formatting.clock(seconds) == shown


@pytest.mark.parametrize(
    ("past", "shown"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=5, minutes=59), "5 hours ago"),
        (timedelta(days=40), "1 month ago"),
        (timedelta(days=800), "2 years ago"),
    ],
)
def test_an_age_is_said_in_one_unit(past: timedelta, shown: str) -> None:
    assert formatting.ago(NOW - past, NOW) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0 bytes"), (999, "999 bytes"), (150_828_752, "150.8 MB"), (None, "–")]
)
def test_a_size_is_written_as_file_managers_do(value: float | None, shown: str) -> None:
    assert formatting.byte_size(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.01, "less than 0.1 s"),
        (1.26, "1.3 s"),
        (125, "2 min 5 s"),
        (12_000, "3 h 20 min"),
        (54_959_253, "636 days"),
        (None, "–"),
    ],
)
def test_no_work_took_no_time(seconds: float | None, shown: str) -> None:
    assert formatting.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.89, "89 in 100"), (0.999, "more than 99 in 100"), (0.001, "fewer than 1 in 100")]
)
def test_a_probability_in_words(value: float, shown: str) -> None:
    assert formatting.out_of_hundred(value) == shown


def test_runs_of_columns_are_drawn_together() -> None:
    assert formatting.columns_in_short(["Time", "V1", "V2", "V3", "Amount"]) == "Time, V1 to V3, Amount"
    assert formatting.columns_in_short(["V1", "V3", "a", "a1"]) == "V1, V3, a, a1"


def test_amounts_and_readings_have_the_decimals_that_they_need() -> None:
    assert formatting.amount(1234.5) == "1,234.50"
    assert formatting.reading(-0.9521) == "−0.952"
    assert formatting.reading(47_459.25) == "47,459"
    assert formatting.plain(0.800000011920929) == "0.8"


@pytest.mark.parametrize(
    ("index", "shown"),
    [
        (0.0, "no change"),
        (0.1, "no change"),
        (0.11, "some change"),
        (0.25, "some change"),
        (0.26, "a large change"),
    ],
)
def test_how_much_a_column_changed(index: float, shown: str) -> None:
    assert formatting.change_word(index) == shown


@pytest.mark.parametrize(
    ("value", "threshold", "text"),
    [
        (0.9984, 0.8, "99.8"),
        (0.79999, 0.8, "79.999"),
        (0.8, 0.8, "80.0"),
        (0.0, 0.8, "0.0"),
        (0.0001, 0.8, "< 0.1"),
        (1.0, 0.8, "100.0"),
        (0.99999, 0.8, "> 99.9"),
        (None, 0.8, "–"),
        (float("nan"), 0.8, "–"),
        (0.99949, None, "99.9"),
    ],
)
def test_a_score_never_reads_as_another_side_of_the_threshold(
    value: float | None, threshold: float | None, text: str
) -> None:
    assert formatting.score(value, threshold) == text
