"""The pages of cases: a file's flags become cases, somebody takes and decides them, and the ledger has the labels."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from screening.review.tables import Case, CaseItem
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_data_api import PAYMENTS, SHOP, asked, scored, sent
from tests.web.test_decisions_are_kept import detect, shop
from tests.web.test_explore import kpi, page, words


def opened(services: Services, count: int) -> list[Case]:
    """Wait until so many transactions are in cases; return the cases, those first that are expected to cost most."""
    deadline = time.monotonic() + 30
    while True:
        with services.database.read() as session:
            found = session.scalar(select(func.count()).select_from(CaseItem)) or 0
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
        ids = session.scalars(select(CaseItem.id).where(CaseItem.case_id == number)).all()
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
    ana = login("ana")
    rows: list[list[dict[str, str]]] = []
    cases = filled(ana, services, also=rows)
    columns = {"payments": ("CUSTOMER_ID", "TX_AMOUNT"), "ecommerce": ("user_id", "purchase_value")}
    expected: dict[tuple[str, str], list[tuple[float, float]]] = {
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
        assert case.value is not None
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


def test_a_script_is_answered_with_the_main_part_of_the_next_case_alone(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    cases = filled(ana, services)
    first = taken(ana)
    form = {"csrf_token": ana.token("/account"), "decision": "fraud"}
    answer = ana.client.post(
        f"/review/{first}/decision", data=form, headers={"Prefer": "return=representation"}
    )
    assert answer.status_code == 200
    assert answer.headers["Content-Location"] == f"/review/{cases[1].id}"
    whole = ana.client.get(answer.headers["Content-Location"]).text

    def part(text: str, begin: str, end: str) -> str:
        return re.sub(r'name="csrf_token"[^>]*', "", text.split(begin, 1)[1].split(end, 1)[0])

    for begin, end in (("<main", "</main>"), ("<title>", "</title>")):
        assert part(answer.text, begin, end).split() == part(whole, begin, end).split()
    assert 'class="rail"' in whole
    assert 'class="rail"' not in answer.text


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


def test_analysts_work_on_their_own_managers_on_all_and_auditors_only_look(
    login: Callable[[str], Person], worker: Worker, services: Services, app_with: Callable[..., Flask]
) -> None:
    ana, mia, otto, ada = (login(name) for name in ("ana", "mia", "otto", "ada"))
    cases = filled(ana, services)
    assert taken(mia) == cases[0].id
    assert taken(ada) == cases[1].id
    assert "mia works on this case" in words(page(ana, f"/review/{cases[0].id}"))
    refused = ana.post(f"/review/{cases[0].id}/decision", "/account", decision="fraud")
    assert refused.status_code == 409
    assert "mia works on this case" in refused.get_data(as_text=True)
    text = page(otto, f"/review/{cases[2].id}")
    assert 'name="decision"' not in text
    assert 'name="decision"' not in page(otto, "/review?state=all")
    assert otto.post(f"/review/{cases[2].id}/decision", "/account", decision="fraud").status_code == 403
    assert otto.post("/review/next", "/account").status_code == 403
    shared = app_with(review_queue="team")
    ben = Person(shared, "ben").sign_up()
    assert taken(ben) == cases[2].id, "where the operator has all work on all"
    page(ben, f"/review/{cases[2].id}?around=1")


def test_another_users_case_is_not_found(
    login: Callable[[str], Person], worker: Worker, services: Services, app: Flask
) -> None:
    cases = filled(login("mia"), services)
    ana = login("ana")
    assert "No case waits" in page(ana, "/review")
    for end in ("", "/around"):
        page(ana, f"/review/{cases[0].id}{end}", 404)
    for end in ("take", "decision", "escalate", "skip", "note", "reopen"):
        answer = ana.post(f"/review/{cases[0].id}/{end}", "/account", decision="fraud", note="mine")
        assert answer.status_code == 404, end
    both = ana.post("/review/decision", "/account", case=str(cases[0].id), decision="fraud")
    assert both.status_code == 404
    for wrong in ("0", "-1", "x", "1e3", "99999999999999", "%00"):
        page(ana, f"/review/{wrong}", 404)


def test_several_are_decided_at_once_and_taken_back_at_once(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    cases = filled(ana, services)
    some = [str(case.id) for case in cases[:3]]
    token = ana.token("/account")
    answer = ana.client.post(
        "/review/decision",
        data={"csrf_token": token, "case": some, "decision": "legitimate", "sort": "age"},
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/review?sort=age")
    assert {label for case in cases[:3] for label in labels(ana, services, case.id)} == {"legitimate"}
    listed = page(ana, "/review?state=decided")
    assert [f"/review/{each}" in listed for each in some] == [True] * 3
    do(ana, "/review/undo")
    assert f"Waiting {len(cases)}" in words(page(ana, "/review"))
    assert ana.post("/review/undo", "/account").status_code == 409
    bad = ana.client.post("/review/decision", data={"csrf_token": token, "case": some, "decision": "perhaps"})
    assert bad.status_code == 422
    none = ana.client.post("/review/decision", data={"csrf_token": token, "decision": "fraud"})
    assert none.status_code == 422


def test_filters_and_orders_stand_in_the_address(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    cases = filled(ana, services)

    def shown(query: str) -> list[int]:
        return [
            int(one)
            for one in re.findall(r'class="row-link" href="/review/(\d+)"', page(ana, f"/review?{query}"))
        ]

    payments = [case.id for case in cases if case.detector == "payments"]
    assert shown("detector=payments") == payments
    one = cases[1]
    assert shown(f"kind={one.kind}&value={one.value}") == [one.id]
    assert (
        shown("sort=age") == [case.id for case in sorted(cases, key=lambda each: (each.opened, each.id))][:50]
    )
    assert shown("late=1") == []
    assert shown("escalated=1") == []
    do(ana, f"/review/{one.id}/escalate", note="too much for me")
    assert shown("escalated=1") == [one.id]
    do(ana, f"/review/{cases[3].id}/decision", decision="unsure", then="stay")
    assert shown("state=decided&outcome=unsure") == [cases[3].id]
    assert shown("page=999999") == shown("")
    page(ana, "/review?state=nowhere", 409)
    assert "No case passes this filter" in page(ana, "/review?detector=nobody")


def test_flags_of_the_api_become_cases_with_what_a_rule_raised(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    from screening.rules.store import RuleDraft, RuleStore
    from screening.rules.tables import RuleState

    ana = login("ana")
    store = RuleStore(services.database, services.detectors)
    rule = store.add(
        RuleDraft(name="Look at it", condition="amount > 0", effect="raise", detector="ecommerce"), "mia"
    )
    store.set_state(rule.id, RuleState.ACTIVE, "mia", seen=1)
    answers = detect(ana, shop(40))
    services.ledger.sealing.seal()
    cases = opened(services, 40)
    with services.database.read() as session:
        items = {item.id: item for item in session.scalars(select(CaseItem))}
    for answer in answers:
        item = items[answer["id"]]
        assert item.flagged == answer["fraud"]
        assert item.rules == ["Look at it"]
        assert item.probability == pytest.approx(answer["fraud_probability"], abs=1e-6)
    assert sum(case.items for case in cases) == 40
    text = page(ana, f"/review/{cases[0].id}?around=1")
    assert "Look at it" in text
    assert "purchase_value" in text, "all columns"


def test_the_cases_of_a_deleted_screening_go_with_it(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    shop_file, payments = sent(ana, services, SHOP), sent(ana, services, PAYMENTS)
    kept = len(flags(ana, payments))
    cases = opened(services, len(flags(ana, shop_file)) + kept)
    gone = next(case for case in cases if case.detector == "ecommerce")
    do(ana, f"/review/{gone.id}/decision", decision="fraud", then="stay")
    do(ana, f"/results/{shop_file}/delete")
    assert {case.detector for case in opened(services, kept)} == {"payments"}
    page(ana, f"/review/{gone.id}", 404)
    lines = [line for file in (services.settings.instance / "log").glob("audit-*") for line in file.open()]
    assert any('"case_decided"' in line and f'"case": {gone.id}' in line for line in lines), (
        "that it was stays"
    )


def test_who_gets_an_old_name_gets_none_of_its_cases(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    cases = filled(ana, services)
    assert taken(ana) == cases[0].id
    services.part_from_namesake("ana", by="ada")
    assert "No case waits" in page(ana, "/review")
    page(ana, f"/review/{cases[0].id}", 404)
    assert taken(mia) == cases[0].id, "it waits, for those who see all"


def test_every_act_is_in_the_audit_log(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    cases = filled(ana, services)
    one, other = cases[0].id, cases[1].id
    assert taken(ana) == one
    do(ana, f"/review/{one}/note", note="called 4111 1111 1111 1111")
    do(ana, f"/review/{one}/hand-over", to="mia")
    do(mia, f"/review/{one}/decision", decision="fraud", fraud_type="stolen card", reason="Known pattern")
    do(mia, f"/review/{one}/decision", decision="legitimate")
    do(mia, "/review/undo")
    do(mia, f"/review/{one}/reopen")
    do(ana, f"/review/{cases[2].id}/skip")
    do(ana, f"/review/{cases[3].id}/escalate")
    told = [each.notification for each in services.notifications.page("mia", "manager", before=None, most=9)]
    assert [(each.words, each.path) for each in told] == [
        (f"ana escalated case {cases[3].id}.", f"/review/{cases[3].id}"),
        (f"ana handed case {one} to you.", f"/review/{one}"),
    ]
    assert ana.post(f"/review/{other}/hand-over", "/account", to="otto").status_code == 404, (
        "he doesn't review"
    )
    text = "".join(file.read_text() for file in (services.settings.instance / "log").glob("audit-*"))
    events = set(re.findall(r'"event": "(case_\w+)"', text))
    assert events == {
        "case_taken", "case_noted", "case_handed", "case_decided", "case_corrected", "case_undone", "case_reopened",
        "case_skipped", "case_escalated",
    }  # fmt: skip
    assert "1111 1111" not in text
    assert '"decision": "fraud", "fraud_type": "stolen card", "reason": "Known pattern"' in text


def test_the_page_of_the_threshold_says_what_it_costs_now(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    mia, ana = login("mia"), login("ana")
    rows = scored(ana, sent(ana, services, PAYMENTS))
    text = words(page(mia, "/review/threshold?detector=payments&review=4&stopped=0"))
    reviews = sum(row["flagged"] == "true" for row in rows)
    missed = sum(
        float(row["fraud_probability"]) * float(row["TX_AMOUNT"]) for row in rows if row["flagged"] == "false"
    )
    assert "0.8 now" in text
    assert f"{missed:,.2f} {4 * reviews:,.2f} 0.00 {missed + 4 * reviews:,.2f}" in text
    for query, said in (
        ("review=x", "no number"),
        ("detector=nobody", "no such detector"),
        ("lost=101", "no number"),
        ("by=moon", "says no days"),
    ):
        assert said in words(page(mia, f"/review/threshold?{query}", 400))
    assert "Days are the transactions' own: " in text
    assert "Days are those of the decisions." in words(
        page(mia, "/review/threshold?detector=payments&by=decided")
    )
    assert "decided on nothing" in page(mia, "/review/threshold?detector=card")
