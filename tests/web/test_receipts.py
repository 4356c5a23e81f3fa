"""The receipt of a decision: what made it, and one click that proves it, or says what differs."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq

from screening.ledger.filters import DecisionFilter
from screening.rules.lists import RuleLists
from screening.rules.store import RuleStore
from screening.rules.tables import RuleState
from screening.settings import ROOT, Settings
from screening.uploads.questions.card_tokens import tokens_of
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.second_detector import second_detector
from tests.web.test_audit_log import events
from tests.web.test_data_api import SHOP, asked, sent
from tests.web.test_decisions_are_kept import detect, post, shop
from tests.web.test_explore import page, words
from tests.web.test_rules_decide import good_devices, switch_on

ECOMMERCE = ROOT / "model" / "detectors" / "ecommerce"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def again(person: Person, row: str) -> dict[str, Any]:
    answer = post(person, f"/transactions/{row}/receipt", {})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: dict[str, Any] = answer.get_json()
    return found


def differing(told: dict[str, Any]) -> dict[str, Any]:
    return {each["what"]: each["why"] for each in told["checks"] if each["same"] is not True}


def test_a_decision_has_the_hashes_of_all_that_made_it_and_scores_the_same_again(
    login: Callable[[str], Person], services: Services
) -> None:
    ana = login("ana")
    row = detect(ana, shop(3))[2]["id"]
    receipt = asked(ana, f"/transactions/{row}/receipt")
    assert receipt["net"] == digest((ECOMMERCE / "model.h5").read_bytes())
    assert receipt["vectorizer"] == digest((ECOMMERCE / "vectorizer.pkl").read_bytes())
    kept = services.ledger.questions.ask("SELECT values FROM chosen ORDER BY number", DecisionFilter()).rows
    assert receipt["input"] == digest(kept[2]["values"].encode())
    assert receipt["rules"] is None
    assert receipt["segment"] is None
    assert again(ana, row)["same"] is True
    assert services.ledger.sealing.seal() == 3
    told = again(ana, row)
    assert told["same"] is True
    segment = services.ledger.segments.path(told["receipt"]["segment"])
    assert told["receipt"]["segment_hash"] == digest(segment.read_bytes())
    page_of_it = page(ana, f"/decisions/{row}/receipt")
    assert receipt["net"] in page_of_it
    assert f"/decisions/{row}/receipt" in page(ana, f"/decisions/{row}")
    answer = ana.post(f"/decisions/{row}/receipt", "/account")
    assert "The same" in words(answer.get_data(as_text=True))
    pq.write_table(pq.read_table(segment), segment)  # the same rows, by another hand
    found = next(each for each in again(ana, row)["checks"] if each["what"] == "Row in the ledger")
    assert found["same"] is False


def test_what_rules_said_then_is_asked_again_also_when_they_say_something_else_now(
    login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings
) -> None:
    ana, mia = login("ana"), login("mia")
    rules = RuleStore(services.database, services.detectors)
    lists = RuleLists(services.database, lambda: tokens_of(settings.instance))
    good_devices(lists)
    switch_on(rules)
    screening = sent(ana, services, SHOP)
    api = [each["id"] for each in detect(mia, shop(40))]
    file = [
        each["id"] for each in asked(ana, "/transactions", screening=screening, limit="40")["transactions"]
    ]
    first = asked(mia, f"/transactions/{api[0]}/receipt")
    assert first["rules"] == asked(mia, f"/transactions/{file[0]}/receipt")["rules"]
    assert {each["name"] for each in first["rule_texts"]} == {rule.name for rule in rules.all()}
    ruled = [each for each in (*api, *file) if asked(mia, f"/transactions/{each}")["rules"]][:6]
    assert ruled
    for row in (*api[:2], *file[:2], *ruled):
        assert again(mia, row)["same"] is True, differing(again(mia, row))
    rule = rules.named("Busy device")
    rules.set_state(rule.id, RuleState.OFF, "mia")
    assert again(mia, api[0])["same"] is True, "the rules of then are asked, not those of now"
    lists.add("good_devices", ["quite another one"], "mia")
    assert differing(again(mia, api[0])) == {"Rules": "Lists have changed since: good_devices."}
    text = words(mia.post(f"/decisions/{api[0]}/receipt", "/account").get_data(as_text=True))
    assert "Not the same" in text
    assert "Lists have changed since: good_devices." in text


def test_other_bytes_of_the_net_a_detector_that_is_gone_and_a_deleted_file_are_named(
    login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings
) -> None:
    ana, mia = login("ana"), login("mia")
    folder = second_detector(settings.instance, "ecommerce")
    body = {"transactions": shop(1), "detector": "second"}
    row = post(mia, "/detect_fraud", body).get_json()["results"][0]["id"]
    before = asked(mia, f"/transactions/{row}/receipt")
    assert again(mia, row)["same"] is True
    shutil.rmtree(folder)
    second_detector(settings.instance, "ecommerce", shift=0.1)
    told = again(mia, row)
    assert told["same"] is False
    assert set(differing(told)) == {"Vectorizer", "Detector's fingerprint"}
    assert told["receipt"] == before, "what decided then is known still"
    shutil.rmtree(folder)
    assert set(differing(again(mia, row))) == {"Detector"}
    screening = sent(ana, services, SHOP)
    of_file = asked(ana, "/transactions", screening=screening, limit="1")["transactions"][0]["id"]
    assert asked(ana, f"/transactions/{of_file}/receipt")["input"] == digest(SHOP)
    assert again(ana, of_file)["same"] is True
    shutil.rmtree(settings.instance / "screenings" / screening)
    assert set(differing(again(ana, of_file))) == {"File", "Probability"}
    assert ana.client.get(f"/transactions/{row}/receipt").status_code == 404, "mia's"
    assert {each["same"] for each in events(settings, "decision_replayed")} == {True, False}
