"""Documents that are made as jobs: all rows, by a process of its own, for whoever may see them, kept for a while."""

from __future__ import annotations

import csv
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from flask import Flask
from sqlalchemy import update

from screening.infra.audit.log import AuditLog
from screening.infra.job_queue import DONE, now
from screening.infra.job_runner import Runner
from screening.infra.wake_signal import Signals
from screening.ledger.filters import DecisionFilter
from screening.reports import period_workbook
from screening.reports.document_job import DocumentJob
from screening.reports.documents import (
    CANCELLED,
    MOST_OPEN,
    WAITING,
    Document,
    DocumentFolder,
    DocumentSubject,
)
from screening.reports.schedules import Schedules
from screening.settings import Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.waiting import wait_until
from tests.web.test_data_api import PAYMENTS, asked, scored, sent
from tests.web.test_reports import XLSX


def ordered(person: Person, **fields: str) -> str:
    answer = person.post("/reports/documents", **{"kind": "xlsx", **fields})
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return str(answer.headers["Location"]).split("/")[-1]


def made(person: Person, services: Services, **fields: str) -> str:
    found = ordered(person, **fields)
    wait_until(lambda: not row(services, found).open)
    assert row(services, found).state == DONE, row(services, found).error
    return found


def row(services: Services, document: str) -> Document:
    found = services.documents.get(document)
    assert found is not None
    return found


def told(services: Services, name: str) -> list[str]:
    """Where the notifications of an analyst lead."""
    rows = services.notifications.page(name, "analyst", before=None, most=50)
    return [each.notification.path for each in rows]


def sheets(person: Person, document: str) -> dict[str, list[tuple[Any, ...]]]:
    answer = person.client.get(f"/reports/documents/{document}/file")
    assert (answer.status_code, answer.content_type) == (200, XLSX)
    book = openpyxl.load_workbook(io.BytesIO(answer.data), read_only=True)
    return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book}


def events(settings: Settings, event: str) -> list[str]:
    files = AuditLog(settings.instance).files()
    return [line for file in files for line in file.read_text().splitlines() if f'"event": "{event}"' in line]


@contextmanager
def running(settings: Settings, services: Services, module: str) -> Iterator[DocumentJob]:
    """A runner of documents in a thread, whose child process is another module."""
    import threading

    job, stop = DocumentJob(settings, services.documents, module), threading.Event()
    signals = Signals.of(settings.instance)
    thread = threading.Thread(target=Runner([job], "documents-0", signals.waiting, stop).loop)
    thread.start()
    yield job
    stop.set()
    signals.waiting.ring()
    thread.join(30)
    assert not thread.is_alive()


def test_the_workbook_of_a_screening_has_every_row_as_the_file_has_it(
    login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings
) -> None:
    ana = login("ana")
    lines = PAYMENTS.decode().splitlines()
    place = lines[0].split(",").index("TX_AMOUNT")
    cells = lines[4].split(",")
    cells[place] = "=1+1"
    lines[4] = ",".join(cells)
    location = ana.upload("\n".join(lines).encode(), "märz.csv", set_aside="1").headers["Location"]
    screening = location.split("/")[2]
    wait_until(lambda: services.screenings.state(screening) == DONE)
    document = made(ana, services, what="screening", screening=screening)
    wait_until(lambda: f"/reports/documents/{document}" in told(services, "ana"))
    found = sheets(ana, document)
    assert list(found) == ["Summary", "Flagged", "All", "Reasons", "Cleaning"]
    wanted = scored(ana, screening)
    head, *rows = found["All"]
    assert list(head) == ["Row", "Probability", "Flagged", *lines[0].split(",")]
    for at, (row_, file_row) in enumerate(zip(rows, wanted, strict=True), 1):
        got = dict(zip(head, row_, strict=True))
        assert got["Row"] == at
        assert got["Probability"] == (
            float(file_row["fraud_probability"]) if file_row["fraud_probability"] else None
        )
        assert got["Flagged"] == {"true": "yes", "false": "no", "": None}[file_row["flagged"]]
        for name in lines[0].split(","):
            assert str(got[name]) == file_row[name].removeprefix("'") or float(file_row[name]) == got[name]
    flagged_text = ana.client.get(f"/results/{screening}/flagged.csv").get_data(as_text=True)
    flagged = list(csv.DictReader(io.StringIO(flagged_text)))
    assert [str(each[0]) for each in found["Flagged"][1:]] == [each["row"] for each in flagged]
    assert [each[2] or "" for each in found["Flagged"][1:]] == [each["reasons"] for each in flagged]
    said: dict[str, list[str]] = {}
    for number, _, place_, reason in found["Reasons"][1:]:
        said.setdefault(str(number), []).append(reason)
        assert place_ == len(said[str(number)])
    assert {at: "; ".join(each) for at, each in said.items()} == {
        each["row"]: each["reasons"] for each in flagged if each["reasons"]
    }
    assert (4, "TX_AMOUNT", "=1+1") in [each[:3] for each in found["Cleaning"][1:]]
    summary = dict(found["Summary"])
    kept = services.screenings.get(screening)
    assert kept is not None
    assert summary["File SHA-256"] == kept.sha256
    assert summary["Unreadable (not scored)"] == 1
    (line,) = events(settings, "report_made")
    assert str(row(services, document).sha256) in line
    assert len(events(settings, "report_ordered")) == len(events(settings, "report")) == 1
    assert sorted(path.name for path in DocumentFolder(settings.instance, document).path.iterdir()) == [
        "document"
    ]


