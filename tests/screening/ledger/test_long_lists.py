"""A list of transactions gets what its rows get one by one, and what all that came before tells, bit by bit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from screening.detectors.vectorizer import History
from screening.features import Past, compute
from screening.ledger.velocity.live_past import LivePast
from screening.ledger.velocity.sql_reading import FEW_RANGES
from screening.transactions.json_records import from_mappings
from tests.redis_server import redis_url  # noqa: F401 -- a fixture
from tests.screening.ledger.test_velocity import (  # noqa: F401 -- fixtures
    SAME,
    desk,
    payments,
    registry,
    store,
)
from tests.screening.ledger.velocity_desk import Desk, Row

ROWS, DAYS, HOT = 150, 100, 0.4
OWNERS = [("elsewhere", False), ("till", False), ("elsewhere", True), ("till", True)]


def drawn(rng: np.random.Generator) -> list[Row]:
    """Payments in any order: many of one customer and one terminal, many at the same minute, one in ten a fraud."""
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    hot = rng.random((ROWS, 2)) < HOT
    customers = np.where(hot[:, 0], 0, rng.integers(1, 60, ROWS)).tolist()
    terminals = np.where(hot[:, 1], 0, rng.integers(1, 40, ROWS)).tolist()
    minutes = (rng.integers(0, DAYS, ROWS) * 1440 + rng.integers(0, 3, ROWS)).tolist()
    return [
        {
            "TX_DATETIME": f"{begin + timedelta(minutes=minute):%Y-%m-%d %H:%M:%S}",
            "CUSTOMER_ID": str(customer),
            "TERMINAL_ID": str(terminal),
            "TX_AMOUNT": round(float(amount), 2),
            "TX_FRAUD": int(fraud),
        }
        for minute, customer, terminal, amount, fraud in zip(
            minutes, customers, terminals, rng.lognormal(3, 1, ROWS), rng.random(ROWS) < 0.1, strict=True
        )
    ]


def labels_of(rows: list[Row]) -> NDArray[np.int8]:
    return np.array([row["TX_FRAUD"] for row in rows], np.int8)


@pytest.mark.parametrize("seed", [1, 2])
def test_lists_get_what_their_rows_get_one_by_one(desk: Desk, seed: int) -> None:  # noqa: F811 -- the fixture
    """Each of four lists lies among the earlier ones in time, and only some of these count for it."""
    rng, detector = np.random.default_rng(seed), desk.detector
    definition: Any = detector.vectorizer.definition
    before = Past(np.empty((0, len(detector.contract.columns))), np.empty(0, np.int8))
    for owner, shared in OWNERS:
        rows = drawn(rng)
        transactions, labels = from_mappings(rows, detector.contract), labels_of(rows)
        values = detector.vectorizer.select(transactions)
        live = desk.question(rows).history.past
        assert isinstance(live, LivePast)
        assert len(np.unique(values[:, 1])) > FEW_RANGES
        found = compute(definition, values, labels=labels, past=live)
        np.testing.assert_array_equal(found, compute(definition, values, labels=labels, past=before))
        same = (values[:, np.newaxis, 1:3] == before.values[:, 1:3]).any(axis=2)
        seen = (same & (before.values[:, 0] < values[:, [0]])).any(axis=1)
        np.testing.assert_array_equal(live.knows(values), seen)
        for place in range(0, ROWS, 5):
            others = np.arange(ROWS) != place
            earlier = joined(before, values[others], labels[others])
            one = values[[place]]
            np.testing.assert_array_equal(found[[place]], compute(definition, one, past=earlier))
            np.testing.assert_array_equal(
                compute(definition, one, past=live), compute(definition, one, past=before)
            )
        if owner == "till":
            expected = detector.probabilities(transactions, History(labels, before))
            np.testing.assert_allclose(
                [each["fraud_probability"] for each in desk.ask(rows, owner, shared=shared)],
                expected, atol=SAME, rtol=0,
            )  # fmt: skip
        else:
            desk.ask(rows, owner, shared=shared)
        if owner == "till" or shared:
            before = joined(before, values, labels)


def joined(past: Past, values: NDArray[np.float64], labels: NDArray[np.int8]) -> Past:
    return Past(np.concatenate([past.values, values]), np.concatenate([past.labels, labels]))
