"""Every decision of the API is in the ledger when it is answered, once, and can be looked up, replayed and labelled."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from screening.intake import numbers
from screening.ledger.ledger import Ledger
from screening.ledger.tables import Label
from screening.settings import Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from screening.worker.upkeep import Upkeep
from tests.conftest import Person
from tests.web.test_data_api import SHOP, asked, scored, sent

Row = dict[str, Any]


def shop(count: int = 5) -> list[Row]:
    """Transactions of a shop as a program has them: numbers as numbers."""
    rows = list(csv.DictReader(io.StringIO(SHOP.decode())))[:count]
    return [{**row, "purchase_value": float(row["purchase_value"]), "age": float(row["age"])} for row in rows]


def post(person: Person, url: str, body: Any, **headers: str) -> Any:
    with_token = {"X-CSRFToken": person.token("/account"), "Content-Type": "application/json", **headers}
    return person.client.post(url, data=json.dumps(body), headers=with_token)


def detect(person: Person, rows: list[Row], **headers: str) -> list[Row]:
    answer = post(person, "/detect_fraud", {"transactions": rows, "detector": "ecommerce"}, **headers)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: list[Row] = answer.get_json()["results"]
    return found


def test_a_decision_is_in_the_ledger_when_it_is_answered(login: Callable[[str], Person]) -> None:
    ana = login("ana")
    rows = shop()
    answers = detect(ana, rows)
    for row, answer in zip(rows, answers, strict=True):
        kept = asked(ana, f"/transactions/{answer['id']}")
        assert {name: kept[name] for name in ("fraud", "fraud_probability", "threshold", "reasons")} == {
            name: answer[name] for name in ("fraud", "fraud_probability", "threshold", "reasons")
        }
        assert (kept["source"], kept["owner"], kept["screening"], kept["row"]) == ("api", "ana", None, None)
        assert (kept["device"], kept["browser"], kept["amount"]) == (
            row["device_id"],
            row["browser"],
            row["purchase_value"],
        )
        assert kept["event_time"] == row["purchase_time"].replace(" ", "T") + "Z"
        assert kept["label"] == ("fraud" if row["class"] == "1" else "legitimate")
    assert asked(ana, "/summary")["total_transactions"] == len(rows)


@pytest.mark.parametrize(
    ("label", "kept"),
    [
        *[(label, "fraud") for label in (1, 1.0, True, "1", " 01", "1.0", "true", "Yes", "FRAUD", "'1")],
        *[(label, "legitimate") for label in (0, False, "0", "no", "Legitimate", '="0"')],
        *[(label, None) for label in (None, "", "NULL", "N/A", "unknown", "pending")],
    ],
    ids=repr,
)
def test_a_label_says_the_same_in_a_file_and_in_json(
    login: Callable[[str], Person], label: Any, kept: str | None
) -> None:
    ana = login("ana")
    (answer,) = detect(ana, [{**shop(1)[0], "class": label}])
    assert asked(ana, f"/transactions/{answer['id']}")["label"] == kept
    words = {"fraud": numbers.ONE, "legitimate": numbers.ZERO, None: numbers.BLANK}
    assert numbers.label("" if label is None else str(label)) == words[kept]


@pytest.mark.parametrize("label", [2, -1, "2", "maybe", "none", [1], {"a": 1}], ids=repr)
def test_what_is_no_label_is_refused_with_its_name_and_row(
    login: Callable[[str], Person], label: Any
) -> None:
    ana = login("ana")
    rows = shop(3)
    answer = post(
        ana,
        "/detect_fraud",
        {"transactions": [rows[0], {**rows[1], "class": label}, rows[2]], "detector": "ecommerce"},
    )
    assert answer.status_code == 422
    (error,) = answer.get_json()["errors"]
    assert (error["column"], error["row"]) == ("class", 2)
    assert "0, 1, true or false" in answer.get_json()["remedy"]
    assert asked(ana, "/summary")["total_transactions"] == 0


def test_a_refused_transaction_leaves_nothing(login: Callable[[str], Person]) -> None:
    ana = login("ana")
    rows = shop()
    del rows[3]["purchase_value"]
    assert post(ana, "/detect_fraud", {"transactions": rows, "detector": "ecommerce"}).status_code == 422
    assert asked(ana, "/summary")["total_transactions"] == 0


def test_sending_again_gives_the_first_answer_and_counts_once(login: Callable[[str], Person]) -> None:
    ana, mia = login("ana"), login("mia")
    first = detect(ana, shop(3), **{"Idempotency-Key": "a1"})
    assert detect(ana, shop(3), **{"Idempotency-Key": "a1"}) == first
    assert asked(ana, "/summary")["total_transactions"] == 3
    other = post(
        ana, "/detect_fraud", {"transactions": shop(2), "detector": "ecommerce"}, **{"Idempotency-Key": "a1"}
    )
    assert other.status_code == 422
    assert "Idempotency-Key" in other.get_json()["title"]
    assert detect(mia, shop(3), **{"Idempotency-Key": "a1"}) != first  # another's keys are another's
    assert asked(mia, "/summary")["total_transactions"] == 6


@pytest.mark.parametrize("key", ["", "x" * 256, "ä"])
def test_a_key_that_cant_be_one_is_refused(login: Callable[[str], Person], key: str) -> None:
    answer = post(login("ana"), "/detect_fraud", {"transaction": {}}, **{"Idempotency-Key": key})
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.get_json()["detail"]


def test_the_same_key_at_once_counts_once(app: Flask, login: Callable[[str], Person]) -> None:
    people = [login("ana") for _ in range(8)]
    found: list[list[Row]] = []
    barrier = threading.Barrier(len(people))

    def send(person: Person) -> None:
        barrier.wait()
        found.append(detect(person, shop(2), **{"Idempotency-Key": "same"}))

    threads = [threading.Thread(target=send, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * len(people)
    assert asked(people[0], "/summary")["total_transactions"] == 2


def test_sealing_changes_nothing_that_is_seen(
    login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    ana = login("ana")
    for row in shop(40):
        detect(ana, [row])
    detect(ana, shop(30))

    def seen() -> list[Any]:
        urls = ("/summary", "/fraud_browsers", "/fraud_trends", "/transactions?limit=1000")
        return [(ana.client.get(url).json, ana.client.get(url).headers.get("X-Time-Basis")) for url in urls]

    before = seen()
    assert services.ledger.sealing.seal() == 70
    assert services.ledger.sealing.seal() == 0
    assert [each.rows for each in services.ledger.segments.all()] == [70]
    assert seen() == before
    detect(ana, shop(1))
    assert asked(ana, "/summary")["total_transactions"] == 71
    assert services.ledger.segments.verify() == []


def test_two_sealers_at_once_lose_and_double_nothing(
    login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    ana = login("ana")
    for _ in range(20):
        detect(ana, shop(5))
    ledgers = [Ledger.open(settings.instance, settings.database_url) for _ in range(4)]
    sealed: list[int] = []
    threads = [threading.Thread(target=lambda one=one: sealed.append(one.sealing.seal())) for one in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sealed) == [0, 0, 0, 100]
    assert asked(ana, "/summary")["total_transactions"] == 100
    assert len(list(services.ledger.segments.folder.iterdir())) == 1


def test_the_worker_seals_what_is_old_or_much(
    login: Callable[[str], Person], services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = login("ana")
    tidying = Upkeep(settings, services.screenings, services.detectors, services.ledger)
    detect(ana, shop(2))
    tidying.step()
    assert services.ledger.segments.all() == []
    monkeypatch.setattr("screening.ledger.tail.SEAL_SECONDS", 0.0)
    tidying.step()
    assert [each.rows for each in services.ledger.segments.all()] == [2]


def test_a_file_and_the_api_give_the_same_probabilities(
    login: Callable[[str], Person], worker: Any, services: Services, sample: bytes
) -> None:
    ana = login("ana")
    screening = sent(ana, services, sample)
    rows = scored(ana, screening)
    given = [{name: float(row[name]) for name in row if name.startswith(("V", "T", "A"))} for row in rows]
    answer = post(ana, "/detect_fraud", {"transactions": given})
    found = [each["fraud_probability"] for each in answer.get_json()["results"]]
    assert found == pytest.approx([float(row["fraud_probability"]) for row in rows], abs=1e-6)


def test_a_guarded_identity_is_the_same_one_in_files_json_and_the_ledger(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    """Spreadsheets keep 007 as '007 or ="007"; exports of ours guard it so, too."""
    ana = login("ana")
    header, *lines = list(csv.reader(io.StringIO(SHOP.decode())))
    at = header.index("device_id")
    names = ["007", "'007", '="007"', "\u200b007"]
    rows = [[*line[:at], name, *line[at + 1 :]] for line, name in zip(lines, names, strict=False)]
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    sent(ana, services, out.getvalue().encode())
    for name in names:
        found = asked(ana, "/transactions", entity=f"device:{name}")["transactions"]
        assert [row["device"] for row in found] == ["007"] * len(names)
    mia, probabilities = login("mia"), []
    for told in (names, ["007"] * len(names)):
        velocity = services.ledger.velocity  # as if nothing had been asked before
        velocity.forget("ecommerce")
        subject = velocity.subject(services.detectors.get("ecommerce"))
        assert subject is not None
        velocity.is_built(subject)
        orders = [{**row, "device_id": name} for row, name in zip(shop(len(names)), told, strict=True)]
        probabilities.append([each["fraud_probability"] for each in detect(mia, orders)])
    assert probabilities[0] == probabilities[1]


