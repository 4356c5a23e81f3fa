"""Decisions of a job over a folder are shown, filtered and counted as all others; their values aren't here."""

from __future__ import annotations

from collections.abc import Callable

from screening.ledger.identity import id_prefix
from screening.ledger.tables import BATCH
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
    assert row in words(page(ana, f"/decisions/{row}"))
    told = again(ana, row)
    assert told["same"] is not True
    assert "came by a job over a folder" in differing(told)["Probability"]