@pytest.mark.usefixtures("worker")
def test_an_hour_of_too_many_rows_is_cut_by_the_second(
    login: Callable[[str], Person], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(login("ana"), services, PAYMENTS)
    monkeypatch.setattr(period_workbook, "PART_ROWS", 2)
    ask = services.ledger.questions
    parts = list(period_workbook.cut(ask, DecisionFilter(end=datetime(2025, 1, 3, tzinfo=UTC))))
    starts, ends = ([getattr(part.chosen, name) for part in parts] for name in ("start", "end"))
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert max(part.rows for part in parts) == 2, "no two of them are of one second"
    assert len({start.hour for start in starts}) * 2 < len(parts)
    (all_of_them,) = ask.summary(DecisionFilter(end=datetime(2025, 1, 3, tzinfo=UTC))).rows
    assert sum(part.rows for part in parts) == all_of_them["transactions"]
    (some,) = ask.summary(parts[1].chosen).rows
    assert some["transactions"] == parts[1].rows


def test_the_workbook_of_a_period_has_every_decision_that_the_data_api_counts(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    sent(ana, services, PAYMENTS)
    sent(mia, services, PAYMENTS, "again.csv")
    period = {"from": "2025-01-10", "to": "2025-01-19"}
    for person, whose in ((ana, "ana"), (mia, "everybody")):
        found = sheets(person, made(person, services, what="period", **period))
        counted = asked(person, "/summary", **{"from": "2025-01-10", "to": "2025-01-20"})
        head, *rows = found["All"]
        assert len(rows) == counted["total_transactions"] > 0
        known = [dict(zip(head, each, strict=True)) for each in rows]
        assert (
            sum(each["Flagged"] == "yes" for each in known) == counted["flagged"] == len(found["Flagged"]) - 1
        )
        assert sum(each["Amount"] for each in known) == pytest.approx(counted["total_amount"], abs=1e-6)
        assert [each["When (UTC)"] for each in known] == sorted(each["When (UTC)"] for each in known)
        one = asked(person, f"/transactions/{known[0]['Id']}")
        assert one["amount"] == known[0]["Amount"]
        assert dict(found["Summary"])["Of"] == whose
        assert {each[1] for each in found["Files"][1:]} <= {"rows.csv", "again.csv"}
        assert sum(each[2] for each in found["Files"][1:]) == len(rows)


def test_a_document_is_its_owners_alone_and_a_lower_role_sees_no_more_of_everybody(
    login: Callable[[str], Person], services: Services
) -> None:
    ana, mia, otto = login("ana"), login("mia"), login("otto")
    document = ordered(mia, what="period", **{"from": "2025-01-01", "to": "2025-01-02"})
    for person in (ana, otto):
        for url in ("", "/progress", "/file"):
            assert person.client.get(f"/reports/documents/{document}{url}").status_code == 404
        for act in ("cancel", "delete"):
            assert person.post(f"/reports/documents/{document}/{act}").status_code == 404
    assert mia.client.get(f"/reports/documents/{document}").status_code == 200
    assert mia.client.get(f"/reports/documents/{document}/file").status_code == 409, "it isn't made yet"
    services.users.set_role("mia", "analyst")
    mia.log_in()
    assert mia.client.get(f"/reports/documents/{document}").status_code == 404


def test_what_cant_be_made_is_said_and_asks_for_nothing(
    login: Callable[[str], Person], services: Services
) -> None:
    ana = login("ana")
    for fields, status, word in (
        ({"what": "period", "kind": "docx"}, 400, "pdf or xlsx"),
        ({"what": "weather"}, 400, "a screening, a period or a detector"),
        ({"what": "screening", "screening": "nothing"}, 404, "no such screening"),
        ({"what": "period", "from": "2025-02-30"}, 400, "isn&#39;t a day"),
    ):
        answer = ana.post("/reports/documents", **{"kind": "xlsx", **fields})
        assert answer.status_code == status
        assert word in answer.get_data(as_text=True)
    for _ in range(MOST_OPEN):
        ordered(ana, what="period")
    refused = ana.post("/reports/documents", what="period", kind="xlsx")
    assert refused.status_code == 409
    assert len(services.documents.seen_by("ana", sees_all=False)) == MOST_OPEN


def test_a_document_that_is_cancelled_leaves_no_process_and_no_file(
    login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    ana = login("ana")
    with running(settings, services, "tests.slow_document"):
        document = ordered(ana, what="period")
        wait_until(lambda: row(services, document).stage == "Writing slowly")
        assert "Writing slowly" in ana.client.get(f"/reports/documents/{document}/progress").get_data(
            as_text=True
        )
        child = int((DocumentFolder(settings.instance, document).path / "pid").read_text())
        assert ana.post(f"/reports/documents/{document}/cancel").status_code == 303
        wait_until(lambda: not alive(child) and not DocumentFolder(settings.instance, document).path.exists())
    assert row(services, document).state == CANCELLED
    assert "Cancelled" in ana.client.get(f"/reports/documents/{document}").get_data(as_text=True)


def test_a_process_that_is_killed_is_tried_again_and_given_up_at_last(
    login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    ana = login("ana")
    with running(settings, services, "tests.slow_document"):
        document = ordered(ana, what="period")
        pid = DocumentFolder(settings.instance, document).path / "pid"
        killed: set[str] = set()
        while len(killed) < 3:
            wait_until(lambda: pid.exists() and pid.read_text() not in killed)
            killed.add(pid.read_text())
            os.kill(int(pid.read_text()), signal.SIGKILL)
        wait_until(lambda: row(services, document).state == "failed")
    assert "stopped 3 times" in ana.client.get(f"/reports/documents/{document}").get_data(as_text=True)


def test_a_worker_that_stops_puts_the_document_back(
    login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    with running(settings, services, "tests.slow_document"):
        document = ordered(login("ana"), what="period")
        wait_until(lambda: row(services, document).stage == "Writing slowly")
    found = row(services, document)
    assert (found.state, found.attempts, found.holder) == (WAITING, 0, None)


def test_documents_are_kept_for_the_time_that_is_set(
    login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings
) -> None:
    ana = login("ana")
    old, young = (made(ana, services, what="period", kind="pdf") for _ in range(2))
    with services.database.write() as session:
        past = now() - timedelta(days=8)
        session.execute(update(Document).where(Document.id == old).values(finished=past))
    DocumentJob(replace(settings, keep_reports_days=7), services.documents).tidy()
    assert services.documents.get(old) is None
    assert not DocumentFolder(settings.instance, old).path.exists()
    assert DocumentFolder(settings.instance, young).made.read_bytes().startswith(b"%PDF")
    assert len(events(settings, "report_expired")) == 1


def test_a_scheduled_report_is_made_and_everybody_who_sees_all_gets_it(
    login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings, tmp_path: Path
) -> None:
    ana, mia, otto = login("ana"), login("mia"), login("otto")
    sent(ana, services, PAYMENTS)
    assert mia.post("/reports/scheduled", every="month", kind="xlsx").status_code == 303
    assert mia.post("/reports/scheduled", every="month", kind="xlsx").status_code == 409
    page = mia.client.get("/reports/scheduled").get_data(as_text=True)
    assert "Month" in page
    later = Schedules(
        services.database, settings.reports_hour, services.signals, clock=lambda: now() + timedelta(days=40)
    )
    (document,) = later.ask()
    wait_until(lambda: row(services, document).state == DONE)
    for person in (mia, otto):
        assert "All" in sheets(person, document)
        assert document in person.client.get("/reports/scheduled").get_data(as_text=True)
    assert ana.client.get(f"/reports/documents/{document}/file").status_code == 404
    assert otto.post(f"/reports/documents/{document}/delete").status_code == 404, "only managers delete it"
    assert mia.post(f"/reports/documents/{document}/delete").status_code == 303
    (schedule,) = later.all()
    assert mia.post(f"/reports/scheduled/{schedule.schedule.id}/remove").status_code == 303
    assert later.all() == []
    assert (
        len(events(settings, "report_schedule_added"))
        == len(events(settings, "report_schedule_removed"))
        == 1
    )


def test_a_new_account_of_the_same_name_gets_no_document_of_the_earlier_one(
    app: Flask, login: Callable[[str], Person], services: Services
) -> None:
    document = ordered(login("ana"), what="period")
    services.part_from_namesake("ana", by="test")
    assert services.documents.get(document) is None


def test_titles_say_what_a_document_is_about() -> None:
    start = now().replace(year=2026, month=2, day=1)
    day = Document(
        what=DocumentSubject.PERIOD, start=start, end=start + timedelta(days=1), filename="", owner="ana"
    )
    assert day.title == "Decisions 2026-02-01"
    day.end = start + timedelta(days=28)
    assert day.title == "Decisions 2026-02-01 to 2026-02-28"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
