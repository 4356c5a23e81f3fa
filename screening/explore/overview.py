"""The figures of the home page: what was scored, flagged and at risk in the last days, and in those before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from screening.explore.counts import blocked_query
from screening.ledger import money
from screening.ledger.filters import DecisionFilter

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

DAYS = 30
BY_DAY = (
    "SELECT date_trunc('day', decided_at) AS day, currency, count(*) AS scored, "
    "count(*) FILTER (WHERE flagged) AS flagged, "
    "(sum(amount) FILTER (WHERE flagged))::HUGEINT AS at_risk "
    "FROM chosen GROUP BY ALL"
)


@dataclass(frozen=True, slots=True)
class PeriodCounts:
    """Counts of some days. Money is by currency, as people write it; ``None`` is a currency that nothing says."""

    scored: int
    flagged: int
    at_risk: Mapping[str | None, float]
    """The amounts of flagged rows."""

    @property
    def flag_rate(self) -> float | None:
        """Flagged over scored."""
        return self.flagged / self.scored if self.scored else None


@dataclass(frozen=True, slots=True)
class Overview:
    """The last :data:`DAYS` days with today, those before, and the last ones day by day."""

    now: PeriodCounts
    before: PeriodCounts
    days: Sequence[PeriodCounts]
    blocked: int | None
    """Flagged rows of the last days that reached the second threshold of their time; ``None`` where there was none."""


def overview(
    questions: Questions,
    owner: str | None,
    now: datetime,
    blocks: Sequence[tuple[str, datetime, float | None]] = (),
) -> Overview:
    """Count by the day of the decision, UTC.

    A file of last year that was screened today counts today: the page says what happens here, not when the payments
    were made.

    Args:
        questions: of the ledger.
        owner: whose rows; ``None`` for everybody's.
        now: the days end with this one.
        blocks: of which detector which second threshold held, since when.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    first = today - timedelta(days=2 * DAYS - 1)
    queries = {"days": BY_DAY}
    if blocks:
        begins = today - timedelta(days=DAYS - 1)
        queries["blocked"] = f"{blocked_query(blocks)} AND c.decided_at >= TIMESTAMP '{begins:%Y-%m-%d}'"
    found = questions.several(DecisionFilter(owner=owner, decided_from=first.replace(tzinfo=UTC)), queries)
    by_day: dict[datetime, list[Mapping[str, object]]] = {}
    for row in found["days"]:
        by_day.setdefault(row["day"], []).append(row)
    days = [period_of(by_day.get(first + timedelta(days=at), [])) for at in range(2 * DAYS)]
    blocked = sum(int(row["blocked"]) for row in found["blocked"]) if blocks else None
    return Overview(total_of(days[DAYS:]), total_of(days[:DAYS]), days[DAYS:], blocked)


def period_of(rows: Sequence[Mapping[str, object]]) -> PeriodCounts:
    """Return the counts of rows that differ in their currency alone, and the amounts at risk by currency."""

    def total(name: str) -> int:
        return sum(int(row[name]) for row in rows)  # type: ignore[call-overload]

    at_risk: dict[str | None, float] = {}
    for row in rows:
        if row["at_risk"] is not None:
            currency = None if row["currency"] is None else str(row["currency"])
            at_risk[currency] = money.major(int(row["at_risk"]), currency)  # type: ignore[call-overload]
    return PeriodCounts(total("scored"), total("flagged"), at_risk)


def total_of(days: Sequence[PeriodCounts]) -> PeriodCounts:
    """Return the sums of some days."""
    at_risk: dict[str | None, int] = {}
    for day in days:
        for currency, amount in day.at_risk.items():
            # whole units add up to the cent
            units = round(amount * 10 ** money.exponent(currency))
            at_risk[currency] = at_risk.get(currency, 0) + units
    return PeriodCounts(
        sum(day.scored for day in days),
        sum(day.flagged for day in days),
        {currency: money.major(units, currency) for currency, units in at_risk.items()},
    )
