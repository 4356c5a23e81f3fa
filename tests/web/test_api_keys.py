"""API keys in requests: what a key opens, and how one that opens nothing is refused."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from screening.accounts.api_keys import ANY_SCOPE, SCOPES
from screening.ledger import identity
from screening.settings import Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.keys_kit import ask, file, made, payment
from tests.web.test_audit_log import events

pytestmark = pytest.mark.usefixtures("team")


@dataclass
class Request:
    """A right request of a route, and the scope that it needs."""

    scope: str
    method: str
    rule: str
    body: dict[str, Any] | None = None


ROUTES = [
    Request("score", "POST", "/detect_fraud", {"json": {"transaction": payment()}}),
    Request("score", "POST", "/transactions/<transaction_id>/replay"),
    Request("score", "POST", "/transactions/<transaction_id>/receipt"),
    Request("score", "POST", "/upload", {"content_type": "multipart/form-data"}),
    Request("score", "POST", "/results/<screening_id>/check"),
    Request("read", "GET", "/results/<screening_id>/check"),
    Request("label", "POST", "/labels", {"json": {"labels": [{"id": "<transaction_id>", "label": "fraud"}]}}),
    Request("metrics", "GET", "/metrics"),
    *(
        Request("read", "GET", rule)
        for rule in (
            "/transactions",
            "/transactions/<transaction_id>",
            "/transactions/<transaction_id>/receipt",
            "/summary",
            "/fraud_trends",
            "/fraud_geography",
            "/fraud_devices",
            "/fraud_browsers",
            "/fraud_types",
            "/results/<screening_id>.json",
            "/results/<screening_id>/scores.csv",
            "/results/<screening_id>/flagged.csv",
            "/results/<screening_id>/rejected.csv",
            "/results/<screening_id>/report.pdf",
            "/results/<screening_id>/report.xlsx",
        )
    ),
    Request(ANY_SCOPE, "GET", "/openapi.json"),
]


def detect(app: Flask, key: str, **more: Any) -> Any:
    return ask(app, key, "/detect_fraud", "POST", json={"transaction": payment()}, **more)


@pytest.mark.security(14)
def test_each_scope_opens_its_routes_and_no_other(app: Flask, services: Services, worker: Worker) -> None:
    keys = {scope: made(services, scope) for scope in SCOPES}
    known = {"transaction_id": detect(app, keys["score"]).json["id"]}
    for name, check in (("screening_id", ""), ("checked_id", "1")):
        form = {"content_type": "multipart/form-data", "data": {**file(), "check": check}}
        sent = ask(app, keys["score"], "/upload", "POST", **form)
        assert sent.status_code == 201, sent.json
        known[name] = sent.json["id"]

    def filled(given: Any) -> Any:
        if isinstance(given, dict):
            return {name: filled(value) for name, value in given.items()}
        if isinstance(given, list):
            return [filled(value) for value in given]
        if isinstance(given, str):
            given = given.replace("<screening_id>/check", "<checked_id>/check")
            return re.sub(r"<(\w+)>", lambda it: known[it[1]], given)
        return given

    for route, (scope, key) in itertools.product(ROUTES, keys.items()):
        body = filled(route.body or {})
        if route.rule == "/upload":
            body["data"] = file()
        answer = ask(app, key, filled(route.rule), route.method, **body)
        if route.scope in (scope, ANY_SCOPE):
            assert answer.status_code in (200, 201, 202, 303), (route, answer.get_data(as_text=True))
            continue
        assert answer.status_code == 403, (route, scope)
        assert answer.mimetype == "application/problem+json"
        assert answer.json["scope"] == route.scope
        assert route.scope in answer.json["detail"]
        assert f'error="insufficient_scope", scope="{route.scope}"' in answer.headers["WWW-Authenticate"]


@pytest.mark.security(14)
def test_every_route_that_takes_keys_is_tried_above(app: Flask) -> None:
    scoped = {
        (getattr(app.view_functions[rule.endpoint], "scope", None), method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {one for one in scoped if one[0]} == {(one.scope, one.method, one.rule) for one in ROUTES}


@pytest.mark.security(12, 14)
def test_pages_for_people_take_no_key_even_of_an_administrator_who_is_logged_in(
    app: Flask, login: Callable[[str], Person], services: Services
) -> None:
    key, ada = made(services, *SCOPES, owner="ada"), login("ada")
    seen = 0
    for rule in app.url_map.iter_rules():
        view: Any = app.view_functions[rule.endpoint]  # it may carry what is asked of who calls it
        if not hasattr(view, "permission") or view.scope is not None:
            continue
        for method in (rule.methods or set()) - {"OPTIONS"}:
            url = re.sub(r"<[^>]+>", "0123abcd", re.sub(r"<int:[^>]+>", "1", rule.rule))
            answer = ada.client.open(url, method=method, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 403, (method, url)
            assert answer.mimetype == "application/problem+json"
            seen += 1
    assert seen > 20
    assert len(services.keys.all()) == 1


@pytest.mark.security(14)
def test_the_owners_role_bounds_the_key_now_and_later(
    app: Flask, services: Services, settings: Settings
) -> None:
    key = made(services, "score", "read", owner="ana")
    assert detect(app, key).status_code == 200
    text = settings.users_file.read_text("utf-8")
    settings.users_file.write_text(text.replace(",analyst", ",auditor"), encoding="utf-8")
    time.sleep(1.0)
    refused = detect(app, key)
    assert (refused.status_code, refused.json["scope"]) == (403, "score")
    assert "auditor" in refused.json["detail"]
    assert ask(app, key, "/summary").status_code == 200


@pytest.mark.security(13, 14)
def test_a_key_sees_what_its_owner_sees(app: Flask, services: Services) -> None:
    ana, mia = made(services, "score", "read", owner="ana"), made(services, "score", "read", owner="mia")
    hers = detect(app, mia).json["id"]
    assert ask(app, ana, f"/transactions/{hers}").status_code == 404
    assert ask(app, ana, f"/transactions/{hers}/replay", "POST").status_code == 404
    mine = detect(app, ana).json["id"]
    assert ask(app, mia, f"/transactions/{mine}").json["owner"] == "ana"  # a manager sees all
    assert ask(app, ana, "/summary").json["total_transactions"] == 1
    assert ask(app, mia, "/summary").json["total_transactions"] == 2


@pytest.mark.security(14, 33)
def test_a_decision_and_a_label_say_by_which_key(app: Flask, services: Services, settings: Settings) -> None:
    key = made(services, "score", "label")
    (listed,) = services.keys.all()
    answer = detect(app, key)
    origin = identity.parse(answer.json["id"])
    assert origin is not None
    row = services.ledger.questions.one(origin, None)
    assert row is not None
    assert (row["key"], row["owner"], row["request"]) == (listed.id, "mia", answer.headers["X-Request-ID"])
    said = ask(
        app, key, "/labels", "POST", json={"labels": [{"id": answer.json["id"], "label": "legitimate"}]}
    )
    assert said.json == {"accepted": 1, "unknown": []}
    (line,) = events(settings, "labels")
    assert (line["user"], line["key"], line["key_name"]) == ("mia", listed.id, listed.name)


@pytest.mark.security(14)
def test_a_key_needs_no_token_and_gets_no_cookie(app: Flask, services: Services) -> None:
    answer = detect(app, made(services, "score"))
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.security(14)
@pytest.mark.parametrize("url", ["/detect_fraud", "/labels", "/transactions/0123abcd/replay"])
def test_a_cookie_alone_changes_nothing(login: Callable[[str], Person], url: str) -> None:
    answer = login("ana").client.post(url, json={"transaction": payment()})
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")


def refused(answer: Any, word: str) -> None:
    """Check a 401: problem+json with a challenge, and what to do."""
    assert answer.status_code == 401, answer.get_data(as_text=True)
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fraud-screening", error="invalid_token"'
    assert answer.json["status"] == 401
    assert word in answer.json["what"]
    assert answer.json["remedy"]
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.security(14)
def test_a_revoked_key_is_refused_within_a_second(app: Flask, services: Services) -> None:
    key = made(services, "score")
    assert detect(app, key).status_code == 200
    services.keys.revoke(key, by="ada")
    time.sleep(1.0)
    refused(detect(app, key), "revoked")


@pytest.mark.security(14)
def test_an_expired_key_is_refused(app: Flask, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    key, late = made(services, "score", days=30), time.time() + 30 * 86_400
    assert detect(app, key).status_code == 200
    monkeypatch.setattr(services.key_ring, "_clock", lambda: late - 5)
    assert detect(app, key).status_code == 200
    monkeypatch.setattr(services.key_ring, "_clock", lambda: late + 1)
    refused(detect(app, key), "expired")


@pytest.mark.security(14)
@pytest.mark.parametrize("how", ["disabled", "deleted", "another of the same name"])
def test_without_its_owner_a_key_opens_nothing(
    app: Flask, services: Services, settings: Settings, how: str
) -> None:
    key, text = made(services, "score", owner="ana"), settings.users_file.read_text("utf-8")
    assert detect(app, key).status_code == 200
    if how == "disabled":
        services.users.set_state("ana", active=False)
    else:
        kept = [line for line in text.splitlines(keepends=True) if not line.startswith("ana,")]
        settings.users_file.write_text("".join(kept), encoding="utf-8")
    if how == "another of the same name":
        Person(app, "Ana").sign_up()
    time.sleep(1.0)
    refused(detect(app, key), "revoked" if how == "another of the same name" else "ana")


def unknown(key: str) -> Iterator[tuple[str, str]]:
    """Keys that aren't, and a word of the refusal."""
    yield "fsk_2222222222_" + "A" * 49, "checksum"
    yield key[:-1] + ("1" if key[-1] != "1" else "2"), "checksum"
    yield key[:-1], "characters"
    yield key + "A", "characters"
    yield key[:4] + key[4:].upper(), "checksum"
    yield key.upper(), "begins with fsk_"
    yield "0f" * 32, "begins with fsk_"
    yield "fsk_", "characters"
    yield "eyJhbGciOiJub25lIn0.e30.", "characters"


