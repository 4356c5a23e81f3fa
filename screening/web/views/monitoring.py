"""Prepare the page of monitoring: one detector, its feeds and the server."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from prometheus_client.metrics_core import Metric

from screening.monitoring import findings, quality
from screening.monitoring.activity import HOUR_SECONDS, Feed
from screening.monitoring.conditions import GONE_SECONDS, QUANTILE, quantile
from screening.monitoring.findings import ComparedColumn, DetectorFindings, DriftWindow
from screening.monitoring.quality import QualityPeriod
from screening.monitoring.request_metrics import RESPONSES, SECONDS
from screening.monitoring.tables import Alert, StreamPartition

BY = ("day", "week")
MOST_DAYS = 60
"""By day so many are shown, by week half a year."""
DAY_HOURS = 24


@dataclass(frozen=True, slots=True)
class DetectorView:
    """One detector in one window."""

    found: DetectorFindings
    window: DriftWindow
    by: str
    periods: Sequence[QualityPeriod]
    overall: QualityPeriod | None
    """All days together of which labels have come."""
    limit: float
    """PSI from which on a column is far away."""

    @property
    def computed(self) -> datetime:
        """Time at which the figures were computed."""
        return datetime.fromtimestamp(self.found.computed, UTC)

    @property
    def rows(self) -> int:
        """All rows of the window."""
        return sum(self.window.rows.values())

    @property
    def told(self) -> Sequence[ComparedColumn]:
        """Columns that have a figure."""
        return [each for each in self.window.columns if each.psi is not None]

    @property
    def untold(self) -> Sequence[ComparedColumn]:
        """Columns of which there are too few rows."""
        return [each for each in self.window.columns if each.psi is None]

    @property
    def far(self) -> int:
        """Number of columns, the score among them, that are beyond the limit."""
        return sum(each.psi is not None and each.psi > self.limit for each in self.window.everything)

    @property
    def flagged(self) -> QualityPeriod | None:
        """The last period, for its share of flags."""
        return self.periods[-1] if self.periods else None

    @property
    def delay_days(self) -> float:
        """After how many days labels have come."""
        return round(self.found.delay / 86_400, 1)

    @property
    def columns_from(self) -> str:
        """Reference of the columns, as a sentence."""
        if self.found.columns_from == findings.NOTHING:
            return "The detector's card says nothing of its training data, so columns can't be compared."
        rows = "" if self.found.training_rows is None else f" of {self.found.training_rows:,} rows"
        if self.found.columns_from == findings.COUNTED:
            return f"Compared with the training data{rows}, counted in fixed bins."
        return (
            f"Compared with the training data{rows} by the quantiles that its card has: they don't tell how many "
            "rows have one and the same value, so small changes of whole numbers don't show."
        )

    @property
    def scores_from(self) -> str:
        """Reference of the score, as a sentence."""
        rows = f"{self.found.score_rows:,}"
        if self.found.scores_from == findings.TEST:
            return f"Compared with the scores of {rows} rows that it wasn't trained on."
        if self.found.scores_from == findings.EARLIER:
            return (
                f"Its card has no scores: compared with its own {rows} decisions of the "
                f"{findings.BASE_DAYS} days before the longest window."
            )
        return "Its card has no scores, and it decided nothing before the longest window: nothing to compare with."

    @property
    def uncovered(self) -> int:
        """Rows of whose values nothing is known."""
        return self.rows - self.window.covered


def detector_view(
    found: DetectorFindings,
    *,
    days: int | None,
    by: str | None,
    now: float,
    coverage: Collection[str],
    limit: float,
) -> DetectorView:
    """Return what is shown of a detector.

    Args:
        found: what is known of it.
        days: of the window; the longest by default.
        by: ``day`` or ``week``; weeks where there are many days.
        now: seconds since 1970.
        coverage: sources that report every fraud.
        limit: PSI from which on a column is far away.
    """
    window = next((each for each in found.windows if each.days == days), found.windows[-1])
    if by not in BY:
        by = "week" if len({each.day for each in found.days}) > MOST_DAYS else "day"
    oldest = now / 86_400 - MOST_DAYS if by == "day" else -math.inf
    shown = [each for each in found.days if each.day >= oldest]
    told = {"now": now, "delay": found.delay, "coverage": coverage}
    return DetectorView(
        found,
        window,
        by,
        quality.periods(shown, by=by, **told),  # type: ignore[arg-type]
        quality.together(found.days, **told),  # type: ignore[arg-type]
        limit,
    )


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert that goes on."""

    rule: str
    subject: str
    text: str
    began: datetime

    @classmethod
    def of(cls, alert: Alert) -> AlertView:
        """Return how an alert is shown."""
        return cls(alert.rule, alert.subject, alert.text, datetime.fromtimestamp(alert.began, UTC))


