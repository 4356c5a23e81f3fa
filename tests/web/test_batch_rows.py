"""Decisions of a job over a folder are shown, filtered and counted as all others; their values aren't here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask import Flask
from sqlalchemy import select

from screening.infra.audit.log import AuditLog
from screening.infra.job_queue import now
from screening.ledger.identity import id_prefix, new_origin
from screening.ledger.tables import BATCH
from screening.review.opening import Opener
from screening.review.tables import CaseItem
from screening.web.services import Services
from tests.conftest import Person
from tests.screening.ledger.ledger_rows import table
from tests.screening.ledger.test_jobs import JOB, job
from tests.web.test_data_api import asked
from tests.web.test_explore import page, words
from tests.web.test_receipts import again, differing


def test_decisions_of_a_job_are_shown_filtered_and_counted(
    login: Callable[[str], Person], services: Services
) -> None:
    ana = login("ana")
    fingerprint = services.detectors.get("payments").fingerprint
    rows = table(3, screening=None, source=BATCH, request=JOB, fingerprint=fingerprint)
    assert services.ledger.jobs.enter(job(JOB, 3, flagged=1), services.ledger.segments, [rows])
    (segment,) = services.ledger.segments.all()
    row = f"{id_prefix(bytes.fromhex(str(segment.origin)))}{2:08x}"
    found = asked(ana, "/transactions", source="batch")
    assert [each["source"] for each in found["transactions"]] == ["batch"] * 3
    assert row in {each["id"] for each in found["transactions"]}
    assert asked(ana, "/summary", source="batch")["total_transactions"] == 3
    assert asked(ana, "/summary", source="api")["total_transactions"] == 0
    shown = words(page(ana, f"/decisions/{row}"))
    for text in (row, "A job over the folder in/", JOB, "with 3 rows", "it can't be scored again"):
        assert text in shown, text
    told = again(ana, row)
    assert told["same"] is not True
    assert "came by a job over a folder" in differing(told)["Probability"]


def test_a_job_is_removed_with_its_cases_and_what_the_detector_remembers(
    app: Flask, login: Callable[[str], Person], services: Services
) -> None:
    ana = login("ana")
    detector = services.detectors.get("payments")
    decided = now()
    rows = table(
        3,
        screening=None,
        source=BATCH,
        request=JOB,
        fingerprint=detector.fingerprint,
        decided_at=decided,
        origin=new_origin(int(decided.timestamp() * 1000)),
    )
    (origin,) = set(rows.column("origin").to_pylist())
    context = services.policy.context(detector, "ana")
    runner = app.test_cli_runner()

    def enter() -> None:
        made = job(JOB, 3, flagged=1, fingerprint=detector.fingerprint, counts_for_all=True)
        assert services.ledger.jobs.enter(made, services.ledger.segments, [rows])
        context.remember(JOB, np.zeros((3, len(detector.contract.columns))), None)

    enter()
    opener = Opener(services.database, services.ledger, 30, lambda: ())
    while opener.step():
        pass
    assert cased(services) == [f"{id_prefix(origin)}{3:08x}"]
    listed = runner.invoke(args=["ledger", "jobs"]).output
    assert listed.startswith(JOB)
    assert "ana  payments  3 rows, 1 flagged  in/" in listed

    done = runner.invoke(args=["ledger", "remove-job", JOB])
    assert "3 decisions of in/ left the ledger" in done.output
    assert asked(ana, "/summary", source="batch")["total_transactions"] == 0
    assert ana.client.get(f"/decisions/{id_prefix(origin)}{2:08x}").status_code == 404
    assert not cased(services)
    assert not context.has(JOB)
    assert runner.invoke(args=["ledger", "jobs"]).output == ""
    (entry,) = [each for each in entries(services) if each["event"] == "job_removed"]
    assert (entry["job"], entry["owner"], entry["folder"], entry["rows"]) == (JOB, "ana", "in/", 3)

    again = runner.invoke(args=["ledger", "remove-job", JOB])
    assert (again.exit_code, "The ledger has no job" in again.output) == (1, True)
    enter()
    assert asked(ana, "/summary", source="batch")["total_transactions"] == 3


def test_rows_of_a_job_that_was_removed_while_they_were_read_are_in_no_case(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = now()
    rows = table(2, screening=None, source=BATCH, request=JOB, decided_at=decided)
    assert services.ledger.jobs.enter(job(JOB, 2, flagged=1), services.ledger.segments, [rows])
    monkeypatch.setattr(services.ledger.jobs, "find", lambda _name: None)
    assert Opener(services.database, services.ledger, 30, lambda: ()).step()
    assert not cased(services)


def cased(services: Services) -> list[str]:
    """The ids of the transactions that are in cases."""
    with services.database.read() as session:
        return list(session.scalars(select(CaseItem.id)))


def entries(services: Services) -> list[dict[str, Any]]:
    """The audit log."""
    files = AuditLog(services.settings.instance).files()
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]
