"""The model-risk pack: an accessible PDF of what card, ledger, monitoring and audit log say, and of what is missing."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from screening.reports.model_pack import MISSING, blocks_of, model_pack
from screening.reports.model_record import ModelRecord, record_of
from screening.reports.typeset import Block, Chart, Heading, Paragraph, TypesetTable, accessible_pdf
from screening.scoring.thresholds import Thresholds
from screening.settings import Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.pdf_structure import structure_of
from tests.web.test_data_api import PAYMENTS, asked, sent
from tests.web.test_documents import made
from tests.web.test_reports import PDF, needs_poppler, text_of

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


def record(name: str, services: Services, settings: Settings) -> ModelRecord:
    detectors = services.detectors
    return record_of(
        detectors.get(name),
        detectors.standing(name),
        settings=settings,
        database=services.database,
        questions=services.ledger.questions,
    )


@pytest.mark.parametrize("name", ["card", "payments", "ecommerce"])
def test_it_is_tagged_as_pdf_ua_asks(name: str, services: Services, settings: Settings) -> None:
    data = model_pack(record(name, services, settings), author="ada", made=NOW)
    kinds = structure_of(data, f"Model risk of {name}", "ada")
    assert {"/H1", "/H2", "/L", "/LI"} <= kinds


@needs_poppler
def test_its_figures_are_those_of_card_ledger_and_audit_log(
    login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings, tmp_path: Path
) -> None:
    mia = login("mia")
    sent(mia, services, PAYMENTS)
    assert mia.post("/detectors/payments/approve", confirm="payments").status_code == 303
    document = made(mia, services, what="model", kind="pdf", detector="payments")
    answer = mia.client.get(f"/reports/documents/{document}/file")
    assert (answer.status_code, answer.content_type) == (200, PDF)
    text = " ".join(text_of(answer.data, tmp_path).split())
    detector = services.detectors.get("payments")
    card = detector.card
    assert card is not None
    assert card.metrics.validation is not None
    test, data = card.metrics.validation, card.training_data
    counted = asked(mia, "/summary", detector="payments")
    interval = test.intervals["average_precision"]
    for said in (
        detector.fingerprint,
        detector.model_sha256,
        str(card.vectorizer_sha256),
        str(data.sha256),
        f"Rows {data.rows:,}",
        f"Frauds {data.frauds:,}",
        f"{test.average_precision:.3f}",
        f"{interval[0]:.3f} to",
        f"{100 * test.reliability[0].observed:.2f} %",
        f"Decisions {counted['total_transactions']:,}",
        f"Flagged {counted['flagged']:,}",
        "detector_approved mia",
        "Said by mia",
        f"Source {MISSING}",
    ):
        assert said in text, said
    # the worker may have looked for drift by the time that the document was made
    assert ("Drift is not on record" in text) != ("Columns compared with" in text)
    info = subprocess.run(
        ["pdfinfo", str(tmp_path / "report.pdf")], check=True, capture_output=True
    ).stdout.decode()
    assert re.search(r"Tagged:\s+yes", info)


def test_a_detector_without_a_card_is_said_to_have_none(services: Services, settings: Settings) -> None:
    known = record("card", services, settings)
    bare = ModelRecord(
        detector=known.detector.__class__(**{**fields(known.detector), "card": None}),
        standing=known.standing,
        found=None,
        limit=None,
        decisions={},
        promotions=(),
        events=(),
        limits=Thresholds(0.8),
    )
    blocks = list(blocks_of(bare))
    said = " ".join(str(block) for block in blocks)
    assert "A card: neither training data nor tests nor calibration are known." in said
    assert not [block for block in blocks if isinstance(block, TypesetTable | Chart)]
    assert model_pack(bare, author="ada", made=NOW).startswith(b"%PDF")


def fields(thing: Any) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in thing.__dataclass_fields__}


@needs_poppler
def test_no_text_is_read_as_markup(tmp_path: Path) -> None:
    odd = ['#panic("no")', "*strong* $x$ <label> @ref", "= no head", "a\\b `raw` ~ -- Łódź 日本"]
    blocks: list[Block] = [Heading("#let x = 1"), Paragraph(odd[0]), TypesetTable(odd[1], odd, [odd, odd])]
    text = text_of(accessible_pdf("*Title* #x", "ada", blocks, NOW), tmp_path)
    flat = " ".join(text.split())
    for said in ("*Title* #x", "#let x = 1", odd[0], odd[1], "Łódź ��"):
        assert said in flat


def test_analysts_get_none_and_others_no_detector_that_they_may_not_know(
    app: Flask, login: Callable[[str], Person], services: Services
) -> None:
    ana, otto = login("ana"), login("otto")
    asked_for = {"what": "model", "kind": "pdf", "detector": "payments"}
    assert ana.post("/reports/documents", **asked_for).status_code == 403
    assert otto.post("/reports/documents", **{**asked_for, "detector": "nothing"}).status_code == 404
    assert otto.post("/reports/documents", **{**asked_for, "kind": "xlsx"}).status_code == 400
    assert otto.post("/reports/documents", **asked_for).status_code == 303
    assert "Model risk of payments" in otto.client.get("/reports/documents/model-risk").get_data(as_text=True)


def test_the_command_line_writes_it(app: Flask, tmp_path: Path) -> None:
    run, target = app.test_cli_runner().invoke, tmp_path / "pack.pdf"
    done = run(args=["report", "--detector", "payments", "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert target.read_bytes().startswith(b"%PDF-1.7")
    for wrong, word in (
        (["--detector", "nothing"], "no detector"),
        (["--detector", "card", "--format", "xlsx"], "is a PDF"),
    ):
        done = run(args=["report", *wrong])
        assert done.exit_code != 0
        assert word in done.output
