"""Rules on their pages and at the command line: written by analysts, tried on the past, switched on by managers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from screening.infra.audit.log import AuditLog
from screening.rules.store import RuleStore
from screening.settings import Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_data_api import SHOP, sent
from tests.web.test_decisions_are_kept import detect, shop

NUMBER = "4111111111111111"
FILE = """
[[rule]]
name = "At once"
detector = "ecommerce"
when = "since(signup_time) < 1min"
fraud_type = "new account"

[[rule]]
name = "Bad device"
when = "device in list bad"

[[list]]
name = "bad"
kind = "device"
purpose = "block"
entries = ["%s"]
"""


def page(person: Person, url: str) -> str:
    answer = person.client.get(url)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return str(answer.get_data(as_text=True))


def rule_form(**changes: str) -> dict[str, str]:
    given = {
        "name": "Large",
        "condition": "amount > 40",
        "detector": "ecommerce",
        "effect": "flag",
        "do": "save",
    }
    return {**given, "note": "large ones", **changes}


@pytest.fixture
def store(services: Services) -> RuleStore:
    return RuleStore(services.database, services.detectors)


def test_an_analyst_writes_a_rule_tries_it_and_a_manager_switches_it_on(
    login: Callable[[str], Person], worker: Worker, services: Services, store: RuleStore, settings: Settings
) -> None:
    ana, mia = login("ana"), login("mia")
    sent(ana, services, SHOP)
    assert "There is no rule yet" in page(ana, "/rules")
    tried = ana.post("/rules", "/rules/new", **rule_form(do="try"))
    text = tried.get_data(as_text=True)
    assert tried.status_code == 200
    assert ">Backtest</h2>" in text
    examples = text.split("Legitimate transactions that fulfil it", 1)[1]
    assert re.search(
        r'href="/decisions/[^"]+".*data-label="Who and what"><span class="soft">Customer', examples, re.DOTALL
    )
    assert not store.all()
    answer = ana.post("/rules", "/rules/new", **rule_form())
    assert answer.status_code == 303
    (rule,) = store.all()
    assert (rule.state, rule.owner) == ("draft", "ana")
    assert "Switch on" not in page(ana, f"/rules/{rule.id}")
    assert ana.client.get(f"/rules/{rule.id}/state?to=active").status_code == 403
    asked = page(mia, f"/rules/{rule.id}/state?to=active")
    assert ">Backtest</h2>" in asked
    assert "in the last 30 days" in asked
    switched = mia.post(f"/rules/{rule.id}/state", f"/rules/{rule.id}", to="active", version="1")
    assert switched.status_code == 303
    assert store.get(rule.id).state == "active"
    answers = detect(ana, shop(5))
    assert [each["rules"] for each in answers] == [
        ["Large"] if row["purchase_value"] > 40 else [] for row in shop(5)
    ]
    hits = page(mia, "/rules")
    assert "Active" in hits
    assert "Hits, 30 days" in hits
    refused = ana.post(
        f"/rules/{rule.id}", f"/rules/{rule.id}", **rule_form(condition="amount > 1", version="2")
    )
    assert refused.status_code == 409
    assert "a manager&#39;s to change" in refused.get_data(as_text=True)
    assert (
        mia.post(
            f"/rules/{rule.id}", f"/rules/{rule.id}", **rule_form(condition="amount > 1", version="1")
        ).status_code
        == 409
    )
    assert (
        mia.post(
            f"/rules/{rule.id}", f"/rules/{rule.id}", **rule_form(condition="amount > 90", version="2")
        ).status_code
        == 303
    )
    history = page(mia, f"/rules/{rule.id}")
    assert history.count("amount &gt; 40") == 2
    events = [json.loads(line) for line in AuditLog(settings.instance).path.read_text().splitlines()]
    told = [(each["event"], each["user"]) for each in events if each["event"].startswith("rule_")]
    assert told == [("rule_added", "ana"), ("rule_state_changed", "mia"), ("rule_changed", "mia")]


def test_a_misspelt_name_is_said_with_its_place_and_what_was_meant(login: Callable[[str], Person]) -> None:
    ana = login("ana")
    answer = ana.post("/rules", "/rules/new", **rule_form(condition="amonut > 40", do="check"))
    text = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert "Did you mean amount?" in text
    assert "line 1, character 1" in text
    assert "amonut &gt; 40" in text
    right = ana.post("/rules", "/rules/new", **rule_form(do="check"))
    assert "The rule can be used" in right.get_data(as_text=True)


@pytest.mark.parametrize(
    "condition", ["<script>alert(1)</script>", "amount > 1; DROP TABLE rules", "__import__('os').system('x')"]
)
def test_what_is_no_rule_is_shown_as_text(
    login: Callable[[str], Person], store: RuleStore, condition: str
) -> None:
    answer = login("ana").post("/rules", "/rules/new", **rule_form(condition=condition))
    assert answer.status_code == 400
    assert "<script>alert" not in answer.get_data(as_text=True)
    assert not store.all()


@pytest.mark.security(33, 54)
def test_lists_are_a_managers_and_keep_no_card_number(
    login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    ana, mia = login("ana"), login("mia")
    made = mia.post("/rules/lists", "/rules/lists", name="bad_cards", kind="card", purpose="block", note="")
    assert made.status_code == 303
    added = mia.post("/rules/lists/bad_cards/entries", "/rules/lists/bad_cards", entries=f"{NUMBER}\nabc\n")
    assert added.status_code == 303
    shown = page(ana, "/rules/lists/bad_cards")
    assert "card_" in shown
    assert NUMBER not in shown
    assert "Add entries" not in shown
    assert ana.post("/rules/lists/bad_cards/entries", "/account", entries="x").status_code == 403
    assert mia.post("/rules/lists/bad_cards/remove", "/rules/lists/bad_cards", entry="abc").status_code == 303
    assert "abc" not in page(ana, "/rules/lists/bad_cards").split("Entries", 1)[1]
    assert NUMBER not in AuditLog(settings.instance).path.read_text()
    assert mia.post("/rules/lists/bad_cards/delete", "/rules/lists/bad_cards").status_code == 303
    assert mia.client.get("/rules/lists/bad_cards").status_code == 404


def test_shipped_rules_become_drafts_once(login: Callable[[str], Person], store: RuleStore) -> None:
    mia = login("mia")
    assert "that come with the detectors" in page(mia, "/rules")
    assert mia.post("/rules/shipped", "/rules").status_code == 303
    count = len(store.all())
    assert count > 10
    assert {rule.state for rule in store.all()} == {"draft"}
    text = page(mia, "/rules")
    assert "that come with the detectors" not in text
    assert "can't be used" not in text
    assert mia.post("/rules/shipped", "/account").status_code == 303
    assert len(store.all()) == count
    for rule in store.all():
        assert "What it says" in page(mia, f"/rules/{rule.id}?try=1")
    exported = mia.client.get("/rules/export")
    assert exported.get_data(as_text=True).count("[[rule]]") == count


def test_an_analyst_knows_nothing_of_a_detector_on_trial(
    login: Callable[[str], Person], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = login("ana")
    answer = ana.post("/rules", "/rules/new", **rule_form(detector="nobodys"))
    assert answer.status_code == 400
    assert "There is no such detector" in answer.get_data(as_text=True)


@pytest.fixture
def run(app: Flask) -> Callable[..., Any]:
    runner = app.test_cli_runner()
    return lambda *args: runner.invoke(args=["rules", *args])


def test_a_file_is_checked_tried_and_imported(
    run: Callable[..., Any],
    login: Callable[[str], Person],
    worker: Worker,
    services: Services,
    store: RuleStore,
    tmp_path: Path,
) -> None:
    sent(login("ana"), services, SHOP)
    file = tmp_path / "rules.toml"
    file.write_text(FILE % shop(1)[0]["device_id"])
    checked = run("check", str(file))
    assert (checked.exit_code, checked.output) == (0, "2 rules, 2 can be used\n")
    tried = run("backtest", str(file))
    assert tried.exit_code == 0, tried.output
    assert "At once (flag, ecommerce)" in tried.output
    assert "Bad device (flag, every detector)" in tried.output
    assert "fulfilled by 0" not in tried.output
    assert "precision" in tried.output
    assert run("backtest", str(file), "--from", "2031-01-01").output.count("fulfilled by 0") == 2
    imported = run("import", str(file))
    assert "2 rules added as drafts, 0 there already; 1 list made" in imported.output
    assert "0 rules added as drafts, 2 there already; 0 lists made" in run("import", str(file)).output
    assert "At once: active" in run("state", "At once", "active").output
    listed = run("list").output
    assert "active\tflag\tecommerce\tAt once" in listed
    exported = run("export", str(tmp_path / "out.toml"))
    assert exported.exit_code == 0
    assert run("check", str(tmp_path / "out.toml")).exit_code == 0
    assert run("export", str(tmp_path / "out.toml")).exit_code == 1


def test_a_wrong_file_says_what_is_wrong_with_which_rule(run: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\nname="A"\nwhen="amonut > 1"\n[[rule]]\nname="B"\nwhen="amount > 1"\n')
    told = run("check", str(file))
    assert told.exit_code == 1
    assert "A: amonut is nothing that is known" in told.output
    assert "Did you mean amount?" in told.output
    assert "2 rules, 1 can be used" in told.output
    assert run("backtest", str(file)).exit_code == 1
    assert run("import", str(file)).exit_code == 1
    file.write_bytes(b"\xff\xfe")
    assert "UTF-8" in run("check", str(file)).output
