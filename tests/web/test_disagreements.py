"""Labels of programs close or mark cases, and rows of which sources disagree are listed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from sqlalchemy import select

from screening.review.tables import Case, CaseItem
from screening.settings import Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_audit_log import events
from tests.web.test_data_api import SHOP, asked, sent
from tests.web.test_decisions_are_kept import post
from tests.web.test_explore import page, words
from tests.web.test_review import do, flags, opened, taken


def items(services: Services, case: int) -> list[str]:
    with services.database.read() as session:
        return list(
            session.scalars(select(CaseItem.id).where(CaseItem.case_id == case).order_by(CaseItem.id))
        )


def read(services: Services, case: int) -> Case:
    with services.database.read() as session:
        found = session.get(Case, case)
    assert found is not None
    return found


def say(person: Person, ids: list[str], label: str) -> None:
    answer = post(person, "/labels", {"labels": [{"id": each, "label": label} for each in ids]})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.get_json()["accepted"] == len(ids)


def test_what_a_program_says_closes_a_case_that_waits_and_marks_any_other(
    login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings
) -> None:
    ana, mia = login("ana"), login("mia")
    cases = opened(services, len(flags(ana, sent(ana, services, SHOP))))
    working = taken(ana)
    several = next((case for case in cases if case.items > 1 and case.id != working), None)
    closing = next(case for case in cases if case.id != working and case is not several)
    say(mia, items(services, closing.id), "legitimate")
    case = read(services, closing.id)
    assert (case.state, case.outcome, case.decided_by, case.waiting) == (
        "decided",
        "legitimate",
        "mia",
        False,
    )
    assert "mia had a program say what its transactions were, which decided Legitimate" in words(
        page(mia, f"/review/{closing.id}")
    )
    say(mia, items(services, working), "fraud")
    case = read(services, working)
    assert (case.state, case.outcome) == ("in_work", None), "somebody looks at it"
    assert "mia had a program say what its transactions were" in words(page(ana, f"/review/{working}"))
    if several is not None:
        first, *others = items(services, several.id)
        say(mia, [first], "fraud")
        assert read(services, several.id).state == "open", "of the others nobody has said anything"
        say(mia, others, "fraud")
        assert read(services, several.id).outcome == "fraud"
    told = {(each["case"], each["closed"]) for each in events(settings, "case_labelled")}
    assert {(closing.id, True), (working, False)} <= told
    do(mia, f"/review/{closing.id}/decision", decision="fraud")
    assert read(services, closing.id).outcome == "fraud", "a person corrects it"
    found = {asked(mia, f"/transactions/{each}")["label"] for each in items(services, closing.id)}
    assert found == {"fraud"}


def test_rows_of_which_file_program_and_decision_disagree_are_listed_and_exported(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    cases = opened(services, len(flags(ana, sent(ana, services, SHOP))))
    assert "All say the same" in words(page(mia, "/review/disagreements"))
    number = taken(ana)
    mine = items(services, number)
    own = [asked(mia, f"/transactions/{each}")["label"] for each in mine]
    say(mia, mine, "fraud")
    do(ana, f"/review/{number}/decision", decision="legitimate", then="stay")
    other = next(case for case in cases if case.id != number)
    ids = items(services, other.id)
    was = asked(mia, f"/transactions/{ids[0]}")["label"]
    say(mia, ids[:1], "legitimate" if was == "fraud" else "fraud")
    answer = ana.client.get("/review/disagreements.csv")
    assert answer.mimetype == "text/csv"
    lines = {line["id"]: line for line in csv.DictReader(io.StringIO(answer.get_data(as_text=True)))}
    assert set(lines) == {*mine, ids[0]}
    for each, file in zip(mine, own, strict=True):
        line = lines[each]
        assert (line["file"], line["chargeback"], line["decision"]) == (file or "", "fraud", "legitimate")
        assert (line["counts"], line["case"]) == ("legitimate", str(number))
    assert lines[ids[0]]["file"] == was != lines[ids[0]]["chargeback"] == lines[ids[0]]["counts"]
    text = words(page(ana, "/review/disagreements"))
    assert f"Transactions {len(mine) + 1}" in text
    assert f"Chargeback against decision {len(mine)} of" in text
    assert all(f"/decisions/{each}" in page(ana, "/review/disagreements") for each in lines)
    say(mia, mine, "legitimate")
    after = ana.client.get("/review/disagreements.csv").get_data(as_text=True)
    assert ("fraud" in own) == any(each in after for each in mine), (
        "only what the file says is against it now"
    )
