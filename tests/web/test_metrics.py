"""``GET /metrics``: what it counts, and to whom it tells it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from screening.web.app_factory import create_front
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.waiting import wait_until
from tests.web.asgi import Told, call, call_together
from tests.web.keys_kit import ask, file, made, payment

pytestmark = pytest.mark.usefixtures("team")


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(app: Flask) -> Callable[..., float]:
    found = samples(app.test_client().get("/metrics").get_data(as_text=True))
    return lambda name, **labels: found.get((name, tuple(sorted(labels.items()))), -1.0)


def told(key: str, **headers: str) -> Told:
    body = json.dumps({"transaction": payment()}).encode()
    return Told(body, {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers})


def test_transactions_of_the_api_count_once_whichever_way_they_come(app: Flask, services: Services) -> None:
    key = made(services, "score")
    assert read(app)("fraud_transactions_total", detector="card", source="api") == 0
    front = create_front(app)
    answers = call_together(front, [told(key)] * 3)
    call_together(front, [told(key, **{"Idempotency-Key": "one"})] * 3)
    call(front, told(key, **{"Idempotency-Key": "one"}))
    ask(app, key, "/detect_fraud", "POST", json={"transaction": payment(), "detector": "card"})
    ask(app, key, "/detect_fraud", "POST", json={"transaction": {"Time": 1}})  # isn't scored
    now = read(app)
    assert now("fraud_transactions_total", detector="card", source="api") == 5
    flagged = 5 if json.loads(answers[0].body)["fraud"] else 0
    assert now("fraud_flagged_total", detector="card", source="api") == flagged
    assert now("fraud_probability_count", detector="card") == 5
    assert now("fraud_probability_bucket", detector="card", le="+Inf") == 5
    probability = json.loads(answers[0].body)["fraud_probability"]
    assert now("fraud_probability_sum", detector="card") == pytest.approx(5 * probability)


def test_rows_of_a_file_count_once_and_stay_counted(
    app: Flask, services: Services, worker: Worker, login: Callable[[str], Person]
) -> None:
    key = made(services, "score", "read")
    sent = ask(app, key, "/upload", "POST", data=file(), content_type="multipart/form-data")
    number = sent.json["id"]
    wait_until(lambda: number in services.ledger.segments.screenings())
    now = read(app)
    assert now("fraud_transactions_total", detector="card", source="file") == 10
    assert now("fraud_transactions_total", detector="card", source="api") == 0
    mia = login("mia")
    mia.post(f"/results/{number}/delete", f"/results/{number}")
    wait_until(lambda: number not in services.ledger.segments.screenings())
    assert read(app)("fraud_transactions_total", detector="card", source="file") == 10


def test_requests_are_counted_by_the_rule_of_their_address(app: Flask, services: Services) -> None:
    key = made(services, "score", "read")
    front = create_front(app)
    call(front, told(key))
    call(front, told("fsk_0123456789_nonsense"))
    for path in ("/healthz", "/results/0123abcd", "/results/4567cdef", "/4111111111111111", f"/{key}"):
        call(front, Told(method="GET", path=path))
    text = app.test_client().get("/metrics").get_data(as_text=True)
    found = samples(text)

    def count(route: str) -> float:
        return found.get(("fraud_request_seconds_count", (("route", route),)), 0)

    assert count("/detect_fraud") == 2
    assert count("/healthz") == 1
    assert count("/results/<screening_id>") == 2
    assert count("unknown") == 2
    assert found["fraud_responses_total", (("route", "/detect_fraud"), ("status", "2xx"))] == 1
    assert found["fraud_responses_total", (("route", "/detect_fraud"), ("status", "4xx"))] == 1
    assert found["fraud_responses_total", (("route", "unknown"), ("status", "4xx"))] == 2
    routes = {label for (name, labels) in found for kind, label in labels if kind == "route"}
    assert routes <= {rule.rule for rule in app.url_map.iter_rules()} | {"unknown"}
    for secret in (key, "4111111111111111", "0123abcd", "mia"):
        assert secret not in text


FROM_ELSEWHERE: list[tuple[str, dict[str, Any]]] = [
    ("another machine", {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}),
    ("another machine, by IPv6", {"environ_base": {"REMOTE_ADDR": "2001:db8::7"}}),
    ("a proxy that is trusted", {"headers": {"X-Forwarded-For": "192.0.2.7"}}),
    ("a proxy that is trusted, with an invented address", {"headers": {"X-Forwarded-For": "127.0.0.1"}}),
    ("a proxy that says nothing but this", {"headers": {"X-Forwarded-Proto": "https"}}),
    ("a proxy that speaks RFC 7239", {"headers": {"Forwarded": "for=127.0.0.1"}}),
    ("a proxy that signs with Via", {"headers": {"Via": "1.1 edge"}}),
    ("a page of another name that leads here", {"headers": {"Host": "evil.example"}}),
]


@pytest.mark.security(12, 14)
@pytest.mark.parametrize(("who", "how"), FROM_ELSEWHERE, ids=[who for who, _ in FROM_ELSEWHERE])
@pytest.mark.parametrize("proxies", [(), ("127.0.0.1",)], ids=["no proxies", "a known proxy"])
def test_whoever_isnt_this_machine_needs_a_key(
    app_with: Callable[..., Flask], who: str, how: dict[str, Any], proxies: tuple[str, ...]
) -> None:
    app = app_with(trusted_proxies=proxies)
    key = made(app.extensions["screening"], "metrics")
    answer = app.test_client().get("/metrics", **how)
    assert answer.status_code == 401, who
    assert answer.mimetype == "application/problem+json"
    assert "fraud_" not in answer.get_data(as_text=True).replace("fraud-screening", "")
    headers = {**how.get("headers", {}), "Authorization": f"Bearer {key}"}
    assert app.test_client().get("/metrics", **{**how, "headers": headers}).status_code == 200


@pytest.mark.security(14)
def test_a_bad_key_opens_nothing_even_from_this_machine(app: Flask, services: Services) -> None:
    key = made(services, "score")
    assert ask(app, key, "/metrics").status_code == 403
    assert ask(app, "fsk_0123456789_nonsense", "/metrics").status_code == 401


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:5000", "127.0.0.1:5000", "[::1]:5000"])
def test_this_machine_needs_none(app: Flask, address: str, host: str) -> None:
    answer = app.test_client().get("/metrics", environ_base={"REMOTE_ADDR": address}, headers={"Host": host})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["Cache-Control"] == "no-store"