@pytest.mark.security(14)
def test_what_is_no_key_of_this_server_is_refused_with_what_to_do(
    app: Flask, services: Services, app_with: Callable[..., Flask]
) -> None:
    key = made(services, "score")
    for text, word in unknown(key):
        answer = detect(app, text)
        refused(answer, word)
        assert text[4:] == "" or text not in answer.get_data(as_text=True)
    services.keys.revoke(key, by="ada")
    with services.database.write() as session:
        session.connection().exec_driver_sql("DELETE FROM api_keys")
    refused(detect(app_with(), key), "isn't known")


@pytest.mark.security(14)
def test_without_a_key_and_a_session_the_answer_says_what_is_wanted(app: Flask) -> None:
    for request in ROUTES:
        if not request.rule.startswith(("/detect", "/trans", "/labels", "/summary", "/fraud")):
            continue
        url = re.sub("<[^>]+>", "0123abcd", request.rule)
        answer = app.test_client().open(url, method=request.method, **(request.body or {}))
        assert answer.status_code == 401, request
        assert answer.mimetype == "application/problem+json"
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fraud-screening"'
        assert "Authorization: Bearer" in answer.get_json()["remedy"]


@pytest.mark.security(14)
def test_over_the_limit_a_key_waits_and_others_dont(app: Flask, services: Services) -> None:
    slow, other = made(services, "score", burst=2, per_minute=2), made(services, "read")
    assert [detect(app, slow).status_code for _ in range(3)] == [200, 200, 429]
    answer = detect(app, slow)
    assert answer.mimetype == "application/problem+json"
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    assert answer.headers["Retry-After"] in answer.get_json()["remedy"]
    assert ask(app, other, "/summary").json["total_transactions"] == 2


