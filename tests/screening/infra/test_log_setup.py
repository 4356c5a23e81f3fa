"""Lines of the log, as text and as JSON: one an event, about what it is, without secrets."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from screening.infra import log_context
from screening.infra.audit.log import AuditLog
from screening.infra.log_setup import JsonLines, TextLines, begin_logging

KEY = "fsk_0123456789_0123456789abcdefghijABCDEFGHIJ0123456789ab"
CARD = "4111 1111 1111 1111"


@pytest.fixture
def said() -> Iterator[list[logging.LogRecord]]:
    """Records that reach the log."""
    found: list[logging.LogRecord] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    handler, logger = Kept(), logging.getLogger("screening")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


def record(message: str, *parts: Any, **more: Any) -> logging.LogRecord:
    given = {"name": "screening.web", "levelno": logging.WARNING, "levelname": "WARNING"}
    return logging.makeLogRecord({**given, "msg": message, "args": parts, **more})


def as_json(one: logging.LogRecord) -> dict[str, Any]:
    text = JsonLines().format(one)
    assert "\n" not in text
    assert text.isascii()
    found: dict[str, Any] = json.loads(text)
    return found


def raised(text: str) -> Any:
    try:
        raise ValueError(text)  # noqa: TRY301 -- for its traceback
    except ValueError:
        return sys.exc_info()


def test_a_line_of_json_has_its_parts() -> None:
    with log_context.bound(request_id="r-1"):
        log_context.add(user="ana", key="k7")
        line = as_json(record("%d files of “%s”\nsecond line", 2, "ä"))
    assert line["message"] == "2 files of “ä”\nsecond line"
    assert (line["level"], line["logger"]) == ("WARNING", "screening.web")
    assert (line["request_id"], line["user"], line["key"]) == ("r-1", "ana", "k7")
    assert line["time"].endswith("Z")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(line["time"])).total_seconds()) < 60
    assert "request_id" not in as_json(record("later"))


def test_an_exception_is_a_part_of_its_line() -> None:
    line = as_json(record("it failed", exc_info=raised("broken")))
    assert line["message"] == "it failed"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: broken")
    assert "exception" not in as_json(record("none", exc_info=(None, None, None)))


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
def test_no_key_and_no_card_number_gets_into_a_line(lines: logging.Formatter) -> None:
    one = record("sent %s with %s", KEY, CARD, exc_info=raised(f"{KEY} and {CARD.replace(' ', '')}"))
    text = lines.format(one)
    for secret in (KEY, KEY.rpartition("_")[2], CARD, "4111111111111111"):
        assert secret not in text
    assert "fsk_0123456789_[withheld]" in text
    assert "ValueError" in text


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
def test_a_record_whose_parts_dont_fit_is_still_a_line(lines: logging.Formatter) -> None:
    assert "three" in lines.format(record("%d of %d", "three"))


def test_text_says_what_it_is_about_behind_the_message() -> None:
    with log_context.bound(request_ids=["a", "b"]):
        assert TextLines().format(record("busy")).endswith("WARNING screening.web: busy [request_ids=a,b]")
    text = TextLines().format(record("it failed", exc_info=raised("broken")))
    first, *rest = text.splitlines()
    assert first.endswith("it failed")
    assert rest[-1] == "ValueError: broken"


def test_a_line_of_the_audit_log_is_an_object_in_json(tmp_path: Path, said: list[logging.LogRecord]) -> None:
    AuditLog(tmp_path).record("login", user="ana", password="hidden", sha256="4111111111111111" * 4)
    (one,) = said
    line = as_json(one)
    assert line["message"] == "login"
    assert line["audit"]["user"] == "ana"
    assert line["audit"]["password"] == "[withheld]"
    assert line["audit"]["sha256"] == "4111111111111111" * 4
    assert json.loads(TextLines().format(one).partition(": ")[2]) == line["audit"]


def test_what_is_bound_ends_where_it_began_and_isnt_seen_by_other_threads() -> None:
    seen = []
    with log_context.bound(job="j1"):
        with log_context.bound(request_id="r1"):
            assert dict(log_context.current()) == {"job": "j1", "request_id": "r1"}
        thread = threading.Thread(target=lambda: seen.append(dict(log_context.current())))
        thread.start()
        thread.join()
        assert dict(log_context.current()) == {"job": "j1"}
    assert seen == [{}]
    assert dict(log_context.current()) == {}


def test_logging_begins_once_and_leaves_others_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    before, level, ours = list(root.handlers), root.level, logging.getLogger("screening").level
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    try:
        begin_logging("text")
        begin_logging("json")
        added = [each for each in root.handlers if each not in before]
        assert len(added) == 1
        assert isinstance(added[0].formatter, JsonLines)
        assert [each for each in root.handlers if each in before] == before
    finally:
        logging.captureWarnings(False)
        for each in [each for each in root.handlers if each not in before]:
            root.removeHandler(each)
        root.setLevel(level)
        logging.getLogger("screening").setLevel(ours)
