"""Users see their own screenings only; another's look as if they weren't there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person


@pytest.mark.security(5)
def test_a_name_that_the_operator_writes_in_other_letters_keeps_its_screenings(
    app: Flask,
    login: Callable[[str], Person],
    services: Services,
    worker: Worker,
    sample: bytes,
) -> None:
    before, settings = login("ana"), services.settings
    location = before.upload(sample).headers["Location"]
    text = settings.users_file.read_text("utf-8")
    settings.users_file.write_text(text.replace("\nana,", "\nAna,"), encoding="utf-8")
    for person in (before, Person(app, "ANA").log_in()):
        assert person.client.get(location).status_code == 200
        assert location in person.client.get("/results").get_data(as_text=True)
    later = before.upload(sample).headers["Location"]
    settings.users_file.write_text(text, encoding="utf-8")
    page = before.client.get("/results").get_data(as_text=True)
    assert location in page
    assert later in page
    assert services.screenings.count("aNa") == 2


@pytest.mark.security(13)
def test_another_users_screening_and_its_exports_are_not_found(
    app: Flask, login: Callable[[str], Person], services: Services, worker: Worker, sample: bytes
) -> None:
    owner = login("ana")
    location = owner.upload(sample).headers["Location"]
    screening_id = location.rsplit("/", 1)[1]
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/results/")]
    assert len(rules) >= 8
    for name in ("mia", "otto", "ada"):
        other = login(name)
        token = other.token("/account")
        for rule in rules:
            method = "POST" if "POST" in (rule.methods or ()) else "GET"
            fields = {"csrf_token": token} if method == "POST" else {}
            theirs, nothing = (
                other.client.open(re.sub("<[^>]+>", found, rule.rule), method=method, data=fields)
                for found in (screening_id, "0" * len(screening_id))
            )
            assert theirs.status_code == nothing.status_code, (name, rule.rule)
            assert theirs.status_code in ((403, 404) if name == "otto" else (404,)), (name, rule.rule)
        assert screening_id not in other.client.get("/results").get_data(as_text=True)
    assert owner.client.get(location).status_code == 200
    assert screening_id in owner.client.get("/results").get_data(as_text=True)


@pytest.mark.security(13)
def test_who_signs_up_with_a_name_that_was_anothers_gets_nothing_of_theirs(
    app: Flask, services: Services, worker: Worker, sample: bytes
) -> None:
    Person(app, "first").sign_up()
    for name in ("eve", "E" * 64):
        somebody = Person(app, name).sign_up().log_in()
        location = somebody.upload(sample).headers["Location"]
        decided = _decide(somebody)
        assert [row["id"] for row in _decisions(somebody)] == [decided]
        file = services.users.path
        kept = [line for line in file.read_text().splitlines(keepends=True) if not line.startswith(name)]
        file.write_text("".join(kept))
        somebody = Person(app, name.lower()).sign_up().log_in()
        assert somebody.client.get(location).status_code == 404
        assert services.screenings.count(name.lower()) == services.screenings.count(name) == 0
        assert location.rsplit("/", 1)[1] in services.screenings.ids()
        assert _decisions(somebody) == []
        assert somebody.client.get(f"/transactions/{decided}").status_code == 404
        own = _decide(somebody)
        assert own != decided, "a request of somebody else isn't repeated"
        assert somebody.client.get("/summary").get_json()["total_transactions"] == 1


def _decisions(person: Person) -> list[dict[str, Any]]:
    """The first page of those that somebody may see."""
    found: list[dict[str, Any]] = person.client.get("/transactions").get_json()["transactions"]
    return found


def _decide(person: Person) -> str:
    """Have one transaction decided on, under a key that everybody might take; returns its id."""
    headers = {"X-CSRFToken": person.token("/account"), "Idempotency-Key": "1"}
    row = {"Time": 0, **{f"V{number}": 0.1 for number in range(1, 29)}, "Amount": 12.5}
    answer = person.client.post("/detect_fraud", json={"transaction": row}, headers=headers)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return str(answer.get_json()["id"])