def test_replaying_gives_what_was(
    login: Callable[[str], Person], worker: Any, services: Services, sample: bytes
) -> None:
    ana, mia = login("ana"), login("mia")
    screening = sent(ana, services, sample)
    flagged = asked(ana, "/transactions", screening=screening, flagged="true", limit="3")["transactions"]
    single = detect(ana, shop(1))
    for row in [*flagged, *single]:
        answer = post(ana, f"/transactions/{row['id']}/replay", {})
        assert answer.status_code == 200, answer.get_data(as_text=True)
        assert answer.get_json()["was"] == row["fraud_probability"]
        assert answer.get_json()["same"] is True
    assert post(mia, f"/transactions/{flagged[0]['id']}/replay", {}).status_code == 200
    assert post(ana, "/transactions/01a21646-8871-7f9a-9dfa-511300000005/replay", {}).status_code == 404
    odd = sample.replace(b",", b";").replace(b".", b",")  # read by forms that the whole file decided
    other = asked(ana, "/transactions", screening=sent(ana, services, odd), limit="1")["transactions"][0]
    answer = post(ana, f"/transactions/{other['id']}/replay", {})
    assert answer.status_code in {200, 409}
    assert answer.status_code == 409 or answer.get_json()["same"] is True


def test_later_labels_count_and_the_last_one_wins(
    login: Callable[[str], Person], worker: Any, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    mine = [each["id"] for each in detect(ana, [{**row, "class": None} for row in shop(4)])]
    theirs = detect(mia, shop(1))[0]["id"]
    said = [
        {"id": mine[0], "label": "fraud", "fraud_type": "takeover"},
        {"id": mine[1], "label": "legitimate"},
    ]
    nobody = "01a21646-8871-7f9a-9dfa-511300000005"
    answer = post(
        ana,
        "/labels",
        {"labels": [*said, {"id": theirs, "label": "fraud"}, {"id": nobody, "label": "fraud"}]},
    )
    assert answer.get_json() == {"accepted": 2, "unknown": [theirs, nobody]}
    confirmed = asked(ana, "/summary", basis="confirmed")
    assert (confirmed["confirmed"], confirmed["labelled"], confirmed["total_fraud_cases"]) == (1, 2, 1)
    assert [each["id"] for each in asked(ana, "/transactions", label="fraud")["transactions"]] == mine[:1]
    assert [each["fraud_type"] for each in asked(ana, "/fraud_types", basis="confirmed")] == ["takeover"]
    services.ledger.sealing.seal()
    assert asked(ana, "/summary", basis="confirmed") == confirmed
    post(ana, "/labels", {"labels": [{"id": mine[0], "label": "legitimate"}]})
    assert asked(ana, "/summary", basis="confirmed")["confirmed"] == 0


def test_labels_of_a_deleted_screening_go_with_it(
    login: Callable[[str], Person], worker: Any, services: Services
) -> None:
    ana = login("ana")
    screening = sent(ana, services, SHOP)
    row = asked(ana, "/transactions", limit="1")["transactions"][0]
    assert post(ana, "/labels", {"labels": [{"id": row["id"], "label": "fraud"}]}).get_json()["accepted"] == 1
    ana.post(f"/results/{screening}/delete", "/upload")
    with services.ledger.tables.read() as session:
        assert session.query(Label).count() == 0


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([], "list of 1 to 10000"),
        ("x", "list of 1 to 10000"),
        ([1], "Label 1: it is not an object"),
        ([{"id": "x", "label": "fraud"}], "not the id of a transaction"),
        ([{"id": "01a21646-8871-7f9a-9dfa-511300000005", "label": "maybe"}], "neither"),
        (
            [{"id": "01a21646-8871-7f9a-9dfa-511300000005", "label": "fraud", "at": "soon"}],
            "“at” must be a time",
        ),
        ([{"id": "01a21646-8871-7f9a-9dfa-511300000005", "label": "fraud", "fraud_type": 3}], "“fraud_type”"),
    ],
)
def test_a_label_that_isnt_one_is_named(login: Callable[[str], Person], labels: Any, said: str) -> None:
    answer = post(login("ana"), "/labels", {"labels": labels})
    assert answer.status_code == 422
    assert said in answer.get_json()["detail"]
