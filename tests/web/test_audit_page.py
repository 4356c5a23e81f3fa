"""The auditor's page and the command that verifies: what is found, exported, and named when it was changed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from screening.infra.audit.log import AuditLog
from screening.settings import Settings
from screening.web.app_factory import create_app
from tests.conftest import Person

Login = Callable[[str], Person]


@pytest.fixture
def filled(settings: Settings) -> AuditLog:
    """A log of 120 entries: exports of ana and mia, and one upload."""
    log = AuditLog(settings.instance)
    for number in range(119):
        log.record("export", user="ana" if number % 2 else "mia", screening=f"s{number}", address="192.0.2.1")
    log.record("upload", user="ana", screening="s7", filename="=1+1.csv")
    return log


def page(person: Person, address: str) -> str:
    answer = person.client.get(address)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.security(33)
def test_an_auditor_filters_by_user_object_event_and_time(app: Flask, filled: AuditLog, login: Login) -> None:
    otto = login("otto")
    assert "<code>s7</code>" in page(otto, "/audit?object=S7&user=ANA")
    assert page(otto, "/audit?object=s7").count('<tr role="row">') == 3  # the head, the export and the upload
    assert page(otto, "/audit?object=s7&event=upload").count('<tr role="row">') == 2
    assert "No entry passes this filter" in page(otto, "/audit?object=s7&user=mia")
    assert "No entry passes this filter" in page(otto, "/audit?to=2020-01-01")
    assert page(otto, "/audit?from=2020-01-01&event=upload").count('<tr role="row">') == 2


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("from=yesterday", "isn&#39;t a day"),
        ("from=2026-02-02&to=2026-02-01", "The last day is before the first"),
        ("before=../users.txt:1", "is no place in the audit log"),
    ],
)
def test_a_filter_that_cannot_be_used_is_named(app: Flask, login: Login, query: str, what: str) -> None:
    answer = login("otto").client.get(f"/audit?{query}")
    assert answer.status_code == 400
    assert what in answer.text


def test_pages_hold_every_entry_once(app: Flask, filled: AuditLog, login: Login) -> None:
    otto = login("otto")
    address, seen = "/audit?event=export", []
    while address:
        text = page(otto, address)
        seen += [part.split("<")[0] for part in text.split('<span class="soft">screening</span> <code>')[1:]]
        _, found, rest = text.partition(
            '<a class="btn btn-sm btn-quiet" href="/audit?event=export&amp;before='
        )
        address = "/audit?event=export&before=" + rest.split('"')[0] if found else ""
    assert seen == [f"s{number}" for number in reversed(range(119))]


@pytest.mark.security(32)
@pytest.mark.security(33)
def test_exports_hold_what_the_filter_takes_and_are_audited(
    app: Flask, filled: AuditLog, login: Login
) -> None:
    otto = login("otto")
    rows = list(csv.DictReader(io.StringIO(page(otto, "/audit/entries.csv?object=s7"))))
    assert [(row["event"], row["user"], row["number"]) for row in rows] == [
        ("export", "ana", "8"),
        ("upload", "ana", "120"),
    ]
    assert json.loads(rows[1]["about"]) == {"screening": "s7", "filename": "=1+1.csv"}
    lines = page(otto, "/audit/entries.jsonl?object=s7&user=ana").splitlines()
    kept = filled.path.read_bytes().splitlines()
    assert [line.encode() for line in lines] == [kept[7], kept[119]]
    last = json.loads(filled.path.read_bytes().splitlines()[-1])
    assert (last["event"], last["user"], last["filters"]) == (
        "audit_exported",
        "otto",
        {"user": "ana", "object": "s7"},
    )


@pytest.mark.security(33)
def test_no_route_of_the_audit_log_takes_anything_but_questions(app: Flask) -> None:
    methods = {
        method
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/audit")
        for method in rule.methods or ()
    }
    assert methods == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.security(33)
def test_the_command_verifies_and_names_what_was_changed(
    app: Flask, filled: AuditLog, login: Login, tmp_path: Path
) -> None:
    kept = tmp_path / "head.json"
    kept.write_text(page(login("otto"), "/audit/head"))
    run = app.test_cli_runner().invoke
    done = run(args=["audit", "verify", "--head", str(kept)])
    assert (done.exit_code, done.output) == (0, "121 entries verified, 1 to 121\n")
    lines = filled.path.read_bytes().splitlines(keepends=True)
    filled.path.write_bytes(b"".join([*lines[:4], lines[4].replace(b"mia", b"ana"), *lines[5:]]))
    done = run(args=["audit", "verify"])
    assert done.exit_code == 1
    assert "entry 5: was changed: its hash isn't the one that it names" in done.output
    filled.path.write_bytes(b"".join(lines[:100]))
    done = run(args=["audit", "verify", "--head", str(kept)])
    assert done.exit_code == 1
    assert "entry 101: was cut off with the end" in done.output


def test_the_head_is_printed_and_written_for_keeping(app: Flask, settings: Settings, tmp_path: Path) -> None:
    run = app.test_cli_runner().invoke
    assert run(args=["audit", "head"]).exit_code == 1  # nothing was written yet
    AuditLog(settings.instance).record("login", user="ana")
    kept = tmp_path / "head.json"
    assert run(args=["audit", "head", "-o", str(kept)]).exit_code == 0
    assert json.loads(run(args=["audit", "head"]).output) == json.loads(kept.read_text())
    kept.write_text("{}")
    done = run(args=["audit", "verify", "--head", str(kept)])
    assert "the head head.json is missing, was changed, or isn't this instance's" in done.output
    assert run(args=["audit", "verify", "--since", "soon"]).exit_code == 2


def test_an_app_of_an_instance_with_a_log_goes_on_with_it(settings: Settings) -> None:
    folder = settings.instance / "log"
    folder.mkdir(parents=True)
    (folder / "audit-2026-01.jsonl").write_text('{"time": "2026-01-01T00:00:00+00:00", "event": "login"}\n')
    AuditLog(settings.instance).record("login", user="ana")
    done = create_app(settings).test_cli_runner().invoke(args=["audit", "verify"])
    assert (done.exit_code, done.output) == (0, "1 entry verified, 1 to 1\n")