@dataclass(frozen=True, slots=True)
class RouteView:
    """Requests of one route since the server started."""

    route: str
    requests: int
    errors: int
    """Answers of 500 and more."""
    median: float
    slow: float
    """Seconds that 99 of 100 stayed below."""


def routes(metrics: Iterable[Metric], most: int = 12) -> list[RouteView]:
    """Return the routes with the most requests."""
    buckets: dict[str, dict[float, float]] = {}
    answers: dict[str, dict[str, float]] = {}
    for sample in (sample for metric in metrics for sample in metric.samples):
        route = sample.labels.get("route", "")
        if sample.name == f"{SECONDS}_bucket":
            buckets.setdefault(route, {})[float(sample.labels["le"])] = sample.value
        elif sample.name == f"{RESPONSES}_total":
            status = sample.labels["status"]
            counts = answers.setdefault(route, {})
            counts[status] = counts.get(status, 0) + sample.value
    found = []
    for route, unsorted in buckets.items():
        counted = dict(sorted(unsorted.items()))
        total = counted.get(math.inf, 0)
        if total:
            errors = answers.get(route, {}).get("5xx", 0)
            found.append(
                RouteView(route, int(total), int(errors), quantile(counted, 0.5), quantile(counted, QUANTILE))
            )
    return sorted(found, key=lambda each: (-each.requests, each.route))[:most]


@dataclass(frozen=True, slots=True)
class FeedView:
    """One detector and source."""

    detector: str
    source: str
    rows: int
    """Of the last 24 hours."""
    flagged: int
    rows_before: int
    """Of the seven days before."""
    flagged_before: int
    last: datetime | None
    """The end of the last hour with rows that is known; they are counted by the hour."""
    in_this_hour: bool
    """Whether that hour isn't over."""


@dataclass(frozen=True, slots=True)
class StreamView:
    """One topic that a group reads, over all of its partitions."""

    topic: str
    group: str
    partitions: int
    unread: int
    """Partitions of which no process has said for a minute that it reads them."""
    waiting: int | None
    """Messages; ``None`` where nobody knows."""
    consumed: int
    rejected: int
    last: datetime | None
    """Time at which a message was answered last."""


def streams(known: Sequence[StreamPartition], now: float) -> list[StreamView]:
    """Return the topics that are read, or were of late."""
    found = []
    for (group, topic), rows in groupby(known, key=lambda each: (each.group, each.topic)):
        held = list(rows)
        lags = [each.lag for each in held if each.lag is not None]
        last = max((each.last_message for each in held if each.last_message is not None), default=None)
        found.append(
            StreamView(
                topic=topic,
                group=group,
                partitions=len(held),
                unread=sum(now - each.seen > GONE_SECONDS for each in held),
                waiting=sum(lags) if lags else None,
                consumed=sum(each.consumed for each in held),
                rejected=sum(each.rejected for each in held),
                last=None if last is None else datetime.fromtimestamp(last, UTC),
            )
        )
    return found


def feeds(known: Mapping[tuple[str, str], Feed], now: float) -> list[FeedView]:
    """Return the feeds that ever had rows."""
    hour = int(now // HOUR_SECONDS)
    found = []
    for (detector, source), feed in sorted(known.items()):
        if not feed.rows or not feed.rows[-1]:
            continue
        busy = feed.busy(0, hour)
        last = datetime.fromtimestamp((busy[-1] + 1) * HOUR_SECONDS, UTC) if busy else None
        found.append(
            FeedView(
                detector,
                source,
                *feed.between(hour - DAY_HOURS, hour),
                *feed.between(hour - 8 * DAY_HOURS, hour - DAY_HOURS),
                last,
                bool(busy) and busy[-1] == hour,
            )
        )
    return found
