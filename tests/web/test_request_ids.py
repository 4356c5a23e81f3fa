"""The number of a request: taken from who sends it or made, answered, and in every line of the log about it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from screening.accounts.api_keys import MOST_BURST, MOST_PER_MINUTE
from screening.infra.log_setup import JsonLines
from screening.ledger.tables import TailRow
from screening.web.api import deciding
from screening.web.app_factory import create_front
from screening.web.http import front as front_module
from screening.web.http.headers import request_id
from screening.web.services import Services
from tests.conftest import Person
from tests.web.asgi import Heard, Told, call, call_together
from tests.web.keys_kit import payment

GIVEN = (
    "a", "7", "req_0123.abc-DEF", "0f8fad5b-d9cb-469f-a165-708677289504", "550e8400-e29b-41d4-a716-446655440000",
    "4bf92f3577b34da6a3ce929d0e0e4736", "x" * 64,
)  # fmt: skip
REFUSED = (
    "", " ", "x" * 65, "a b", "a\tb", "a,b", "a\nb", "-a", ".a", "_a", "ä", "a;b", "<a>", '"', "a/b", "a%0ab",
    "4111111111111111", "4111-1111-1111-1111", "id-4111.1111.1111.1111", "order-1234567890123",
    "fsk_0123456789_abcdefghij", "x.FSK_0123456789_abcdefghij", "٣٣٣",
)  # fmt: skip


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What is logged meanwhile, as lines of JSON."""
    found: list[dict[str, Any]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(self.format(record)))

    handler, logger = Kept(), logging.getLogger("screening")
    handler.setFormatter(JsonLines())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def key(services: Services, team: Any) -> str:
    made = services.keys.create(
        "till", "mia", ("score",), by="ada", per_minute=MOST_PER_MINUTE, burst=MOST_BURST
    )
    return made[1]


def header(answer: Heard, name: str = "x-request-id") -> str:
    (value,) = [value for key, value in answer.headers if key == name]
    return value


def told(key: str, body: bytes | None = None, **headers: str) -> Told:
    given = {"Content-Type": "application/json", "Authorization": f"Bearer {key}", **headers}
    return Told(body if body is not None else json.dumps({"transaction": payment()}).encode(), given)


@pytest.mark.parametrize("given", GIVEN)
def test_a_number_that_is_one_is_taken(given: str) -> None:
    assert request_id(given) == given


@pytest.mark.security(33)
@pytest.mark.parametrize("given", REFUSED)
def test_what_could_harm_a_log_or_is_a_secret_is_not_taken(given: str) -> None:
    made = request_id(given)
    assert made != given
    assert len(made) == 16
    assert request_id(None) != made


def test_pages_answer_with_the_number_and_log_it_with_who_asked(
    app: Flask, login: Callable[[str], Person], lines: list[dict[str, Any]]
) -> None:
    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("a fault")

    person = login("mia")
    answer = person.client.get("/broken", headers={"X-Request-ID": "seen-1"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (500, "seen-1")
    (line,) = [each for each in lines if "exception" in each]
    assert (line["request_id"], line["user"]) == ("seen-1", "mia")
    assert line["exception"].endswith("RuntimeError: a fault")
    other = person.client.get("/broken", headers={"X-Request-ID": "not one"})
    assert other.headers["X-Request-ID"] == lines[-1]["request_id"] != "not one"
    audit = person.client.get("/admin/users", headers={"X-Request-ID": "seen-2"})
    assert audit.status_code == 403
    assert [each["audit"]["request_id"] for each in lines if "audit" in each][-1] == "seen-2"


def test_both_ways_of_a_program_answer_with_the_number_and_keep_it_in_the_ledger(
    app: Flask, services: Services, key: str
) -> None:
    front = create_front(app)
    lean = call(front, told(key, None, **{"X-Request-ID": "lean-1"}))
    assert (lean.status, header(lean)) == (200, "lean-1")
    asked = told(key, None, **{"X-Request-ID": "flask-1"})
    slow = call(front, Told(asked.body, asked.headers, query="a=1"))  # a query is for Flask
    assert (slow.status, header(slow)) == (200, "flask-1")
    with services.ledger.tables.read() as session:
        kept = [json.loads(row.payload)["same"]["request"] for row in session.query(TailRow)]
    assert kept == ["lean-1", "flask-1"]
    made = call(front, told(key, None, **{"X-Request-ID": "4111111111111111"}))
    assert len(header(made)) == 16


def test_the_lean_path_logs_the_number_the_key_and_its_owner(
    app: Flask, services: Services, key: str, lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault")

    monkeypatch.setattr(deciding, "decide", fails)
    front = create_front(app)
    answer = call(front, told(key, None, **{"X-Request-ID": "lean-2"}))
    assert (answer.status, header(answer)) == (500, "lean-2")
    assert json.loads(answer.body)["request_id"] == "lean-2"
    (line,) = [each for each in lines if "exception" in each]
    assert (line["request_id"], line["user"]) == ("lean-2", "mia")
    assert key.startswith(f"fsk_{line['key']}_")
    assert key not in json.dumps(lines)


def test_requests_that_are_decided_together_are_told_apart(
    app: Flask, key: str, lines: list[dict[str, Any]]
) -> None:
    front = create_front(app)
    every = [told(key, None, **{"X-Request-ID": f"many-{number}"}) for number in range(8)]
    every.append(told("fsk_0000000000_no", None, **{"X-Request-ID": "many-no"}))
    answers = call_together(front, every)
    assert [header(each) for each in answers] == [*(f"many-{number}" for number in range(8)), "many-no"]
    refused = [each for each in lines if each.get("request_id") == "many-no"]
    assert all("user" not in each for each in refused)


def test_an_answer_that_nobody_has_time_for_has_a_number(
    app: Flask, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_module._Pool, "full", True)
    answer = call(create_front(app), Told(method="GET", path="/", headers={"X-Request-ID": "busy-1"}))
    assert (answer.status, header(answer)) == (503, "busy-1")


def test_pieces_of_an_answer_that_come_later_are_logged_with_the_number(
    app: Flask, lines: list[dict[str, Any]]
) -> None:
    @app.get("/pieces")
    def pieces() -> Any:
        def made() -> Iterator[bytes]:
            yield b"one"
            logging.getLogger("screening.web").warning("in the middle")
            yield b"two"

        return app.response_class(made())

    answer = call(create_front(app), Told(method="GET", path="/pieces", headers={"X-Request-ID": "pieces-1"}))
    assert answer.body == b"onetwo"
    assert [each["request_id"] for each in lines if each["message"] == "in the middle"] == ["pieces-1"]
