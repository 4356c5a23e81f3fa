"""Four eyes: what one proposes holds once another has approved it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from screening.accounts.proposals import STUCK, Proposal, Proposals, ProposalState
from screening.accounts.users_text import Account, write
from screening.errors import Conflict, ScreeningError
from screening.infra.audit_log import AuditLog
from screening.infra.job_queue import now
from screening.rules.store import Draft
from screening.rules.tables import RuleState
from screening.settings import Settings
from screening.web.services import Services
from screening.web.views.rules import store_of
from tests.conftest import Person

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
    assert answer(ada, "approve").status_code == 303
    assert thresholds.of(DETECTOR).review == 0.7
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
        rule = store.add(Draft(name="Large", condition="amount > 900"), "mia")
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
        rule = store.add(Draft(name="Large", condition="amount > 900"), "mia")
    change = {"name": "Large", "condition": "amount > 500", "effect": "flag", "do": "save", "version": "1"}
    people("mia").post(f"/rules/{rule.id}", f"/rules/{rule.id}", **change)
    assert store.get(rule.id).condition == "amount > 500"


def test_a_detector_is_retired_by_two(careful: Flask, people: Callable[[str], Person]) -> None:
    people("mia").post("/detectors/payments/retire", "/detectors/payments")
    assert mine(careful).detectors.standing("payments").state == "approved"
    answer(people("ada"), "approve")
    assert mine(careful).detectors.standing("payments").state == "retired"


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
