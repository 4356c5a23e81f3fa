"""Write the log of the processes to standard error: one line an event, as text for people or as JSON for programs."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from screening.cards.masking import without_card_numbers
from screening.infra import log_context
from screening.infra.audit.log import AUDIT, mask_keys

TEXT, JSON = "text", "json"
SERVER_LOGS: Mapping[str, Any] = MappingProxyType(
    {"loggers": {name: {"handlers": [], "propagate": True} for name in ("_granian", "granian.access")}}
)
"""Has the server's own messages written like all others."""


def begin_logging(log_format: str = TEXT) -> None:
    """Write to standard error from now on; libraries speak only when something is wrong.

    Args:
        log_format: ``text`` or ``json``. With ``json`` also warnings of Python and errors that nobody caught are lines
            of JSON.
    """
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(handler)
    handler = _Handler()
    handler.setFormatter(JsonLines() if log_format == JSON else TextLines())
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("screening").setLevel(logging.INFO)
    if log_format == JSON:
        logging.captureWarnings(True)
        sys.excepthook = _uncaught
        threading.excepthook = lambda given: _uncaught(given.exc_type, given.exc_value, given.exc_traceback)


class _Handler(logging.StreamHandler[Any]):
    """Ours: a second start of logging takes its place, and leaves those of others alone."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)


class _Lines(logging.Formatter):
    """Common base of both forms of the log: no API key and no card number gets into a line, whoever wrote it there."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 -- the name is logging's
        """Return the traceback."""
        return without_secrets(super().formatException(ei))

    @staticmethod
    def said(record: logging.LogRecord) -> str:
        """Return the message, also of a record whose parts don't fit: a fault in a log mustn't become another one."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            text = f"{record.msg} {record.args!r}"
        # the audit log cleans its lines itself, and has hashes in which digits may look like a card's
        return text if hasattr(record, AUDIT) else without_secrets(text)


class TextLines(_Lines):
    """``2026-03-01 12:00:00,123 WARNING screening.web: message [request_id=…]``, and tracebacks below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        about = " ".join(
            f"{name}={value if isinstance(value, str) else ','.join(value)}"
            for name, value in log_context.current().items()
        )
        shown = logging.makeLogRecord(record.__dict__)
        shown.msg, shown.args = f"{self.said(record)} [{about}]" if about else self.said(record), None
        shown.exc_text = None
        return super().format(shown)


class JsonLines(_Lines):
    """One JSON object a line (ASCII): ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``request_id``,
    ``user``, ``key``, ``job``, ``exception`` where there are such, and ``audit`` for lines of the audit log.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
        }
        audit = getattr(record, AUDIT, None)
        line["message"] = self.said(record) if audit is None else audit.get("event")
        line |= log_context.current()
        if audit is not None:
            line[AUDIT] = audit
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = without_secrets(record.stack_info)
        line["process"] = record.process
        return json.dumps(line, ensure_ascii=True, default=str)


def without_secrets(text: str) -> str:
    """Return a text without card numbers and API keys."""
    return without_card_numbers(mask_keys(text))


def _uncaught(kind: Any, value: Any, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("screening").critical("an error that nobody caught", exc_info=(kind, value, trace))
