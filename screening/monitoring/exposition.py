"""All metrics of an instance as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from screening.bucket.storage import Storage
from screening.infra.database import Database
from screening.ledger import totals
from screening.ledger.tables import API, BATCH, FILE, STREAM, SegmentDraft
from screening.ledger.totals import EDGES, Totals
from screening.monitoring.findings import DetectorFindings
from screening.monitoring.request_metrics import RequestMetrics

__all__ = ["CONTENT_TYPE", "exposition"]


class _Collected(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def exposition(
    requests: RequestMetrics,
    ledger: Database,
    detectors: Sequence[str],
    known: Sequence[DetectorFindings],
    *,
    streams: Sequence[Metric],
    storage: Storage,
) -> bytes:
    """Return the metrics in Prometheus' text format.

    Args:
        requests: what was counted of requests.
        ledger: the ledger's tables.
        detectors: names of those that score: they are listed before their first row, so that it is seen as growth.
        known: what was found out of them last.
        streams: the progress of streams, :func:`screening.monitoring.stream_lag.metrics`.
        storage: the home of finished files.

    Raises:
        DatabaseError: the ledger can't be read.
    """
    registry = CollectorRegistry()
    found = totals.read(ledger)
    for collect in (
        requests.collect,
        lambda: decision_metrics(found, detectors),
        lambda: drift_lines(known),
        lambda: streams,
        lambda: bucket_lines(storage, ledger) if storage.remote else (),
    ):
        registry.register(_Collected(collect))
    return generate_latest(registry)


def bucket_lines(storage: Storage, ledger: Database) -> Iterable[Metric]:
    """Give the copies on the disk, and the files that have left the ledger and may still be in the bucket."""
    cached = GaugeMetricFamily(
        "fraud_bucket_cached_bytes",
        "Bytes on the disk of files that are in the bucket, too.",
        value=sum(each.size for each in storage.cached()),
    )
    limit = GaugeMetricFamily("fraud_bucket_cache_limit_bytes", "STORAGE_CACHE_MB.", value=storage.most)
    with ledger.read() as session:
        notes = session.scalar(select(func.count()).select_from(SegmentDraft)) or 0
    noted = GaugeMetricFamily(
        "fraud_bucket_noted_files",
        "Segments that are being written, or have left the ledger and aren't deleted yet.",
        value=notes,
    )
    return cached, limit, noted


def drift_lines(known: Sequence[DetectorFindings]) -> Iterable[Metric]:
    """Give only figures that are ones: a column of which there are too few rows isn't listed."""
    labels = ["detector", "column", "window"]
    index = GaugeMetricFamily(
        "fraud_drift_psi", "Population stability index against the training data.", labels=labels
    )
    distance = GaugeMetricFamily(
        "fraud_drift_ks", "Kolmogorov-Smirnov distance to the training data.", labels=labels
    )
    computed = GaugeMetricFamily(
        "fraud_drift_timestamp_seconds", "When this was found out last.", labels=["detector"]
    )
    for found in known:
        computed.add_metric([found.detector], found.computed)
        for window in found.windows:
            for each in window.everything:
                place = [found.detector, each.name, f"{window.days}d"]
                if each.psi is not None:
                    index.add_metric(place, each.psi)
                if each.ks is not None:
                    distance.add_metric(place, each.ks)
    return index, distance, computed


def decision_metrics(found: Sequence[Totals], detectors: Sequence[str]) -> Iterable[Metric]:
    """Yield the counts of decisions for Prometheus."""
    rows = CounterMetricFamily(
        "fraud_transactions", "Transactions that were scored.", labels=["detector", "source"]
    )
    flagged = CounterMetricFamily(
        "fraud_flagged", "Transactions that were flagged as fraud.", labels=["detector", "source"]
    )
    probability = HistogramMetricFamily(
        "fraud_probability", "Probabilities of fraud of scored transactions.", labels=["detector"]
    )
    known = {(each.detector, each.source): each for each in found}
    names = sorted({*detectors, *(each.detector for each in found)})
    for name in names:
        both = [
            known.get((name, source)) or Totals.none(name, source) for source in (API, FILE, BATCH, STREAM)
        ]
        for each in both:
            rows.add_metric([name, each.source], each.count)
            flagged.add_metric([name, each.source], each.flagged)
        reached = np.cumsum(sum(each.rows for each in both)).tolist()
        buckets = [(str(edge), float(count)) for edge, count in zip(EDGES, reached, strict=True)]
        probability.add_metric(
            [name], [*buckets, ("+Inf", float(reached[-1]))], sum(each.probability for each in both)
        )
    return rows, flagged, probability
