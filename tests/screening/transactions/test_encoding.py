"""Texts, times and addresses become numbers, the same ones wherever they come from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.transactions.encoding import address_code, codes, text_code
from screening.transactions.times import DateOrder, TimeForm, seconds_of, time_of

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "same",
    [
        ("596", "596.0", " 596 ", "596.00"),
        ("ABC Bank", "abc bank", "  Abc Bank"),
        ("Café", "Cafe\u0301", "CAFÉ"),
        ("007", "'007", '="007"', "\ufeff007", "\u200e'007\u200b", "\u00a0007 "),
    ],
)
def test_texts_that_mean_the_same_have_one_code(same: tuple[str, ...]) -> None:
    assert len({text_code(text) for text in same}) == 1


@pytest.mark.parametrize(("one", "other"), [("007", "7"), ("1e3", "1000"), ("5.5", "5.50"), ("a b", "ab")])
def test_texts_that_only_look_alike_have_two(one: str, other: str) -> None:
    assert text_code(one) != text_code(other)


@given(st.text())
def test_a_code_is_a_whole_number_that_a_float_holds(text: str) -> None:
    code = text_code(text)
    assert code == int(code)
    assert 0 <= code < 2**53


def test_codes_of_many_texts_differ() -> None:
    assert len({text_code(f"card {number}") for number in range(100_000)}) == 100_000


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00",
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:00:00+01:00",
        "2026-01-01 00:00:00.000000000",
        "01.01.2026",
        "1.1.2026 0:00",
        "20260101",
        "20260101T000000",
        "1.1.26",
        "2026/01/01",
        "01-Jan-2026",
        "1 January 2026",
        "Jan 1, 2026 12:00 AM",
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "Thu Jan  1 00:00:00 UTC 2026",
        "01-JAN-26 12.00.00.000000 AM",
        "1. Januar 2026",
        "01.01.2026, 00:00:00",
        "2026-01-01 0:00 UTC",
        "20260101000000",
        "46023",
        "46023.0",
        "1767225600000000",
        "1767225600000000000",
        "1767225600",
        "1767225600000",
        " 2026-01-01 ",
    ],
)
def test_the_same_moment_in_many_hands(text: str) -> None:
    assert time_of(text) == NEW_YEAR


@pytest.mark.parametrize(
    "text",
    [
        "",
        "31.02.2026",
        "2026-13-01",
        "1900-01-01",
        "9999-12-31",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "yesterday",
        "25:00",
        "01/02/2026",
    ],
)
def test_what_is_no_moment_or_means_two_is_refused(text: str) -> None:
    assert time_of(text) is None


def test_the_order_of_the_parts_is_the_columns() -> None:
    day, month, year = (TimeForm(order) for order in DateOrder)
    assert time_of("01/02/2026", month) == NEW_YEAR + 86_400
    assert time_of("01/02/2026 11:30 PM", day) == NEW_YEAR + 31 * 86_400 + 23.5 * 3600
    assert time_of("02/01/2026 12:00 am", day) == NEW_YEAR + 86_400
    assert (
        time_of("02012026", day) == time_of("01022026", month) == time_of("260102", year) == NEW_YEAR + 86_400
    )
    assert time_of("13/13/2026", day) is None


@given(
    st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2099, 12, 30)),  # noqa: DTZ001
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_iso_texts_come_back_to_the_second(moment: datetime, zone: timezone) -> None:
    aware = moment.replace(tzinfo=zone)
    expected = aware.timestamp()
    found = time_of(aware.isoformat())
    assert (found is None and expected < 0) or found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.2.3.4", 16909060.0),
        ("16909060", 16909060.0),
        ("732758368.8", 732758368.0),
        ("::ffff:1.2.3.4", 16909060.0),
    ],
)
def test_addresses_are_numbers(text: str, number: float) -> None:
    assert address_code(text) == number


def test_long_addresses_are_negative_codes_and_others_none() -> None:
    code = address_code("2001:db8::1")
    assert code is not None
    assert code < 0
    assert code == address_code("2001:0DB8:0000::0001")
    assert (
        address_code("1.2.3.400")
        is address_code("-5")
        is address_code("4294967296")
        is address_code("x")
        is None
    )


def test_numbers_of_seconds_and_milliseconds() -> None:
    assert seconds_of(NEW_YEAR) == seconds_of(NEW_YEAR * 1000) == NEW_YEAR
    assert seconds_of(-1) is None


def test_equal_texts_are_read_once() -> None:
    asked: list[str] = []

    def read(text: str) -> float | None:
        asked.append(text)
        return None if text == "x" else float(text)

    found = codes(["1", "x", "1", "2"], read)
    np.testing.assert_array_equal(found, [1, np.nan, 1, 2])
    assert asked == ["1", "x", "2"]
