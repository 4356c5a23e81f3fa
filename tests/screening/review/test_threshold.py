"""What a threshold costs is what its rows cost, one by one; the cheapest is the cheapest that can be reviewed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.ledger.filters import DecisionFilter
from screening.ledger.ledger import Ledger
from screening.ledger.tables import API, FILE
from screening.review.threshold import BINS, Days, ReviewPrices, advice_of, advise
from tests.screening.ledger.ledger_rows import DECIDED, table

COUNT = 3_000
DAYS = 10
MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger.open(tmp_path, "sqlite:///unused")
    yield made
    made.tables.engine.dispose()


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    chance = np.random.default_rng(3)
    probability = chance.beta(0.3, 2, COUNT).astype(np.float32)
    probability[:4] = np.array([0.7, 0.8, 1.0, 0.0], np.float32)  # just at a threshold, and at the ends
    amount = np.round(chance.gamma(2, 60, COUNT), 2)
    seconds = datetime(2026, 3, 1, tzinfo=UTC).timestamp() + np.linspace(0, DAYS * 86_400, COUNT)
    return probability, amount, seconds


@pytest.mark.parametrize(
    "prices",
    [
        ReviewPrices(),
        ReviewPrices(review=2.5, stopped=40, lost=0.6, fee=15),
        ReviewPrices(review=0, stopped=0),
    ],
)
def test_each_threshold_costs_what_its_rows_cost_one_by_one(ledger: Ledger, prices: ReviewPrices) -> None:
    probability, amount, seconds = rows()
    ledger.segments.add("a" * 32, FILE, table(COUNT, probability=probability, amount=amount, seconds=seconds))
    (advice,) = advise(ledger.questions, DecisionFilter(detector="payments"), prices)
    assert (advice.rows, len(advice.costs)) == (COUNT, BINS)
    assert advice.days == pytest.approx(DAYS)
    chance = probability.astype(float)
    for cost in advice.costs:
        flagged = probability >= np.float32(cost.threshold)
        assert cost.reviews == flagged.sum()
        missed = (chance * (prices.lost * amount + prices.fee))[~flagged].sum()
        assert cost.missed == pytest.approx(missed, abs=0.01)
        assert cost.reviewing == pytest.approx(prices.review * flagged.sum())
        assert cost.stopping == pytest.approx(prices.stopped * (1 - chance)[flagged].sum(), abs=0.01)
        spread = prices.lost * math.sqrt((chance * (1 - chance) * amount**2)[~flagged].sum())
        assert cost.missed_spread == pytest.approx(1.96 * spread, rel=1e-3, abs=0.01)
        assert cost.per_day == pytest.approx(flagged.sum() / DAYS)
    assert advice.best is not None
    assert advice.best.total == min(cost.total for cost in advice.costs)


def test_days_are_the_transactions_own_where_most_came_in_files_and_of_decisions_elsewhere(
    ledger: Ledger,
) -> None:
    probability, _, seconds = rows()
    chosen = DecisionFilter(detector="payments")

    def days(by: Days | None = None) -> tuple[Days, float, int]:
        (advice,) = advise(ledger.questions, chosen, ReviewPrices(), by)
        assert advice.at(0.5).per_day == pytest.approx(advice.at(0.5).reviews / advice.days)
        return advice.by, round(advice.days, 6), advice.from_files

    ledger.segments.add("a" * 32, FILE, table(COUNT, probability=probability, seconds=seconds))
    assert days() == days(Days.OWN) == (Days.OWN, DAYS, COUNT)
    assert days(Days.DECIDED) == (Days.DECIDED, 1, COUNT), "a file is decided on at once"
    later = DECIDED + timedelta(days=4)
    ledger.segments.add("b" * 32, API, table(COUNT, source=API, decided_at=later, seconds=seconds))
    assert days() == days(Days.DECIDED) == (Days.DECIDED, 4, COUNT), "no more than half came in files"
    assert days(Days.OWN) == (Days.OWN, DAYS, COUNT)


def test_a_file_without_times_has_the_days_of_its_decision(ledger: Ledger) -> None:
    ledger.segments.add("a" * 32, FILE, table(COUNT))
    (advice,) = advise(ledger.questions, DecisionFilter(detector="payments"), ReviewPrices())
    assert (advice.by, advice.days, advice.from_files) == (Days.DECIDED, 1, 0)


def test_frauds_that_are_drawn_cost_what_the_interval_says() -> None:
    probability, amount, _ = rows()
    below = probability < np.float32(0.5)
    chance, mine = probability[below].astype(float), amount[below]
    drawn = np.random.default_rng(1)
    inside = 0
    made = np.array([((drawn.random(len(chance)) < chance) * mine).sum() for _ in range(400)])
    mean, half = (chance * mine).sum(), 1.96 * math.sqrt((chance * (1 - chance) * mine**2).sum())
    inside = int((np.abs(made - mean) <= half).sum())
    assert 360 <= inside <= 396, "380 of 400 are expected"


PLACE = st.tuples(st.integers(0, BINS), st.integers(1, 50))
BINS_OF_ROWS = st.lists(PLACE, min_size=1, max_size=20, unique_by=lambda each: each[0])


@settings(max_examples=50)
@given(
    BINS_OF_ROWS,
    st.floats(0.5, 200),
)
def test_the_capacity_is_kept_to_whatever_it_costs(bins: list[tuple[int, int]], capacity: float) -> None:
    given_rows = [
        {
            "bin": place,
            "rows": count,
            "frauds": count * place / BINS,
            "loss": count * place * 100.0,
            "spread": 0.0,
            "first": MOMENT,
            "last": MOMENT,
            "decided_first": MOMENT,
            "decided_last": MOMENT,
            "dated_in_files": 0,
        }
        for place, count in bins
    ]
    advice = advice_of(given_rows, None, ReviewPrices(review=0.01, stopped=0, capacity=capacity))
    fits = [cost for cost in advice.costs if cost.per_day <= capacity]
    if advice.best is None:
        assert fits == []
    else:
        assert advice.best.per_day <= capacity
        assert advice.best.total == min(cost.total for cost in fits)


def test_from_where_on_stopping_is_cheaper_than_looking() -> None:
    row: dict[str, Any] = {"bin": 5, "rows": 1, "frauds": 0.1, "loss": 1.0, "spread": 0.0}
    row |= {"first": MOMENT, "last": MOMENT, "decided_first": MOMENT, "decided_last": MOMENT}
    row["dated_in_files"] = 0
    assert advice_of([row], None, ReviewPrices(review=5, stopped=50)).block == pytest.approx(0.9)
    assert advice_of([row], None, ReviewPrices(review=5, stopped=5)).block is None
