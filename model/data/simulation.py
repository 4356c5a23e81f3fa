"""Generated files to teach, test and try with: card payments and shop orders, with the frauds that such files have.

Nothing here is taken from a data set; the processes are simple and said.
``python -m model.data.simulation payments FILE.csv`` writes one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DAY = 86_400
FIRST_DAY = "2025-01-01"
HIGH = 220.0
"""Amount above which a payment is a fraud of the first kind."""
TERMINAL_DAYS, CARD_DAYS = 28, 14
"""Days for which a compromised terminal and a leaked card stay so."""
MULTIPLE = 5.0
"""Factor by which a leaked card's thief exceeds the owner's usual amount."""
BROWSERS = ("Chrome", "Safari", "Firefox", "Edge", "Opera")
SOURCES = ("Ads", "Direct", "SEO")
Generator = np.random.Generator
Floats = NDArray[np.float64]


def payments(*, customers: int = 600, terminals: int = 1200, days: int = 75, seed: int = 0) -> pd.DataFrame:
    """Simulate card payments in time order with three kinds of fraud, as in the Fraud Detection Handbook's simulation.

    Each customer has a usual amount, a usual number of payments a day, and the terminals nearby. Frauds: every payment
    above 220; every payment at a compromised terminal for 28 days; a third of the payments of a leaked card for 14
    days, five times their amount (Le Borgne et al. 2022, chapter 3).

    Returns:
        ``TRANSACTION_ID, TX_DATETIME, CUSTOMER_ID, TERMINAL_ID, TX_AMOUNT, TX_FRAUD``; about 2 rows a customer and day.
    """
    generator = np.random.default_rng(seed)
    usual = generator.uniform(5, 100, customers)
    daily = generator.uniform(0, 4, customers)
    near = nearby_terminals(customers, terminals, generator)
    customer = np.repeat(np.arange(customers), generator.poisson(daily * days))
    second = draw_moments(len(customer), days, generator)
    amount = generator.normal(usual[customer], usual[customer] / 2)
    amount = np.where(amount < 0, generator.uniform(0, 2 * usual[customer]), amount)
    terminal = near[customer, generator.integers(0, near.shape[1], len(customer))]
    order = np.argsort(second, kind="stable")
    customer, terminal, amount, second = customer[order], terminal[order], amount[order], second[order]
    fraud = choose_frauds(customer, terminal, amount, second // DAY, generator=generator)
    return pd.DataFrame(
        {
            "TRANSACTION_ID": np.arange(len(customer)),
            "TX_DATETIME": pd.Timestamp(FIRST_DAY) + pd.to_timedelta(second, unit="s"),
            "CUSTOMER_ID": customer,
            "TERMINAL_ID": terminal,
            "TX_AMOUNT": np.maximum(np.round(amount, 2), 0.01),
            "TX_FRAUD": fraud.astype(np.int64),
        }
    )


def nearby_terminals(customers: int, terminals: int, generator: Generator) -> NDArray[np.int64]:
    """Return the twenty terminals that are nearest to each customer on a square, (customers, 20)."""
    home, place = generator.uniform(0, 100, (customers, 2)), generator.uniform(0, 100, (terminals, 2))
    distance = ((home[:, None] - place) ** 2).sum(axis=2)
    return np.argsort(distance, axis=1)[:, : min(20, terminals)]


def draw_moments(count: int, days: int, generator: Generator) -> NDArray[np.int64]:
    """Draw moments spread over the days, most of them around noon."""
    of_day = (generator.normal(DAY / 2, 20_000, count) % DAY).astype(np.int64)
    return generator.integers(0, days, count) * DAY + of_day


def choose_frauds(
    customer: NDArray[np.int64],
    terminal: NDArray[np.int64],
    amount: Floats,
    day: NDArray[np.int64],
    *,
    generator: Generator,
) -> NDArray[np.bool_]:
    """Return the payments that are frauds, bool; raises the amounts of leaked cards in place."""
    fraud = amount > HIGH
    for first in range(int(day.max()) + 1):
        # two of ten thousand terminals a day, as in the Handbook
        if generator.random() < terminal.max() / 5000:
            hit = terminal == generator.integers(0, terminal.max() + 1)
            fraud |= hit & (day >= first) & (day < first + TERMINAL_DAYS)
        if generator.random() < 3 * customer.max() / 5000:
            leaked = np.flatnonzero(
                (customer == generator.integers(0, customer.max() + 1))
                & (day >= first)
                & (day < first + CARD_DAYS)
            )
            stolen = generator.choice(leaked, len(leaked) // 3, replace=False)
            amount[stolen] *= MULTIPLE
            fraud[stolen] = True
    return fraud


def orders(*, rows: int = 6000, seed: int = 0) -> pd.DataFrame:
    """Simulate shop orders in time order: most frauds come in rings that sign up and order at once from one device.

    Returns:
        ``user_id, signup_time, purchase_time, purchase_value, device_id, source, browser, sex, age, ip_address,
        class``.
    """
    generator = np.random.default_rng(seed)
    ring_size = 8
    rings = max(rows // 150, 3)
    ring = np.r_[np.repeat(np.arange(rings), ring_size), np.full(rows - rings * ring_size, -1)]
    in_ring = ring >= 0
    year = 330 * DAY
    signup = generator.uniform(0, year, rows)
    begun = generator.uniform(0, year, rings)
    signup[in_ring] = begun[ring[in_ring]] + generator.uniform(0, DAY, in_ring.sum())
    wait = np.where(in_ring, 1.0, generator.exponential(40 * DAY, rows))
    fraud = in_ring | (generator.random(rows) < 0.03)
    device = np.where(in_ring, ring, rings + np.arange(rows))
    address = np.where(in_ring, ring * 977_331 % 2**31, generator.integers(0, 2**31, rows)) + 2**24
    frame = pd.DataFrame(
        {
            "user_id": generator.permutation(rows * 20)[:rows],
            "signup_time": _stamps(signup),
            "purchase_time": _stamps(signup + wait),
            "purchase_value": np.round(generator.gamma(4, 9, rows) + 9),
            "device_id": [f"D{number * 7919 % 1_000_003:06d}" for number in device],
            "source": generator.choice(SOURCES, rows),
            "browser": generator.choice(BROWSERS, rows, p=(0.41, 0.17, 0.16, 0.24, 0.02)),
            "sex": generator.choice(("F", "M"), rows),
            "age": np.clip(generator.normal(33, 9, rows), 18, 80).astype(int),
            "ip_address": [_dotted(number) for number in address.tolist()],
            "class": fraud.astype(np.int64),
        }
    )
    return frame.sort_values("purchase_time", kind="stable", ignore_index=True)


def _stamps(seconds: Floats) -> pd.Index:
    return pd.Timestamp(FIRST_DAY) + pd.to_timedelta(np.round(seconds), unit="s")


def _dotted(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


KINDS: dict[str, Callable[..., pd.DataFrame]] = {"payments": payments, "orders": orders}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.data.simulation", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    KINDS[options.kind](seed=options.seed).to_csv(options.file, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
