"""Signing up, logging in, changing a password."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from screening.accounts.login_throttle import SIGN_UPS, Lockout, Throttle
from screening.accounts.passwords import Hasher
from screening.accounts.sessions import SessionStore
from screening.accounts.users_text import Account, write
from screening.settings import Settings
from screening.web.app_factory import create_app
from screening.web.services import Services
from tests.conftest import Person
from tests.served import PASSWORD

NEW_PASSWORD = "the other side of the river 8"


def sign_up(
    person: Person, name: str, email: str | None = None, password: str = PASSWORD, **more: str
) -> TestResponse:
    return person.post(
        "/signup", "/signup", username=name, email=email or f"{name}@bank.example", password=password, **more
    )


def try_login(person: Person, name: str, password: str = PASSWORD, **more: str) -> TestResponse:
    return person.post("/login", username=name, password=password, **more)


def test_a_sign_up_logs_in_and_leads_home_and_so_does_a_login(nobody: Person) -> None:
    answer = sign_up(nobody, "ada")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert nobody.client.get("/upload").status_code == 200
    assert "<h1>Home</h1>" in nobody.client.get("/").get_data(as_text=True)
    nobody.post("/logout", "/account")
    assert nobody.client.get("/upload").status_code == 303
    answer = try_login(nobody, "ada")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


@pytest.mark.security(13)
def test_whoever_signs_up_may_have_to_wait_until_an_admin_lets_them_in(
    app_with: Callable[..., Flask], settings: Settings
) -> None:
    app = app_with(signup="approval")
    admin, eve = Person(app, "ada"), Person(app, "eve")
    assert sign_up(admin, "ada").headers["Location"] == "/", "nobody could let the first one in"
    assert "lets each new account in" in eve.client.get("/signup").get_data(as_text=True)
    answer = sign_up(eve, "eve")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert "administrator has to let you in" in eve.client.get("/login").get_data(as_text=True)
    assert settings.users_file.read_text("utf-8").splitlines()[-1].endswith(",analyst,waiting")
    assert try_login(eve, "eve").status_code == 401
    assert eve.client.get("/upload").status_code == 303
    assert "Let in" in admin.client.get("/admin/users").get_data(as_text=True)
    admin.post("/admin/users/eve/state", "/admin/users", state="active")
    assert settings.users_file.read_text("utf-8").splitlines()[-1].endswith(",analyst,active")
    assert try_login(eve, "eve").status_code == 303


def test_the_first_account_is_told_that_it_becomes_admin(nobody: Person, settings: Settings) -> None:
    assert "administrator:" in nobody.client.get("/signup").get_data(as_text=True)
    sign_up(nobody, "ada")
    assert "administrator:" not in nobody.client.get("/signup").get_data(as_text=True)
    sign_up(nobody, "bo")
    text = settings.users_file.read_text("utf-8")
    assert ",admin,active" in text.splitlines()[1]
    assert ",analyst,active" in text.splitlines()[2]


@pytest.mark.security(13)
def test_a_sign_up_that_asks_to_be_admin_is_an_analyst(
    nobody: Person, team: dict[str, Account], services: Services
) -> None:
    sign_up(nobody, "eve", role="admin", state="active")
    account = services.users.get("eve")
    assert account is not None
    assert account.role == "analyst"


@pytest.mark.security(4)
def test_a_taken_name_and_a_taken_address_get_the_same_answer(
    nobody: Person, team: dict[str, Account]
) -> None:
    pages = []
    for name, email in (
        ("ada", "new@bank.example"),
        ("fresh", "ada@bank.example"),
        ("ADA", "Ada@Bank.example"),
    ):
        answer = sign_up(nobody, name, email)
        assert answer.status_code == 409
        text = answer.get_data(as_text=True)
        for typed in (f'value="{name}"', f'value="{email}"', nobody.token("/signup")):
            text = text.replace(typed, "")
        pages.append(text.split("<main", 1)[1].split("</form>", 1)[0].split("csrf_token")[0])
    assert len(set(pages)) == 1


@pytest.mark.security(4)
def test_the_sixty_first_sign_up_of_an_hour_is_refused_before_its_password_is_hashed(
    nobody: Person, team: dict[str, Account], services: Services
) -> None:
    throttle = Throttle(services.database)
    for _ in range(SIGN_UPS.most - 1):
        throttle.count(SIGN_UPS, "127.0.0.1")
    assert sign_up(nobody, "short", password="short").status_code == 400  # a slip of the pen is not counted
    assert sign_up(nobody, "sixty").status_code == 303
    answer = sign_up(nobody, "one-more")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 3601
    assert services.users.get("one-more") is None


@pytest.mark.security(2)
@pytest.mark.parametrize("password", ["short", "password1234", "newcomer-2026", "fraudscreening", "x" * 129])
def test_a_password_that_is_not_taken_is_explained_on_the_page_and_never_repeated(
    nobody: Person, password: str, services: Services
) -> None:
    answer = sign_up(nobody, "newcomer", password=password)
    text = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert "password" in text
    assert f'"{password}"' not in text
    assert 'value="newcomer"' in text
    assert services.users.accounts() == ()


@pytest.mark.security(5)
@pytest.mark.parametrize(
    "name",
    [
        "ａｄａ",
        "аda",
        "a\u200bda",
        "a:b",
        "a,b",
        "a\r\nb,b@x.example,hash,admin",
        "a\0",
        "a\x85b",
        "a\u2028b",
    ],
)
def test_a_name_that_could_break_the_file_is_refused_on_the_page(
    nobody: Person, settings: Settings, name: str
) -> None:
    assert sign_up(nobody, name, "ada@bank.example").status_code == 400
    assert sign_up(nobody, "ada", name + "@bank.example").status_code == 400
    assert settings.users_file.read_text("utf-8") == "# accounts\n"


def test_a_closed_door_says_so(app_with: Callable[..., Flask], settings: Settings) -> None:
    visitor = Person(app_with(signup="closed"), "eve")
    page = visitor.client.get("/signup")
    assert page.status_code == 200
    assert "Signing up is closed" in page.get_data(as_text=True)
    assert sign_up_with_login_token(visitor).status_code == 403
    assert settings.users_file.read_text("utf-8") == "# accounts\n"


def sign_up_with_login_token(visitor: Person) -> TestResponse:
    return visitor.post("/signup", "/login", username="eve", email="eve@bank.example", password=PASSWORD)


@pytest.mark.security(17)
def test_without_the_file_nobody_gets_in_and_nobody_becomes_admin(nobody: Person, settings: Settings) -> None:
    token = nobody.token("/login")
    settings.users_file.unlink()
    fields = {"csrf_token": token, "username": "eve", "email": "eve@bank.example", "password": PASSWORD}
    assert nobody.client.get("/signup").status_code == 503
    assert nobody.client.post("/signup", data=fields).status_code == 503
    assert nobody.client.post("/login", data=fields).status_code == 503
    assert nobody.client.get("/readyz").status_code == 503
    assert not settings.users_file.exists()
    settings.users_file.write_text("# back\n", encoding="utf-8")
    assert nobody.client.get("/signup").status_code == 200


@pytest.mark.security(17)
def test_losing_the_file_ends_no_page_in_an_error(login: Callable[[str], Person], settings: Settings) -> None:
    person = login("ana")
    kept = settings.users_file.read_bytes()
    settings.users_file.unlink()
    assert person.client.get("/upload").status_code == 303
    settings.users_file.write_bytes(kept)
    assert person.client.get("/upload").status_code == 200


@pytest.mark.security(3)
def test_wrong_unknown_disabled_and_locked_get_the_same_answer(app: Flask, team: dict[str, Account]) -> None:
    person = Person(app, "eve")
    for _ in range(10):
        try_login(person, "mia", "not the password")
    pages = {}
    for why, name, password in (
        ("wrong", "ana", "not the password"),
        ("unknown", "zoe", PASSWORD),
        ("disabled", "dora", PASSWORD),
        ("locked", "mia", PASSWORD),
        ("odd", "a\nb", PASSWORD),
    ):
        answer = try_login(person, name, password)
        assert answer.status_code == 401
        text = answer.get_data(as_text=True).split("<main", 1)[1]
        pages[why] = text.split("csrf_token")[0] + text.split('id="password"')[1]
    assert len(set(pages.values())) == 1


@pytest.mark.security(3)
@pytest.mark.real_hashes
def test_they_take_the_same_time(services: Services, team: dict[str, Account]) -> None:
    """Medians over 7 tries in turn, of the thread's own time, which a busy machine leaves alone; benchmarks/logins.py
    takes 200, of the clock's.
    """
    lockout = Lockout(services.database)
    for _ in range(10):
        lockout.settle("mia", fits=False)
    kinds = {
        "wrong": ("ana", "not this"),
        "unknown": ("zoe", PASSWORD),
        "disabled": ("dora", PASSWORD),
        "locked": ("mia", PASSWORD),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(7):
        for kind, (name, password) in kinds.items():
            begun = time.thread_time()
            lockout.settle(name, fits=services.users.verify(name, password) is not None)
            seconds[kind].append(time.thread_time() - begun)
    medians = {kind: statistics.median(times) for kind, times in seconds.items()}
    assert max(medians.values()) - min(medians.values()) < 0.3 * min(medians.values()), medians


@pytest.mark.security(6)
def test_the_tenth_failure_locks_the_right_password_out(
    app: Flask, team: dict[str, Account], services: Services
) -> None:
    person = Person(app, "ana")
    assert [try_login(person, "ana", "not the password").status_code for _ in range(10)] == [401] * 10
    assert try_login(person, "ana").status_code == 401
    assert try_login(Person(app, "mia"), "mia").status_code == 303
    again = Person(create_again(app), "ana")
    assert try_login(again, "ana").status_code == 401


def create_again(app: Flask) -> Flask:
    return create_app(app.extensions["screening"].settings)


@pytest.mark.security(7)
def test_a_malformed_hash_is_a_wrong_password_and_a_line_in_the_log(
    nobody: Person, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.users_file.write_text(
        "mallory,mallory@bank.example,rot13$salt$uryyb,analyst,active\n", encoding="utf-8"
    )
    assert try_login(nobody, "mallory", "hello").status_code == 401
    assert "mallory" in caplog.text
    assert "hello" not in caplog.text


@pytest.mark.security(8)
@pytest.mark.parametrize(
    "target",
    [
        "https://e",
        "//e",
        " //e",
        "/\t/e",
        "/\\e",
        "https:e",
        "javascript:alert(1)",
        "\\\\e",
        "/\n/e",
        "///e",
        "e",
        "",
        "/é",
        "\t//e",
        "/ /e",
        "http:///e",
        "/%09/e\r\nSet-Cookie: a=b",
    ],
)
def test_a_login_never_leads_elsewhere(app: Flask, team: dict[str, Account], target: str) -> None:
    answer = try_login(Person(app, "ana"), "ana", next=target)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


@pytest.mark.security(8)
@pytest.mark.parametrize("target", ["/results?page=2", "/results/0123abcd", "/%2F/e"])
def test_a_login_leads_back_to_a_page_of_ours(app: Flask, team: dict[str, Account], target: str) -> None:
    assert try_login(Person(app, "ana"), "ana", next=target).headers["Location"] == target


def test_an_auditors_home_offers_nothing_that_they_may_not_do(login: Callable[[str], Person]) -> None:
    page = login("otto").client.get("/").get_data(as_text=True)
    assert "<h1>Home</h1>" in page
    assert "/upload" not in page


def test_a_page_that_needs_a_login_is_come_back_to(app: Flask, team: dict[str, Account]) -> None:
    person = Person(app, "ana")
    answer = person.client.get("/results?page=2")
    assert answer.status_code == 303
    where = answer.headers["Location"]
    assert where == "/login?next=/results?page%3D2"
    assert 'name="next" value="/results?page=2"' in person.client.get(where).get_data(as_text=True)


def test_a_program_is_told_401_and_a_fragment_to_leave(nobody: Person) -> None:
    as_json = nobody.client.get("/results", headers={"Accept": "application/json"})
    assert as_json.status_code == 401
    assert as_json.mimetype == "application/problem+json"
    fragment = nobody.client.get(
        "/results/x/progress", headers={"HX-Request": "true", "HX-Current-URL": "http://localhost/results/x"}
    )
    assert fragment.status_code == 401
    assert fragment.headers["HX-Redirect"] == "/login?next=/results/x"
    odd = nobody.client.get("/results", headers={"HX-Request": "true", "HX-Current-URL": "http://["})
    assert (odd.status_code, odd.headers["HX-Redirect"]) == (401, "/login")


def test_the_old_address_of_the_login_leads_to_the_new_one(nobody: Person) -> None:
    assert nobody.client.get("/signin").headers["Location"] == "/login"


@pytest.mark.security(9)
def test_changing_the_password_needs_the_present_one(login: Callable[[str], Person], app: Flask) -> None:
    person = login("ana")
    wrong = person.post("/account", "/account", current_password="not it", new_password=NEW_PASSWORD)
    assert wrong.status_code == 401
    weak = person.post("/account", "/account", current_password=PASSWORD, new_password="password1234")
    assert weak.status_code == 400
    right = person.post("/account", "/account", current_password=PASSWORD, new_password=NEW_PASSWORD)
    assert (right.status_code, right.headers["Location"]) == (303, "/account")
    page = person.client.get("/account")
    assert page.status_code == 200
    assert "The password was changed." in page.get_data(as_text=True)
    assert try_login(Person(app, "ana"), "ana").status_code == 401
    assert try_login(Person(app, "ana"), "ana", NEW_PASSWORD).status_code == 303


@pytest.mark.security(1)
def test_a_refused_new_password_ends_no_session_where_the_present_one_has_a_weak_hash(
    app: Flask, team: dict[str, Account], settings: Settings, services: Services
) -> None:
    """The log-in could not make the hash again, for the file could not be written then."""
    weak = replace(team["ana"], password_hash=Hasher("pbkdf2:sha256:1000").hash(PASSWORD))
    lines = settings.users_file.read_text("utf-8").replace(write(team["ana"]), write(weak))
    settings.users_file.write_text(lines, encoding="utf-8")
    person = Person(app, "ana").take_session(SessionStore(services.database, 900).begin(weak))
    for new in ("short", "password1234"):
        answer = person.post("/account", "/account", current_password=PASSWORD, new_password=new)
        assert answer.status_code == 400
        assert person.client.get("/account").status_code == 200
    answer = person.post("/account", "/account", current_password=PASSWORD, new_password=NEW_PASSWORD)
    assert answer.status_code == 303
    assert person.client.get("/account").status_code == 200


@pytest.mark.security(9)
def test_the_present_password_cannot_be_guessed_from_within(
    login: Callable[[str], Person], app: Flask
) -> None:
    person = login("ana")
    for _ in range(10):
        person.post("/account", "/account", current_password="not it", new_password=NEW_PASSWORD)
    assert (
        person.post("/account", "/account", current_password=PASSWORD, new_password=NEW_PASSWORD).status_code
        == 401
    )


@pytest.mark.security(9)
@pytest.mark.parametrize("name", ["admin", "root", "test", "guest", "first"])
def test_there_are_no_default_accounts(nobody: Person, name: str) -> None:
    for password in (name, "admin", "password", ""):
        assert try_login(nobody, name, password).status_code == 401
