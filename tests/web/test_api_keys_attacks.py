"""API keys under attack: odd headers, two ways in at once, keys in addresses, bodies behind bad keys."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy.exc import IntegrityError
from werkzeug.test import TestResponse

from screening.accounts import key_text
from screening.infra.audit.log import AuditLog
from screening.settings import Settings
from screening.web.services import Services
from tests.conftest import Person
from tests.web.keys_kit import ask, made, payment
from tests.web.test_guard import MEBIBYTE, Tap, send

pytestmark = [pytest.mark.usefixtures("team"), pytest.mark.security(14)]


def asked(app: Flask, header: str, method: str = "GET", url: str = "/summary") -> TestResponse:
    """Send a header as it is."""
    return app.test_client(use_cookies=False).open(url, method=method, headers={"Authorization": header})


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", "Bearer {}  "])
def test_the_scheme_is_read_without_case_and_spaces_dont_matter(
    app: Flask, services: Services, header: str
) -> None:
    assert asked(app, header.format(made(services, "read"))).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "{}", "Basic {}", "Bearer{}", "Bearer\t{}", "Bearer: {}", "Token {}", "ApiKey {}",
        'Bearer "{}"', "Bearer '{}'", "Bearer {0},Bearer {0}", "Bearer {0}, Bearer {0}", "Bearer {0} {0}",
        "Bearer x,Bearer {}", "Basic x,Bearer {}", "Bearer {}\t", "Bearer {}\x00", "Bearer {}\xa0", "Bearer \xb9{}",
        "Bearer {}\x0b", "Bearer token={}", "Bearer %66sk_", "Bearer ../../{}", "Bearer \xff\xfe",
    ],
)  # fmt: skip
def test_every_other_writing_of_the_header_lets_nobody_in(
    app: Flask, services: Services, header: str
) -> None:
    answer = asked(app, header.format(made(services, "read")))
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"


def test_a_line_end_in_the_header_never_leaves_the_client(app: Flask, services: Services) -> None:
    with pytest.raises(ValueError, match="newline"):
        asked(app, f"Bearer {made(services, 'read')}\n")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_other_methods_ask_for_the_same_key(app: Flask, services: Services, method: str) -> None:
    right, other, wrong = made(services, "read"), made(services, "score"), "fsk_2222222222_" + "A" * 49
    found = [asked(app, f"Bearer {key}", method).status_code for key in (right, other, wrong)]
    assert found == [200, 403, 401]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_methods_that_no_route_has_do_nothing(app: Flask, services: Services, method: str) -> None:
    assert asked(app, f"Bearer {made(services, 'score')}", method, "/detect_fraud").status_code == 405


def test_a_method_cant_be_swapped_by_a_header_or_a_field(app: Flask, services: Services) -> None:
    key = made(services, "read")
    for headers in ({"X-HTTP-Method-Override": "GET"}, {"X-Method-Override": "GET"}):
        assert ask(app, key, "/labels?_method=GET", "POST", json={}, headers=headers).status_code == 403


def test_a_bad_key_isnt_saved_by_a_good_session(
    app: Flask, login: Callable[[str], Person], services: Services
) -> None:
    key, mia = made(services, "read", "score", owner="mia"), login("mia")
    services.keys.revoke(key, by="ada")
    for header in (f"Bearer {key}", "Bearer fsk_", "Bearer eyJhbGciOiJub25lIn0.e30."):
        for url, method in (("/summary", "GET"), ("/detect_fraud", "POST")):
            answer = mia.client.open(url, method=method, headers={"Authorization": header}, json={})
            assert answer.status_code == 401, (header, url)
    assert mia.client.get("/summary").status_code == 200, "the session goes on"


def test_a_good_key_counts_alone_and_leaves_the_session_as_it_is(
    app: Flask, login: Callable[[str], Person], services: Services
) -> None:
    key, mia = made(services, "score", "read", owner="ana"), login("mia")
    headers = {"Authorization": f"Bearer {key}"}
    answer = mia.client.post("/detect_fraud", json={"transaction": payment()}, headers=headers)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    found = mia.client.get(f"/transactions/{answer.get_json()['id']}", headers=headers)
    assert found.get_json()["owner"] == "ana"
    assert mia.client.get("/account").status_code == 200


def test_a_token_of_somebody_else_spares_no_form_token(login: Callable[[str], Person]) -> None:
    """A proxy, or a script of another site, may add a header of its own: forms want their token all the same."""
    mia = login("mia")
    for header in ("Bearer eyJhbGciOiJub25lIn0.e30.", "Basic bWlhOng=", "Bearer fsk", "fsk_2222222222_A"):
        for url in ("/logout", "/account", "/results/0123abcd/delete"):
            answer = mia.client.post(url, headers={"Authorization": header})
            assert answer.status_code == 400, (header, url)


def test_a_key_doesnt_log_anybody_in(app: Flask, services: Services) -> None:
    key = made(services, "read", owner="ada")
    client = app.test_client()
    for url in ("/", "/login", "/summary", "/status"):
        assert client.get(url, headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert client.get("/account").status_code == 303
    assert client.get("/summary").status_code == 401


@pytest.mark.parametrize("length", [10 * MEBIBYTE, None])
@pytest.mark.parametrize(
    ("key", "status"), [("bad", 401), ("other scope", 403), ("throttled", 429)], ids=["401", "403", "429"]
)
def test_nothing_is_read_of_a_body_behind_a_key_that_opens_nothing(
    app: Flask, services: Services, key: str, status: int, length: int | None
) -> None:
    keys = {
        "bad": "fsk_2222222222_" + "A" * 49,
        "other scope": made(services, "read"),
        "throttled": made(services, "score", "label", burst=1, per_minute=1),
    }
    ask(app, keys["throttled"], "/transactions/0123abcd/replay", "POST")
    for url in ("/detect_fraud", "/labels", "/upload"):
        program, body = Person(app, "a program"), Tap()
        program.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {keys[key]}"
        answer = send(program, url, body, length, kind="application/json")
        assert (answer.status_code, body.read_bytes) == (status, 0), url


ADDRESSES = [
    "/summary?api_key={}", "/summary?from={}", "/detect_fraud?{}", "/{}", "/transactions/{}", "/results/{}.json",
    "/admin/keys/{}/revoke", "/?x={}", "/login?next=/summary?key={}", "/static/{}", "/healthz?{}", "/nowhere/{}/x",
    "/summary?a=1&access_token=Bearer+{}", "/summary?KEY={}#x",
]  # fmt: skip


@pytest.mark.security(33)
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_key_in_the_address_is_refused_and_written_nowhere(
    app: Flask,
    login: Callable[[str], Person],
    services: Services,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    address: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    key, ada = made(services, "read", "score", owner="ada"), login("ada")
    secret = key[key_text.ID.stop :]
    everywhere = "".join(f"%{ord(sign):02X}" for sign in key)
    for written in (key, key.replace("_", "%5F"), everywhere, quote(everywhere), key[:-20]):
        for headers in ({}, {"Authorization": f"Bearer {key}"}, {"Accept": "application/json"}):
            answer = ada.client.get(address.format(written), headers=headers)
            assert answer.status_code == 401, written
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.headers["Cache-Control"] == "no-store"
            text = answer.get_data(as_text=True)
            assert secret[:20] not in text
            assert "Revoke this key" in text
    services.key_ring.close()
    audit = AuditLog(settings.instance).path.read_text("ascii")
    assert '"reason": "in the address"' in audit
    assert key[key_text.ID] in audit, "so that whoever reads the log can revoke it"
    for kept in (audit, caplog.text):
        assert secret[:20] not in kept
        assert everywhere not in kept


@pytest.mark.security(33)
def test_a_key_is_kept_nowhere_by_its_use(
    app: Flask, services: Services, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = made(services, "score", "read")
    ask(app, key, "/detect_fraud", "POST", json={"transaction": payment()}, headers={"Idempotency-Key": "a"})
    ask(app, key, "/detect_fraud", "POST", json={"transaction": {}})
    ask(app, key, "/labels", "POST", json={"labels": []})
    ask(app, key, "/nowhere")
    refused = ask(
        app, key, "/detect_fraud", "POST", json={"transaction": payment()}, headers={"Idempotency-Key": key}
    )
    assert refused.status_code == 422
    assert "Authorization" in refused.json["remedy"]
    services.key_ring.close()
    secret = key[key_text.ID.stop + 1 :]
    assert secret not in caplog.text
    for path in settings.instance.rglob("*"):
        if path.is_file() and "compiled" not in path.parts:
            assert secret.encode() not in path.read_bytes(), path


@pytest.mark.security(33)
@pytest.mark.parametrize(
    "secret", ["5e3a9c" * 10 + "77b1", "correct horse battery staple", "x" * 64, "fsk-" + "s" * 60]
)
def test_nothing_of_another_systems_secret_is_logged(
    app: Flask, services: Services, settings: Settings, caplog: pytest.LogCaptureFixture, secret: str
) -> None:
    """A hexadecimal token of 256 bits is as long as a key: no part of it is an id."""
    caplog.set_level(logging.DEBUG)
    answer = ask(app, secret, "/summary")
    assert answer.status_code == 401
    services.key_ring.close()
    audit = AuditLog(settings.instance).path.read_text("ascii")
    assert '"reason": "damaged"' in audit
    for kept in (audit, caplog.text, answer.get_data(as_text=True)):
        assert not any(secret[start : start + 8] in kept for start in range(len(secret) - 8))


def test_a_key_whose_id_is_anothers_opens_nothing_of_it(app: Flask, services: Services) -> None:
    mine, other = made(services, "read"), key_text.make().text
    body = mine[: key_text.ID.stop] + other[key_text.ID.stop : -key_text.CHECKSUM_LENGTH]
    forged = body + key_text.checksum(body)
    assert key_text.is_whole(forged)
    answer = ask(app, forged, "/summary")
    assert answer.status_code == 401
    assert "isn't known" in answer.json["what"]
    assert "mia" not in answer.get_data(as_text=True)


def test_an_id_that_is_taken_makes_no_key_and_changes_none(
    app: Flask, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(services, "read")
    monkeypatch.setattr(key_text, "make", lambda: key_text.NewKey(first[key_text.ID], first[:-1] + "x"))
    with pytest.raises(IntegrityError):
        made(services, "score")
    assert [key.scopes for key in services.keys.all()] == [("read",)]
    assert ask(app, first, "/summary").status_code == 200
