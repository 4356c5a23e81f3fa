"""Cells of one column that can't be compared as they stand: read, and told of."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from screening.intake import ReadLimits
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

HEADER = "TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT"
DAY = "2025-01-05 08:05:07"


@pytest.fixture
def notes(app: Flask, tmp_path: Any) -> Any:
    """Screens rows of a time and what follows the terminal; gives what was said of them."""

    def said(*rows: tuple[str, ...], header: str = HEADER) -> str:
        file = tmp_path / "payments.csv"
        lines = [
            header,
            *(f'"{time}",1,2,' + ",".join(f'"{cell}"' for cell in rest) for time, *rest in rows),
            "",
        ]
        file.write_text("\n".join(lines), encoding="utf-8")
        done = app.test_cli_runner().invoke(args=["screen", str(file)])
        assert done.exit_code == 0, done.output
        return done.output

    return said


@pytest.mark.parametrize(
    "zoned",
    [
        "2025-01-05T08:05:07+02:00",
        "2025-01-05 08:05:07-0500",
        "2025-01-05T08:05:07Z",
        "2025-01-05T08:05:07.250z ",
        "2025-01-05 08:05:07 UTC",
        "2025-01-05 08:05:07 GMT ",
    ],
)
def test_times_with_a_zone_beside_times_without_are_told(notes: Any, zoned: str) -> None:
    said = notes((zoned, "12.5"), (DAY, "13.5"), ("2025-01-06 10:00:00", "9.5"))
    assert "TX_DATETIME has times with a zone and times without" in said
    assert f"“{zoned.strip()}” was converted to UTC" in said


@pytest.mark.parametrize(
    "times", [(DAY, DAY), ("2025-01-05T08:05:07+02:00", "2025-01-05T08:05:07Z"), (DAY, "2025-01-06")]
)
def test_times_of_one_kind_are_not(notes: Any, times: tuple[str, str]) -> None:
    assert "zone" not in notes(*((time, "12.5") for time in times))


def test_amounts_of_several_currencies_are_told(notes: Any) -> None:
    assert "TX_AMOUNT has amounts in several currencies (EUR, JPY)" in notes(
        (DAY, "EUR 12.5"), (DAY, "JPY 1350")
    )
    assert "currencies" not in notes((DAY, "12.50 EUR"), (DAY, "1,350.00 EUR"))


def test_amounts_that_all_have_three_decimals_are_told_how_they_were_read(notes: Any) -> None:
    assert "“1.070” was read as 1.07" in notes((DAY, "1.070"), (DAY, "2.350"))
    assert "was read as" not in notes((DAY, "1.070"), (DAY, "2.35"))


def test_times_of_day_in_a_column_of_their_own_are_told_alike(notes: Any) -> None:
    header = "Date,CUSTOMER_ID,TERMINAL_ID,Time,TX_AMOUNT"
    day = "2025-01-05"
    said = notes((day, "08:05:07+02:00", "12.5"), (day, "08:05:07", "13.5"), header=header)
    assert "Time has times with a zone and times without: “08:05:07+02:00” was converted to UTC" in said
    assert "with a zone" not in notes((day, "08:05:07Z", "12.5"), (day, "08:06:07Z", "9"), header=header)


def test_currencies_of_debit_and_credit_are_those_of_one_amount(notes: Any) -> None:
    header = "TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,Debit,Credit"
    said = notes((DAY, "12.50 EUR", ""), (DAY, "", "13.50 USD"), header=header)
    assert "Debit and Credit have amounts in several currencies (EUR, USD)" in said
    assert "currencies" not in notes((DAY, "12.50 EUR", ""), (DAY, "", "13.50 EUR"), header=header)


def test_debit_and_credit_are_written_alike_so_three_decimals_beside_whole_numbers_are_asked_about(
    app: Flask, tmp_path: Any
) -> None:
    file = tmp_path / "payments.csv"
    header = "TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,Debit,Credit"
    file.write_text(f"{header}\n{DAY},1,2,1.070,\n{DAY},1,2,,12\n", encoding="utf-8")
    done = app.test_cli_runner().invoke(args=["screen", str(file)])
    assert done.exit_code == 1
    assert "“1.070” can be 1.07 or 1070" in done.output


TIMES = ColumnContract.of([Column("at", Role.TIME, CellKind.TIME), Column("who", Role.ENTITY, CellKind.TEXT)])
SMALL = ReadLimits(block=4096, record=2048)


def written(*times: str) -> str:
    return "\n".join(["at,who", *(f"{time},{number % 7}" for number, time in enumerate(times)), ""])


@pytest.mark.parametrize(
    "late", ["2025-01-05T08:05:07Z", "2025-01-05 08:05:07 utc", "2025-01-05T08:05:07Z  "]
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_zone_blocks_away_from_times_without_is_told(read: Any, late: str, turned: bool) -> None:
    cells = (*[DAY] * 900, late)
    if turned:
        cells = (*[late] * 900, DAY)
    for content in (written(*cells), written(*cells, "nothing")):  # the last block is read cell by cell then
        outcome = read(content, contract=TIMES, limits=SMALL, set_aside=True)
        assert len(outcome.batches) > 3
        assert "at has times with a zone and times without" in " ".join(outcome.notes)
        assert len(set(outcome.values[~outcome.bad, 0])) == 1


@pytest.mark.parametrize(
    "cells",
    [
        ["2025-01-05T08:05:07Z", "2025-01-05"],
        ["2025-01-05 08:05 PM", "2025-01-05 20:05:07", "2025-01-05 8:05 a.m."],
        ["2025-01-05 08:05:07 ", "2025-01-05 08:05:07", "2025-01-05   "],
        ["2025-01-05T08:05:07Z", "2025-01-05 08:05:07 UTC", "2025-01-05 08:05:07z"],
    ],
)
def test_times_that_all_say_a_zone_or_all_say_none_are_read_at_once(read: Any, cells: list[str]) -> None:
    assert "zone" not in " ".join(read(written(*300 * cells), contract=TIMES, limits=SMALL).notes)
