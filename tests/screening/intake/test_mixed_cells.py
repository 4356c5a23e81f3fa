"""Cells of one column that can't be compared as they stand: read, and told of."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

HEADER = "TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT"
DAY = "2025-01-05 08:05:07"


@pytest.fixture
def notes(app: Flask, tmp_path: Any) -> Any:
    """Screens rows of a time and an amount; gives what was said of them."""

    def said(*rows: tuple[str, str]) -> str:
        file = tmp_path / "payments.csv"
        lines = [HEADER, *(f'"{time}",1,2,"{amount}"' for time, amount in rows), ""]
        file.write_text("\n".join(lines), encoding="utf-8")
        done = app.test_cli_runner().invoke(args=["screen", str(file)])
        assert done.exit_code == 0, done.output
        return done.output

    return said


@pytest.mark.parametrize("zoned", ["2025-01-05T08:05:07+02:00", "2025-01-05 08:05:07-0500"])
def test_times_with_a_zone_beside_times_without_are_told(notes: Any, zoned: str) -> None:
    said = notes((zoned, "12.5"), (DAY, "13.5"), ("2025-01-06 10:00:00", "9.5"))
    assert "TX_DATETIME has times with a zone and times without" in said
    assert f"“{zoned}” was converted to UTC" in said


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
