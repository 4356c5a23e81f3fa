"""Sends the operator's messages, signed as Standard Webhooks says (https://www.standardwebhooks.com).

A message is a row, sent until its receiver says 2xx or a day and more has passed. It is noted as tried before it is
sent: a process that is killed loses none, and may send one twice, under the same id.
"""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

from sqlalchemy import delete, select, update

from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.monitoring.tables import MOST_ERROR, Message

log = logging.getLogger("screening.monitoring")
# Seconds between attempts. Nine attempts span two days, so a receiver that is down for a while loses nothing.
WAITS = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0)
# Nobody else sends a message that a worker has taken until so much time is over: the worker may have died.
HELD_SECONDS = 60.0
STEP_SECONDS, WHOLE_SECONDS = 10.0, 20.0
"""The longest wait for one piece of an answer, and for all of it."""
MOST_SENT = 20
KEPT_SECONDS = 30 * 86_400.0
GIVEN_UP = "given up: "


class Webhook:
    """The operator's endpoint.

    Args:
        url: https, or http on this machine; it is checked by the settings.
        secret: ``whsec_`` and the key in Base64, or the key alone.
        database: where the messages are.
        audit: told of messages that are given up.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        database: Database,
        audit: AuditLog,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._secret = urlsplit(url), secret
        self._database, self._audit, self._clock = database, audit, clock

    def send_due(self) -> int:
        """Send what is due, the oldest first, and return how many were delivered."""
        delivered = 0
        for _ in range(MOST_SENT):
            message = self._take()
            if message is None:
                break
            problem = self._send(message)
            delivered += problem is None
            self._note(message, problem)
        return delivered

    def forget_old(self) -> None:
        """Forget messages that were delivered or given up long ago."""
        with self._database.write() as session:
            session.execute(
                delete(Message).where(Message.due.is_(None), Message.created < self._clock() - KEPT_SECONDS)
            )

    def _take(self) -> Message | None:
        now = self._clock()
        due = select(Message).where(Message.due <= now).order_by(Message.due, Message.created).limit(1)
        with self._database.write() as session:
            message = session.scalar(due.with_for_update(skip_locked=True))
            if message is not None:
                message.attempts += 1
                message.due = now + HELD_SECONDS
        return message

    def _note(self, message: Message, problem: str | None) -> None:
        now = self._clock()
        values: dict[str, float | str | None] = {"due": None, "delivered": now, "error": None}
        if problem is not None:
            last = message.attempts > len(WAITS)
            due = None if last else now + WAITS[message.attempts - 1]
            values = {"due": due, "error": f"{GIVEN_UP if last else ''}{problem}"[:MOST_ERROR]}
            if last:
                log.error("a webhook message was given up after %d attempts: %s", message.attempts, problem)
                self._audit.record(
                    "webhook_given_up", message=message.id, attempts=message.attempts, problem=problem
                )
            elif message.attempts == 1:
                log.warning("the webhook doesn't take a message and will be tried again: %s", problem)
        with self._database.write() as session:
            session.execute(update(Message).where(Message.id == message.id).values(**values))

    def _send(self, message: Message) -> str | None:
        """Send a message once; returns why it wasn't taken, without the address, which may be a secret."""
        connection = self._connection()
        # a receiver that sends a byte now and then mustn't keep the alerts waiting
        ending = threading.Timer(WHOLE_SECONDS, lambda: cut_off(connection))
        ending.daemon = True
        ending.start()
        try:
            body = message.body.encode()
            path = self._url.path or "/"
            target = f"{path}?{self._url.query}" if self._url.query else path
            connection.request("POST", target, body, self._headers(message.id, message.body))
            # a redirect isn't followed: the secret's holder is this one
            status = connection.getresponse().status
        except ssl.SSLError as problem:
            return f"the connection isn't secure ({problem.reason or 'TLS'})"
        except TimeoutError:
            return "no answer in time"
        except (OSError, http.client.HTTPException) as problem:
            return f"no answer ({type(problem).__name__})"
        finally:
            ending.cancel()
            connection.close()
        return None if 200 <= status < 300 else f"status {status}"

    def _connection(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        if self._url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, self._url.port, timeout=STEP_SECONDS, context=context)
        return http.client.HTTPConnection(host, self._url.port, timeout=STEP_SECONDS)

    def _headers(self, number: str, body: str) -> dict[str, str]:
        from standardwebhooks import Webhook as Signer  # only who sends one needs it

        moment = datetime.fromtimestamp(int(self._clock()), UTC)
        return {
            "Content-Type": "application/json",
            "User-Agent": "fraud-screening",
            "webhook-id": number,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Signer(self._secret).sign(number, moment, body),
        }


def cut_off(connection: http.client.HTTPConnection) -> None:
    """End a connection, whatever waits for it."""
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
