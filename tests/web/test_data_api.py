"""The data API over the ledger: what it counts is what appears in the files, to the cent, for whoever may see it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.settings import ROOT
from screening.transactions import times
from screening.uploads.recording import Recordings
from screening.web.http import ledger_filters
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.waiting import wait_until

SHOP = (ROOT / "model" / "detectors" / "ecommerce" / "sample.csv").read_bytes()
PAYMENTS = (ROOT / "model" / "detectors" / "payments" / "sample.csv").read_bytes()


def sent(person: Person, services: Services, content: bytes, name: str = "rows.csv", **fields: str) -> str:
    """Upload a file and wait until it appears in the ledger; return the screening's id."""
    found: str = person.upload(content, name, **fields).headers["Location"].split("/")[2]
    wait_until_entered(services, found)
    return found


def wait_until_entered(services: Services, screening: str) -> None:
    wait_until(lambda: services.ledger.segments.of(screening) is not None)


def asked(person: Person, url: str, **query: str) -> Any:
    answer = person.client.get(url, query_string=query)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.json


def scored(person: Person, screening: str) -> list[dict[str, str]]:
    """The rows of scores.csv, which the file's own rows and the page's flags are."""
    text = person.client.get(f"/results/{screening}/scores.csv").get_data(as_text=True)
    return list(csv.DictReader(io.StringIO(text)))


