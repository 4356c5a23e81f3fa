"""The administrator's page of API keys."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from screening.accounts import key_text
from screening.accounts.api_keys import SCOPES, ApiKey
from screening.settings import Settings
from screening.web.services import Services
from tests.conftest import Person
from tests.web.keys_kit import ask, made
from tests.web.test_audit_log import events, written

PAGE = "/admin/keys"
WORDS = {
    "name": "Name",
    "owner": "Owner",
    "scopes": "Scopes",
    "days": "Expires",
    "per_minute": "Requests a minute",
    "burst": "Requests at once",
}
"""What the page calls the fields."""
RIGHT = {
    "name": "core banking",
    "owner": "ana",
    "scopes": "score",
    "days": "365",
    "per_minute": "",
    "burst": "",
}


def make(person: Person, **fields: Any) -> Any:
    return person.post(PAGE, PAGE, **{**RIGHT, **fields})


def text_in(page: str) -> str:
    found: str
    (found,) = set(re.findall(r"fsk_[0-9a-z]{10}_[0-9A-Za-z]+", page))
    return found


def only(services: Services) -> ApiKey:
    (key,) = services.keys.all()
    return key


@pytest.mark.security(14, 33)
def test_a_key_is_shown_once_and_never_again(
    app: Flask, login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    ada = login("ada")
    answer = make(ada, scopes=["score", "read"])
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    text = text_in(answer.get_data(as_text=True))
    assert key_text.is_whole(text)
    assert ask(app, text, "/summary").status_code == 200

    key = only(services)
    for url in (PAGE, f"{PAGE}/{key.id}/revoke", "/", "/admin/users"):
        page = ada.client.get(url).get_data(as_text=True)
        assert text[key_text.ID.stop :] not in page
    assert key.id in ada.client.get(PAGE).get_data(as_text=True)

    again = make(ada, scopes=["score", "read"])  # the browser's reload sends the form once more
    assert again.status_code == 409
    assert "fsk_2" not in again.get_data(as_text=True).replace("fsk_…", "")
    assert len(services.keys.all()) == 1

    (line,) = events(settings, "key_created")
    assert (line["user"], line["account"], line["key"], line["scopes"]) == (
        "ada",
        "ana",
        key.id,
        ["score", "read"],
    )
    assert text[key_text.ID.stop :] not in str(written(settings))


def test_what_the_form_says_is_what_the_key_has(login: Callable[[str], Person], services: Services) -> None:
    ada = login("ada")
    assert make(
        ada, name="  the  till ", owner="MIA", scopes=list(SCOPES), days="30", per_minute="90", burst="7"
    )
    key = only(services)
    assert (key.name, key.owner, key.scopes) == ("the  till", "mia", tuple(SCOPES))
    assert (key.per_minute, key.burst, key.created_by) == (90, 7, "ada")
    assert key.expires is not None
    assert timedelta(days=30) == key.expires - key.created
    make(ada, name="for ever", days="never")
    latest = services.keys.all()[0]
    assert (latest.expires, latest.per_minute, latest.burst) == (None, 6_000, 200)


@pytest.mark.parametrize(
    ("fields", "status", "field", "said"),
    [
        ({"name": ""}, 400, "name", "1 to 64 characters"),
        ({"name": "x" * 65}, 400, "name", "1 to 64 characters"),
        ({"name": "two\nlines"}, 400, "name", "on one line"),
        ({"name": "fsk_2222222222_" + "A" * 49}, 400, "name", "holds a key"),
        ({"owner": "nobody"}, 404, "owner", "no account"),
        ({"owner": "dora"}, 400, "owner", "disabled"),
        ({"scopes": []}, 400, "scopes", "has no scope"),
        ({"scopes": "everything"}, 400, "scopes", "no scope"),
        ({"owner": "otto", "scopes": ["read", "score"]}, 400, "scopes", "auditor"),
        ({"days": ""}, 400, "days", "when the key expires"),
        ({"days": "36500"}, 400, "days", "when the key expires"),
        ({"per_minute": "0"}, 400, "per_minute", "from 1 to 10,000,000"),
        ({"per_minute": "-5"}, 400, "per_minute", "from 1 to 10,000,000"),
        ({"per_minute": "10000001"}, 400, "per_minute", "from 1 to 10,000,000"),
        ({"per_minute": "9" * 5_000}, 400, "per_minute", "from 1 to 10,000,000"),
        ({"burst": "1.5"}, 400, "burst", "from 1 to 1,000,000"),
        ({"burst": "²"}, 400, "burst", "from 1 to 1,000,000"),
    ],
)
def test_a_form_that_makes_no_key_comes_back_with_what_was_filled_in(
    login: Callable[[str], Person],
    services: Services,
    fields: dict[str, Any],
    status: int,
    field: str,
    said: str,
) -> None:
    answer = make(login("ada"), **{"name": "the till", **fields})
    page = answer.get_data(as_text=True)
    assert answer.status_code == status
    assert services.keys.all() == []
    alert = page.split('role="alert"', 1)[1].split("<form", 1)[0]
    assert said in alert
    assert f"<dd>{WORDS[field]}</dd>" in alert
    marked = re.search(r"<(?:input|select|fieldset)[^>]*aria-invalid[^>]*>", page)
    assert marked is not None
    assert f'name="{field}"' in marked[0] or field == "scopes"
    if "name" not in fields:
        assert 'value="the till"' in page
    assert "fsk_2222222222_A" not in page, "a key that was typed into the wrong field isn't shown"


@pytest.mark.security(12, 14)
@pytest.mark.parametrize("who", ["ana", "mia", "otto"])
def test_only_administrators_make_see_and_revoke_keys(
    app: Flask, login: Callable[[str], Person], services: Services, who: str
) -> None:
    text, person = made(services, "read", owner="ana"), login(who)
    key = only(services)
    for method, url in (
        ("GET", PAGE),
        ("POST", PAGE),
        *((m, f"{PAGE}/{key.id}/revoke") for m in ("GET", "POST")),
    ):
        fields = {**RIGHT, "csrf_token": person.token("/account")} if method == "POST" else {}
        answer = person.client.open(url, method=method, data=fields)
        assert answer.status_code == 403, (method, url)
        assert key.id not in answer.get_data(as_text=True)
    assert only(services).revoked is None
    assert PAGE not in person.client.get("/account").get_data(as_text=True)
    assert ask(app, text, "/summary").status_code == 200


@pytest.mark.security(11, 14)
def test_without_the_forms_token_nothing_is_made_or_revoked(
    login: Callable[[str], Person], services: Services
) -> None:
    ada, other = login("ada"), login("ada")
    made(services, "read")
    for url in (PAGE, f"{PAGE}/{only(services).id}/revoke"):
        for token in ({}, {"csrf_token": ""}, {"csrf_token": other.token("/account")}):
            assert ada.client.post(url, data={**RIGHT, **token}).status_code == 400
    assert only(services).revoked is None


@pytest.mark.security(14, 33)
def test_a_key_is_revoked_after_a_question_and_opens_nothing_within_a_second(
    app: Flask, login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    text, ada = made(services, "read", name="the till"), login("ada")
    key = only(services)
    url = f"{PAGE}/{key.id}/revoke"
    assert "Revoke the key “the till”?" in ada.client.get(url).get_data(as_text=True)
    assert ask(app, text, "/summary").status_code == 200, "asking is not doing"
    done = ada.post(url, url)
    time.sleep(1.0)
    assert (done.status_code, done.headers["Location"]) == (303, PAGE)
    assert ask(app, text, "/summary").status_code == 401
    page = ada.client.get(PAGE).get_data(as_text=True)
    assert "The key the till was revoked." in page
    assert "1 revoked key" in page
    assert url not in page
    assert "It was revoked" in ada.client.get(url).get_data(as_text=True)
    ada.post(url, PAGE)
    assert "had been revoked before" in ada.client.get(PAGE).get_data(as_text=True)
    assert [line["user"] for line in events(settings, "key_revoked")] == ["ada"]


@pytest.mark.parametrize("key_id", ["2222222222", "x", "2222222222%20", "..", "é"])
def test_a_key_that_isnt_there_is_not_found(login: Callable[[str], Person], key_id: str) -> None:
    ada = login("ada")
    assert ada.client.get(f"{PAGE}/{key_id}/revoke").status_code == 404
    assert ada.post(f"{PAGE}/{key_id}/revoke", PAGE).status_code == 404


def test_the_list_says_what_each_key_is_and_why_one_opens_nothing(
    login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    ada = login("ada")
    for owner in ("ana", "mia", "otto"):
        made(services, "read", owner=owner, name=f"of {owner}")
    made(services, "score", owner="ada", name="of ada")
    made(services, "read", owner="ada", name="old")
    with services.database.write() as session:
        session.connection().exec_driver_sql("UPDATE api_keys SET expires = 1 WHERE name = 'old'")
    services.users.set_state("ana", active=False)
    text = settings.users_file.read_text("utf-8")
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("otto,"))
    settings.users_file.write_text(text, encoding="utf-8")

    page = ada.client.get(PAGE).get_data(as_text=True)
    said = {
        found[1]: re.sub(r"<[^>]+>", "", found[2]).strip()
        for found in re.finditer(
            r'data-label="Name"[^>]*>([^<]+)<.*?data-label="State">(.*?)</td>', page, re.DOTALL
        )
    }
    assert said == {
        "of ana": "owner is disabled",
        "of mia": "active",
        "of otto": "owner is gone",
        "of ada": "active",
        "old": "expired",
    }


def test_a_scope_that_the_role_no_longer_allows_is_marked(
    login: Callable[[str], Person], services: Services
) -> None:
    ada = login("ada")
    made(services, "score", "read", owner="ana")
    services.users.set_role("ana", "auditor")
    page = re.sub(r"<[^>]+>", "", ada.client.get(PAGE).get_data(as_text=True))
    assert "score (not with this role), read" in page


def test_names_are_text_and_never_markup(login: Callable[[str], Person], services: Services) -> None:
    ada, name = login("ada"), "<script>alert(1)</script>"
    pages = [make(ada, name=name), ada.client.get(PAGE), ada.client.get(f"{PAGE}/{only(services).id}/revoke")]
    ada.post(f"{PAGE}/{only(services).id}/revoke", PAGE)
    for page in (*pages, ada.client.get(PAGE)):
        text = page.get_data(as_text=True)
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text
