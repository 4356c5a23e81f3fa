"""The operator's rules: what is measured each minute, and from where on it is an alert.

Limits are settings (``ALERTS``). Each rule needs enough to go by: a share of five rows is no share.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.metrics_core import Metric

from screening.monitoring.activity import HOUR_SECONDS, Feed
from screening.monitoring.alerts import Breach
from screening.monitoring.findings import DetectorFindings
from screening.monitoring.request_metrics import RESPONSES, SECONDS
from screening.monitoring.tables import StreamPartition

DAY = 24
# With fewer rows in the last day, or in the week before, shares of flags differ by chance.
LEAST_ROWS, LEAST_BEFORE = 200, 1_000
# In standard errors: chance exceeds it once in sixteen thousand comparisons.
SURE = 4.0
# Of the seven days before. A feed with rows on fewer of them isn't expected every day, so its silence means
# nothing.
BUSY_DAYS = 5
RECENT_SECONDS = 300.0
"""So far back requests are looked at."""
LEAST_REQUESTS, LEAST_ANSWERS = 100, 50
QUANTILE = 0.99
SCORING = "/detect_fraud"
MOST_NAMED = 3
GONE_SECONDS = 60.0
"""After so long nobody reads a partition: a stream says every few seconds how far it is."""


def flag_rate(feeds: Mapping[tuple[str, str], Feed], now: float, limit: float) -> Iterable[Breach]:
    """Compare each feed's share of flags in the last day with that of the seven days before."""
    hour = int(now // HOUR_SECONDS)
    for (detector, source), feed in feeds.items():
        rows, flags = feed.between(hour - DAY, hour)
        rows_before, flags_before = feed.between(hour - 8 * DAY, hour - DAY)
        if rows < LEAST_ROWS or rows_before < LEAST_BEFORE:
            continue
        # half a flag more: a week without any is no share of nought
        share, before = (flags + 0.5) / (rows + 1), (flags_before + 0.5) / (rows_before + 1)
        both = (flags + flags_before + 1) / (rows + rows_before + 2)
        error = math.sqrt(both * (1 - both) * (1 / rows + 1 / rows_before)) or math.inf
        times = max(share / before, before / share)
        if times >= limit and abs(share - before) >= SURE * error:
            yield Breach(
                rule="flag_rate",
                subject=f"{detector}, {source}",
                value=flags / rows,
                limit=limit,
                text=f"{flags / rows:.2%} of {rows:,} rows of the last day were flagged, "
                f"{flags_before / rows_before:.2%} of {rows_before:,} in the seven days before.",
            )


def silence(feeds: Mapping[tuple[str, str], Feed], now: float, limit: float) -> Iterable[Breach]:
    """Find feeds that had rows nearly each day and have none for so many hours."""
    hour = int(now // HOUR_SECONDS)
    for (detector, source), feed in feeds.items():
        quiet = hour - math.ceil(limit)
        if not feed.hours or feed.busy(quiet, hour):
            continue
        days = {(quiet - each) // DAY for each in feed.busy(quiet - 7 * DAY, quiet)}
        if len(days) >= BUSY_DAYS:
            yield Breach(
                rule="silence",
                subject=f"{detector}, {source}",
                value=limit,
                limit=limit,
                text=f"No row was scored for {limit:g} hours; there were rows on {len(days)} of the 7 days before.",
            )


def disk(free: int, machine: str, limit: float) -> Iterable[Breach]:
    """Compare the room on the disk of the instance, in bytes, with the limit in GB."""
    left = free / 1e9
    if left < limit:
        yield Breach(
            rule="disk",
            subject=machine,
            value=left,
            limit=limit,
            text=f"{left:.2f} GB are free on the disk of the instance.",
        )


def backlog(waiting: Mapping[str, tuple[int, float]], now: float, limit: float) -> Iterable[Breach]:
    """Compare how long the oldest job of each kind has waited with the limit in minutes.

    Args:
        waiting: by kind of job how many wait, and since when the oldest does.
        now: seconds since 1970.
        limit: minutes.
    """
    for kind, (count, oldest) in waiting.items():
        minutes = (now - oldest) / 60
        if count and minutes > limit:
            yield Breach(
                rule="backlog",
                subject=kind,
                value=minutes,
                limit=limit,
                text=f"{count:,} jobs wait, the oldest for {minutes:.0f} minutes.",
            )


def ledger(damaged: Iterable[tuple[str, str]], rows: int, limit: float) -> Iterable[Breach]:
    """Tell of segments of the ledger that aren't what was written.

    Args:
        damaged: the name of each, and what is wrong with it.
        rows: decisions that they hold.
        limit: hours within which each segment is read.
    """
    bad = list(damaged)
    if bad:
        named = "; ".join(f"{name} {problem}" for name, problem in bad[:MOST_NAMED])
        more = f", and {len(bad) - MOST_NAMED} more" if len(bad) > MOST_NAMED else ""
        yield Breach(
            rule="ledger",
            subject="segments",
            value=len(bad),
            limit=limit,
            text=f"{named}{more}: questions about their {rows:,} decisions have no answer. Run “flask --app app ledger "
            "verify”, and restore them from a backup.",
        )


def bucket(why: str, minutes: float, limit: float) -> Iterable[Breach]:
    """Tell of a bucket that can't be used.

    Args:
        why: the reason.
        minutes: since when.
        limit: minutes.
    """
    if minutes >= limit:
        yield Breach(
            rule="bucket",
            subject="bucket",
            value=minutes,
            limit=limit,
            text=f"The bucket can't be used: {why}. Uploads are refused, decisions wait in the database until they "
            "can be sealed, and files that aren't on the disk can't be read. Nothing was lost.",
        )


def stream(partitions: Iterable[StreamPartition], now: float, limit: float) -> Iterable[Breach]:
    """Tell of topics that nobody reads, and of those of which more messages wait than the limit."""
    topics: dict[tuple[str, str], list[StreamPartition]] = defaultdict(list)
    for each in partitions:
        topics[each.group, each.topic].append(each)
    for (group, topic), held in topics.items():
        gone = [each for each in held if now - each.seen > GONE_SECONDS]
        waiting = sum(each.lag or 0 for each in held)
        if gone:
            minutes = (now - min(each.seen for each in gone)) / 60
            waited = "a minute" if round(minutes) <= 1 else f"{minutes:,.0f} minutes"
            which = "" if len(gone) == len(held) else f" {len(gone)} of {len(held)} partitions of"
            text = f"Nobody has read{which} {topic} for {waited}; {waiting:,} messages waited by then."
        elif waiting > limit:
            text = f"{waiting:,} messages of {topic} wait for a decision."
        else:
            continue
        subject = f"{topic}, {group}"
        yield Breach(rule="stream", subject=subject, value=waiting, limit=limit, text=text)


def drift(known: Iterable[DetectorFindings], limit: float) -> Iterable[Breach]:
    """Compare how far scores and columns of the longest window are from the training data with the limit (PSI)."""
    for found in known:
        if not found.windows:
            continue
        window = found.windows[-1]
        far = [each for each in window.everything if each.psi is not None and each.psi > limit]
        if far:
            worst = max(far, key=lambda each: each.psi or 0.0)
            others = f", and {len(far) - 1} more are beyond {limit:g}" if len(far) > 1 else ""
            yield Breach(
                rule="drift",
                subject=found.detector,
                value=worst.psi or 0.0,
                limit=limit,
                text=f"{worst.name} of {sum(window.rows.values()):,} rows of the last {window.days} days has moved "
                f"away from its reference by a PSI of {worst.psi:.2f}{others}.",
            )


@dataclass
class Requests:
    """Requests that the web processes of this machine counted, over the last minutes."""

    machine: str
    _seen: deque[tuple[float, Mapping[float, float], Mapping[str, float]]] = field(default_factory=deque)

    def note(self, metrics: Iterable[Metric], now: float) -> None:
        """Take what has been counted since the server started."""
        buckets: dict[float, float] = {}
        answers: dict[str, float] = {}
        for sample in (sample for metric in metrics for sample in metric.samples):
            if sample.name == f"{SECONDS}_bucket" and sample.labels["route"] == SCORING:
                buckets[float(sample.labels["le"])] = sample.value
            elif sample.name == f"{RESPONSES}_total":
                status = sample.labels["status"]
                answers[status] = answers.get(status, 0) + sample.value
        if self._seen and sum(answers.values()) < sum(self._seen[-1][2].values()):
            # the server was started again, and counts from 0
            self._seen.clear()
            self._seen.append((now, {}, {}))
        self._seen.append((now, buckets, answers))
        while len(self._seen) > 1 and self._seen[1][0] <= now - RECENT_SECONDS:
            self._seen.popleft()

    def latency(self, limit: float) -> Iterable[Breach]:
        """Compare the 99th percentile of the time of a decision with the limit in seconds."""
        if not self._seen:
            return
        before, now = self._seen[0][1], self._seen[-1][1]
        recent = {bound: count - before.get(bound, 0) for bound, count in sorted(now.items())}
        total = recent.get(math.inf, 0)
        if total < LEAST_REQUESTS:
            return
        seconds = quantile(recent, QUANTILE)
        if seconds > limit:
            yield Breach(
                rule="latency",
                subject=self.machine,
                value=seconds,
                limit=limit,
                text=f"1 % of {total:,.0f} requests to {SCORING} took longer than {seconds:.2f} s.",
            )

    def errors(self, limit: float) -> Iterable[Breach]:
        """Compare the share of answers of 500 and more with the limit."""
        if not self._seen:
            return
        before, now = self._seen[0][2], self._seen[-1][2]
        recent = {status: count - before.get(status, 0) for status, count in now.items()}
        total, bad = sum(recent.values()), recent.get("5xx", 0)
        if total >= LEAST_ANSWERS and bad / total > limit:
            yield Breach(
                rule="errors",
                subject=self.machine,
                value=bad / total,
                limit=limit,
                text=f"{bad:,.0f} of {total:,.0f} answers were errors of the server (500 or more).",
            )


def quantile(buckets: Mapping[float, float], share: float) -> float:
    """Return a quantile of a histogram, read straight between two bounds.

    Args:
        buckets: by upper bound, in order, how many are up to it; the last bound is infinite.
        share: of the quantile, 0 to 1.
    """
    wanted = share * buckets[math.inf]
    low, below = 0.0, 0.0
    for bound, count in buckets.items():
        if count >= wanted:
            if math.isinf(bound) or count == below:
                return low
            return low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low
