"""Reports as PDF and workbook: what appears in them is what the files say, read as a person's programs read them."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from flask import Flask

from screening.reports.typeset import Block, Heading, TypesetTable, accessible_pdf
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.pdf_structure import structure_of
from tests.web.test_data_api import PAYMENTS, SHOP, asked, scored, sent

needs_poppler = pytest.mark.skipif(
    shutil.which("pdftotext") is None, reason="needs pdftotext: `apt install poppler-utils`"
)
NAME = "Zahlungen <b>März & Łódź.csv"


def text_of(pdf: bytes, folder: Path) -> str:
    """What a reader of the document reads, line by line."""
    file = folder / "report.pdf"
    file.write_bytes(pdf)
    command = ["pdftotext", "-layout", "-nopgbrk", str(file), "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode()


def got(person: Person, url: str, kind: str) -> bytes:
    answer = person.client.get(url)
    assert (answer.status_code, answer.content_type) == (200, kind), answer.get_data(as_text=True)[:500]
    assert "attachment" in answer.headers["Content-Disposition"]
    content: bytes = answer.data
    return content


PDF = "application/pdf"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@needs_poppler
def test_the_report_of_a_screening_says_what_was_flagged_by_what(
    login: Callable[[str], Person], worker: Worker, services: Services, tmp_path: Path
) -> None:
    ana = login("ana")
    screening = sent(ana, services, PAYMENTS, NAME)
    rows = scored(ana, screening)
    flagged = [(at, row) for at, row in enumerate(rows, 1) if row["flagged"] == "true"]
    text = text_of(got(ana, f"/results/{screening}/report.pdf", PDF), tmp_path)
    kept = services.screenings.get(screening)
    assert kept is not None
    assert kept.sha256 is not None
    assert kept.fingerprint is not None
    for said in (f"Screening of {NAME}", kept.sha256, kept.fingerprint, screening, f"{len(rows):,}"):
        assert said in text
    total = sum(Decimal(row["TX_AMOUNT"]) for _, row in flagged)
    assert f"{total:,.2f}" in text
    lines = text.splitlines()
    for at, row in flagged:
        (line,) = (one for one in lines if one.split()[:1] == [f"{at:,}"])
        probability, amount, number, customer, terminal = line.split()[1:6]
        assert float(probability) == pytest.approx(float(row["fraud_probability"]), abs=5e-5)
        assert Decimal(amount.replace(",", "")) == Decimal(row["TX_AMOUNT"])
        assert [number, customer, terminal] == [
            row[name] for name in ("TRANSACTION_ID", "CUSTOMER_ID", "TERMINAL_ID")
        ]
    assert "Page 1 of 2" in text
    assert "Page 2 of 2" in text
    assert "by ana" in text
    info = subprocess.run(
        ["pdfinfo", str(tmp_path / "report.pdf")], check=True, capture_output=True
    ).stdout.decode()
    assert f"Screening of {NAME}" in info


@needs_poppler
def test_unreadable_rows_and_doubts_stand_in_the_report(
    login: Callable[[str], Person], worker: Worker, services: Services, tmp_path: Path
) -> None:
    ana = login("ana")
    lines = SHOP.splitlines(keepends=True)
    place = lines[0].decode().strip().split(",").index("purchase_value")
    cells = lines[5].split(b",")
    cells[place] = b"a lot"
    lines[5] = b",".join(cells)
    location = ana.upload(b"".join(lines), set_aside="1").headers["Location"]
    text = text_of(got(ana, f"{location}/report.pdf", PDF), tmp_path)
    assert "Unreadable rows" in text
    assert "a lot" in text
    assert "No better than guessing" in text, "the detector's card says so, and so does the report"


@needs_poppler
def test_the_report_of_a_period_counts_as_the_data_api_does(
    login: Callable[[str], Person], worker: Worker, services: Services, tmp_path: Path
) -> None:
    ana, mia = login("ana"), login("mia")
    sent(ana, services, PAYMENTS)
    sent(mia, services, SHOP)
    rows = scored(ana, sent(ana, services, PAYMENTS, "again.csv"))
    period = {"from": "2025-01-10", "to": "2025-01-19"}
    url = "/reports/period.{}?from=2025-01-10&to=2025-01-19"
    inside = [row for row in rows if "2025-01-10" <= row["TX_DATETIME"][:10] <= "2025-01-19"]
    more = asked(mia, "/summary", **{"from": period["from"], "to": "2025-01-20"})["total_transactions"]
    assert more > 2 * len(inside), "a manager's report tells of everybody's decisions"
    for person, whose in ((ana, "ana"), (mia, "everybody")):
        counted = asked(person, "/summary", **{"from": period["from"], "to": "2025-01-20"})
        assert counted["total_transactions"] == 2 * len(inside) or person is mia
        text = text_of(got(person, url.format("pdf"), PDF), tmp_path)
        assert "Decisions from 2025-01-10 to 2025-01-19" in text
        flat = " ".join(text.split())
        assert f"Of {whose} From" in flat
        assert f"Transactions {counted['total_transactions']:,} Flagged {counted['flagged']:,} (" in flat
        assert f"{counted['total_amount']:,.2f}, of which {counted['fraud_amount']:,.2f} flagged" in flat
        for day in asked(person, "/fraud_trends", **{"from": period["from"], "to": "2025-01-20"}):
            assert f"{day['period'][:10]} {day['transactions']:,} {day['fraud_cases']:,} " in flat
        book = openpyxl.load_workbook(io.BytesIO(got(person, url.format("xlsx"), XLSX)), read_only=True)
        summary = {row[0]: row[1] for row in book["Summary"].iter_rows(values_only=True)}
        assert summary["Transactions"] == f"{counted['total_transactions']:,}"
        flagged = list(book["Flagged"].iter_rows(values_only=True))
        assert len(flagged) - 1 == counted["flagged"]
        known = asked(person, "/transactions", flagged="true", **{"from": "2025-01-10", "to": "2025-01-20"})
        assert {row[0] for row in flagged[1:]} == {each["id"] for each in known["transactions"]}


def test_reports_are_tagged_as_pdf_ua_asks(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    screening = sent(ana, services, PAYMENTS, NAME)
    assert "/H1" in structure_of(
        got(ana, f"/results/{screening}/report.pdf", PDF), f"Screening of {NAME}", "ana"
    )
    period = got(ana, "/reports/period.pdf?from=2025-01-10&to=2025-01-19", PDF)
    assert "/H1" in structure_of(period, "Decisions from 2025-01-10 to 2025-01-19", "ana")


@needs_poppler
def test_a_long_word_goes_on_in_the_next_line_of_its_cell_without_signs_that_it_has_not(
    tmp_path: Path,
) -> None:
    long = "0123456789abcdef" * 8
    blocks: list[Block] = [
        Heading("Rows"),
        TypesetTable("Ids", ["Id", "Other"], [[long, "other"], ["é" * 30, long]]),
    ]
    text = text_of(accessible_pdf("Ids", "ada", blocks, datetime(2026, 3, 4, tzinfo=UTC)), tmp_path)
    letters = "".join(text.split())
    assert "\u200b" not in text
    assert letters.count("other") == 1
    assert letters.count("é") == 30
    assert letters.count("0123456789abcdef") >= 8
    assert max(len(line) for line in text.splitlines() if "0123" in line) < 2 * len(long)


def test_the_page_of_reports_shows_a_period_and_says_what_is_wrong_with_one(
    login: Callable[[str], Person],
) -> None:
    ana = login("ana")
    assert "No decision falls into this period" in ana.client.get("/reports").get_data(as_text=True)
    for query, word in (
        ("from=2025-02-30", "isn&#39;t a day"),
        ("from=yesterday", "isn&#39;t a day"),
        ("from=2025-02-02&to=2025-02-01", "before the first"),
        ("from=1900-01-01&to=2025-02-01", "longer than ten years"),
    ):
        for page in ("/reports", "/reports/period.pdf"):
            answer = ana.client.get(f"{page}?{query}", headers={"Accept": "text/html"})
            assert answer.status_code == 400
            assert word in answer.get_data(as_text=True)
    assert ana.client.get("/reports/period.docx").status_code == 404


@needs_poppler
def test_a_period_without_decisions_is_a_report_of_none(
    login: Callable[[str], Person], tmp_path: Path
) -> None:
    text = text_of(got(login("ana"), "/reports/period.pdf?from=2020-01-01&to=2020-01-02", PDF), tmp_path)
    assert "No decision falls into this period" in text


def test_the_command_line_writes_both_reports(
    app: Flask, login: Callable[[str], Person], worker: Worker, services: Services, tmp_path: Path
) -> None:
    screening = sent(login("ana"), services, PAYMENTS)
    run = app.test_cli_runner().invoke
    for kind, begins in (("pdf", b"%PDF"), ("xlsx", b"PK")):
        for named in ([screening], ["--from", "2025-01-01", "--to", "2025-02-28"]):
            target = tmp_path / f"report.{kind}"
            done = run(args=["report", *named, "--format", kind, "-o", str(target)])
            assert done.exit_code == 0, done.output
            assert target.read_bytes().startswith(begins)
    for wrong, word in (
        ([], "Name a screening, or a period"),
        ([screening, "--from", "2025-01-01", "--to", "2025-01-02"], "Name a screening, or a period"),
        (["--from", "2025-01-02", "--to", "2025-01-01"], "--to is before --from"),
        (["nothing"], "no screening nothing"),
    ):
        done = run(args=["report", *wrong])
        assert done.exit_code != 0
        assert word in done.output


def test_a_report_of_somebody_elses_screening_is_not_found(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    screening = sent(login("ana"), services, SHOP)
    assert login("mia").client.get(f"/results/{screening}/report.pdf").status_code == 404
