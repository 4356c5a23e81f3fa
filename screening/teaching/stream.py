"""Generated payments of a few weeks, with attacks among them whose kind is known: what a class screens.

Customers have amounts and terminals of their own, as the simulation of the Fraud Detection Handbook has them; the
attacks are its three scenarios. The same plan gives the same payments.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from screening.ledger.fields import assign
from screening.teaching.lesson import NoLesson
from screening.transactions.schema import CellKind, ColumnContract, Role

# Days of the stream, and days before the first attack, so that the detector knows the customers by then.
DAYS, QUIET = 45, 25
CUSTOMERS, TERMINALS, NEAR = 90, 45, 6
BEGIN = datetime(2025, 3, 3)  # noqa: DTZ001 -- of the data; files have no zone
ATTACK_DAYS = 14
MOST_SPIKES, MOST_TERMINALS, MOST_CARDS, MOST_SEED = 40, 6, 10, 9999
LEAST_CUSTOMERS = ("customer", "card", "account")
PLACES = ("terminal", "merchant", "device")


class Attack(StrEnum):
    """Kinds of injected attacks."""

    SPIKE = "amount spike"
    """One payment of 6 to 10 times what the customer usually pays."""
    TERMINAL = "compromised terminal"
    """From a day on, most payments at a terminal are fraud, with ordinary amounts."""
    CARD = "leaked card"
    """For two weeks a third of a customer's payments are somebody else's, of five times the amount."""


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """Plan of a generated stream: the numbers of attacks, and the seed of chance."""

    seed: int = 1
    spikes: int = 12
    terminals: int = 2
    cards: int = 4

    def __post_init__(self) -> None:
        bounds = (
            ("seed", self.seed, MOST_SEED),
            ("spikes", self.spikes, MOST_SPIKES),
            ("terminals", self.terminals, MOST_TERMINALS),
            ("cards", self.cards, MOST_CARDS),
        )
        for name, value, most in bounds:
            if not 0 <= value <= most:
                raise NoLesson(
                    f"{value} is no number from 0 to {most}.", where=name, remedy="Choose another one."
                )


@dataclass(frozen=True, slots=True)
class StreamColumns:
    """Columns of a detector that say who pays, where, when and how much."""

    who: str
    where: str
    when: str
    amount: str
    label: str

    @classmethod
    def of(cls, contract: ColumnContract) -> StreamColumns | None:
        """Return them; ``None`` for a detector that needs other columns, too."""
        entities = [column for column in contract.parts() if column.role is Role.ENTITY]
        found = assign([column.name for column in entities], entities)
        who = next((entities[found[kind]].name for kind in LEAST_CUSTOMERS if kind in found), None)
        where = next((entities[found[kind]].name for kind in PLACES if kind in found), None)
        dated = any(
            column.name == contract.time and column.kind is CellKind.TIME for column in contract.parts()
        )
        if who is None or where is None or not dated or contract.time is None or contract.amount is None:
            return None
        if contract.label is None or set(contract.columns) != {who, where, contract.time, contract.amount}:
            return None
        return cls(who, where, contract.time, contract.amount, contract.label)


@dataclass(frozen=True, slots=True)
class PaymentStream:
    """Payments in the order of time; all arrays are (rows,)."""

    content: bytes
    """As a CSV file with the detector's columns and its label."""
    customers: NDArray[np.int64]
    amounts: NDArray[np.float64]
    attacks: Sequence[Attack | None]

    def of(self, attack: Attack | None) -> NDArray[np.bool_]:
        """Return which rows are of an attack; ``None``: which are legitimate."""
        return np.array([each is attack for each in self.attacks])


def generate(plan: StreamPlan, places: StreamColumns) -> PaymentStream:
    """Return the payments of a plan."""
    chance = np.random.default_rng(plan.seed)
    mean = chance.uniform(5, 100, CUSTOMERS)
    near = np.array([chance.choice(TERMINALS, NEAR, replace=False) for _ in range(CUSTOMERS)])
    a_day = chance.uniform(0.5, 3, CUSTOMERS)
    rows: list[Row] = []
    for customer in range(CUSTOMERS):
        for day in range(DAYS):
            for _ in range(int(chance.poisson(a_day[customer]))):
                second = float(np.clip(chance.normal(43_200, 20_000), 0, 86_399))
                amount = chance.normal(mean[customer], mean[customer] / 2)
                paid = amount if amount > 0 else chance.uniform(0, 2 * mean[customer])
                terminal = int(chance.choice(near[customer]))
                rows.append((day * 86_400 + second, customer, terminal, float(paid), None))
    rows.sort()
    inject(rows, plan, mean, chance)
    return PaymentStream(
        _csv(rows, places),
        np.array([row[1] for row in rows]),
        np.array([round(row[3], 2) for row in rows]),
        [row[4] for row in rows],
    )


Row = tuple[float, int, int, float, Attack | None]
"""Seconds from the beginning, customer, terminal, amount, and what it is."""


def inject(rows: list[Row], plan: StreamPlan, mean: NDArray[np.float64], chance: np.random.Generator) -> None:
    """Make frauds of some payments, in place."""
    late = [at for at, row in enumerate(rows) if row[0] >= QUIET * 86_400]
    for terminal in chance.choice(TERMINALS, plan.terminals, replace=False).tolist():
        at_terminal = [at for at in late if rows[at][2] == terminal]
        make_fraudulent(rows, some_of(rows, at_terminal, 0.8, chance), 1.0, Attack.TERMINAL)
    for customer in chance.choice(CUSTOMERS, plan.cards, replace=False).tolist():
        of_customer = [at for at in late if rows[at][1] == customer]
        make_fraudulent(rows, some_of(rows, of_customer, 1 / 3, chance), 5.0, Attack.CARD)
    for at in chance.choice(late, plan.spikes, replace=False).tolist():
        time, customer, terminal, _, known = rows[at]
        if known is None:
            amount = float(mean[customer] * chance.uniform(6, 10))
            rows[at] = (time, customer, terminal, amount, Attack.SPIKE)


def some_of(rows: Sequence[Row], of: Sequence[int], share: float, chance: np.random.Generator) -> list[int]:
    """Return about a share of some rows, within two weeks that begin by chance."""
    first = int(chance.integers(QUIET, DAYS - ATTACK_DAYS + 1)) * 86_400
    within = [at for at in of if 0 <= rows[at][0] - first < ATTACK_DAYS * 86_400]
    return [at for at in within if chance.random() < share]


def make_fraudulent(rows: list[Row], places: Sequence[int], factor: float, attack: Attack) -> None:
    """Turn some payments into frauds of one attack, with amounts ``factor`` times as large."""
    for at in places:
        time, customer, terminal, amount, known = rows[at]
        if known is None:
            rows[at] = (time, customer, terminal, amount * factor, attack)


def _csv(rows: Sequence[Row], places: StreamColumns) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([places.when, places.who, places.where, places.amount, places.label])
    for time, customer, terminal, amount, attack in rows:
        when = BEGIN + timedelta(seconds=int(time))
        writer.writerow(
            [f"{when:%Y-%m-%d %H:%M:%S}", customer, terminal, f"{amount:.2f}", int(attack is not None)]
        )
    return out.getvalue().encode()
