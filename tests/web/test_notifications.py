"""The bell: who is told of what, that it is told once, and that it can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from screening.accounts.notifications import KEPT, Notifications, ReadMark
from screening.accounts.users_text import Account
from screening.infra.audit.log import AuditLog
from screening.infra.job_queue import now
from screening.monitoring.alerts import Alerts, Breach
from screening.monitoring.tables import Message
from screening.settings import Settings
from screening.uploads.screenings import Screening
from screening.web.services import Services
from screening.worker.notices import LONG_SECONDS, JobNotices
from tests.conftest import Person

Login = Callable[[str], Person]


def words(services: Services, name: str, role: str) -> list[str]:
    rows = services.notifications.page(name, role, before=None, most=50)
    return [one.notification.words for one in rows]


def test_the_bell_counts_what_is_new_and_is_silent_when_all_is_read(
    app: Flask, services: Services, login: Login
) -> None:
    ana = login("ana")
    assert 'aria-label="Notifications"' in ana.client.get("/notifications").text
    services.notifications.tell("job", "Document July: ready", "/reports/documents/x", to="Ana")
    services.notifications.tell("job", "Document June: ready", "/account", to="ana")
    page = ana.client.get("/notifications").text
    assert "Notifications: 2 unread" in page
    assert page.index("Document June") < page.index("Document July")
    opened = ana.post("/notifications/2/open", "/notifications")
    assert (opened.status_code, opened.headers["Location"]) == (303, "/account")
    assert "Notifications: 1 unread" in ana.client.get("/notifications").text
    ana.post("/notifications/read", "/notifications")
    assert 'aria-label="Notifications"' in ana.client.get("/").text


@pytest.mark.security(13)
def test_nobody_sees_or_reads_anothers_notifications(app: Flask, services: Services, login: Login) -> None:
    services.notifications.tell("job", "Document July: ready", "/account", to="ana")
    mia = login("mia")
    assert "Document July" not in mia.client.get("/notifications").text
    assert mia.post("/notifications/1/open", "/notifications").status_code == 404
    mia.post("/notifications/read", "/notifications")
    assert services.notifications.unread("ana", "analyst") == 1


def test_what_a_permission_is_told_reaches_those_who_have_it_but_not_who_did_it(services: Services) -> None:
    services.notifications.tell("case.escalated", "Case 7", "/review/7", permission="decide", by="Mia")
    assert words(services, "ada", "admin") == ["Case 7"]
    assert words(services, "mia", "manager") == []
    assert words(services, "ana", "analyst") == []
    services.notifications.mark_read("ada", "admin")
    assert services.notifications.unread("ada", "admin") == 0
    assert services.notifications.unread("max", "manager") == 1, "each reads for themselves"


def test_an_alert_is_told_once_to_those_who_monitor(services: Services, settings: Settings) -> None:
    alerts = Alerts(services.database, AuditLog(settings.instance), webhook=False)
    full = Breach(rule="disk", subject="here", value=0.1, limit=1.0, text="The disk is nearly full.")
    for _ in range(2):
        alerts.update([full])
    assert words(services, "mia", "manager") == ["The disk is nearly full."]
    assert words(services, "otto", "auditor") == []


@pytest.mark.parametrize(
    ("state", "seconds", "told"),
    [
        ("done", 1.0, []),
        ("done", LONG_SECONDS, ["Screening of july.csv: ready"]),
        ("failed", 1.0, ["Screening of july.csv: failed"]),
    ],
)
def test_the_owner_of_a_file_is_told_when_it_took_its_time_or_failed(
    services: Services, state: str, seconds: float, told: list[str]
) -> None:
    job: Any = SimpleNamespace(
        __tablename__=Screening.__tablename__, id="0123abcd", owner="ana", filename="july.csv"
    )
    JobNotices(services.database).ended(job, {"state": state}, seconds)
    assert words(services, "ana", "analyst") == told


def test_old_notifications_are_forgotten_with_who_read_them(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.notifications.tell("job", "old", "/", to="ana")
    services.notifications.mark_read("ana", "analyst")
    later = now() + KEPT + timedelta(days=1)
    monkeypatch.setattr("screening.accounts.notifications.now", lambda: later)
    services.notifications.tell("job", "new", "/", to="ana")
    assert words(services, "ana", "analyst") == ["new"]
    with services.database.read() as session:
        assert session.scalars(select(ReadMark)).all() == []


@pytest.mark.security(13)
def test_a_namesake_gets_none_of_an_earlier_accounts_notifications(services: Services) -> None:
    services.notifications.tell("job", "Document July: ready", "/", to="ana")
    services.part_from_namesake("Ana", by="ada")
    assert words(services, "ana", "analyst") == []


def test_of_many_a_page_is_shown_and_the_count_ends_at_99(
    app: Flask, services: Services, login: Login
) -> None:
    for number in range(101):
        services.notifications.tell("job", f"Document {number}: ready", "/account", to="ana")
    ana = login("ana")
    first = ana.client.get("/notifications").text
    assert "Notifications: 99+ unread" in first
    assert first.count('aria-label="Open: ') == 50
    assert 'href="/notifications?before=52"' in first
    assert ana.client.get("/notifications?before=x").status_code == 404


def test_a_proposal_is_told_to_deciders_its_answer_to_its_author_and_both_to_the_webhook_where_it_is_for_many(
    app_with: Callable[..., Flask], team: dict[str, Account]
) -> None:
    secret = "whsec_" + "QUJD" * 8
    app = app_with(four_eyes=True, webhook_url="http://127.0.0.1:9/hook", webhook_secret=secret)
    mine: Services = app.extensions["screening"]
    mia, ada = Person(app, "mia").log_in(), Person(app, "ada").log_in()
    mia.post("/review/threshold/apply", "/account", detector="card", review="0.7")
    assert words(mine, "ada", "admin") == ["mia proposes: card decides at 0.7 (now 0.8)."]
    with mine.database.read() as session:
        (message,) = session.scalars(select(Message)).all()
    body = json.loads(message.body)
    assert (body["type"], body["data"]["path"], body["data"]["by"]) == (
        "change.proposed",
        "/approvals",
        "mia",
    )
    ada.post("/approvals/1/approve", "/approvals")
    assert words(mine, "mia", "manager") == ["ada approved: card decides at 0.7 (now 0.8)."]


def test_a_notification_is_one_persons_or_a_permissions(services: Services) -> None:
    with pytest.raises(ValueError, match="one person's"):
        Notifications(services.database).tell("job", "words", "/")
