"""Alerts: said once at either end, kept over a restart, and sent to a receiver that may be slow, wrong or away."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook as Verifier

from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.monitoring.alerts import CALM_SECONDS, Alerts, Breach
from screening.monitoring.tables import Message
from screening.monitoring.webhooks import WAITS, Webhook
from tests.clock import Clock

pytestmark = pytest.mark.both_databases

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """The operator's endpoint, on this machine."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], str]] = []
        self.statuses: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status = outer.statuses.pop(0) if outer.statuses else 204
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"http://127.0.0.1:{outer.port}/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def alerts(database: Database, tmp_path: Path, clock: Clock) -> Alerts:
    return Alerts(database, AuditLog(tmp_path), webhook=True, clock=clock)


@pytest.fixture
def webhook(database: Database, tmp_path: Path, clock: Clock, receiver: Receiver) -> Webhook:
    return to(receiver.port, database, tmp_path, clock)


def to(port: int, database: Database, tmp_path: Path, clock: Clock) -> Webhook:
    return Webhook(f"http://127.0.0.1:{port}/hook?team=fraud", SECRET, database, AuditLog(tmp_path), clock)


def audit(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in AuditLog(tmp_path).path.read_text().splitlines()]


def messages(database: Database) -> list[Message]:
    with database.read() as session:
        return list(session.scalars(select(Message).order_by(Message.created)))


FULL = Breach(rule="disk", subject="a", value=0.5, limit=1.0, text="0.50 GB are free.")


def test_an_alert_is_said_once_when_it_begins_and_once_when_it_ends(
    alerts: Alerts, clock: Clock, tmp_path: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "screening.monitoring")
    for minute in range(20):
        alerts.update([replace(FULL, value=0.5 - minute / 100)] if minute < 10 else [])
        clock.now += 60
    assert [line["event"] for line in audit(tmp_path)] == ["alert_began", "alert_ended"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    kinds = [json.loads(message.body)["type"] for message in messages(database)]
    assert kinds == ["alert.began", "alert.ended"]
    assert alerts.going_on() == []


def test_what_goes_up_and_down_around_a_limit_is_one_alert(
    alerts: Alerts, clock: Clock, tmp_path: Path
) -> None:
    for minute in range(30):
        alerts.update([FULL] if minute % 3 == 0 else [])
        clock.now += 60
    assert len(audit(tmp_path)) == 1


def test_an_alert_goes_on_while_nobody_can_tell(alerts: Alerts, clock: Clock, tmp_path: Path) -> None:
    alerts.update([FULL])
    clock.now += 2 * CALM_SECONDS
    alerts.update([], unknown=["disk"])
    assert len(alerts.going_on()) == 1
    alerts.update([])
    assert [line["event"] for line in audit(tmp_path)] == ["alert_began", "alert_ended"]


def test_an_alert_goes_on_over_a_restart(
    alerts: Alerts, database: Database, tmp_path: Path, clock: Clock
) -> None:
    alerts.update([FULL])
    Alerts(database, AuditLog(tmp_path), webhook=True, clock=clock).update([FULL])
    assert len(audit(tmp_path)) == 1


def test_a_message_is_signed_and_says_what_happened(
    alerts: Alerts, webhook: Webhook, receiver: Receiver
) -> None:
    alerts.update([FULL])
    assert webhook.send_due() == 1
    assert webhook.send_due() == 0
    ((headers, body),) = receiver.heard
    said = Verifier(SECRET).verify(body, headers)
    assert said["type"] == "alert.began"
    assert said["data"]["rule"] == "disk"
    assert said["data"]["text"] == "0.50 GB are free."


@pytest.mark.parametrize("status", [500, 429, 404, 301, 307, 410])
def test_a_message_that_isnt_taken_is_sent_again_later_under_the_same_id(
    alerts: Alerts, webhook: Webhook, receiver: Receiver, clock: Clock, status: int
) -> None:
    receiver.statuses = [status]
    alerts.update([FULL])
    assert webhook.send_due() == 0
    assert webhook.send_due() == 0  # not before its time
    assert len(receiver.heard) == 1  # and no redirect was followed
    clock.now += WAITS[0]
    assert webhook.send_due() == 1
    first, second = receiver.heard
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    assert first[0]["webhook-signature"] != second[0]["webhook-signature"]
    assert first[1] == second[1]


def test_a_message_that_nobody_takes_is_given_up_after_two_days_and_that_is_said(
    alerts: Alerts, database: Database, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_address[1]
    webhook = to(port, database, tmp_path, clock)
    alerts.update([FULL])
    for _ in range(len(WAITS) + 5):
        webhook.send_due()
        clock.now += max(WAITS)
    (message,) = messages(database)
    assert (message.attempts, message.due, message.delivered) == (len(WAITS) + 1, None, None)
    assert message.error == "given up: no answer (ConnectionRefusedError)"
    assert audit(tmp_path)[-1]["event"] == "webhook_given_up"
    assert SECRET not in caplog.text
    assert "/hook" not in caplog.text + json.dumps(audit(tmp_path))


def test_a_message_of_a_process_that_was_killed_is_sent_by_the_next(
    alerts: Alerts, webhook: Webhook, receiver: Receiver, clock: Clock
) -> None:
    alerts.update([FULL])
    assert webhook._take() is not None  # and the process ends here
    assert webhook.send_due() == 0
    clock.now += 61
    assert webhook.send_due() == 1
    assert len(receiver.heard) == 1


def test_without_a_webhook_no_message_is_kept(database: Database, tmp_path: Path) -> None:
    Alerts(database, AuditLog(tmp_path), webhook=False).update([FULL])
    assert messages(database) == []
