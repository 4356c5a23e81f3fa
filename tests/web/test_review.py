"""The pages of cases: a file's flags become cases, somebody takes and decides them, and the ledger has the labels."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from screening.review.tables import Case, Item
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_data_api import PAYMENTS, SHOP, asked, scored, sent
from tests.web.test_explore import kpi, page, words


def opened(services: Services, count: int) -> list[Case]:
    """Wait until so many transactions are in cases; return the cases, those first that are expected to cost most."""
    deadline = time.monotonic() + 30
    while True:
        with services.database.read() as session:
            found = session.scalar(select(func.count()).select_from(Item)) or 0
            if found >= count:
                assert found == count
                return list(session.scalars(select(Case).order_by(Case.loss.desc(), Case.id.desc())))
        assert time.monotonic() < deadline, f"{found} of {count} are in cases"
        time.sleep(0.05)


def flags(person: Person, screening: str) -> list[dict[str, str]]:
    return [row for row in scored(person, screening) if row["flagged"] == "true"]


def do(person: Person, url: str, **fields: Any) -> Any:
    answer = person.post(url, "/account", **fields)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return answer


def taken(person: Person) -> int:
    """Take the next case; return its number, 0 where none waits."""
    where = do(person, "/review/next").headers["Location"]
    found = re.fullmatch(r"/review/(\d+)", where)
    return int(found[1]) if found else 0


def labels(person: Person, services: Services, number: int) -> set[str | None]:
    """What the data API says of the transactions of a case."""
    with services.database.read() as session:
        ids = session.scalars(select(Item.id).where(Item.case_id == number)).all()
    return {asked(person, f"/transactions/{each}")["label"] for each in ids}


def filled(person: Person, services: Services, *, also: Any = None) -> list[Case]:
    """Send both samples, and wait for their cases; ``also`` gets the flagged rows."""
    rows = [flags(person, sent(person, services, content)) for content in (PAYMENTS, SHOP)]
    if also is not None:
        also.extend(rows)
    return opened(services, sum(map(len, rows)))


def test_flagged_rows_become_cases_of_their_customers_ordered_by_what_they_may_cost(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, rows = login("ana"), []
    cases = filled(ana, services, also=rows)
    columns = {"payments": ("CUSTOMER_ID", "TX_AMOUNT"), "ecommerce": ("user_id", "purchase_value")}
    expected = {
        (detector, row[columns[detector][0]]): []
        for detector, found in zip(columns, rows, strict=True)
        for row in found
    }
    for detector, found in zip(columns, rows, strict=True):
        customer, amount = columns[detector]
        for row in found:
            expected[detector, row[customer]].append((float(row["fraud_probability"]), float(row[amount])))
    assert {(case.detector, case.value) for case in cases} == set(expected)
    assert len(cases) == len(expected)
    for case in cases:
        mine = expected[case.detector, case.value]
        assert case.kind == "customer"
        assert case.items == len(mine)
        assert case.loss == pytest.approx(sum(chance * amount for chance, amount in mine), rel=1e-4)
        assert case.amount == pytest.approx(sum(amount for _, amount in mine))
    text = page(ana, "/review")
    shown = [int(number) for number in re.findall(r'class="row-link" href="/review/(\d+)"', text)]
    assert shown == [case.id for case in cases][:50]
    assert f"Waiting {len(cases)}" in words(text)
    assert taken(ana) == cases[0].id
    assert taken(ana) == cases[1].id, "one has several, and each only once"
    assert "In work: ana" in words(page(ana, f"/review/{cases[0].id}"))


def test_a_decision_is_a_label_everywhere_and_leads_to_the_next_case(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    cases = filled(ana, services)
    first = taken(ana)
    answer = do(
        ana, f"/review/{first}/decision", decision="legitimate", note="it was her", reason="Test payment"
    )
    assert answer.headers["Location"] == f"/review/{cases[1].id}", "the next one"
    assert labels(ana, services, first) == {"legitimate"}
    do(ana, f"/review/{cases[1].id}/decision", decision="fraud", fraud_type="Stolen Card")
    assert labels(mia, services, cases[1].id) == {"fraud"}
    typed = asked(mia, "/transactions", fraud_type="stolen card")["transactions"]
    assert len(typed) == cases[1].items
    text = page(ana, f"/review/{first}")
    assert "ana decided Legitimate" in words(text)
    assert "it was her" in text
    before = labels(ana, services, cases[2].id)
    do(ana, f"/review/{cases[2].id}/decision", decision="unsure")
    assert labels(ana, services, cases[2].id) == before, "the file's own stays"
    sure = cases[0].items + cases[1].items
    assert kpi(page(ana, "/"), "Decided") == f"{sure + cases[2].items}"
    rate = f"{100 * cases[1].items / sure:.1f}".removesuffix(".0")
    assert kpi(page(ana, "/"), "Hit rate").startswith(rate)
