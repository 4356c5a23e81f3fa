"""Every route for everybody. A new route fails here until it has a line in the table."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask, url_for

from screening.accounts.roles import PERMISSIONS
from screening.accounts.sessions import SessionStore
from screening.accounts.users_text import Account
from screening.settings import Settings
from screening.web.services import Services
from screening.web.views.navigation import SECTIONS
from tests.conftest import Person

PEOPLE = ("anonymous", "analyst", "manager", "auditor", "admin", "disabled")
NAMES = {"analyst": "ana", "manager": "mia", "auditor": "otto", "admin": "ada", "disabled": "dora"}

# What a right request of each comes to, in the order of PEOPLE. 303 to the login page is written "login", a 401 for a
# program 401; "open" is anything but a login, a 401 and a 403 (which of them, other tests say).
ANYBODY = ("open",) * 6
MEMBERS = ("login", "open", "open", "open", "open", "login")
SCREENERS = ("login", "open", "open", 403, "open", "login")
READERS = (401, "open", "open", "open", "open", 401)
MANAGERS = ("login", 403, "open", 403, "open", "login")
ADMINS = ("login", 403, 403, 403, "open", "login")
AUDITORS = ("login", 403, 403, "open", "open", "login")

MATRIX: dict[tuple[str, str], tuple[object, ...]] = {
    ("GET", "/static/<path:filename>"): ANYBODY,
    ("GET", "/"): ANYBODY,
    ("GET", "/sample.csv"): ANYBODY,
    ("GET", "/status"): ANYBODY,
    ("GET", "/search"): MEMBERS,
    ("GET", "/reports"): MEMBERS,
    ("GET", "/reports/documents"): MEMBERS,
    ("POST", "/reports/documents"): MEMBERS,
    ("GET", "/reports/documents/model-risk"): ("login", 403, "open", "open", "open", "login"),
    ("GET", "/reports/documents/<document_id>"): MEMBERS,
    ("GET", "/reports/documents/<document_id>/progress"): MEMBERS,
    ("GET", "/reports/documents/<document_id>/file"): MEMBERS,
    ("POST", "/reports/documents/<document_id>/cancel"): MEMBERS,
    ("POST", "/reports/documents/<document_id>/delete"): MEMBERS,
    ("GET", "/reports/scheduled"): ("login", 403, "open", "open", "open", "login"),
    ("POST", "/reports/scheduled"): MANAGERS,
    ("POST", "/reports/scheduled/<schedule_id>/remove"): MANAGERS,
    ("GET", "/reports/period.pdf"): MEMBERS,
    ("GET", "/reports/period.xlsx"): MEMBERS,
    ("GET", "/results/<screening_id>/report.pdf"): MEMBERS,
    ("GET", "/entities/<kind>/<path:value>"): MEMBERS,
    ("GET", "/decisions/<transaction_id>"): MEMBERS,
    ("GET", "/decisions/<transaction_id>/receipt"): MEMBERS,
    ("POST", "/decisions/<transaction_id>/receipt"): MEMBERS,
    ("GET", "/results/<screening_id>/rows/<int:number>"): MEMBERS,
    ("GET", "/explore/transactions"): MEMBERS,
    ("GET", "/explore/flips"): MEMBERS,
    ("POST", "/explore/flips/screen"): SCREENERS,
    ("GET", "/dashboard/"): MEMBERS,
    ("GET", "/dashboard/_dash-layout"): MEMBERS,
    ("GET", "/dashboard/_dash-dependencies"): MEMBERS,
    ("GET", "/dashboard/_dash-component-suites/<package>/<path:name>"): MEMBERS,
    ("POST", "/dashboard/_dash-update-component"): MEMBERS,
    ("GET", "/detectors"): ANYBODY,
    ("GET", "/detectors/<name>"): ANYBODY,
    ("GET", "/detectors/<name>/sample.csv"): ANYBODY,
    ("GET", "/detectors/<name>/learn"): MEMBERS,
    ("GET", "/detectors/<name>/classroom"): MEMBERS,
    ("POST", "/detectors/<name>/delete"): ADMINS,
    ("POST", "/detectors/<name>/approve"): MANAGERS,
    ("POST", "/detectors/<name>/retire"): MANAGERS,
    ("GET", "/shadow"): MANAGERS,
    ("POST", "/shadow"): MANAGERS,
    ("GET", "/shadow/<run_id>"): MANAGERS,
    ("POST", "/shadow/<run_id>/stop"): MANAGERS,
    ("POST", "/shadow/<run_id>/promote"): MANAGERS,
    ("POST", "/shadow/promotions/<number>/take-back"): MANAGERS,
    ("GET", "/rules"): MEMBERS,
    ("POST", "/rules"): SCREENERS,
    ("GET", "/rules/new"): SCREENERS,
    ("POST", "/rules/shipped"): SCREENERS,
    ("GET", "/rules/export"): MEMBERS,
    ("GET", "/rules/<number>"): MEMBERS,
    ("POST", "/rules/<number>"): SCREENERS,
    ("GET", "/rules/<number>/state"): MANAGERS,
    ("POST", "/rules/<number>/state"): MANAGERS,
    ("GET", "/rules/lists"): MEMBERS,
    ("POST", "/rules/lists"): MANAGERS,
    ("GET", "/rules/lists/<name>"): MEMBERS,
    ("POST", "/rules/lists/<name>/entries"): MANAGERS,
    ("POST", "/rules/lists/<name>/remove"): MANAGERS,
    ("POST", "/rules/lists/<name>/delete"): MANAGERS,
    ("GET", "/review"): MEMBERS,
    ("GET", "/review/missed"): ("login", 403, "open", "open", "open", "login"),
    ("GET", "/review/threshold"): MANAGERS,
    ("GET", "/review/disagreements"): MEMBERS,
    ("GET", "/review/disagreements.csv"): MEMBERS,
    ("POST", "/review/threshold/apply"): MANAGERS,
    ("GET", "/review/workbook"): SCREENERS,
    ("POST", "/review/workbook"): SCREENERS,
    ("POST", "/review/next"): SCREENERS,
    ("POST", "/review/decision"): SCREENERS,
    ("POST", "/review/undo"): SCREENERS,
    ("GET", "/review/<number>"): MEMBERS,
    ("GET", "/review/<number>/around"): MEMBERS,
    ("POST", "/review/<number>/take"): SCREENERS,
    ("POST", "/review/<number>/decision"): SCREENERS,
    ("POST", "/review/<number>/escalate"): SCREENERS,
    ("POST", "/review/<number>/skip"): SCREENERS,
    ("POST", "/review/<number>/hand-over"): SCREENERS,
    ("POST", "/review/<number>/note"): SCREENERS,
    ("POST", "/review/<number>/reopen"): SCREENERS,
    ("GET", "/history"): MANAGERS,
    ("POST", "/history/<screening_id>"): MANAGERS,
    ("POST", "/history/mappings"): MANAGERS,
    ("GET", "/detectors/from-reviews"): ADMINS,
    ("POST", "/detectors/from-reviews"): ADMINS,
    ("GET", "/detectors/new"): ADMINS,
    ("POST", "/detectors/new"): ADMINS,
    ("GET", "/results/<screening_id>/questions"): SCREENERS,
    ("POST", "/results/<screening_id>/questions"): SCREENERS,
    ("GET", "/results/<screening_id>/card-numbers"): SCREENERS,
    ("POST", "/results/<screening_id>/card-numbers"): SCREENERS,
    ("GET", "/results/<screening_id>/mapping"): SCREENERS,
    ("POST", "/results/<screening_id>/mapping"): SCREENERS,
    ("POST", "/results/<screening_id>/mapping/forget"): SCREENERS,
    ("GET", "/results/<screening_id>/check"): MEMBERS,
    ("POST", "/results/<screening_id>/check"): SCREENERS,
    ("GET", "/trainings/<training_id>"): ADMINS,
    ("GET", "/trainings/<training_id>/progress"): ADMINS,
    ("GET", "/trainings/<training_id>/columns"): ADMINS,
    ("POST", "/trainings/<training_id>/columns"): ADMINS,
    ("POST", "/trainings/<training_id>/cancel"): ADMINS,
    ("POST", "/trainings/<training_id>/delete"): ADMINS,
    ("GET", "/healthz"): ANYBODY,
    ("GET", "/readyz"): ANYBODY,
    ("GET", "/metrics"): ANYBODY,  # on this machine, where the tests are
    ("GET", "/signup"): ANYBODY,
    ("POST", "/signup"): ANYBODY,
    ("GET", "/login"): ANYBODY,
    ("POST", "/login"): (401,) * 6,  # no name and no password in the request
    ("GET", "/signin"): ANYBODY,
    ("POST", "/logout"): ("login",) * 6,
    ("GET", "/account"): MEMBERS,
    ("POST", "/account"): ("login", 401, 401, 401, 401, "login"),  # no present password in the request
    ("GET", "/upload"): SCREENERS,
    ("POST", "/upload"): SCREENERS,
    ("GET", "/results"): MEMBERS,
    ("GET", "/results/<screening_id>"): MEMBERS,
    ("GET", "/results/<screening_id>/rows"): MEMBERS,
    ("GET", "/results/<screening_id>/progress"): MEMBERS,
    ("GET", "/results/<screening_id>/threshold"): MEMBERS,
    ("GET", "/results/<screening_id>.json"): (401, "open", "open", "open", "open", 401),
    ("GET", "/results/<screening_id>/scores.csv"): MEMBERS,
    ("GET", "/results/<screening_id>/flagged.csv"): MEMBERS,
    ("GET", "/results/<screening_id>/rejected.csv"): MEMBERS,
    ("GET", "/results/<screening_id>/report.xlsx"): MEMBERS,
    ("POST", "/results/<screening_id>/delete"): SCREENERS,
    ("POST", "/detect_fraud"): (401, "open", "open", 403, "open", 401),
    ("GET", "/summary"): READERS,
    ("GET", "/fraud_trends"): READERS,
    ("GET", "/fraud_geography"): READERS,
    ("GET", "/fraud_devices"): READERS,
    ("GET", "/fraud_browsers"): READERS,
    ("GET", "/fraud_types"): READERS,
    ("GET", "/transactions"): READERS,
    ("GET", "/transactions/<transaction_id>"): READERS,
    ("POST", "/transactions/<transaction_id>/replay"): (401, "open", "open", 403, "open", 401),
    ("GET", "/transactions/<transaction_id>/receipt"): READERS,
    ("POST", "/transactions/<transaction_id>/receipt"): (401, "open", "open", 403, "open", 401),
    ("POST", "/labels"): (401, "open", "open", 403, "open", 401),
    ("GET", "/openapi.json"): READERS,
    ("GET", "/docs"): MEMBERS,
    ("GET", "/monitoring"): MANAGERS,
    ("GET", "/audit"): AUDITORS,
    ("GET", "/notifications"): MEMBERS,
    ("POST", "/notifications/read"): MEMBERS,
    ("POST", "/notifications/<number>/open"): MEMBERS,
    ("GET", "/approvals"): ("login", 403, "open", "open", "open", "login"),
    ("POST", "/approvals/<number>/approve"): MANAGERS,
    ("POST", "/approvals/<number>/reject"): MANAGERS,
    ("GET", "/audit/entries.csv"): AUDITORS,
    ("GET", "/audit/entries.jsonl"): AUDITORS,
    ("GET", "/audit/head"): AUDITORS,
    ("GET", "/styleguide"): ADMINS,
    ("GET", "/admin/users"): ADMINS,
    ("POST", "/admin/users/<username>/role"): ADMINS,
    ("POST", "/admin/users/<username>/state"): ADMINS,
    ("POST", "/admin/users/<username>/password"): ADMINS,
    ("GET", "/admin/keys"): ADMINS,
    ("POST", "/admin/keys"): ADMINS,
    ("GET", "/admin/keys/<key_id>/revoke"): ADMINS,
    ("POST", "/admin/keys/<key_id>/revoke"): ADMINS,
}


@pytest.mark.security(12)
def test_every_route_stands_in_the_matrix(app: Flask) -> None:
    routes = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == set(MATRIX)


@pytest.mark.security(12)
@pytest.mark.parametrize("who", PEOPLE)
def test_everybody_gets_what_the_matrix_says(
    app: Flask, who: str, team: dict[str, Account], services: Services, settings: Settings
) -> None:
    lines = settings.users_file.read_text("utf-8")
    for (method, rule), expected in MATRIX.items():
        settings.users_file.write_text(lines, encoding="utf-8")  # what the admin did is undone
        person = _as(app, who, team, services)
        url = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", lambda found: _value(found[1]), rule)
        token = {} if method == "GET" else {"csrf_token": person.token("/login")}
        answer = person.client.open(url, method=method, data=token, content_type="multipart/form-data")
        assert (
            _outcome(answer.status_code, answer.headers.get("Location", "")) == expected[PEOPLE.index(who)]
        ), (method, rule)


def _as(app: Flask, who: str, team: dict[str, Account], services: Services) -> Person:
    """A session as a login begins it (for the disabled one: as it was before)."""
    person = Person(app, who)
    if who != "anonymous":
        store = SessionStore(services.database, 900)
        person.take_session(store.begin(team[NAMES[who]]))
    return person


def _value(name: str) -> str:
    return {"username": "ana", "filename": "css/app.css", "name": "card", "number": "1"}.get(name, "0123abcd")


def _outcome(status: int, location: str) -> object:
    if status == 303 and location.startswith("/login"):
        return "login"
    return status if status in (401, 403) else "open"


@pytest.mark.security(12)
def test_a_route_that_the_matrix_lacks_would_be_noticed(app: Flask, login: Callable[[str], Person]) -> None:
    app.add_url_rule("/forgotten", view_func=lambda: "")
    with pytest.raises(AssertionError):
        test_every_route_stands_in_the_matrix(app)


@pytest.mark.security(12)
@pytest.mark.parametrize("who", ["analyst", "manager", "auditor", "admin"])
def test_the_rail_has_what_a_role_may_open_and_nothing_else(
    app_with: Callable[..., Flask], who: str, team: dict[str, Account]
) -> None:
    app = app_with(four_eyes=True)
    person = Person(app, NAMES[who]).log_in()
    page = person.client.get("/").text
    palette = page[page.index('id="palette-list"') :]
    shown = set(re.findall(r'href="([^"#]+)"', palette[: palette.index("</dialog>")]))
    for path in shown:
        assert person.client.get(path).status_code == 200, path
    with app.test_request_context():
        addresses = {link.endpoint: url_for(link.endpoint) for section in SECTIONS for link in section.links}
    del addresses["pages.status"]  # everybody's, by the foot of the page
    for endpoint, path in addresses.items():
        assert (path in shown) == (person.client.get(path).status_code == 200), endpoint


def test_a_link_of_the_rail_takes_the_permission_that_its_page_takes(app: Flask) -> None:
    for section in SECTIONS:
        for link in section.links:
            permission = getattr(app.view_functions[link.endpoint], "permission", None)
            assert permission in (link.permission or "see", None), link.endpoint  # "see" is every member's


def test_every_permission_of_the_table_is_asked_for_and_every_one_asked_for_is_in_it(app: Flask) -> None:
    asked = {getattr(view, "permission", None) for view in app.view_functions.values()} - {None}
    links = {link.permission for section in SECTIONS for link in section.links} - {None}
    assert asked | links == set().union(*PERMISSIONS.values())
