"""A password that an administrator chose opens one page: the one where its owner chooses another."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from screening.accounts.passwords import Hasher
from screening.accounts.temporary_passwords import TemporaryPasswords
from screening.accounts.users_text import Account, write
from screening.settings import Settings
from screening.web.http.sessions import BEFORE_CHANGE
from screening.web.services import Services
from tests.conftest import Person
from tests.served import PASSWORD

NEW_PASSWORD = "the other side of the river 8"
OWN_PASSWORD = "a lamp above the green door 3"
PAGE = "/admin/users"


@pytest.fixture
def handed(app: Flask, login: Callable[[str], Person]) -> tuple[Person, str]:
    """Ana, logged in with the password that the administrator has just made."""
    text = login("ada").post(f"{PAGE}/ana/password", PAGE).get_data(as_text=True)
    found = re.search(r"<code[^>]*>([A-Za-z0-9_-]{20})</code>", text)
    assert found is not None
    return Person(app, "ana").log_in(found[1]), found[1]


def change(person: Person, present: str, new: str = OWN_PASSWORD, **more: str) -> Any:
    return person.post("/account", "/account", current_password=present, new_password=new, **more)


@pytest.mark.security(9)
def test_every_other_page_leads_to_the_one_where_it_is_changed(
    app: Flask, handed: tuple[Person, str]
) -> None:
    person, _ = handed
    seen = 0
    for rule in app.url_map.iter_rules():
        if rule.endpoint in BEFORE_CHANGE or rule.rule.startswith("/detect_fraud") or ".json" in rule.rule:
            continue
        url = re.sub(r"<[^>]+>", "0123abcd", re.sub(r"<int:[^>]+>", "1", rule.rule))
        for method in (rule.methods or set()) & {"GET", "POST"}:
            token = {} if method == "GET" else {"csrf_token": person.token("/account")}
            answer = person.client.open(url, method=method, data=token, content_type="multipart/form-data")
            seen += 1
            if answer.mimetype == "application/problem+json":  # a path that only programs ask
                assert answer.status_code == 403, (method, url)
                assert "/account" in answer.get_json()["remedy"], (method, url)
                continue
            assert answer.status_code == 303, (method, url)
            assert answer.headers["Location"].split("?")[0] == "/account", (method, url)
    assert seen > 30


@pytest.mark.security(9)
@pytest.mark.parametrize("path", ["/results", "/results/0123abcd.json"])
def test_a_program_is_told_what_to_do(handed: tuple[Person, str], path: str) -> None:
    answer = handed[0].client.get(path, headers={"Accept": "application/json"})
    assert answer.status_code == 403
    assert answer.mimetype == "application/problem+json"
    assert "/account" in answer.get_json()["remedy"]


@pytest.mark.security(9)
def test_nothing_is_scored_for_it(handed: tuple[Person, str], sample: bytes, services: Services) -> None:
    person, _ = handed
    token = person.token("/account")
    answer = person.client.post("/detect_fraud", json={"transaction": {}}, headers={"X-CSRFToken": token})
    assert answer.status_code == 403
    from io import BytesIO

    data = {"csrf_token": token, "file": (BytesIO(sample), "a.csv")}
    sent = person.client.post("/upload", data=data, content_type="multipart/form-data")
    assert sent.status_code == 303
    assert services.screenings.ids() == set()


def test_a_fragment_leaves_for_the_page(handed: tuple[Person, str]) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/results/abc?page=2"}
    answer = handed[0].client.get("/results/abc/rows", headers=headers)
    assert answer.status_code == 403
    assert answer.headers["HX-Redirect"] == "/account?next=/results/abc"


def test_the_page_says_why_and_leads_back_once_it_is_changed(handed: tuple[Person, str]) -> None:
    person, given = handed
    asked = person.client.get("/results?page=2")
    assert asked.headers["Location"] == "/account?next=/results?page%3D2"
    page = person.client.get(asked.headers["Location"]).get_data(as_text=True)
    assert "Choose your own password" in page
    assert 'name="next" value="/results?page=2"' in page
    assert 'aria-label="Main"' not in page
    answer = change(person, given, next="/results?page=2")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/results?page=2")
    assert person.client.get("/results?page=2").status_code == 200
    assert "Choose your own password" not in person.client.get("/account").get_data(as_text=True)


@pytest.mark.security(8)
@pytest.mark.parametrize("target", ["https://e.example", "//e.example", "/\\e.example"])
def test_it_never_leads_elsewhere(handed: tuple[Person, str], target: str) -> None:
    person, given = handed
    assert change(person, given, next=target).headers["Location"] == "/"


def test_it_is_not_changed_into_itself(handed: tuple[Person, str]) -> None:
    person, given = handed
    answer = change(person, given, new=given)
    assert answer.status_code == 400
    assert "is the present one" in answer.get_data(as_text=True)
    assert person.client.get("/upload").status_code == 303


def test_a_wrong_or_weak_try_changes_nothing(handed: tuple[Person, str]) -> None:
    person, given = handed
    assert change(person, "not it").status_code == 401
    assert change(person, given, new="password1234").status_code == 400
    assert person.client.get("/upload").headers["Location"].startswith("/account")


def test_it_holds_over_a_log_out_and_for_a_second_session(app: Flask, handed: tuple[Person, str]) -> None:
    person, given = handed
    second = Person(app, "ana").log_in(given)
    assert person.post("/logout", "/account").status_code == 303
    assert person.log_in(given).client.get("/upload").headers["Location"].startswith("/account")
    assert change(second, given).status_code == 303
    assert person.client.get("/account").headers["Location"].startswith("/login")
    assert Person(app, "ana").log_in(OWN_PASSWORD).client.get("/upload").status_code == 200


def test_the_administrator_sees_whose_password_is_still_to_be_changed(
    handed: tuple[Person, str], login: Callable[[str], Person]
) -> None:
    admin = login("ada")
    assert admin.client.get(PAGE).get_data(as_text=True).count("to be changed at log-in") == 1
    change(*handed)
    assert "to be changed at log-in" not in admin.client.get(PAGE).get_data(as_text=True)


def by_hand(settings: Settings, before: Account, after: Account) -> None:
    text = settings.users_file.read_text("utf-8")
    assert write(before) in text
    settings.users_file.write_text(text.replace(write(before), write(after)), encoding="utf-8")


def test_a_password_that_stands_in_the_file_by_hand_is_its_owners(
    app: Flask, team: dict[str, Account], settings: Settings, handed: tuple[Person, str], services: Services
) -> None:
    now = services.users.get("ana")
    assert now is not None
    by_hand(settings, now, team["ana"])
    assert Person(app, "ana").log_in(PASSWORD).client.get("/upload").status_code == 200
    by_hand(settings, team["ana"], now)
    again = Person(app, "ana").log_in(handed[1])
    assert again.client.get("/upload").headers["Location"].startswith("/account")


def test_other_letters_of_the_name_are_the_same_account(
    app: Flask, settings: Settings, handed: tuple[Person, str], services: Services
) -> None:
    now = services.users.get("ana")
    assert now is not None
    by_hand(settings, now, replace(now, username="Ana"))
    assert (
        Person(app, "ANA").log_in(handed[1]).client.get("/upload").headers["Location"].startswith("/account")
    )


def test_a_weak_hash_that_is_made_anew_at_the_log_in_is_still_the_one_handed_over(
    app: Flask, team: dict[str, Account], settings: Settings, services: Services
) -> None:
    weak = replace(team["ana"], password_hash=Hasher("pbkdf2:sha256:1000").hash(PASSWORD))
    by_hand(settings, team["ana"], weak)
    services.temporary_passwords.note(weak)
    for _ in range(2):
        person = Person(app, "ana").log_in(PASSWORD)
        assert person.client.get("/upload").headers["Location"].startswith("/account")
    after = services.users.get("ana")
    assert after is not None
    assert after.password_hash != weak.password_hash


def run(app: Flask, *words: str, typed: str | None = None) -> Any:
    return app.test_cli_runner().invoke(args=["users", *words], input=typed)


@pytest.mark.parametrize(
    ("words", "to_change"),
    [
        (("password", "ana"), False),
        (("password", "ana", "--must-change"), True),
        (("add", "zoe", "zoe@bank.example"), False),
        (("add", "zoe", "zoe@bank.example", "--must-change"), True),
    ],
)
def test_a_password_from_the_command_line(
    app: Flask, team: dict[str, Account], words: tuple[str, ...], to_change: bool
) -> None:
    assert run(app, *words, typed=NEW_PASSWORD + "\n").exit_code == 0
    answer = Person(app, words[1]).log_in(NEW_PASSWORD).client.get("/upload")
    assert answer.status_code == (303 if to_change else 200)


def test_a_random_password_from_the_command_line_must_be_changed_until_one_is_typed(
    app: Flask, team: dict[str, Account]
) -> None:
    made = run(app, "password", "ana", "--generate")
    assert made.exit_code == 0
    random = made.output.split()[-1]
    assert Person(app, "ana").log_in(random).client.get("/upload").status_code == 303
    assert run(app, "password", "ana", typed=NEW_PASSWORD + "\n").exit_code == 0
    assert Person(app, "ana").log_in(NEW_PASSWORD).client.get("/upload").status_code == 200


def test_who_takes_a_freed_name_chose_the_password(
    app: Flask, settings: Settings, handed: tuple[Person, str]
) -> None:
    settings.users_file.write_text(
        "".join(line for line in settings.users_file.open(encoding="utf-8") if not line.startswith("ana,"))
    )
    assert Person(app, "ana").sign_up().log_in().client.get("/upload").status_code == 200


def test_the_database_holds_no_hash(services: Services, handed: tuple[Person, str]) -> None:
    account = services.users.get("ana")
    assert account is not None
    assert TemporaryPasswords(services.database).has(account)
    kept = (services.settings.instance / "screening.sqlite3").read_bytes()
    kept += (services.settings.instance / "screening.sqlite3-wal").read_bytes()
    assert account.password_hash.encode() not in kept
    assert handed[1].encode() not in kept
