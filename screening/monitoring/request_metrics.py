"""Measure the duration and the outcome of requests, counted by each web process and read for all of them together.

The web processes of a server write into files below the instance (prometheus-client's multi-process mode), which the
server's parent empties before it starts them. What was counted by a process that has ended stays counted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from screening.monitoring.request_folder import FOLDER_VARIABLE, folder_of, reserve

log = logging.getLogger("screening.monitoring")

SECONDS = "fraud_request_seconds"
RESPONSES = "fraud_responses"
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
"""Seconds."""


class RequestMetrics:
    """Counters of the requests of this process; thread-safe."""

    def __init__(self) -> None:
        folder = os.environ.get(FOLDER_VARIABLE)
        self._counts = folder is None or reserve(Path(folder))
        if not self._counts:
            log.warning("the disk is full: this process doesn't count its requests")
            return
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            SECONDS,
            "Time from the moment a request was there until its answer was, by route.",
            ["route"],
            buckets=BOUNDS,
            registry=self._registry,
        )
        self._responses = Counter(
            RESPONSES, "Answers by route and class of status.", ["route", "status"], registry=self._registry
        )
        self._known: dict[tuple[str, int], tuple[Any, Any]] = {}

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            route: the rule of the address, never the address itself.
            status: of HTTP.
            seconds: that it took.
        """
        if not self._counts:
            return
        key = route, status // 100
        found = self._known.get(key)
        if found is None:
            labelled = self._seconds.labels(route), self._responses.labels(route, f"{key[1]}xx")
            found = self._known.setdefault(key, labelled)
        found[0].observe(seconds)
        found[1].inc()

    def collect(self) -> Iterable[Metric]:
        """Return what was counted: by all processes of the server, or by this one where it is alone."""
        folder = os.environ.get(FOLDER_VARIABLE)
        return self._registry.collect() if folder is None else _merged(Path(folder))


def counted_below(of_host: Path) -> Iterable[Metric]:
    """Return what the web processes of a host have counted since its server started."""
    folder = folder_of(of_host)
    return _merged(folder) if folder.is_dir() else ()


def _merged(folder: Path) -> Iterable[Metric]:
    untyped: Any = MultiProcessCollector
    found: Iterable[Metric] = untyped(None, str(folder)).collect()
    return found
