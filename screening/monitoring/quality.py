"""Precision and recall over time, as far as labels have come.

Precision is over flagged rows that have a label, recall over frauds that have one. A row without a label is in neither,
unless the operator says that its source reports every fraud (``LABEL_COVERAGE``): then it is legitimate once labels
have had their time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from screening.ledger.queries.day_counts import DayCounts
from screening.scoring.metrics import wilson

# With fewer labelled rows a share would be mostly chance.
LEAST = 10
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its 95 % interval."""

    hits: int
    of: int

    @property
    def enough(self) -> bool:
        """Return whether there are so many that the share is worth giving."""
        return self.of >= LEAST

    @property
    def share(self) -> float | None:
        """``None`` where there are too few."""
        return self.hits / self.of if self.enough else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """``None`` where there are too few."""
        return wilson(self.hits, self.of) if self.enough else None


@dataclass(frozen=True, slots=True)
class QualityPeriod:
    """A day, or a week from Monday on."""

    start: date
    rows: int
    flagged: int
    labelled: int
    precision: Estimate
    recall: Estimate | None
    """``None`` where nothing that wasn't flagged has a label: frauds that were missed can't be known of."""
    open: bool
    """Whether labels may still come: then the figures aren't final."""


def periods(
    days: Sequence[DayCounts], *, by: str, now: float, delay: float, coverage: Collection[str] = ()
) -> list[QualityPeriod]:
    """Return the periods that have decisions, the earliest first.

    Args:
        days: counts by day and source.
        by: ``day`` or ``week``.
        now: seconds since 1970.
        delay: seconds after which labels have come.
        coverage: sources that report every fraud.
    """
    parts: dict[date, list[DayCounts]] = defaultdict(list)
    for each in days:
        start = datetime.fromtimestamp(each.day * DAY_SECONDS, UTC).date()
        parts[start - timedelta(days=start.weekday()) if by == "week" else start].append(each)
    return [period_of(start, parts[start], now - delay, coverage) for start in sorted(parts)]


def together(
    days: Sequence[DayCounts], *, now: float, delay: float, coverage: Collection[str] = ()
) -> QualityPeriod | None:
    """Return all days of which labels have come as one period; ``None`` where there is none."""
    closed = [each for each in days if not is_open(each, now - delay)]
    if not closed:
        return None
    start = datetime.fromtimestamp(min(each.day for each in closed) * DAY_SECONDS, UTC).date()
    return period_of(start, closed, now - delay, coverage)


def is_open(each: DayCounts, until: float) -> bool:
    """Return whether labels of a day may still come."""
    return unlabelled(each) > 0 and (each.day + 1) * DAY_SECONDS > until


def unlabelled(each: DayCounts) -> int:
    """Return how many rows of a day have no label."""
    return each.rows - each.caught - each.false_alarms - each.missed - each.passed


def period_of(
    start: date, parts: Sequence[DayCounts], until: float, coverage: Collection[str]
) -> QualityPeriod:
    """Return the quality of some days together."""
    caught = false_alarms = missed = passed = 0
    for each in parts:
        caught, missed = caught + each.caught, missed + each.missed
        false_alarms, passed = false_alarms + each.false_alarms, passed + each.passed
        if each.source in coverage and not is_open(each, until):
            silent = each.flagged - each.caught - each.false_alarms
            false_alarms += silent
            passed += unlabelled(each) - silent
    return QualityPeriod(
        start=start,
        rows=sum(each.rows for each in parts),
        flagged=sum(each.flagged for each in parts),
        labelled=sum(each.rows - unlabelled(each) for each in parts),
        precision=Estimate(caught, caught + false_alarms),
        recall=Estimate(caught, caught + missed) if missed + passed else None,
        open=any(is_open(each, until) for each in parts),
    )
