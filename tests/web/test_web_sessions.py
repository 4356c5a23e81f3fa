"""The cookie, and what ends a session."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import select, text, update

from screening.accounts.sessions import LONGEST_SECONDS, SessionRow
from screening.accounts.users_text import Account, UsersText
from screening.errors import BadSetting
from screening.infra.database import Database
from screening.settings import Settings
from screening.web.app_factory import create_app
from screening.web.services import Services
from tests.conftest import Person
from tests.served import PASSWORD


def cookie_of(person: Person, name: str = "session") -> str:
    kept = person.client.get_cookie(name)
    assert kept is not None
    return kept.value


def signer_of(app: Flask) -> URLSafeTimedSerializer:
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert signer is not None
    return signer


def is_in(person: Person) -> bool:
    return person.client.get("/account").status_code == 200


def replay(app: Flask, cookie: str) -> bool:
    thief = Person(app, "thief")
    thief.client.set_cookie("session", cookie)
    return is_in(thief)


@pytest.mark.security(10)
def test_the_cookie_of_a_plain_connection(app: Flask, team: dict[str, Account]) -> None:
    answer = Person(app, "ana").post("/login", username="ana", password=PASSWORD)
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert re.fullmatch(r"session=[A-Za-z0-9_.-]+; HttpOnly; Path=/; SameSite=Lax", cookie)


@pytest.mark.security(10)
def test_the_cookie_of_https_is_secure_and_bound_to_the_host(app: Flask, team: dict[str, Account]) -> None:
    client = app.test_client()
    page = client.get("/login", base_url="https://localhost")
    assert re.match(
        r"__Host-session=[A-Za-z0-9_.-]+; Secure; HttpOnly; Path=/; SameSite=Lax$", page.headers["Set-Cookie"]
    )
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.get_data(as_text=True))
    assert token is not None
    fields = {"csrf_token": token[1], "username": "ana", "password": PASSWORD}
    answer = client.post("/login", data=fields, base_url="https://localhost")
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert re.fullmatch(r"__Host-session=[A-Za-z0-9_.-]+; Secure; HttpOnly; Path=/; SameSite=Lax", cookie)
    assert client.get("/account", base_url="https://localhost").status_code == 200


@pytest.mark.security(10)
def test_the_cookie_says_a_sessions_id_and_the_token_of_the_forms(
    app: Flask, login: Callable[[str], Person], services: Services
) -> None:
    said = signer_of(app).loads(cookie_of(login("ana")))
    assert set(said) == {"_user_id", "csrf_token"}
    assert len(base64.urlsafe_b64decode(said["_user_id"] + "=")) == 32
    with services.database.read() as session:
        (row,) = session.scalars(select(SessionRow)).all()
    assert said["_user_id"] not in f"{row.digest} {row.data}"


@pytest.mark.security(10)
def test_a_cookie_without_the_prefix_is_no_session_on_https(
    app: Flask, login: Callable[[str], Person]
) -> None:
    stolen = cookie_of(login("ana"))
    client = app.test_client()
    client.set_cookie("session", stolen)
    assert client.get("/account", base_url="https://localhost").status_code == 303


@pytest.mark.security(10)
@pytest.mark.parametrize(("forced", "scheme", "secure"), [(True, "http", True), (False, "https", False)])
def test_the_operator_can_force_the_cookie_either_way(
    app_with: Callable[..., Flask], forced: bool, scheme: str, secure: bool
) -> None:
    page = app_with(cookie_secure=forced).test_client().get("/login", base_url=f"{scheme}://localhost")
    assert ("Secure" in page.headers["Set-Cookie"]) is secure


@pytest.mark.security(10)
def test_a_login_renews_the_session(app: Flask, team: dict[str, Account]) -> None:
    person = Person(app, "ana")
    token = person.token()
    before = cookie_of(person)
    person.client.post("/login", data={"csrf_token": token, "username": "ana", "password": PASSWORD})
    first = cookie_of(person)
    assert first != before
    assert not replay(app, before)
    person.log_in()
    assert cookie_of(person) != first
    assert not replay(app, first)
    assert person.client.post("/logout", data={"csrf_token": token}).status_code == 400


@pytest.mark.security(10)
def test_a_cookie_from_before_the_logout_is_worth_nothing(app: Flask, login: Callable[[str], Person]) -> None:
    person = login("ana")
    cookie = cookie_of(person)
    assert replay(app, cookie)
    assert person.post("/logout", "/account").status_code == 303
    assert not is_in(person)
    assert not replay(app, cookie)


@pytest.mark.security(10)
@pytest.mark.parametrize("column", ["last_seen", "created"])
def test_an_idle_or_old_session_is_over(
    login: Callable[[str], Person], services: Services, column: str
) -> None:
    person = login("ana")
    assert is_in(person)
    seconds = 15 * 60 + 1 if column == "last_seen" else LONGEST_SECONDS + 1
    with services.database.write() as session:
        session.execute(update(SessionRow).values({column: getattr(SessionRow, column) - seconds}))
    assert not is_in(person)


@pytest.mark.security(10)
def test_a_session_in_use_is_kept_and_holds_over_a_restart(
    login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    person = login("ana")
    with services.database.write() as session:
        session.execute(update(SessionRow).values(last_seen=SessionRow.last_seen - 14 * 60))
    assert is_in(person)
    with services.database.write() as session:
        session.execute(update(SessionRow).values(last_seen=SessionRow.last_seen - 14 * 60))
    assert is_in(person)
    assert replay(create_app(settings), cookie_of(person))


@pytest.mark.security(10)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda account: replace(account, active=False), id="disabled"),
        pytest.param(lambda account: replace(account, role="admin"), id="role"),
        pytest.param(
            lambda account: replace(account, password_hash="scrypt:32768:8:3$salt$00"), id="password"
        ),
    ],
)
def test_a_change_by_hand_ends_all_sessions_at_once(
    login: Callable[[str], Person], settings: Settings, change: Callable[[Account], Account]
) -> None:
    people = [login("ana"), login("ana")]
    other = login("mia")
    lines = UsersText.parse(settings.users_file.read_bytes())
    (ana,) = [account for account in lines.accounts if account.username == "ana"]
    settings.users_file.write_bytes(bytes(lines.changing(change(ana))))
    assert [is_in(person) for person in people] == [False, False]
    assert is_in(other)


@pytest.mark.security(10)
def test_a_session_of_a_disabled_account_does_not_come_back_with_it(
    login: Callable[[str], Person], settings: Settings
) -> None:
    person = login("ana")
    kept = settings.users_file.read_text("utf-8")
    settings.users_file.write_text(kept.replace(",analyst,active", ",analyst,disabled"), encoding="utf-8")
    assert not is_in(person)
    settings.users_file.write_text(kept, encoding="utf-8")
    assert not is_in(person)
    assert is_in(person.log_in())  # the page's form works: its token is not the ended session's


@pytest.mark.security(10)
def test_a_deleted_account_is_out_and_stays_out_when_somebody_takes_its_name(
    login: Callable[[str], Person], settings: Settings, nobody: Person
) -> None:
    person = login("ana")
    kept = [
        line
        for line in settings.users_file.read_text("utf-8").splitlines(keepends=True)
        if not line.startswith("ana,")
    ]
    settings.users_file.write_text("".join(kept), encoding="utf-8")
    assert not is_in(person)
    nobody.post("/signup", "/signup", username="ana", email="other@bank.example", password=PASSWORD)
    assert not is_in(person)


@pytest.mark.security(10)
def test_a_changed_password_ends_the_other_sessions_and_renews_this_one(
    app: Flask, login: Callable[[str], Person]
) -> None:
    here, there = login("ana"), login("ana")
    cookie = cookie_of(here)
    here.post("/account", "/account", current_password=PASSWORD, new_password="the other side of the river 8")
    assert is_in(here)
    assert not is_in(there)
    assert not replay(app, cookie)


@pytest.mark.security(10)
@pytest.mark.parametrize(
    "cookie", ["", ".", "x.y.z", "x", "A" * 43, ".e" + "A" * 200, "é", "\x01", "A" * 3900]
)
def test_an_invented_cookie_is_a_visitors(app: Flask, team: dict[str, Account], cookie: str) -> None:
    assert not replay(app, cookie)


@pytest.mark.security(10)
@pytest.mark.parametrize("name", ["ada", "", "A" * 43, None])
def test_a_cookie_cannot_name_an_account_even_when_it_is_signed(
    app: Flask, team: dict[str, Account], name: str | None
) -> None:
    assert not replay(app, str(signer_of(app).dumps({"_user_id": name, "_fresh": True})))


@pytest.mark.security(10)
def test_another_key_signs_no_cookie(
    app: Flask, app_with: Callable[..., Flask], login: Callable[[str], Person]
) -> None:
    said = signer_of(app).loads(cookie_of(login("ana")))
    other = app_with(secret_key="another key, as long as it must be")
    assert replay(app, str(signer_of(app).dumps(said)))
    assert not replay(app, str(signer_of(other).dumps(said)))


@pytest.mark.security(10)
def test_a_page_that_asks_by_itself_does_not_keep_a_session_alive(
    login: Callable[[str], Person], services: Services
) -> None:
    person = login("ana")
    with services.database.write() as session:
        session.execute(update(SessionRow).values(last_seen=SessionRow.last_seen - 14 * 60))

    def last_seen() -> float:
        with services.database.read() as session:
            return session.scalars(select(SessionRow.last_seen)).one()

    before = last_seen()
    assert person.client.get("/results/0123abcd/progress").status_code == 404  # asked for by somebody, though
    assert last_seen() == before
    assert is_in(person)
    assert last_seen() > before + 13 * 60


@pytest.mark.security(10)
def test_a_short_key_stops_the_start(settings: Settings) -> None:
    with pytest.raises(BadSetting, match="SECRET_KEY must be at least 32 bytes"):
        Settings.from_environ({"SECRET_KEY": "k" * 31})
    with pytest.raises(RuntimeError, match="secret key"):
        create_app(replace(settings, secret_key="k" * 31))


@pytest.mark.security(11)
def test_logging_out_is_no_link(login: Callable[[str], Person]) -> None:
    person = login("ana")
    assert person.client.get("/logout").status_code == 405
    assert is_in(person)


def test_a_page_without_a_form_gives_a_visitor_no_cookie(nobody: Person) -> None:
    assert "Set-Cookie" not in nobody.client.get("/healthz").headers
    assert "Set-Cookie" not in nobody.client.get("/static/css/app.css").headers


def test_a_store_that_does_not_answer_is_not_taken_for_a_logout(
    login: Callable[[str], Person], services: Services
) -> None:
    person = login("ana")
    with services.database.write() as session:
        session.execute(update(SessionRow).values(last_seen=SessionRow.last_seen))
    _rename(services.database, "sessions", "elsewhere")
    answer = person.client.get("/account")
    assert answer.status_code == 503
    assert "Set-Cookie" not in answer.headers
    _rename(services.database, "elsewhere", "sessions")
    assert is_in(person)


def _rename(database: Database, old: str, new: str) -> None:
    with database.write() as session:
        session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
