"""Watches the instance each minute in a thread of the first worker: a long file doesn't keep an alert waiting."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from screening.bucket.claiming import KEY
from screening.bucket.faults import BucketUnavailable
from screening.errors import ScreeningError
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.infra.disk_space import free_bytes
from screening.infra.job_queue import LATER, Jobs
from screening.ledger import totals
from screening.ledger.ledger import Ledger
from screening.monitoring import activity, conditions, findings, stream_lag
from screening.monitoring.alerts import Alerts, Breach
from screening.monitoring.comparison import DetectorComparison
from screening.monitoring.request_metrics import counted_below
from screening.monitoring.webhooks import Webhook
from screening.settings import Settings

log = logging.getLogger("screening.monitoring")
EVERY_SECONDS = 60.0
SEND_SECONDS = 5.0
FORGET_SECONDS = 86_400.0
MOST_SUBJECT = 100


class AlertWatch:
    """Evaluates the operator's rules and sends messages about them.

    Args:
        settings: limits, and where the webhook is.
        database: of the app.
        ledger: what was decided.
        queues: jobs by their kind.
        comparison: finds out how detectors do.
        clock: seconds since 1970.
        on_duty: whether it is this process that watches, of those of several hosts.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        ledger: Ledger,
        queues: Mapping[str, Jobs[Any]],
        comparison: DetectorComparison,
        *,
        clock: Callable[[], float] = time.time,
        on_duty: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_duty = on_duty
        self._settings, self._database, self._ledger, self._queues = settings, database, ledger, queues
        self._comparison, self._clock = comparison, clock
        audit = AuditLog(settings.instance)
        self.alerts = Alerts(database, audit, webhook=settings.webhook_url is not None, clock=clock)
        self._webhook: Webhook | None = None
        if settings.webhook_url is not None and settings.webhook_secret is not None:
            self._webhook = Webhook(
                settings.webhook_url, settings.webhook_secret, database, audit, clock=clock
            )
        self._requests: dict[str, conditions.Requests] = {}
        self._forget_at = 0.0
        self._watched = False
        self._down_since: float | None = None
        """Time of the first look of those in a row at which the bucket couldn't be used."""

    def loop(self, stop: threading.Event) -> None:
        """Watch until told to stop."""
        due = 0.0
        while not stop.wait(SEND_SECONDS):
            if not self._on_duty():
                continue
            if time.monotonic() >= due:
                due = time.monotonic() + EVERY_SECONDS
                self.step()
            if self._webhook is not None:
                self._try("webhook", self._webhook.send_due)

    def step(self) -> None:
        """Evaluate all rules, and begin and end alerts."""
        now = self._clock()
        self._try("activity", lambda: self._note(now))
        self._try("requests", lambda: self._count(now))
        self._try("drift", self._comparison.step)
        found: list[Breach] = []
        unknown = []
        for rule, limit in self._settings.alerts.items():
            breaches = self._try(rule, lambda name, most: list(self._broken(name, most, now)), rule, limit)
            if breaches is None:
                unknown.append(rule)
            else:
                found += breaches
        self._try("alerts", lambda: self.alerts.update(found, unknown))
        if now >= self._forget_at:
            self._forget_at = now + FORGET_SECONDS
            self._try("alerts", self.alerts.forget_old)
            if self._webhook is not None:
                self._try("webhook", self._webhook.forget_old)

    def _count(self, now: float) -> None:
        """Take what the web processes of each host have counted by now."""
        here = self._settings
        folders = {here.host_name or socket.gethostname()[:MOST_SUBJECT]: here.of_host}
        if here.several:
            folders = {folder.name: folder for folder in here.of_host.parent.iterdir()}
        for name, folder in folders.items():
            requests = self._requests.setdefault(name, conditions.Requests(name))
            # what can't be read of one host hides nothing of the others
            self._try(
                f"requests of {name}", lambda here, of: here.note(counted_below(of), now), requests, folder
            )

    def _note(self, now: float) -> None:
        activity.note(self._database, totals.read(self._ledger.tables), now, watched=self._watched)
        self._watched = True

    def _broken(self, rule: str, limit: float, now: float) -> Iterable[Breach]:
        rules: dict[str, Callable[[], Iterable[Breach]]] = {
            "flag_rate": lambda: conditions.flag_rate(activity.feeds(self._database), now, limit),
            "silence": lambda: conditions.silence(activity.feeds(self._database), now, limit),
            "disk": lambda: conditions.disk(
                free_bytes(self._settings.instance), socket.gethostname()[:MOST_SUBJECT], limit
            ),
            "backlog": lambda: conditions.backlog(self._waiting(), now, limit),
            "drift": lambda: conditions.drift(findings.read(self._database), limit),
            "latency": lambda: chain.from_iterable(each.latency(limit) for each in self._requests.values()),
            "errors": lambda: chain.from_iterable(each.errors(limit) for each in self._requests.values()),
            "ledger": lambda: self._damaged(limit),
            "bucket": lambda: self._unusable(now, limit),
            "stream": lambda: conditions.stream(stream_lag.standing(self._database), now, limit),
        }
        return rules[rule]()

    def _damaged(self, hours: float) -> Iterable[Breach]:
        found = self._ledger.inspection.step(hours)
        rows = sum(segment.rows for segment, _ in found)
        return conditions.ledger([(fault.name, fault.problem) for _, fault in found], rows, hours)

    def _unusable(self, now: float, limit: float) -> Iterable[Breach]:
        storage = self._ledger.storage
        try:
            if storage.remote:
                storage.bucket.sizes(KEY)
        except BucketUnavailable as problem:
            self._down_since = now if self._down_since is None else self._down_since
            return conditions.bucket(problem.why, (now - self._down_since) / 60, limit)
        self._down_since = None
        return ()

    def _waiting(self) -> dict[str, tuple[int, float]]:
        found = {}
        with self._database.read() as session:
            for kind, queue in self._queues.items():
                table = queue.table
                waits = select(func.count(), func.min(table.created)).where(
                    table.state == queue.waiting, or_(table.holder.is_(None), table.holder == LATER)
                )
                count, oldest = session.execute(waits).one()
                if count:
                    found[kind] = count, oldest.timestamp()
        return found

    @staticmethod
    def _try(what: str, task: Callable[..., Any], *given: Any) -> Any:
        """Check what is given: one thing that can't be found out mustn't keep the others from being watched."""
        try:
            return task(*given)
        except (SQLAlchemyError, ScreeningError, OSError) as problem:
            log.error("%s can't be watched at the moment: %s", what, type(problem).__name__)
        except Exception:  # a fault of ours mustn't end the thread, and with it all watching
            log.exception("%s can't be watched", what)
        return None
