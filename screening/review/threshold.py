"""Estimate the cost of each threshold on one's own traffic: missed frauds, reviews, customers who are stopped for
nothing.

The probabilities are calibrated, so what is expected needs no labels: of rows at 0.8, four in five are fraud. Labels
are few and come late; where they say otherwise, monitoring's calibration does, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from screening.ledger import money
from screening.ledger.filters import DecisionFilter

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

BINS = 200
"""Thresholds that are tried: multiples of 1/200, as 0.8 is."""
Z = 1.959964
"""Of a 95 % interval."""
DAY_SECONDS = 86_400.0
BY_BIN = (
    # float32 of 0.7 is a hair below 0.7, and a row with it is flagged at 0.7
    f"SELECT currency, least(floor(probability::DOUBLE * {BINS} + 1e-5), {BINS})::INTEGER AS bin, count(*) AS rows, "
    "sum(probability::DOUBLE) AS frauds, sum(probability::DOUBLE * abs(coalesce(amount, 0))) AS loss, "
    "sum(probability::DOUBLE * (1 - probability::DOUBLE) * coalesce(amount, 0)::DOUBLE * coalesce(amount, 0)) "
    "AS spread, "
    "min(moment) AS first, max(moment) AS last, min(decided_at) AS decided_first, max(decided_at) AS decided_last, "
    "count(*) FILTER (WHERE source NOT IN ('api', 'stream') AND event_time IS NOT NULL) AS dated_in_files "
    "FROM chosen GROUP BY ALL"
)


class Days(StrEnum):
    """Times that reviews a day are counted by."""

    OWN = "own"
    """The transactions' own, or of the decision where they have none."""
    DECIDED = "decided"
    """Those of the decisions, when cases come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPrices:
    """Unit costs, in the currency of the transactions."""

    review: float = 5.0
    """Looking at one flagged transaction."""
    stopped: float = 10.0
    """Stopping one that was legitimate: the customer's call, and the one who leaves."""
    lost: float = 1.0
    """The share of a fraud's amount that is lost."""
    fee: float = 0.0
    """Of each missed fraud, besides."""
    capacity: float | None = None
    """Reviews that can be done in a day."""


@dataclass(frozen=True, slots=True)
class ThresholdCost:
    """Expected cost of one threshold, in all days."""

    threshold: float
    reviews: int
    missed: float
    """Money that is lost with frauds that aren't flagged."""
    missed_spread: float
    """Half its 95 % interval: which of the rows are fraud is chance."""
    reviewing: float
    stopping: float
    per_day: float
    """Reviews."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.missed + self.reviewing + self.stopping

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the total."""
        return max(0.0, self.total - self.missed_spread), self.total + self.missed_spread


@dataclass(frozen=True, slots=True)
class Advice:
    """The curve of a detector and a currency, and what follows from it."""

    currency: str | None
    rows: int
    by: Days
    """Which days count."""
    days: float
    """From the first to the last transaction, by that time; at least one."""
    from_files: int
    """Rows of files that have a time of their own."""
    costs: Sequence[ThresholdCost]
    """By threshold, rising from 1/200 to 1."""
    best: ThresholdCost | None
    """The cheapest that the capacity allows; of several the highest. ``None`` where it allows none."""
    block: float | None
    """From this probability on it is cheaper to stop a payment without looking; ``None`` where it never is."""

    def at(self, threshold: float) -> ThresholdCost:
        """Return the cost of the threshold nearest to one."""
        return min(self.costs, key=lambda each: abs(each.threshold - threshold))


def advise(
    questions: Questions, chosen: DecisionFilter, prices: ReviewPrices, by: Days | None = None
) -> list[Advice]:
    """Return what each threshold would cost, by currency, that with most rows first.

    Args:
        questions: of the ledger.
        chosen: whose and which decisions; of one detector.
        prices: what things cost.
        by: which days count; ``None`` for the transactions' own where most rows came in files, since a file of a year
            is decided on in a minute, and for those of the decisions elsewhere.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    by_currency: dict[str | None, list[dict[str, Any]]] = {}
    for row in questions.ask(BY_BIN, chosen).rows:
        by_currency.setdefault(row["currency"], []).append(row)
    found = [advice_of(rows, currency, prices, by) for currency, rows in by_currency.items()]
    return sorted(found, key=lambda each: (-each.rows, each.currency or ""))


def advice_of(
    rows: Sequence[dict[str, Any]], currency: str | None, prices: ReviewPrices, by: Days | None = None
) -> Advice:
    """Return the curve of the rows of one currency: counts and sums of money, in minor units, by bin."""
    unit = 10.0 ** money.exponent(currency)
    count, frauds = [0] * (BINS + 1), [0.0] * (BINS + 1)
    loss, spread = [0.0] * (BINS + 1), [0.0] * (BINS + 1)
    for row in rows:
        place = row["bin"]
        count[place] += row["rows"]
        frauds[place] += row["frauds"]
        loss[place] += row["loss"] / unit
        spread[place] += row["spread"] / unit**2
    from_files = sum(row["dated_in_files"] for row in rows)
    if by is None:
        by = Days.OWN if 2 * from_files > sum(count) else Days.DECIDED
    begins, ends = ("first", "last") if by is Days.OWN else ("decided_first", "decided_last")
    first, last = min(row[begins] for row in rows), max(row[ends] for row in rows)
    days = max(1.0, (last - first).total_seconds() / DAY_SECONDS)
    costs = []
    for place in range(1, BINS + 1):
        reviews = sum(count[place:])
        missed = prices.lost * math.fsum(loss[:place]) + prices.fee * math.fsum(frauds[:place])
        costs.append(
            ThresholdCost(
                threshold=place / BINS,
                reviews=reviews,
                missed=missed,
                missed_spread=Z * prices.lost * math.sqrt(math.fsum(spread[:place])),
                reviewing=prices.review * reviews,
                stopping=prices.stopped * (reviews - math.fsum(frauds[place:])),
                per_day=reviews / days,
            )
        )
    allowed = [each for each in costs if prices.capacity is None or each.per_day <= prices.capacity]
    best = min(allowed, key=lambda each: (each.total, -each.threshold), default=None)
    # who is stopped without a look costs (1 - p) · stopped; who is looked at, a review
    block = 1 - prices.review / prices.stopped if prices.stopped > prices.review else None
    return Advice(currency, sum(count), by, days, from_files, costs, best, block)
