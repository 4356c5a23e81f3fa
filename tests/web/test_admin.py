"""The administrator's page."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from screening.accounts.users_text import Account
from screening.infra.audit.log import AuditLog
from screening.settings import Settings
from screening.web.services import Services
from tests.conftest import Person
from tests.served import PASSWORD

PAGE = "/admin/users"


def test_accounts_and_bad_lines_are_shown(login: Callable[[str], Person], settings: Settings) -> None:
    with settings.users_file.open("a", encoding="utf-8") as out:
        out.write("secret stuff that is no account\n")
    text = login("ada").client.get(PAGE).get_data(as_text=True)
    for name in ("ada", "ana", "mia", "otto", "dora"):
        assert f"{name}@bank.example" in text
    assert "line 7: has 1 fields" in text
    assert "secret stuff" not in text
    assert "scrypt" not in text


@pytest.mark.security(12)
def test_a_new_role_holds_at_once_and_ends_the_accounts_sessions(
    login: Callable[[str], Person], services: Services
) -> None:
    admin, analyst = login("ada"), login("ana")
    assert admin.post(f"{PAGE}/ana/role", PAGE, role="manager").status_code == 303
    account = services.users.get("ana")
    assert account is not None
    assert account.role == "manager"
    assert analyst.client.get("/account").status_code == 303
    assert "ana is now manager" in admin.client.get(PAGE).get_data(as_text=True)


@pytest.mark.security(10)
def test_a_disabled_account_is_out_at_once_and_can_come_back(
    app: Flask, login: Callable[[str], Person]
) -> None:
    admin, analyst = login("ada"), login("ana")
    admin.post(f"{PAGE}/ana/state", PAGE, state="disabled")
    assert analyst.client.get("/account").status_code == 303
    assert Person(app, "ana").post("/login", username="ana", password=PASSWORD).status_code == 401
    admin.post(f"{PAGE}/ana/state", PAGE, state="active")
    assert analyst.client.get("/account").status_code == 303
    Person(app, "ana").log_in()


@pytest.mark.security(10)
def test_a_password_is_reset_shown_once_and_unlocks(
    app: Flask, login: Callable[[str], Person], settings: Settings
) -> None:
    admin, analyst = login("ada"), login("ana")
    for _ in range(10):
        Person(app, "ana").post("/login", username="ana", password="not it")
    text = admin.post(f"{PAGE}/ana/password", PAGE).get_data(as_text=True)
    shown = re.search(r"<code[^>]*>([A-Za-z0-9_-]{20})</code>", text)
    assert shown is not None
    assert analyst.client.get("/account").status_code == 303
    assert Person(app, "ana").post("/login", username="ana", password=PASSWORD).status_code == 401
    Person(app, "ana").log_in(shown[1])
    assert shown[1] not in admin.client.get(PAGE).get_data(as_text=True)
    for kept in (settings.users_file, AuditLog(settings.instance).path):
        assert shown[1] not in kept.read_text("utf-8")


@pytest.mark.security(13)
@pytest.mark.parametrize(("act", "fields"), [("role", {"role": "analyst"}), ("state", {"state": "disabled"})])
def test_the_last_admin_cannot_be_removed(
    login: Callable[[str], Person], services: Services, act: str, fields: dict[str, str]
) -> None:
    admin = login("ada")
    answer = admin.post(f"{PAGE}/ada/{act}", PAGE, **fields)
    assert answer.status_code == 409
    assert "last administrator" in answer.get_data(as_text=True)
    account = services.users.get("ada")
    assert account is not None
    assert (account.role, account.active) == ("admin", True)
    admin.post(f"{PAGE}/mia/role", PAGE, role="admin")
    assert admin.post(f"{PAGE}/ada/{act}", PAGE, **fields).status_code == 303


@pytest.mark.parametrize(
    ("url", "fields", "status"),
    [
        ("zoe/role", {"role": "admin"}, 404),
        ("zoe/state", {"state": "active"}, 404),
        ("zoe/password", {}, 404),
        ("ana/role", {"role": "emperor"}, 400),
        ("ana/role", {}, 400),
        ("ana/state", {"state": "asleep"}, 400),
        ("ana/state", {}, 400),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    login: Callable[[str], Person], settings: Settings, url: str, fields: dict[str, str], status: int
) -> None:
    admin = login("ada")
    before = settings.users_file.read_bytes()
    assert admin.post(f"{PAGE}/{url}", PAGE, **fields).status_code == status
    assert settings.users_file.read_bytes() == before


@pytest.mark.security(12)
@pytest.mark.parametrize("name", ["ana", "mia", "otto"])
def test_nobody_else_can_do_it(
    login: Callable[[str], Person], settings: Settings, name: str, team: dict[str, Account]
) -> None:
    person = login(name)
    before = settings.users_file.read_bytes()
    assert person.client.get(PAGE).status_code == 403
    for act, fields in (("role", {"role": "admin"}), ("state", {"state": "disabled"}), ("password", {})):
        assert person.post(f"{PAGE}/{name}/{act}", "/account", **fields).status_code == 403
    assert settings.users_file.read_bytes() == before
