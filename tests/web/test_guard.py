"""What stands before every page: hosts, proxies, bounded bodies, tokens, headers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, abort, request

from screening.accounts.users_text import Account
from screening.settings import Settings
from screening.web.http.guard import SAFE_METHODS
from tests.conftest import Person
from tests.served import PASSWORD

MEBIBYTE = 2**20


class Tap(io.RawIOBase):
    """A body that never ends, and how much of it was read."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.read_bytes += len(buffer)
        buffer[:] = b"x" * len(buffer)
        return len(buffer)


def send(
    person: Person, url: str, body: Tap, length: int | None, kind: str = "multipart/form-data; boundary=x"
) -> Any:
    """A body as a server hands it over: with its announced length, or in chunks when that is ``None``."""
    environ = {"wsgi.input": body, "CONTENT_TYPE": kind, "wsgi.input_terminated": length is None}
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    return person.client.post(url, environ_overrides=environ)


def unsafe_routes(app: Flask) -> Iterator[tuple[str, str]]:
    """Method and address of every route that changes something, its variables filled in."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - SAFE_METHODS):
            yield method, re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", "0123abcd", rule.rule)


@pytest.mark.security(11)
def test_every_unsafe_route_wants_a_token_of_this_session(app: Flask, login: Callable[[str], Person]) -> None:
    person, other = login("ada"), login("ada")
    foreign, seen = other.token("/account"), 0
    for method, url in unsafe_routes(app):
        for fields in ({}, {"csrf_token": ""}, {"csrf_token": "invented"}, {"csrf_token": foreign}):
            answer = person.client.open(
                url, method=method, data=dict(fields), content_type="multipart/form-data"
            )
            assert answer.status_code == 400, (method, url, fields)
        by_header = person.client.open(url, method=method, json={}, headers={"X-CSRFToken": foreign})
        assert by_header.status_code == 400, (method, url)
        assert person.client.open(url, method=method, json={"csrf_token": foreign}).status_code == 400, (
            method,
            url,
        )
        seen += 1
    assert seen >= 9
    assert person.client.get("/account").status_code == 200


@pytest.mark.security(11)
def test_a_token_of_a_visitor_or_of_before_the_login_is_refused(app: Flask, team: dict[str, Account]) -> None:
    person = Person(app, "ana")
    early = person.token()
    person.log_in()
    assert person.client.post("/logout", data={"csrf_token": early}).status_code == 400
    assert person.client.post("/logout", data={"csrf_token": Person(app, "x").token()}).status_code == 400


@pytest.mark.security(11)
def test_the_token_may_come_in_a_header_and_does_not_expire_before_its_session(
    login: Callable[[str], Person],
) -> None:
    person = login("ana")
    token = person.token("/account")
    assert person.client.post("/logout", headers={"X-CSRFToken": token}).status_code == 303


@pytest.mark.security(26)
@pytest.mark.parametrize("url", ["/login", "/signup", "/logout", "/account", "/detect_fraud", "/nowhere"])
def test_a_large_body_is_refused_before_it_is_read(nobody: Person, url: str) -> None:
    tap = Tap()
    answer = send(nobody, url, tap, 150 * MEBIBYTE)
    assert answer.status_code == 413
    assert tap.read_bytes == 0


@pytest.mark.security(26)
def test_an_upload_over_the_limit_is_refused_before_it_is_read_also_for_a_visitor(
    nobody: Person, login: Callable[[str], Person]
) -> None:
    for person in (nobody, login("ana")):
        tap = Tap()
        answer = send(person, "/upload", tap, 1100 * MEBIBYTE)
        assert answer.status_code == 413
        assert tap.read_bytes == 0


@pytest.mark.security(26)
def test_a_visitors_upload_is_not_read(nobody: Person) -> None:
    tap = Tap()
    answer = send(nobody, "/upload", tap, 150 * MEBIBYTE)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert tap.read_bytes == 0


@pytest.mark.security(26)
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_a_body_in_chunks_is_read_no_further_than_the_limit(nobody: Person, kind: str) -> None:
    tap = Tap()
    answer = send(nobody, "/login", tap, None, kind)
    assert answer.status_code == 413
    assert tap.read_bytes <= 2 * MEBIBYTE


@pytest.mark.security(34)
def test_a_forged_forwarded_address_changes_nothing(app: Flask) -> None:
    assert _seen(
        app,
        "203.0.113.9",
        {
            "X-Forwarded-For": "192.0.2.1",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "evil.example",
            "Forwarded": "for=192.0.2.1;proto=https",
        },
    ) == ("203.0.113.9", "http", "localhost")


@pytest.mark.security(34)
@pytest.mark.parametrize(
    ("sender", "chain", "client"),
    [
        ("10.0.0.2", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.2", "192.0.2.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.2", "192.0.2.1, 198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("10.0.0.2", "10.9.9.9", "10.9.9.9"),
        ("10.0.0.2", "", "10.0.0.2"),
        ("10.0.0.2", "nonsense", "10.0.0.2"),
        ("10.0.0.2", "192.0.2.1, nonsense", "10.0.0.2"),
        ("10.0.0.2", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.2", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.2", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.2", "198.51.100.7", "198.51.100.7"),
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
        ("", "198.51.100.7", ""),
    ],
)
def test_a_known_proxy_is_believed_and_nobody_else(
    app_with: Callable[..., Flask], sender: str, chain: str, client: str
) -> None:
    app = app_with(trusted_proxies=("10.0.0.0/8",))
    assert _seen(app, sender, {"X-Forwarded-For": chain})[0] == client


@pytest.mark.security(34)
def test_scheme_and_host_come_from_a_known_proxy_only(app_with: Callable[..., Flask]) -> None:
    app = app_with(trusted_proxies=("10.0.0.2/32",))
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cards.bank.example"}
    assert _seen(app, "10.0.0.2", headers)[1:] == ("https", "cards.bank.example")
    assert _seen(app, "10.0.0.3", headers)[1:] == ("http", "localhost")
    assert _seen(app, "10.0.0.2", {"X-Forwarded-Proto": "gopher"})[1] == "http"


def _seen(app: Flask, sender: str, headers: dict[str, str]) -> tuple[str, str, str]:
    """What a page sees: address, scheme and host."""
    if "seen" not in app.view_functions:
        app.add_url_rule("/seen", "seen", lambda: [request.remote_addr or "", request.scheme, request.host])
    answer = app.test_client().get("/seen", headers=headers, environ_overrides={"REMOTE_ADDR": sender})
    address, scheme, host = answer.get_json()
    return address, scheme, host


@pytest.mark.security(34)
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("cards.bank.example", 200),
        ("CARDS.bank.example:8443", 200),
        ("cards.bank.example.", 200),
        ("evil.example", 400),
        ("localhost", 400),
        ("cards.bank.example.evil.example", 400),
        ("", 400),
        ("a b", 400),
        ("cards.bank.example@evil.example", 400),
    ],
)
def test_an_unknown_host_is_refused_when_hosts_are_set(
    app_with: Callable[..., Flask], host: str, status: int
) -> None:
    client = app_with(trusted_hosts=("cards.bank.example",)).test_client()
    answer = client.get("/healthz", headers={"Host": host})
    assert answer.status_code == status
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "host",
    [
        "whatever.example",
        "localhost:5000",
        "127.0.0.1:5000",
        "[::1]:5000",
        "build_host",
        "a" * 63 + ".b",
        "a.b.",
    ],
)
def test_any_host_will_do_when_none_is_set(nobody: Person, host: str) -> None:
    assert nobody.client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.security(34)
@pytest.mark.parametrize(
    "host",
    [
        *("", "a b", "a,b", "a/b", "user@a", "a:b", "a:99:99", "[::1"),
        *("a" * 64, "a" * 400, "a..b", ".a", "a..", "b." + "9" * 64 + ".a:5000", ("a" * 50 + ".") * 6 + "a"),
    ],
)
def test_a_host_that_cannot_be_is_refused_always(nobody: Person, host: str) -> None:
    for path in ("/healthz", "/login", "/nothing-here"):
        assert nobody.client.get(path, headers={"Host": host}).status_code == 400
    assert nobody.client.post("/login", headers={"Host": host}, data={"username": "a"}).status_code == 400


POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data:",
    "base-uri": "'none'",
    "object-src": "'none'",
    "frame-ancestors": "'none'",
    "form-action": "'self'",
}


def check_headers(headers: Any, *, https: bool = False) -> None:
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert re.fullmatch(r"[0-9a-f]{16}", headers["X-Request-ID"])
    hsts = headers.get("Strict-Transport-Security", "")
    assert ("max-age=31536000" in hsts) is https


@pytest.mark.security(35)
@pytest.mark.parametrize("https", [False, True])
@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/login", 200),
        ("GET", "/upload", 303),
        ("GET", "/nowhere", 404),
        ("GET", "/logout", 405),
        ("POST", "/login", 400),
        ("GET", "/healthz", 200),
        ("GET", "/static/css/app.css", 200),
        ("GET", "/static/no.css", 404),
        ("OPTIONS", "/upload", 200),
        ("HEAD", "/", 200),
    ],
)
def test_every_answer_carries_the_headers(
    nobody: Person, method: str, url: str, status: int, https: bool
) -> None:
    base = "https://localhost" if https else "http://localhost"
    answer = nobody.client.open(url, method=method, base_url=base)
    assert answer.status_code == status
    check_headers(answer.headers, https=https)


@pytest.mark.security(35)
def test_413_and_500_carry_them_too(app: Flask) -> None:
    def fail() -> str:
        raise ZeroDivisionError

    app.add_url_rule("/fail", view_func=fail)
    client = app.test_client()
    too_large = client.post("/login", data=b"x" * 2 * MEBIBYTE)
    assert too_large.status_code == 413
    check_headers(too_large.headers)
    failed = client.get("/fail")
    assert failed.status_code == 500
    assert "Traceback" not in failed.get_data(as_text=True)
    assert failed.headers["X-Request-ID"] in failed.get_data(as_text=True)
    check_headers(failed.headers)


@pytest.mark.security(35)
def test_an_answer_that_fails_after_its_view_carries_them_too(app: Flask) -> None:
    app.after_request(lambda _response: 1 / 0)
    answer = app.test_client().get("/healthz")
    assert answer.status_code == 500
    check_headers(answer.headers)


@pytest.mark.security(35)
@pytest.mark.parametrize("status", [401, 403, 404, 409, 415, 422, 429, 503])
def test_any_error_carries_them(app: Flask, status: int) -> None:
    app.add_url_rule("/fail", view_func=lambda: abort(status))
    answer = app.test_client().get("/fail")
    assert answer.status_code == status
    check_headers(answer.headers)


@pytest.mark.security(35)
def test_no_copy_of_a_page_is_kept_but_of_static_files(login: Callable[[str], Person]) -> None:
    person = login("ada")
    for url in ("/upload", "/results", "/account", "/admin/users", "/", "/nowhere", "/results/0123abcd.json"):
        answer = person.client.get(url)
        assert answer.headers["Cache-Control"] == "no-store", url
    assert "no-store" not in person.client.get("/static/css/app.css").headers.get("Cache-Control", "")
    assert "Cookie" in person.client.get("/upload").headers["Vary"]


def test_numbers_of_requests_differ_unless_the_caller_gives_one(nobody: Person) -> None:
    for given in ({}, {"X-Request-ID": "no number"}):
        numbers = {nobody.client.get("/healthz", headers=given).headers["X-Request-ID"] for _ in range(20)}
        assert len(numbers) == 20
        assert all(re.fullmatch("[0-9a-f]{16}", number) for number in numbers)


def test_a_page_may_widen_its_own_policy(app: Flask) -> None:
    app.add_url_rule(
        "/wide", view_func=lambda: ("", {"Content-Security-Policy": "default-src 'self' 'sha256-x'"})
    )
    assert (
        app.test_client().get("/wide").headers["Content-Security-Policy"] == "default-src 'self' 'sha256-x'"
    )


@pytest.mark.security(4)
def test_the_throttle_counts_the_client_behind_a_proxy(
    app_with: Callable[..., Flask], settings: Settings
) -> None:
    person = Person(app_with(trusted_proxies=("127.0.0.1/32",)), "x")
    for number in range(3):
        fields = {
            "csrf_token": person.token("/signup"),
            "username": f"u{number}",
            "email": f"u{number}@x.example",
            "password": PASSWORD,
        }
        answer = person.client.post(
            "/signup", data=fields, headers={"X-Forwarded-For": f"198.51.100.{number}"}
        )
        assert answer.status_code == 303
    assert settings.users_file.read_text("utf-8").count("@x.example") == 3
