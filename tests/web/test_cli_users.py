"""Accounts from the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from click.testing import Result
from flask import Flask

from screening.accounts.users_text import Account
from screening.infra.audit.log import AuditLog
from screening.settings import Settings
from screening.web.services import Services
from tests.conftest import Person
from tests.served import PASSWORD


def run(app: Flask, *words: str, typed: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=["users", *words], input=typed)


def test_an_account_is_added_with_the_password_from_standard_input(app: Flask, services: Services) -> None:
    done = run(app, "add", "ada", "ada@bank.example", typed=PASSWORD + "\n")
    assert (done.exit_code, done.output) == (0, "ada: admin, active\n")
    assert run(app, "add", "bo", "bo@bank.example", "--role", "auditor", typed=PASSWORD + "\n").exit_code == 0
    assert services.users.verify("ada", PASSWORD) is not None
    assert (
        run(app, "list").output
        == "ada\tada@bank.example\tadmin\tactive\nbo\tbo@bank.example\tauditor\tactive\n"
    )


@pytest.mark.security(2)
@pytest.mark.parametrize("password", ["", "short", "password1234"])
def test_a_weak_password_is_refused_in_one_line(app: Flask, services: Services, password: str) -> None:
    done = run(app, "add", "ada", "ada@bank.example", typed=password + "\n")
    assert done.exit_code == 1
    assert len(done.output.splitlines()) == 1
    assert services.users.accounts() == ()


def test_disable_enable_and_role_hold_at_once(
    app: Flask, login: Callable[[str], Person], services: Services
) -> None:
    person = login("ana")
    assert run(app, "disable", "ana").exit_code == 0
    assert person.client.get("/account").status_code == 303
    assert run(app, "enable", "ana").exit_code == 0
    assert run(app, "role", "ana", "manager").output == "ana: manager, active\n"
    Person(app, "ana").log_in()


@pytest.mark.security(13)
def test_the_last_admin_stays(app: Flask, team: dict[str, Account]) -> None:
    for words in (("disable", "ada"), ("role", "ada", "analyst")):
        done = run(app, *words)
        assert done.exit_code == 1
        assert "last administrator" in done.output


def test_a_password_is_set_or_made_and_ends_the_sessions(app: Flask, login: Callable[[str], Person]) -> None:
    person = login("ana")
    assert run(app, "password", "ana", typed="the other side of the river 8\n").exit_code == 0
    assert person.client.get("/account").status_code == 303
    made = re.search(r"^([A-Za-z0-9_-]{20})$", run(app, "password", "ana", "--generate").output, re.MULTILINE)
    assert made is not None
    Person(app, "ana").log_in(made[1])


def test_an_enabled_account_is_no_longer_locked(app: Flask, team: dict[str, Account]) -> None:
    for _ in range(10):
        Person(app, "x").post("/login", username="ana", password="not it")
    run(app, "enable", "ana")
    Person(app, "ana").log_in()


def test_somebody_who_is_not_there_is_said_in_one_line(app: Flask, team: dict[str, Account]) -> None:
    for words in (("disable", "zoe"), ("role", "zoe", "admin"), ("password", "zoe", "--generate")):
        done = run(app, *words)
        assert (done.exit_code, len(done.output.splitlines())) == (1, 1)


def test_bad_lines_are_told_by_number(app: Flask, settings: Settings) -> None:
    settings.users_file.write_text("# x\nno account\n", encoding="utf-8")
    assert "users.txt, line 2:" in run(app, "list").output


@pytest.mark.security(33)
def test_what_the_command_line_did_is_in_the_audit_log(app: Flask, settings: Settings) -> None:
    run(app, "add", "ada", "ada@bank.example", typed=PASSWORD + "\n")
    line = json.loads(AuditLog(settings.instance).path.read_text("ascii"))
    assert (line["event"], line["account"]) == ("signup", "ada")
    assert line["user"].endswith("(command line)")
    assert PASSWORD not in json.dumps(line)
