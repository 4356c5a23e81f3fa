"""Alerts: rules of the operator that are broken, from when to when."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from screening.accounts.notifications import Notifications
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.monitoring.tables import MOST_SUBJECT, MOST_TEXT, Alert, Message

log = logging.getLogger("screening.monitoring")
# An alert ends only when its rule held for so long, so that values around a limit make one alert and not
# many.
CALM_SECONDS = 300.0
KEPT_SECONDS = 400 * 86_400.0
"""So long alerts that ended are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A rule that is broken now."""

    rule: str
    subject: str
    value: float
    limit: float
    text: str
    """One sentence for the operator."""


class Alerts:
    """The alerts of an instance.

    Args:
        database: where they are kept.
        audit: told when one begins and ends.
        webhook: whether messages are to be sent.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        *,
        webhook: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._audit, self._webhook, self._clock = database, audit, webhook, clock

    def update(self, found: Sequence[Breach], unknown: Collection[str] = ()) -> None:
        """Begin and end alerts. What is said is said once, at either end; a message is kept in the same
        transaction.

        Args:
            found: all rules that are broken now.
            unknown: rules of which nobody knows at the moment: their alerts stay as they are.
        """
        now = self._clock()
        broken = {(each.rule, each.subject[:MOST_SUBJECT]): each for each in found}
        began, ended = [], []
        with self._database.write() as session:
            going_on = session.scalars(select(Alert).where(Alert.ended.is_(None)))
            known = {(alert.rule, alert.subject): alert for alert in going_on}
            for key, breach in broken.items():
                alert = known.get(key)
                if alert is not None:
                    alert.seen, alert.value, alert.text = now, breach.value, breach.text[:MOST_TEXT]
                    continue
                alert = Alert(
                    id=uuid.uuid4().hex,
                    rule=breach.rule,
                    subject=key[1],
                    began=now,
                    seen=now,
                    value=breach.value,
                    limit=breach.limit,
                    text=breach.text[:MOST_TEXT],
                )
                session.add(alert)
                began.append(alert)
            for key, alert in known.items():
                if key not in broken and alert.rule not in unknown and now - alert.seen >= CALM_SECONDS:
                    alert.ended = now
                    ended.append(alert)
            if self._webhook:
                self._keep_messages(session, "alert.began", began, now)
                self._keep_messages(session, "alert.ended", ended, now)
        for alert in began:
            log.warning("alert %s, %s: %s", alert.rule, alert.subject, alert.text)
            self._record("alert_began", alert)
            Notifications(self._database).tell("alert.began", alert.text, "/monitoring", permission="monitor")
        for alert in ended:
            log.info("alert %s, %s, is over", alert.rule, alert.subject)
            self._record("alert_ended", alert)

    def forget_old(self) -> None:
        """Forget alerts that ended long ago."""
        with self._database.write() as session:
            session.execute(delete(Alert).where(Alert.ended < self._clock() - KEPT_SECONDS))

    def going_on(self) -> Sequence[Alert]:
        """Return the alerts that have begun and not ended, the oldest first."""
        return going_on(self._database)

    def _record(self, event: str, alert: Alert) -> None:
        self._audit.record(
            event,
            alert=alert.id,
            rule=alert.rule,
            subject=alert.subject,
            value=alert.value,
            limit=alert.limit,
        )

    @staticmethod
    def _keep_messages(session: Session, kind: str, alerts: Sequence[Alert], now: float) -> None:
        for alert in alerts:
            data = {
                "id": alert.id,
                "rule": alert.rule,
                "subject": alert.subject,
                "value": alert.value,
                "limit": alert.limit,
                "text": alert.text,
                "began": iso(alert.began),
                "ended": None if alert.ended is None else iso(alert.ended),
            }
            session.add(_message(kind, data, now))


def keep_message(database: Database, kind: str, data: Mapping[str, Any]) -> None:
    """Keep a message for the webhook, which the first worker sends within seconds.

    Args:
        database: of the app.
        kind: its ``type``, as ``case.escalated``.
        data: what it says, as JSON has it.
    """
    with database.write() as session:
        session.add(_message(kind, data, time.time()))


def _message(kind: str, data: Mapping[str, Any], now: float) -> Message:
    body = {"type": kind, "timestamp": iso(now), "data": data}
    return Message(id=f"msg_{uuid.uuid4().hex}", created=now, body=json.dumps(body), attempts=0, due=now)


def going_on(database: Database) -> Sequence[Alert]:
    """Return the alerts that have begun and not ended, the oldest first."""
    with database.read() as session:
        return session.scalars(select(Alert).where(Alert.ended.is_(None)).order_by(Alert.began)).all()


def iso(seconds: float) -> str:
    """Return a moment in ISO 8601, to the millisecond, in UTC (``Z``)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
