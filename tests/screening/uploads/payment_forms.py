"""Payments as files have them, and their probabilities by the shipped detector ``payments``."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

HEADER = ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT")
SHEET_ZERO = datetime(1899, 12, 30, tzinfo=UTC)
Row = tuple[datetime, str, str, float]


def payments(step: timedelta = timedelta(hours=11, minutes=7, seconds=13), count: int = 40) -> list[Row]:
    """Payments of three weeks of some months, a few of them large: so some are flagged."""
    start = datetime(2025, 1, 4, 7, 30, 44, tzinfo=UTC)
    amounts = (12.5, 1070.1, 64.35, 240.0, 5.1, 2500.0, 26.83, 9.99)
    return [
        (start + number * step, f"{500 + number % 6}", f"{30 + number % 5}", amounts[number * 3 % 8])
        for number in range(count)
    ]


WHOLE = [(day, who, where, float(round(amount))) for day, who, where, amount in payments()]
DAYS = [(day.replace(hour=0, minute=0, second=0), who, where, value) for day, who, where, value in payments()]


@dataclass(frozen=True)
class Result:
    probability: np.ndarray
    notes: str


Screen = Callable[..., Result]
Plain = Callable[[str], np.ndarray]


def table(
    rows: list[Row],
    *,
    when: Callable[[datetime], str] = lambda day: f"{day:%Y-%m-%d %H:%M:%S}",
    amount: Callable[[float], str] = lambda value: f"{value:g}",
    who: Callable[[str], str] = str,
    delimiter: str = ",",
    header: tuple[str, ...] = HEADER,
) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(
        [when(day), who(customer), terminal, amount(value)] for day, customer, terminal, value in rows
    )
    return out.getvalue()


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def indian(value: float) -> str:
    whole, _, cents = f"{value:.2f}".partition(".")
    head, tail = whole[:-3], whole[-3:]
    return f"{head},{tail}.{cents}" if head else f"{tail}.{cents}"


def sheet(day: datetime) -> str:
    return f"{(day - SHEET_ZERO) / timedelta(days=1):.10f}"
