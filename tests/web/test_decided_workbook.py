"""A workbook goes out, is filled in by openpyxl as by a spreadsheet, and comes back as decisions."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
from sqlalchemy import select

from screening.review.tables import Case, CaseItem
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_data_api import PAYMENTS, SHOP, asked, sent
from tests.web.test_explore import words
from tests.web.test_review import do, flags, opened, taken


def book_of(person: Person, screening: str) -> Any:
    answer = person.client.get(f"/results/{screening}/report.xlsx")
    assert answer.status_code == 200
    return openpyxl.load_workbook(io.BytesIO(answer.data))


def send(person: Person, book: Any) -> Any:
    kept = io.BytesIO()
    book.save(kept)
    return send_bytes(person, kept.getvalue())


def send_bytes(person: Person, content: bytes) -> Any:
    data = {"csrf_token": person.token("/account"), "workbook": (io.BytesIO(content), "decided.xlsx")}
    return person.client.post("/review/workbook", data=data, content_type="multipart/form-data")


def labels_of(person: Person, services: Services, screening: str) -> dict[int, str | None]:
    with services.database.read() as session:
        items = session.scalars(select(CaseItem).where(CaseItem.screening == screening)).all()
    return {item.number: asked(person, f"/transactions/{item.id}")["label"] for item in items}


def test_what_is_chosen_in_the_workbook_is_what_was_decided(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    payments, shop = sent(ana, services, PAYMENTS), sent(ana, services, SHOP)
    opened(services, len(flags(ana, payments)) + len(flags(ana, shop)))
    for screening in (payments, shop):
        before = labels_of(ana, services, screening)
        book = book_of(ana, screening)
        sheet = book["Flagged rows"]
        (rule,) = sheet.data_validations.dataValidation
        assert rule.formula1 == '"fraud,legitimate,unsure"'
        assert str(rule.sqref) == f"D2:D{sheet.max_row}"
        expected: dict[int, str | None] = {}
        for line in range(2, sheet.max_row + 1):
            number = int(sheet.cell(line, 1).value)
            said = ("fraud", "legitimate", None, "unsure")[line % 4]
            sheet.cell(line, 4).value = said
            if said == "fraud":
                sheet.cell(line, 5).value = "Stolen card"
                sheet.cell(line, 6).value = f"row {number}"
            expected[number] = said if said in ("fraud", "legitimate") else before[number]
        answer = send(ana, book)
        assert answer.status_code == 303, words(answer.get_data(as_text=True))
        assert labels_of(ana, services, screening) == expected
        with services.database.read() as session:
            cases = {case.id: case for case in session.scalars(select(Case))}
            for item in session.scalars(select(CaseItem).where(CaseItem.screening == screening)):
                line = next(
                    row for row in range(2, sheet.max_row + 1) if sheet.cell(row, 1).value == item.number
                )
                assert cases[item.case_id].outcome == sheet.cell(line, 4).value
        again = send(ana, book)
        assert again.status_code == 303
        assert "0 transactions were decided" in words(ana.client.get("/review").get_data(as_text=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda sheet: setattr(sheet.cell(3, 9), "value", 1), "was changed"),
        (lambda sheet: setattr(sheet.cell(3, 1), "value", 1), "the number of the row was changed"),
        (lambda sheet: setattr(sheet.cell(3, 4), "value", "perhaps"), "“perhaps” is none of"),
        (lambda sheet: setattr(sheet.cell(1, 9), "value", "other"), "the columns of the file were changed"),
        (lambda sheet: setattr(sheet.cell(1, 4), "value", "other"), "isn't the workbook of one of your"),
        (lambda sheet: setattr(sheet.cell(3, sheet.max_column), "value", "0" * 32 + "-3"), "names several"),
    ],
)
def test_a_changed_row_is_named_and_nothing_is_taken(
    login: Callable[[str], Person],
    worker: Worker,
    services: Services,
    change: Callable[[Any], None],
    said: str,
) -> None:
    ana = login("ana")
    screening = sent(ana, services, PAYMENTS)
    opened(services, len(flags(ana, screening)))
    before = labels_of(ana, services, screening)
    book = book_of(ana, screening)
    sheet = book["Flagged rows"]
    for line in (2, 3):
        sheet.cell(line, 4).value = "legitimate"
    change(sheet)
    answer = send(ana, book)
    assert answer.status_code == 400
    assert said in words(answer.get_data(as_text=True))
    assert labels_of(ana, services, screening) == before


def test_files_of_others_and_foreign_files_are_refused(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    screening = sent(mia, services, PAYMENTS)
    book = book_of(mia, screening)
    assert "No row has a decision" in words(send(mia, book).get_data(as_text=True))
    book["Flagged rows"]["D2"] = "fraud"
    refused = send(ana, book)
    assert refused.status_code == 400
    assert "isn't here" in words(refused.get_data(as_text=True))
    other = openpyxl.Workbook()
    other.active.append(["a", "b"])
    for content, said in (
        (b"PK\x03\x04 no workbook", "workbook"),
        (b"", "workbook"),
        (b"a,b\n1,2\n", "workbook"),
    ):
        answer = send_bytes(ana, content)
        assert answer.status_code == 400, content
        assert said in answer.get_data(as_text=True)
    assert "no sheet" in words(send(ana, other).get_data(as_text=True))
    assert send_bytes(login("otto"), b"x").status_code == 403


def test_a_case_that_somebody_works_on_is_left_and_said(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    screening = sent(ana, services, PAYMENTS)
    opened(services, len(flags(ana, screening)))
    assert taken(mia)
    book = book_of(ana, screening)
    book["Flagged rows"]["D2"] = "fraud"
    assert send(ana, book).status_code == 303
    assert "1 were left: mia works on this case" in words(ana.client.get("/review").get_data(as_text=True))
    do(mia, "/review/1/skip")