def test_a_wrong_scope_doesnt_use_the_limit_up(app: Flask, services: Services) -> None:
    key = made(services, "score", burst=1, per_minute=1)
    assert [ask(app, key, "/summary").status_code for _ in range(3)] == [403] * 3
    assert detect(app, key).status_code == 200


@pytest.mark.security(14, 33)
def test_the_last_use_and_the_network_are_kept(app: Flask, services: Services, settings: Settings) -> None:
    key = made(services, "score", owner="ana")
    detect(app, key)
    services.key_ring.close()  # writes what waits
    (listed,) = services.keys.all()
    assert listed.last_used is not None
    (line,) = events(settings, "key_new_network")
    assert (line["user"], line["address"], line["key"]) == ("ana", "127.0.0.1", listed.id)


@pytest.mark.parametrize(
    "body", ["{", "[]", "{}", '{"labels": []}', '{"labels": [{"id": "x", "label": "fraud"}]}']
)
def test_labels_that_cant_be_read_are_called_so(app: Flask, services: Services, body: str) -> None:
    answer = ask(app, made(services, "label"), "/labels", "POST", data=body)
    assert (answer.status_code, answer.json["title"]) == (422, "These labels can't be kept")


def test_two_keys_of_one_owner_share_idempotency_keys(app: Flask, services: Services) -> None:
    """A program whose key is replaced in the middle of a repetition must not count twice."""
    first, second = made(services, "score"), made(services, "score", "read")
    headers = {"Idempotency-Key": "order 17"}
    assert detect(app, first, headers=headers).json == detect(app, second, headers=headers).json
    assert ask(app, second, "/summary").json["total_transactions"] == 1
