"""Rules have a say in decisions: the same one in a file, through the API and at the command line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from sqlalchemy import select

from screening.ledger.filters import DecisionFilter
from screening.rules.hits import hits
from screening.rules.lists import RuleLists
from screening.rules.store import RuleDraft, RuleStore, changing
from screening.rules.tables import Rule, RuleState
from screening.rules.trying import Trials
from screening.settings import Settings
from screening.uploads.questions.card_tokens import tokens_of
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.second_detector import second_detector
from tests.web.test_data_api import PAYMENTS, SHOP, asked, scored, sent
from tests.web.test_decisions_are_kept import detect, shop

RULES = {
    "Bought at once": ("since(signup_time) < 1min", "flag", "new account"),
    "Busy device": ("count(device, 1d) >= 1", "raise", "shared device"),
    "Known device": ("device in list good_devices", "silence", None),
    "Young women": ('sex == "f" and age < 30 and channel != "Direct"', "raise", None),
    "At night": ("hour < 6 and weekday in [6, 7]", "raise", None),
    "Likely": ("probability >= 0.3", "flag", "likely"),
}


@pytest.fixture
def rules(services: Services) -> RuleStore:
    return RuleStore(services.database, services.detectors)


@pytest.fixture
def lists(services: Services, settings: Settings) -> RuleLists:
    return RuleLists(services.database, lambda: tokens_of(settings.instance))


def switch_on(rules: RuleStore, state: RuleState = RuleState.ACTIVE, detector: str = "ecommerce") -> None:
    for name, (condition, effect, kind) in RULES.items():
        made = rules.add(
            RuleDraft(
                name=name, condition=condition, effect=effect, fraud_type=kind, detector=detector, note="why"
            ),
            "mia",
        )
        rules.set_state(made.id, state, "mia")


def good_devices(lists: RuleLists) -> None:
    devices = [row["device_id"] for row in csv.DictReader(io.StringIO(SHOP.decode()))]
    lists.make("good_devices", "device", "allow", "", "mia")
    lists.add("good_devices", [each.lower() for each in devices[::3]], "mia")


def rows_of(services: Services, source: str) -> list[dict[str, Any]]:
    query = (
        'SELECT number, flagged, rules, fraud_type, reasons, "l:shadow rules" AS shadow, '
        '"n:since(signup_time)" AS since, '
        '"n:count(device, 1d)" AS count, "t:sex" AS sex, "n:age" AS age FROM chosen ORDER BY number'
    )
    facts = ["l:shadow rules", "n:since(signup_time)", "n:count(device, 1d)", "t:sex", "n:age"]
    return services.ledger.questions.ask(query, DecisionFilter(source=source), facts=facts).rows


def test_a_file_the_api_and_the_command_line_decide_the_same(
    app: Flask,
    login: Callable[[str], Person],
    worker: Worker,
    services: Services,
    rules: RuleStore,
    lists: RuleLists,
    tmp_path: Path,
) -> None:
    good_devices(lists)
    switch_on(rules)
    ana, mia = login("ana"), login("mia")
    screening = sent(ana, services, SHOP)
    page = scored(ana, screening)
    file = rows_of(services, "file")
    (tmp_path / "rows.csv").write_bytes(SHOP)
    told = app.test_cli_runner().invoke(
        args=["screen", str(tmp_path / "rows.csv"), "-o", str(tmp_path / "scores.csv")]
    )
    assert told.exit_code == 0, told.output
    written = list(csv.DictReader(io.StringIO((tmp_path / "scores.csv").read_text())))
    assert [row["flagged"] for row in written] == [row["flagged"] for row in page]
    answers = detect(mia, shop(len(page)))
    api = rows_of(services, "api")
    for place, answer in enumerate(answers):
        expected = page[place]["flagged"] == "true"
        assert (answer["fraud"], file[place]["flagged"], api[place]["flagged"]) == (expected,) * 3
        assert answer["rules"] == (file[place]["rules"] or []) == (api[place]["rules"] or [])
        assert answer["fraud_type"] == file[place]["fraud_type"] == api[place]["fraud_type"]
        for key in ("since", "count", "sex", "age"):
            assert file[place][key] == api[place][key]
        assert asked(mia, f"/transactions/{answer['id']}")["rules"] == answer["rules"]
        assert bool(answer["reasons"]) == answer["fraud"]
    threshold = services.settings.threshold
    trial = ana.client.get(f"/results/{screening}/threshold", query_string={"threshold": threshold})
    assert trial.status_code == 200
    folder = UploadFolder(services.settings.instance, screening)
    found = ScreeningOutcome(folder, threshold)
    assert (
        found.flagged_at(threshold)
        == found.trial(threshold)["flagged"]
        == sum(row["flagged"] for row in file)
    )
    assert found.trial(1.0)["flagged"] == sum(
        bool({"Bought at once", "Likely"} & set(row["rules"] or [])) for row in file
    )
    assert '<span class="chip">Bought at once</span>' in ana.client.get(f"/results/{screening}").get_data(
        as_text=True
    )
    fired = {name for row in file for name in row["rules"] or []}
    assert fired == set(RULES)
    silenced = [row for row in file if row["rules"] == ["Known device"]]
    assert silenced
    assert not any(row["flagged"] for row in silenced)
    assert asked(ana, f"/results/{screening}.json")["flagged"] == sum(row["flagged"] for row in file)
    assert asked(mia, "/summary", source="file")["flagged"] == sum(row["flagged"] for row in file)
    by_rule = [row for row in file if "Bought at once" in (row["rules"] or [])]
    assert all("Rule “Bought at once”: why" in row["reasons"] for row in by_rule)
    assert all(row["flagged"] for row in by_rule)


def test_rules_in_the_shadow_are_kept_and_change_nothing(
    login: Callable[[str], Person], worker: Worker, services: Services, rules: RuleStore, lists: RuleLists
) -> None:
    ana, mia = login("ana"), login("mia")
    plain = sent(ana, services, SHOP)
    before = scored(ana, plain)
    good_devices(lists)
    switch_on(rules, RuleState.SHADOW)
    answers = detect(mia, shop(len(before)))
    api = rows_of(services, "api")
    assert {name for row in api for name in row["shadow"] or []} == set(RULES)
    for answer, row, was in zip(answers, api, before, strict=True):
        assert answer["rules"] == []
        assert answer["fraud_type"] is None
        assert row["rules"] is None
        assert answer["fraud"] == row["flagged"] == (was["flagged"] == "true")
    again = sent(ana, services, SHOP, "again.csv")
    query = 'SELECT flagged, probability, threshold, rules, "l:shadow rules" AS shadow FROM chosen'
    chosen = DecisionFilter(screening=again)
    file = services.ledger.questions.ask(query, chosen, facts=["l:shadow rules"]).rows
    assert {name for row in file for name in row["shadow"] or []} == set(RULES)
    for row in file:
        assert row["rules"] is None
        assert row["flagged"] == (np.float32(row["probability"]) >= np.float32(row["threshold"]))
    _, counted = hits(services.ledger.questions, chosen)
    assert {name: each.rows for name, each in counted.items()} == Counter(
        name for row in file for name in row["shadow"] or []
    )


def test_a_rule_that_is_off_or_a_draft_is_not_asked(
    login: Callable[[str], Person], services: Services, rules: RuleStore
) -> None:
    ana = login("ana")
    made = rules.add(RuleDraft(name="All", condition="amount >= 0", effect="flag"), "mia")
    assert not any(answer["fraud"] for answer in detect(ana, shop(3)))
    rules.set_state(made.id, RuleState.ACTIVE, "mia")
    answers = detect(ana, shop(3))
    assert all(answer["fraud"] and answer["rules"] == ["All"] for answer in answers)
    assert answers[0]["reasons"] == ["Rule “All”"]
    rules.set_state(made.id, RuleState.OFF, "mia")
    assert not any(answer["fraud"] for answer in detect(ana, shop(3)))


def test_flagging_goes_before_silencing(login: Callable[[str], Person], rules: RuleStore) -> None:
    ana = login("ana")
    for name, effect in (("Block", "flag"), ("Allow", "silence")):
        made = rules.add(RuleDraft(name=name, condition="amount >= 0", effect=effect), "mia")
        rules.set_state(made.id, RuleState.ACTIVE, "mia")
    (answer,) = detect(ana, shop(1))
    assert answer["fraud"]
    assert answer["rules"] == ["Allow", "Block"]


def test_a_list_counts_from_the_next_decision_on(
    login: Callable[[str], Person], rules: RuleStore, lists: RuleLists
) -> None:
    ana = login("ana")
    lists.make("bad", "device", "block", "", "mia")
    made = rules.add(RuleDraft(name="Bad", condition="device in list bad"), "mia")
    rules.set_state(made.id, RuleState.ACTIVE, "mia")
    device = shop(1)[0]["device_id"]
    assert not detect(ana, shop(1))[0]["fraud"]
    lists.add("bad", [device], "mia")
    assert detect(ana, shop(1))[0]["fraud"]
    lists.remove("bad", device.lower())
    assert not detect(ana, shop(1))[0]["fraud"]


def test_without_a_rule_nothing_is_kept_for_one(login: Callable[[str], Person], services: Services) -> None:
    detect(login("ana"), shop(2))
    with services.ledger.tables.read() as session:
        table = services.ledger.sealing.rows(session)
    assert not [name for name in table.column_names if ":" in name]


def test_a_set_aside_row_fulfils_no_rule(
    login: Callable[[str], Person], worker: Worker, services: Services, rules: RuleStore
) -> None:
    made = rules.add(RuleDraft(name="All", condition="true"), "mia")
    rules.set_state(made.id, RuleState.ACTIVE, "mia")
    ana = login("ana")
    lines = PAYMENTS.decode().splitlines()[:6]
    lines[3] = lines[3].rsplit(",", 2)[0] + ",many,0"
    answer = ana.upload("\n".join(lines).encode(), "rows.csv", set_aside="1")
    assert answer.status_code == 303, answer.get_data(as_text=True)
    rows = scored(ana, answer.headers["Location"].split("/")[2])
    assert [row["flagged"] for row in rows] == ["true", "true", "", "true", "true"]
    assert asked(ana, f"{answer.headers['Location']}.json")["flagged"] == 4


def test_a_column_of_many_is_kept_once_a_rule_names_it(
    login: Callable[[str], Person], worker: Worker, services: Services, rules: RuleStore, sample: bytes
) -> None:
    ana = login("ana")
    sent(ana, services, sample, "before.csv")
    draft = RuleDraft(name="Low", condition="V14 < -5", detector="card")
    rules.add(draft, "ana")
    sent(ana, services, sample, "after.csv")
    trials = Trials(rules, services.ledger.questions)
    found = trials.one(draft, chosen=DecisionFilter(), now=datetime.now(UTC)).outcome
    rows = list(csv.DictReader(io.StringIO(sample.decode())))
    assert (found.rows, found.unknown) == (2 * len(rows), len(rows))
    assert found.fired.rows == sum(float(row["V14"]) < -5 for row in rows) > 0


def test_rules_follow_a_detector_that_is_promoted(
    login: Callable[[str], Person], services: Services, settings: Settings, rules: RuleStore
) -> None:
    second_detector(settings.instance, "payments", "quietnet")
    services.detectors.approve("quietnet", "mia", confirmed=True)
    for name, detector in (("Theirs", "payments"), ("Its own", "quietnet"), ("Another's", "ecommerce")):
        made = rules.add(
            RuleDraft(name=name, condition="amount > 0", effect="raise", detector=detector), "mia"
        )
        rules.set_state(made.id, RuleState.ACTIVE, "mia")
    second = services.detectors.get("quietnet")
    assert [rule.name for rule in services.rules.of(second).active] == ["Its own"]
    services.detectors.promote("payments", "quietnet", "mia", confirmed=True)
    assert [rule.name for rule in services.rules.of(second).active] == ["Its own", "Theirs"]


def test_a_rule_that_can_not_be_used_any_more_is_told_and_stops_no_other(
    login: Callable[[str], Person], services: Services, rules: RuleStore, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("Broken", "Sound"):
        made = rules.add(
            RuleDraft(name=name, condition="amount >= 0", effect="raise", detector="ecommerce"), "mia"
        )
        rules.set_state(made.id, RuleState.ACTIVE, "mia")
    with changing(services.database) as session:
        for rule in session.scalars(select(Rule).where(Rule.name == "Broken")):
            rule.condition = "column_of_before > 1"  # as if its detector had been trained again
    mia = login("mia")
    assert [answer["rules"] for answer in detect(mia, shop(1))] == [["Sound"]]
    assert "rule Broken can't be asked of ecommerce" in caplog.text
    assert "can't be used" in mia.client.get("/rules").get_data(as_text=True)


def test_amounts_are_compared_as_the_ledger_keeps_them_in_any_currency(
    login: Callable[[str], Person], worker: Worker, services: Services, rules: RuleStore
) -> None:
    made = rules.add(RuleDraft(name="Over", condition="amount > 30", effect="raise"), "mia")
    rules.set_state(made.id, RuleState.ACTIVE, "mia")
    ana, mia = login("ana"), login("mia")
    amounts = {"EUR": (30.004, 30.01), "JPY": (30.4, 30.6), "BHD": (30.0004, 30.001), "": (30.004, 30.01)}
    cases = [(code, amount) for code, some in amounts.items() for amount in some]
    given = [
        {**row, "purchase_value": amount, "currency": code}
        for row, (code, amount) in zip(shop(len(cases)), cases, strict=True)
    ]
    answers = detect(mia, given)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(given[0]))
    writer.writeheader()
    writer.writerows(given)
    file = sent(ana, services, out.getvalue().encode())
    query = "SELECT rules FROM chosen ORDER BY number"
    rows = services.ledger.questions.ask(query, DecisionFilter(screening=file)).rows
    wanted = [[], ["Over"]] * len(amounts)
    assert [answer["rules"] for answer in answers] == wanted
    assert [row["rules"] or [] for row in rows] == wanted
