"""What people do is written down: by whom, from where, in which request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from screening.accounts.users_text import Account
from screening.infra.audit.log import AuditLog
from screening.settings import Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.served import PASSWORD


def written(settings: Settings) -> list[dict[str, Any]]:
    path = AuditLog(settings.instance).path
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def events(settings: Settings, name: str) -> list[dict[str, Any]]:
    return [line for line in written(settings) if line["event"] == name]


@pytest.mark.security(33)
def test_sign_up_login_failure_lock_and_logout_are_written(
    app: Flask, settings: Settings, team: dict[str, Account]
) -> None:
    person = Person(app, "bo").sign_up()
    person.post("/logout", "/account")
    for _ in range(10):
        person.post("/login", username="ana", password="not the password")
    answer = person.post("/login", username="bo", password=PASSWORD)
    person.post("/logout", "/account")

    assert [(line["event"], line["user"]) for line in written(settings)] == [
        ("signup", "bo"),
        ("login", "bo"),
        ("logout", "bo"),
        *[("login_failed", "ana")] * 10,
        ("account_locked", "ana"),
        ("login", "bo"),
        ("logout", "bo"),
    ]
    _, login = events(settings, "login")
    assert login["address"] == "127.0.0.1"
    assert login["request_id"] == answer.headers["X-Request-ID"]
    assert login["time"].endswith("+00:00")


@pytest.mark.security(33, 6)
def test_a_lock_by_the_form_for_a_new_password_is_written_too(
    login: Callable[[str], Person], settings: Settings
) -> None:
    person = login("ana")
    for _ in range(10):
        person.post("/account", "/account", current_password="not the password", new_password="x")
    assert len(events(settings, "password_refused")) == 10
    assert [line["user"] for line in events(settings, "account_locked")] == ["ana"]


@pytest.mark.security(33)
def test_role_state_and_password_changes_and_refusals_are_written(
    login: Callable[[str], Person], settings: Settings
) -> None:
    admin, analyst = login("ada"), login("ana")
    analyst.client.get("/admin/users")
    admin.post("/admin/users/mia/role", "/admin/users", role="auditor")
    admin.post("/admin/users/mia/state", "/admin/users", state="disabled")
    admin.post("/admin/users/otto/password", "/admin/users")
    analyst.post(
        "/account", "/account", current_password=PASSWORD, new_password="the other side of the river 8"
    )

    (refused,) = events(settings, "forbidden")
    assert (refused["user"], refused["path"]) == ("ana", "/admin/users")
    (role,) = events(settings, "role_changed")
    assert (role["user"], role["account"], role["before"], role["role"]) == (
        "ada",
        "mia",
        "manager",
        "auditor",
    )
    (state,) = events(settings, "state_changed")
    assert (state["user"], state["account"], state["state"]) == ("ada", "mia", "disabled")
    assert [(line["user"], line["account"]) for line in events(settings, "password_reset")] == [
        ("ada", "otto")
    ]
    assert [line["user"] for line in events(settings, "password_changed")] == ["ana"]


@pytest.mark.security(33)
def test_upload_and_export_are_written_with_the_hashes_of_file_and_model(
    login: Callable[[str], Person], settings: Settings, services: Services, worker: Worker, sample: bytes
) -> None:
    person = login("ana")
    location = person.upload(sample, "4111111111111111.csv").headers["Location"]
    assert person.client.get(f"{location}/scores.csv").status_code == 200

    (upload,) = events(settings, "upload")
    (export,) = events(settings, "export")
    for line in (upload, export):
        assert line["user"] == "ana"
        assert line["sha256"] == hashlib.sha256(sample).hexdigest()
    assert upload["filename"] == "[digits].csv"
    assert export["fingerprint"] == services.detectors.get("card").fingerprint


@pytest.mark.security(59)
def test_a_password_that_is_typed_as_the_user_name_is_not_kept(
    app: Flask, settings: Settings, team: dict[str, Account]
) -> None:
    """Also one that could be a name: only names of accounts are kept in clear, others as marks that can be compared."""
    eve = Person(app, "eve")
    for name in ("correct-horse-battery", "correct-horse-battery", "hunter2", "ANA"):
        eve.post("/login", username=name, password="not it")
    first, again, other, known = (line["user"] for line in events(settings, "login_failed"))
    assert first == again != other
    assert known == "ana"
    kept = b"".join(path.read_bytes() for path in AuditLog(settings.instance).files())
    assert b"correct-horse" not in kept
    assert b"hunter2" not in kept


@pytest.mark.security(33)
@pytest.mark.parametrize("name", ["a\nb", 'x\r\n{"event": "login", "user": "ada"}', "\u2028", "\0" * 9])
def test_a_name_with_a_newline_is_one_line(
    app: Flask, settings: Settings, team: dict[str, Account], name: str
) -> None:
    Person(app, "eve").post("/login", username=name, password="not it")
    (line,) = written(settings)
    assert line["event"] == "login_failed"
    assert AuditLog(settings.instance).path.read_bytes().count(b"\n") == 1


@pytest.mark.security(33)
def test_no_secret_is_in_any_log_nor_anywhere_below_the_instance(
    app: Flask, settings: Settings, team: dict[str, Account], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    person = Person(app, "ana")
    early = person.token()
    person.post("/login", username="my password & typed too early", password="seven wrong words in a row")
    person.log_in()
    kept = person.client.get_cookie("session")
    assert kept is not None
    secrets = [
        PASSWORD,
        "seven wrong words",
        "typed too early",
        "the other side of",
        kept.value,
        early,
        "scrypt:",
        settings.secret_key,
    ]
    person.post(
        "/account", "/account", current_password=PASSWORD, new_password="the other side of the river 8"
    )
    person.client.get("/results/4111111111111111")
    person.client.get("/admin/users?card=4111111111111111")
    secrets.append("4111111111111111")

    logs = caplog.text + AuditLog(settings.instance).path.read_text("ascii")
    database = (settings.instance / "screening.sqlite3").read_bytes()
    wal = settings.instance / "screening.sqlite3-wal"
    database += wal.read_bytes() if wal.exists() else b""
    for secret in secrets:
        assert secret not in logs, secret
        assert secret.encode() not in database, secret
