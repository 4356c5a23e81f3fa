"""Requests that are decided together are kept as one entry, where nothing speaks against it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.ledger.tables import TailRow
from screening.ledger.tail import Kept, Repeatable
from screening.realtime.decide import decide
from screening.realtime.questions import Caller, DecisionRequest
from screening.settings import Settings
from tests.screening.ledger.velocity_desk import Desk

PLAIN = {"Time": 10.0, **{f"V{number}": 0.1 for number in range(1, 29)}, "Amount": 12.5}


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    folder = tmp_path_factory.mktemp("card")
    return Detectors(
        Settings.from_environ({"INSTANCE_PATH": str(folder), "USERS_FILE": str(folder / "u")})
    ).default


@pytest.fixture
def desk(tmp_path: Path, card: Detector) -> Iterator[Desk]:
    found = Desk(tmp_path, card)
    yield found
    found.close()


def question(desk: Desk, amount: float, owner: str = "ana", rows: int = 1, **more: Any) -> DecisionRequest:
    given = [{**PLAIN, "Amount": amount + number} for number in range(rows)]
    caller = Caller(owner=owner, key=f"key of {owner}", request=f"request {amount:g}")
    return replace(desk.question(given), caller=caller, single=rows == 1, **more)


def answered(desk: Desk, questions: Sequence[DecisionRequest]) -> list[Any]:
    answers = decide(questions, desk.ledger, threshold=0.8)
    assert all(isinstance(answer, bytes) for answer in answers), answers
    return [json.loads(answer) for answer in answers if isinstance(answer, bytes)]


def kept(desk: Desk) -> list[Kept]:
    with desk.ledger.tables.read() as session:
        payloads = session.scalars(select(TailRow.payload).order_by(TailRow.seq)).all()
    return [msgspec.json.decode(payload, type=Kept) for payload in payloads]


def test_requests_of_one_key_share_an_entry_and_each_gets_its_own_answer(desk: Desk) -> None:
    one, two, three = answered(desk, [question(desk, 1), question(desk, 20, rows=2), question(desk, 3)])
    (page,) = kept(desk)
    assert page.rows == 4
    assert page.columns["amount"] == [100, 2000, 2100, 300]
    assert page.columns["request"] == ["request 1", "request 20", "request 20", "request 3"]
    ids = [one["id"], *(each["id"] for each in two["results"]), three["id"]]
    assert [each[-8:] for each in ids] == [f"{number:08x}" for number in page.columns["number"]]
    assert {each[:-8].replace("-", "") for each in ids} == {page.same["origin"]}
    alone = [answered(desk, [question(desk, amount)])[0]["fraud_probability"] for amount in (1, 3)]
    assert [one["fraud_probability"], three["fraud_probability"]] == alone
    sealed = desk.ledger.sealing
    with desk.ledger.tables.read() as session:
        rows = sealed.rows(session).to_pylist()
    assert [row["request"] for row in rows[:4]] == page.columns["request"]
    assert [json.loads(row["values"])["Amount"] for row in rows[:4]] == [1, 20, 21, 3]


def test_what_stands_for_itself_has_an_entry_of_its_own(desk: Desk) -> None:
    again = Repeatable("ana", "once", b"body")
    asked = [
        question(desk, 1),
        question(desk, 2, "ben"),
        question(desk, 3, repeatable=again),
        question(desk, 4, alone=True),
        question(desk, 5),
    ]
    first = answered(desk, asked)
    assert sorted(tuple(each.columns["amount"]) for each in kept(desk)) == [
        (100, 500),
        (200,),
        (300,),
        (400,),
    ]
    assert {each.same["owner"] for each in kept(desk)} == {"ana", "ben"}
    assert answered(desk, [question(desk, 3, repeatable=again)]) == [first[2]]
    assert len(kept(desk)) == 4


def test_requests_of_a_page_that_the_database_refuses_are_decided_one_by_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = desk.ledger.tables.add_rows

    def refuse(
        table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, brief: bool = False
    ) -> None:
        if any(b"2.0" in row[3] or row[1] > 1 for row in rows):
            raise IntegrityError("INSERT", None, ValueError("refused"))
        usual(table, columns, rows, brief=brief)

    monkeypatch.setattr(desk.ledger.tables, "add_rows", refuse)
    asked = [question(desk, amount) for amount in (1, 2.0, 3)]
    answers = decide(asked, desk.ledger, threshold=0.8)
    assert [type(answer) for answer in answers] == [bytes, IntegrityError, bytes]
    assert [each.columns["amount"] for each in kept(desk)] == [[100], [300]]
