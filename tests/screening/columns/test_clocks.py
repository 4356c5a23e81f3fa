"""Columns that count the time from some start: found by name and numbers, with one unit or with a question."""

from __future__ import annotations

import numpy as np
import pytest

from screening.columns.clocks import ClockGuess, clock_of, counted, of_file
from screening.columns.profiles import profile
from screening.errors import BadFile, Undecided
from screening.transactions.schema import CellKind, Column, Role
from screening.transactions.times import StartUnit
from tests.screening.columns.labelled_files import ROWS, guesses, past


def spread(most: float) -> np.ndarray:
    return np.sort(np.random.default_rng(5).integers(0, int(most) + 1, ROWS))


@pytest.mark.parametrize(
    ("name", "most", "since"),
    [
        ("step", 2158, StartUnit.HOURS),  # as days it were six years
        ("TransactionDT", 15_811_131, StartUnit.SECONDS),
        ("Time", 172_792, StartUnit.SECONDS),
        ("tx_time_seconds", 9_000_000, StartUnit.SECONDS),
        ("hours", 800, StartUnit.HOURS),
        ("minutes_since_start", 90_000, StartUnit.MINUTES),
        ("day", 179, StartUnit.DAYS),
    ],
)
def test_what_counts_from_a_start_is_the_time_with_its_unit(name: str, most: float, since: StartUnit) -> None:
    guess = guesses(past().drop(columns="tx_time").assign(**{name: spread(most)}))[name]
    assert (guess.column.role, guess.column.kind, guess.column.since) == (Role.TIME, CellKind.NUMBER, since)


@pytest.mark.parametrize(("name", "most"), [("step", 743), ("step", 39), ("time", 20_000)])
def test_several_units_that_make_sense_are_asked_about(name: str, most: float) -> None:
    guess = guesses(past().drop(columns="tx_time").assign(**{name: spread(most)}))[name]
    assert (guess.column.role, guess.column.since) == (Role.TIME, None)
    with pytest.raises(Undecided, match="counts from some start") as asked:
        counted(guess.column, guess.clock, None)
    assert "--time-unit hours" in str(asked.value.remedy)
    assert counted(guess.column, guess.clock, "hours").since is StartUnit.HOURS


def test_rows_that_come_and_go_with_the_day_say_that_they_count_hours() -> None:
    draw = np.random.default_rng(1)
    often = 20 + 15 * np.sin(np.arange(720) * 2 * np.pi / 24)
    steps = np.repeat(np.arange(720), draw.poisson(often))
    found = clock_of(profile("step", [str(step) for step in steps]))
    assert found is not None
    assert found.units == (StartUnit.HOURS,)


@pytest.mark.parametrize("every", [1, 2, 3, 4])
def test_rows_at_regular_steps_say_nothing_of_what_they_count(every: int) -> None:
    found = clock_of(profile("step", [str(step) for step in range(0, 720, every)]))
    assert found is not None
    assert found.units == (StartUnit.HOURS, StartUnit.DAYS)


def test_published_files_are_known_by_their_columns() -> None:
    step = profile("step", [str(number) for number in spread(179)])
    hours = clock_of(step, {"step", "nameorig", "namedest", "oldbalanceorg", "type"})
    days = clock_of(step, {"step", "zipcodeori", "zipmerchant"})
    assert hours is not None
    assert days is not None
    assert (hours.units, days.units) == ((StartUnit.HOURS,), (StartUnit.DAYS,))


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("hour", np.arange(ROWS) % 24),
        ("day", 1 + np.arange(ROWS) % 31),
        ("time_on_page", np.random.default_rng(2).integers(0, 900, ROWS)),
        ("days_since_last_login", np.random.default_rng(2).integers(0, 900, ROWS)),
        ("session_seconds", np.random.default_rng(2).integers(0, 90_000, ROWS)),
    ],
)
def test_hours_of_the_day_and_lengths_of_time_are_numbers(name: str, numbers: np.ndarray) -> None:
    assert guesses(past().drop(columns="tx_time").assign(**{name: numbers}))[name].column.role is Role.NUMBER


def time(kind: CellKind = CellKind.NUMBER) -> Column:
    return Column("t", Role.TIME, kind)


def test_what_was_said_counts_where_it_can() -> None:
    open_clock, dated = ClockGuess(dated=False), ClockGuess(dated=True)
    sheet = ClockGuess(dated=False, sheet=True)
    assert counted(time(), open_clock, "days").since is StartUnit.DAYS
    assert counted(time(), sheet, "days") == time(CellKind.TIME), "days of a spreadsheet are dates"
    assert counted(time(), dated, None) == time(CellKind.TIME)
    assert counted(time(), dated, "seconds") == time(CellKind.TIME)
    assert counted(time(), dated, "hours").since is StartUnit.HOURS
    assert counted(time(CellKind.TIME), None, None) == time(CellKind.TIME)
    with pytest.raises(BadFile, match="holds dates"):
        counted(time(CellKind.TIME), None, "hours")
    with pytest.raises(BadFile, match="don't count ms since 1970"):
        counted(time(), open_clock, "ms")
    assert [of_file(said) for said in (None, "seconds", "s", "ms", "days", "hours")] == [
        None, "s", "s", "ms", "days", None,
    ]  # fmt: skip