def test_api_ledger_page_and_files_agree_to_the_cent(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    shop, payments = sent(ana, services, SHOP), sent(mia, services, PAYMENTS)
    rows = {"purchase_value": scored(ana, shop), "TX_AMOUNT": scored(mia, payments)}
    flagged = {name: [row for row in found if row["flagged"] == "true"] for name, found in rows.items()}

    def money(found: dict[str, list[dict[str, str]]]) -> Decimal:
        return sum((Decimal(row[name]) for name, some in found.items() for row in some), Decimal(0))

    every = asked(mia, "/summary")
    assert every["total_transactions"] == sum(map(len, rows.values()))
    assert every["total_fraud_cases"] == every["flagged"] == sum(map(len, flagged.values())) > 0
    assert Decimal(str(every["total_amount"])) == money(rows)
    assert Decimal(str(every["fraud_amount"])) == money(flagged)
    pages = [asked(who, f"/results/{each}.json") for who, each in ((ana, shop), (mia, payments))]
    assert sum(page["flagged"] for page in pages) == every["flagged"]

    confirmed = asked(mia, "/summary", basis="confirmed")
    fraud = [row for row in rows["purchase_value"] if row["class"] == "1"]
    fraud += [row for row in rows["TX_AMOUNT"] if row["TX_FRAUD"] == "1"]
    assert confirmed["total_fraud_cases"] == confirmed["confirmed"] == len(fraud) > 0

    browsers = asked(ana, "/fraud_browsers")
    counted = Counter(row["browser"] for row in rows["purchase_value"])
    assert {each["browser"]: each["transactions"] for each in browsers} == counted
    cases = Counter(row["browser"] for row in flagged["purchase_value"])
    assert {each["browser"]: each["fraud_cases"] for each in browsers if each["fraud_cases"]} == cases

    days = asked(mia, "/fraud_trends", detector="payments")
    by_day = Counter(row["TX_DATETIME"][:10] for row in rows["TX_AMOUNT"])
    assert {each["period"]: each["transactions"] for each in days} == {
        f"{day}T00:00:00Z": count for day, count in by_day.items()
    }
    assert [each["period"] for each in days] == sorted(each["period"] for each in days)


def test_each_sees_their_own_and_whoever_may_see_all_sees_all(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia, otto = login("ana"), login("mia"), login("otto")
    sent(ana, services, SHOP)
    assert asked(ana, "/summary")["total_transactions"] > 0
    assert asked(otto, "/summary") == asked(mia, "/summary") == asked(ana, "/summary")
    sent(mia, services, PAYMENTS)
    assert asked(otto, "/summary")["total_transactions"] > asked(ana, "/summary")["total_transactions"]
    theirs = asked(mia, "/transactions", limit="1", detector="payments")["transactions"][0]["id"]
    assert asked(mia, f"/transactions/{theirs}")["detector"] == "payments"
    assert ana.client.get(f"/transactions/{theirs}").status_code == 404
    assert asked(ana, "/transactions", detector="payments") == {"transactions": [], "next": None}


def test_pages_of_transactions_give_each_row_once(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    screenings = [sent(ana, services, SHOP, f"{number}.csv") for number in range(3)]
    total = asked(ana, "/summary")["total_transactions"]
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = asked(ana, "/transactions", limit="77", **({"cursor": cursor} if cursor else {}))
        found += page["transactions"]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(found) == len({row["id"] for row in found}) == total
    assert [row["decided_at"] for row in found] == sorted((row["decided_at"] for row in found), reverse=True)
    assert {row["screening"] for row in found} == set(screenings)
    one = found[5]
    line = scored(ana, one["screening"])[one["row"] - 1]
    assert (one["device"], one["browser"], one["customer"], one["address"]) == (
        line["device_id"],
        line["browser"],
        line["user_id"],
        line["ip_address"],
    )
    assert (one["fraud_probability"], one["fraud"]) == (
        pytest.approx(float(line["fraud_probability"]), abs=1e-9),
        line["flagged"] == "true",
    )
    device = asked(ana, "/transactions", entity=f"device:{one['device'].lower()}")["transactions"]
    assert {row["device"] for row in device} == {one["device"]}
    flagged = asked(ana, "/transactions", flagged="true", limit="1000")["transactions"]
    assert all(row["fraud"] and row["reasons"] for row in flagged)
    assert len(flagged) == asked(ana, "/summary")["flagged"]


def test_the_header_says_which_time_the_answer_goes_by(
    login: Callable[[str], Person], worker: Worker, services: Services, sample: bytes
) -> None:
    ana = login("ana")
    sent(ana, services, sample)  # seconds since something: no calendar
    answer = ana.client.get("/fraud_trends")
    assert answer.headers["X-Time-Basis"] == "decided"
    assert len(answer.json or []) == 1
    sent(ana, services, PAYMENTS)
    assert ana.client.get("/summary").headers["X-Time-Basis"] == "mixed"
    assert ana.client.get("/summary?detector=payments").headers["X-Time-Basis"] == "event"
    before = asked(ana, "/summary", to="2025-01-08", detector="payments")["total_transactions"]
    after = asked(ana, "/summary", **{"from": "2025-01-08T00:00:00Z"}, detector="payments")[
        "total_transactions"
    ]
    assert before > 0
    assert after > 0
    assert before + after == asked(ana, "/summary", detector="payments")["total_transactions"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=yesterday", "2026-01-31"),
        ("basis=guessed", "flagged, confirmed"),
        ("form=2026-01-01", "from, to, detector"),
        ("country=DE&country=FR", "more than once"),
        ("interval=year", "hour, day, week, month"),
        ("country=" + "x" * 300, "too long"),
        ("detector=", "blank"),
        ("country=%20", "blank"),
        ("from=0001-01-01T00:00:00%2B14:00", "2026-01-31"),
        (
            "from=2026-01-31T07.30",
            "2026-01-31",
        ),  # half past seven; Python takes it for a fraction of a second
        ("from=2026-W05-1", "2026-01-31"),
        ("from=20260131", "2026-01-31"),
        ("from=2026-01-31x07:30", "2026-01-31"),
        ("from=2026-01-31-07:00", "2026-01-31"),
        ("from=2026-01-31T07:30:00,5", "2026-01-31"),
        ("from=2026-01-31T00:00:00+01:00", "%2B"),  # a plus is a space in a query string
        ("from=2026-01-31T00:00:00%2B01:99", "2026-01-31"),
        ("to=%EF%BC%92026-01-31", "2026-01-31"),
    ],
)
def test_a_parameter_that_cant_be_used_is_named_with_what_it_must_be(
    login: Callable[[str], Person], query: str, said: str
) -> None:
    answer = login("ana").client.get(f"/fraud_trends?{query}")
    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"
    assert said in str(answer.json)
    assert (answer.json or {})["errors"][0]["column"] == query.partition("=")[0]


@pytest.mark.parametrize(
    "query",
    [
        *(
            "limit=0",
            "limit=1001",
            "cursor=x",
            "cursor=" + "A" * 32,
            "entity=device",
            "entity=dog:1",
            "label=x",
        ),
        *(
            "cursor=" + "A" * 31 + "!",
            "cursor=B" + "A" * 31,
            "min_probability=0_1",
            "min_probability=nan",
            "min_probability=inf",
            "min_probability=1e400",
            "min_probability=%EF%BC%90",
            "min_probability=0,5",
            "limit=",
        ),
    ],
)
def test_pages_of_transactions_refuse_what_isnt_a_filter(login: Callable[[str], Person], query: str) -> None:
    answer = login("ana").client.get(f"/transactions?{query}")
    assert answer.status_code == (200 if query == "cursor=" + "A" * 32 else 400)


def test_an_empty_ledger_counts_nothing(login: Callable[[str], Person]) -> None:
    ana = login("ana")
    assert asked(ana, "/summary")["total_transactions"] == 0
    assert asked(ana, "/fraud_types") == asked(ana, "/fraud_trends") == []
    assert ana.client.get("/transactions/01a21646-8871-7f9a-9dfa-511300000005").status_code == 404


def test_a_deleted_screening_leaves_the_ledger(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    screening = sent(ana, services, SHOP)
    assert ana.post(f"/results/{screening}/delete", "/upload").status_code == 303
    assert asked(ana, "/summary")["total_transactions"] == 0
    assert list(services.ledger.segments.folder.iterdir()) == []


def test_what_a_crash_kept_out_of_the_ledger_is_found_again(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    screening = sent(ana, services, SHOP)
    whole = asked(ana, "/summary")
    services.ledger.segments.forget(screening)
    recordings = Recordings(services.database, services.signals)
    assert recordings.add_missing(services.ledger.segments.screenings()) == 1
    assert recordings.add_missing(services.ledger.segments.screenings()) == 0
    wait_until(lambda: services.ledger.segments.of(screening) is not None)
    assert asked(ana, "/summary") == whole


def test_rows_that_were_set_aside_were_not_scored_and_arent_in_the_ledger(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    lines = SHOP.splitlines()
    lines[3] = lines[3].replace(b"Chrome", b"Chrome,more")
    cells = lines[5].split(b",")
    cells[3] = b"much"
    lines[5] = b",".join(cells)
    found = ana.upload(b"\n".join(lines), "bad.csv", set_aside="1").headers["Location"].split("/")[2]
    wait_until(lambda: services.ledger.segments.of(found) is not None)
    rows = asked(ana, "/transactions", limit="1000")["transactions"]
    by_row = {row["row"]: row for row in rows}
    scores = scored(ana, found)
    assert {number for number, row in enumerate(scores, 1) if row["fraud_probability"]} == set(by_row)
    assert 5 not in by_row
    assert all(by_row[number]["device"] == scores[number - 1]["device_id"] for number in by_row)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.from_regex(ledger_filters.WRITTEN, fullmatch=True),
        st.datetimes(datetime(1902, 1, 1), datetime(2099, 1, 1)).map(str),  # noqa: DTZ001
        st.datetimes(datetime(1902, 1, 1), datetime(2099, 1, 1)).map(  # noqa: DTZ001
            lambda each: each.strftime("%Y-%m-%dT%H.%M")
        ),
    )
)
def test_a_time_of_a_question_is_the_time_that_a_file_has_in_the_same_words(text: str) -> None:
    try:
        found = ledger_filters.moment(text)
    except ValueError:
        return
    of_file = times.time_of(text)
    if of_file is not None:  # files have no times of other centuries
        assert of_file == pytest.approx(found.timestamp(), abs=1e-5)
