"""Four eyes: what one proposes holds once another has approved it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from screening.accounts.proposals import STUCK, Proposal, Proposals, ProposalState
from screening.accounts.users_text import Account, write
from screening.errors import Conflict, ScreeningError
from screening.infra.audit.log import AuditLog
from screening.infra.job_queue import now
from screening.rules.store import RuleDraft
from screening.rules.tables import RuleState
from screening.settings import ROOT, Settings
from screening.web.services import Services
from screening.web.views.rules import lists_of, store_of
from screening.worker.upkeep import Upkeep
from tests.conftest import Person
from tests.web.test_trainings import Admin

DETECTOR = "card"


@pytest.fixture
def careful(app_with: Callable[..., Flask], team: dict[str, Account]) -> Flask:
    """The app with FOUR_EYES."""
    return app_with(four_eyes=True)


@pytest.fixture
def people(careful: Flask) -> Callable[[str], Person]:
    """Logs one of the team in."""
    return lambda name: Person(careful, name).log_in()


def mine(app: Flask) -> Services:
    found: Services = app.extensions["screening"]
    return found


def propose_threshold(person: Person, review: str = "0.7") -> Any:
    return person.post(
        "/review/threshold/apply", "/account", detector=DETECTOR, review=review, reason="cheaper"
    )


def answer(person: Person, what: str, number: int = 1) -> Any:
    return person.post(f"/approvals/{number}/{what}", "/approvals")


def events(settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in AuditLog(settings.instance).path.read_text().splitlines()]


def test_a_threshold_holds_once_another_manager_has_approved_it_and_all_of_it_is_audited(
    careful: Flask, people: Callable[[str], Person], settings: Settings
) -> None:
    mia, ada = people("mia"), people("ada")
    assert propose_threshold(mia).status_code == 303
    thresholds = mine(careful).thresholds
    assert thresholds.of(DETECTOR).review == settings.threshold
    assert "card decides at 0.7 (now 0.8)" in ada.client.get("/approvals").text
    assert "“cheaper”" in ada.client.get("/approvals").text, "the reason stands before whoever approves it"
    assert answer(ada, "approve").status_code == 303
    assert thresholds.of(DETECTOR).review == 0.7
    assert "“cheaper”" in ada.client.get("/approvals").text
    assert thresholds.history(DETECTOR)[0].said_by == "mia"
    told = [(one["event"], one["user"]) for one in events(settings)][-3:]
    assert told == [("change_proposed", "mia"), ("threshold_applied", "ada"), ("change_approved", "ada")]
    assert events(settings)[-1]["proposed_by"] == "mia"


@pytest.mark.security(12)
def test_nobody_approves_their_own_proposal(careful: Flask, people: Callable[[str], Person]) -> None:
    mia = people("mia")
    propose_threshold(mia)
    refused = answer(mia, "approve")
    assert refused.status_code == 409
    assert "You proposed this change yourself" in refused.text
    assert "Approve:" not in mia.client.get("/approvals").text
    assert mine(careful).thresholds.of(DETECTOR).review == 0.8
    assert answer(mia, "reject").status_code == 303
    assert mine(careful).proposals.get(1).state == ProposalState.WITHDRAWN


def test_a_rejected_proposal_changes_nothing_and_is_decided_once(
    careful: Flask, people: Callable[[str], Person]
) -> None:
    propose_threshold(people("mia"))
    ada = people("ada")
    ada.post("/approvals/1/reject", "/approvals", note="too low")
    for what in ("approve", "reject"):
        assert answer(ada, what).status_code == 409
    row = mine(careful).proposals.get(1)
    assert (row.state, row.decided_by, row.note) == (ProposalState.REJECTED, "ada", "too low")
    assert mine(careful).thresholds.history(DETECTOR) == []


def test_a_proposal_whose_ground_has_changed_can_only_be_rejected(
    careful: Flask, people: Callable[[str], Person]
) -> None:
    propose_threshold(people("mia"))
    mine(careful).thresholds.apply(DETECTOR, 0.6, None, by="the operator")
    refused = answer(people("ada"), "approve")
    assert refused.status_code == 409
    assert "were changed since: they are 0.6" in refused.text
    assert mine(careful).proposals.get(1).state == ProposalState.OPEN
    assert mine(careful).thresholds.of(DETECTOR).review == 0.6


def test_a_threshold_that_cannot_be_is_refused_when_it_is_proposed(
    careful: Flask, people: Callable[[str], Person]
) -> None:
    assert propose_threshold(people("mia"), "1.5").status_code == 422
    assert mine(careful).proposals.waiting() == []


def test_a_rule_is_switched_on_and_changed_by_two(careful: Flask, people: Callable[[str], Person]) -> None:
    with careful.app_context():
        store = store_of()
        rule = store.add(RuleDraft(name="Large", condition="amount > 900"), "mia")
    mia, ada = people("mia"), people("ada")
    mia.post(f"/rules/{rule.id}/state", f"/rules/{rule.id}/state?to=active", to="active", version="1")
    assert store.get(rule.id).state == RuleState.DRAFT
    answer(ada, "approve", 1)
    assert store.get(rule.id).state == RuleState.ACTIVE
    change = {"name": "Large", "condition": "amount > 500", "effect": "flag", "do": "save", "version": "2"}
    ada.post(f"/rules/{rule.id}", f"/rules/{rule.id}", **change)
    assert store.get(rule.id).condition == "amount > 900"
    answer(mia, "approve", 2)
    assert store.get(rule.id).condition == "amount > 500"


def test_a_draft_is_changed_at_once(careful: Flask, people: Callable[[str], Person]) -> None:
    with careful.app_context():
        store = store_of()
        rule = store.add(RuleDraft(name="Large", condition="amount > 900"), "mia")
    change = {"name": "Large", "condition": "amount > 500", "effect": "flag", "do": "save", "version": "1"}
    people("mia").post(f"/rules/{rule.id}", f"/rules/{rule.id}", **change)
    assert store.get(rule.id).condition == "amount > 500"


def test_a_detector_is_retired_by_two(careful: Flask, people: Callable[[str], Person]) -> None:
    people("mia").post("/detectors/payments/retire", "/detectors/payments")
    assert mine(careful).detectors.standing("payments").state == "approved"
    answer(people("ada"), "approve")
    assert mine(careful).detectors.standing("payments").state == "retired"


def test_entries_of_a_list_hold_once_another_has_approved_them_and_several_may_wait(
    careful: Flask, people: Callable[[str], Person], settings: Settings
) -> None:
    mia, ada = people("mia"), people("ada")
    with careful.app_context():
        lists = lists_of()
        lists.make("blocked_cards", "card", "block", "", "mia")
    page = "/rules/lists/blocked_cards"
    number = "4111 1111 1111 1111"
    assert mia.post(f"{page}/entries", page, entries=number, note="told by the bank").status_code == 303
    assert mia.post(f"{page}/entries", page, entries="C-77", note="").status_code == 303
    assert lists.entries("blocked_cards") == []
    waiting = mine(careful).proposals.waiting()
    assert [row.given["note"] for row in waiting] == ["told by the bank", ""]
    shown = ada.client.get("/approvals").text
    assert "c-77" in shown
    for text in (shown, json.dumps([dict(row.given) for row in waiting]), str(events(settings))):
        assert number not in text
        assert number.replace(" ", "") not in text
    answer(ada, "approve", 1)
    answer(ada, "approve", 2)
    kept = {entry.entry: entry.added_by for entry in lists.entries("blocked_cards")}
    assert set(kept.values()) == {"mia"}
    assert {entry[:5] for entry in kept} == {"card_", "c-77"}
    mia.post(f"{page}/remove", page, entry="c-77")
    assert len(lists.entries("blocked_cards")) == 2
    answer(ada, "approve", 3)
    assert len(lists.entries("blocked_cards")) == 1
    mia.post(f"{page}/delete", page)
    assert lists.get("blocked_cards").name == "blocked_cards"
    answer(ada, "approve", 4)
    assert lists.all() == []


def test_what_cannot_be_an_entry_is_refused_when_it_is_proposed(
    careful: Flask, people: Callable[[str], Person]
) -> None:
    with careful.app_context():
        lists_of().make("devices", "device", "block", "", "mia")
    page, mia = "/rules/lists/devices", people("mia")
    assert mia.post(f"{page}/entries", page, entries="123456789012345").status_code == 400
    assert mia.post(f"{page}/remove", page, entry="nobody").status_code == 404
    assert mine(careful).proposals.waiting() == []


def test_a_training_begins_once_another_administrator_has_approved_it(
    careful: Flask, people: Callable[[str], Person], team: dict[str, Account], settings: Settings
) -> None:
    second = replace(team["mia"], username="eva", email="eva@bank.example", role="admin")
    settings.users_file.write_text(settings.users_file.read_text() + write(second) + "\n")
    ada, eva, mia = people("ada"), people("eva"), people("mia")
    admin = Admin(ada, mine(careful))
    training = admin.sent()
    assert admin.start(training).status_code == 303
    assert mine(careful).trainings.state(training) == "choosing"
    assert "is trained on" in mia.client.get("/approvals").text
    refused = answer(mia, "approve")
    assert refused.status_code == 409
    assert "You can&#39;t approve a change of this kind" in refused.text
    assert answer(ada, "approve").status_code == 409
    assert answer(eva, "approve").status_code == 303
    assert mine(careful).trainings.state(training) == "waiting"


@pytest.mark.parametrize(
    "words",
    [
        ["detectors", "approve", "payments"],
        ["detectors", "retire", "payments"],
        ["detectors", "promote", "payments", "--of", "card"],
        ["rules", "state", "Large", "active"],
        ["train", str(ROOT / "transactions_data.csv"), "--label", "Class"],
    ],
    ids=lambda words: " ".join(words[:2])[:20],
)
def test_the_command_line_changes_nothing_that_takes_two_and_names_the_page(
    careful: Flask, words: list[str]
) -> None:
    done = careful.test_cli_runner().invoke(args=words)
    assert done.exit_code == 1
    assert "this change takes two people" in done.stderr
    assert "page Approvals" in done.stderr
    standing = mine(careful).detectors.standing("payments")
    assert (standing.state, standing.said_by) == ("approved", None)


def test_a_proposal_expires_and_its_author_is_told(
    careful: Flask, people: Callable[[str], Person], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mia, ada = people("mia"), people("ada")
    propose_threshold(mia)
    services = mine(careful)
    end = services.proposals.expires(services.proposals.get(1))
    monkeypatch.setattr("screening.accounts.proposals.now", lambda: end - timedelta(seconds=1))
    assert "Approve:" in ada.client.get("/approvals").text
    monkeypatch.setattr("screening.accounts.proposals.now", lambda: end + timedelta(seconds=1))
    page = ada.client.get("/approvals").text
    assert "Approve:" not in page
    assert "Expired" in page
    for what in ("approve", "reject"):
        refused = answer(ada, what)
        assert refused.status_code == 409
        assert "This proposal has expired" in refused.text
    assert services.thresholds.history(DETECTOR) == []
    Upkeep(settings, services.screenings, services.detectors, services.ledger).step()
    Upkeep(settings, services.screenings, services.detectors, services.ledger).step()
    told = [one for one in events(settings) if one["event"] == "change_expired"]
    assert [(one["proposal"], one["proposed_by"]) for one in told] == [(1, "mia")]
    assert "Nobody decided on it within 14 days" in mia.client.get("/notifications").text
    assert propose_threshold(mia).status_code == 303, "the change can be proposed again"


def test_what_is_being_approved_does_not_expire_meanwhile(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposals = Proposals(services.database, days=1)
    number = proposals.propose("thresholds", "card", "words", {}, "mia").id
    end = proposals.expires(proposals.get(number))
    monkeypatch.setattr("screening.accounts.proposals.now", lambda: end - timedelta(seconds=1))
    proposals.begin(number, "ada")
    monkeypatch.setattr("screening.accounts.proposals.now", lambda: end + timedelta(seconds=1))
    assert list(proposals.expire()) == []
    proposals.end(number, applied=True)
    assert proposals.get(number).state == ProposalState.APPROVED


def test_the_same_change_waits_once(careful: Flask, people: Callable[[str], Person]) -> None:
    propose_threshold(people("mia"))
    refused = propose_threshold(people("ada"), "0.6")
    assert refused.status_code == 409
    assert "waits for approval already" in refused.text


def test_without_four_eyes_a_change_holds_at_once_and_approvals_are_not_in_the_rail(
    app: Flask, login: Callable[[str], Person]
) -> None:
    mia = login("mia")
    propose_threshold(mia)
    assert mine(app).thresholds.of(DETECTOR).review == 0.7
    assert 'href="/approvals"' not in mia.client.get("/").text


def test_the_rail_shows_approvals_to_whoever_may_see_them(people: Callable[[str], Person]) -> None:
    shown = {
        name: 'href="/approvals"' in people(name).client.get("/").text for name in ("ana", "mia", "otto")
    }
    assert shown == {"ana": False, "mia": True, "otto": True}


def test_of_two_that_approve_at_once_one_does(services: Services) -> None:
    proposals = services.proposals
    number = proposals.propose("thresholds", "card", "words", {}, "mia").id

    def begin(name: str) -> Proposal | ScreeningError:
        try:
            return Proposals(services.database).begin(number, name)
        except Conflict as refused:
            return refused

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(begin, [f"manager{n}" for n in range(8)]))
    assert sum(isinstance(one, Proposal) for one in found) == 1


def test_an_approval_whose_process_was_killed_can_be_begun_again(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposals = services.proposals
    number = proposals.propose("thresholds", "card", "words", {}, "mia").id
    proposals.begin(number, "ada")
    with pytest.raises(Conflict, match="approves it just now"):
        proposals.begin(number, "otto")
    later = now() + STUCK + timedelta(seconds=1)
    monkeypatch.setattr("screening.accounts.proposals.now", lambda: later)
    assert proposals.begin(number, "otto").decided_by == "otto"


@pytest.mark.security(12)
def test_whoever_lost_the_permission_approves_nothing(
    careful: Flask, people: Callable[[str], Person], team: dict[str, Account], settings: Settings
) -> None:
    propose_threshold(people("mia"))
    otto = people("otto")
    assert answer(otto, "approve").status_code == 403
    assert write(team["otto"]) in settings.users_file.read_text()
    assert mine(careful).thresholds.history(DETECTOR) == []
