"""API keys from the command line."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest
from click.testing import Result
from flask import Flask

from screening.accounts import key_text
from screening.infra.audit.log import AuditLog
from screening.settings import Settings
from screening.web.services import Services
from tests.web.keys_kit import ask, made

pytestmark = pytest.mark.usefixtures("team")


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["keys", *words])


@pytest.mark.security(14, 33)
def test_a_key_is_printed_once_alone_on_the_last_line(
    app: Flask, services: Services, settings: Settings
) -> None:
    done = run(app, "create", "core banking", "--owner", "Mia", "--scope", "score", "--scope", "read")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == 1, "standard output has the key and nothing else"
    text = done.stdout.strip()
    assert done.output.splitlines()[-1] == text
    assert key_text.is_whole(text)
    assert "core banking" in done.stderr
    assert "can't be shown again" in done.stderr
    assert ask(app, text, "/summary").status_code == 200

    (key,) = services.keys.all()
    assert (key.name, key.owner, key.scopes) == ("core banking", "mia", ("score", "read"))
    assert key.expires is not None
    assert key.expires - key.created == timedelta(days=365)
    assert key.created_by.endswith("(command line)")
    assert text not in run(app, "list").output
    log = AuditLog(settings.instance).path.read_text("ascii")
    (line,) = [json.loads(each) for each in log.splitlines() if "key_created" in each]
    assert (line["key"], line["account"], line["user"]) == (key.id, "mia", key.created_by)
    assert text[key_text.ID.stop :] not in log


def test_expiry_and_limits_can_be_said(app: Flask, services: Services) -> None:
    words = ("--owner", "ana", "--scope", "score", "--per-minute", "60", "--burst", "5")
    assert run(app, "create", "a", *words, "--days", "7").exit_code == 0
    assert run(app, "create", "b", *words, "--no-expiry").exit_code == 0
    b, a = services.keys.all()
    assert (a.per_minute, a.burst, b.expires) == (60, 5, None)
    assert a.expires is not None
    assert a.expires - a.created == timedelta(days=7)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ((), 2, "--owner"),
        (("--owner", "ana"), 2, "--scope"),
        (("--owner", "ana", "--scope", "everything"), 2, "'score', 'read', 'label', 'metrics'"),
        (("--owner", "ana", "--scope", "read", "--days", "0"), 2, "1<=x<=3650"),
        (("--owner", "ana", "--scope", "read", "--per-minute", "x"), 2, "integer"),
        (("--owner", "ana", "--scope", "read", "--days", "5", "--no-expiry"), 2, "--no-expiry"),
        (("--owner", "nobody", "--scope", "read"), 1, "no account 'nobody'"),
        (("--owner", "dora", "--scope", "read"), 1, "disabled"),
        (("--owner", "otto", "--scope", "score"), 1, "auditor"),
    ],
)
def test_what_makes_no_key_is_said_without_a_traceback(
    app: Flask, services: Services, words: tuple[str, ...], status: int, said: str
) -> None:
    done = run(app, "create", "a program", *words)
    assert done.exit_code == status
    assert said in done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""
    assert services.keys.all() == []


def test_a_name_that_is_in_use_is_refused(app: Flask, services: Services) -> None:
    words = ("create", "the till", "--owner", "ana", "--scope", "score")
    assert run(app, *words).exit_code == 0
    again = run(app, *words)
    assert (again.exit_code, again.stdout) == (1, "")
    assert "active key with the name the till" in again.stderr
    run(app, "revoke", services.keys.all()[0].id)
    assert run(app, *words).exit_code == 0


def test_the_list_has_a_line_for_each_key(app: Flask, services: Services) -> None:
    assert run(app, "list").output == ""
    made(services, "score", "read", owner="ana", name="the till")
    made(services, "read", owner="mia", name="a report", days=None)
    services.users.set_role("ana", "auditor")
    report, till = (line.split("\t") for line in run(app, "list").output.splitlines())
    keys = services.keys.all()
    assert till[:5] == [keys[1].id, "active", "the till", "ana", "score (role) read"]
    assert till[5:] == [
        "6,000 a minute, 200 at once",
        f"expires {keys[1].expires:%Y-%m-%d %H:%M} UTC",
        "never used",
    ]
    assert report[6] == "no expiry"
    services.users.set_state("ana", active=False)
    services.keys.revoke(keys[0].id, by="ada")
    (line,) = run(app, "list").output.splitlines()
    assert line.split("\t")[1] == "owner is disabled"
    assert [line.split("\t")[1] for line in run(app, "list", "--all").output.splitlines()] == [
        "revoked",
        "owner is disabled",
    ]


@pytest.mark.security(14, 33)
@pytest.mark.parametrize("by", ["id", "key"])
def test_a_key_is_revoked_by_its_id_or_by_itself(
    app: Flask, services: Services, settings: Settings, by: str
) -> None:
    text = made(services, "read", name="the till")
    (key,) = services.keys.all()
    assert ask(app, text, "/summary").status_code == 200
    done = run(app, "revoke", key.id if by == "id" else text)
    assert (done.exit_code, done.output) == (0, f"{key.id}: the till, revoked\n")
    time.sleep(1.0)
    assert ask(app, text, "/summary").status_code == 401
    assert run(app, "revoke", key.id).output == f"{key.id}: the till, was revoked before\n"
    lines = [json.loads(each) for each in AuditLog(settings.instance).path.read_text("ascii").splitlines()]
    assert [line["key"] for line in lines if line["event"] == "key_revoked"] == [key.id]
    assert text[key_text.ID.stop :] not in str(lines)


@pytest.mark.parametrize("given", ["2222222222", "nonsense", "", "fsk_2222222222_" + "A" * 49])
def test_a_key_that_isnt_there_is_one_line(app: Flask, given: str) -> None:
    done = run(app, "revoke", given)
    assert (done.exit_code, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "no such key" in done.stderr


@pytest.mark.parametrize("words", [(), ("create",), ("list",), ("revoke",)])
def test_every_command_explains_itself(app: Flask, words: tuple[str, ...]) -> None:
    assert run(app, *words, "--help").exit_code == 0
