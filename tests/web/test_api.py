from __future__ import annotations

import csv
import io
import json

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from screening.transactions.schema import CARD
from tests.conftest import Person


@pytest.fixture
def transaction(sample: bytes) -> dict[str, float]:
    row = next(csv.DictReader(io.StringIO(sample.decode())))
    return {name: float(row[name]) for name in CARD.columns}


def ask(person: Person, body: object, raw: bool = False) -> TestResponse:
    headers = {"X-CSRFToken": person.token("/upload"), "Content-Type": "application/json"}
    return person.client.post("/detect_fraud", data=body if raw else json.dumps(body), headers=headers)


def test_one_transaction_gets_the_fields_of_the_contract(
    analyst: Person, transaction: dict[str, float]
) -> None:
    answer = ask(analyst, {"transaction": transaction})
    found = answer.get_json()
    assert answer.status_code == 200
    assert set(found) == {
        *("id", "fraud", "fraud_probability", "threshold", "detector", "reasons", "rules", "fraud_type"),
    }
    assert found["detector"] == "card"
    assert found["threshold"] == 0.8
    assert 0 <= found["fraud_probability"] <= 1
    assert found["fraud"] is (found["fraud_probability"] >= 0.8)


def test_names_decide_and_extra_keys_are_left_alone(analyst: Person, transaction: dict[str, float]) -> None:
    first = ask(analyst, {"transaction": transaction}).get_json()
    turned = {f" {name.lower()} ": value for name, value in reversed(transaction.items())}
    second = ask(analyst, {"transaction": {**turned, "note": "hello"}}).get_json()
    assert second.pop("id") != first.pop("id")
    assert second == first


def test_every_missing_column_is_named(analyst: Person, transaction: dict[str, float]) -> None:
    del transaction["V3"], transaction["Amount"]
    answer = ask(analyst, {"transaction": transaction})
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert [error["column"] for error in answer.get_json()["errors"]] == ["V3", "Amount"]


@pytest.mark.security(36, 27)
@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        '"12"',
        "true",
        "null",
        "[]",
        "{}",
        "1e39",
        "9" * 5000,
        '"NaN"',
    ],
)
def test_what_is_no_finite_number_is_refused_by_name(
    analyst: Person, transaction: dict[str, float], value: str
) -> None:
    body = json.dumps({"transaction": {**transaction, "V3": "HERE"}}).replace('"HERE"', value)
    answer = ask(analyst, body, raw=True)
    assert answer.status_code in (400, 422), answer.data
    assert "fraud_probability" not in answer.get_json()
    assert answer.get_json()["request_id"]


@pytest.mark.security(36)
@pytest.mark.parametrize(
    "body",
    [
        "", "{", "[]", "1", '"a"', "null", "{}", '{"transaction": 1}', '{"transaction": []}', '{"transactions": {}}',
        '{"transactions": []}', '{"transactions": [1]}', '{"transaction": {}, "transaction": {}}',
        '{"transaction": {"V1": 1, "V1": 2}}', "[" * 100_000, '{"a":' * 100_000, "\x00", "\ud83d",
        '{"transaction": {}, "detector": 7}',
    ],
)  # fmt: skip
def test_a_damaged_body_is_refused_not_a_crash(analyst: Person, body: str) -> None:
    answer = ask(analyst, body.encode("utf-8", "surrogatepass"), raw=True)
    assert answer.status_code in (400, 422), answer.data


def test_an_unknown_detector_is_not_found(analyst: Person, transaction: dict[str, float]) -> None:
    assert ask(analyst, {"transaction": transaction, "detector": "nobody"}).status_code == 404


def test_one_bad_row_of_many_is_named_and_nothing_is_scored(
    analyst: Person, transaction: dict[str, float]
) -> None:
    answer = ask(analyst, {"transactions": [transaction, {**transaction, "V9": None}, transaction]})
    assert answer.status_code == 422
    assert (answer.get_json()["errors"][0]["row"], answer.get_json()["errors"][0]["column"]) == (2, "V9")


def test_nobody_is_told_to_log_in(app: Flask, transaction: dict[str, float]) -> None:
    nobody = Person(app, "nobody")
    headers = {"X-CSRFToken": nobody.token(), "Accept": "application/json"}
    answer = nobody.client.post("/detect_fraud", json={"transaction": transaction}, headers=headers)
    assert answer.status_code == 401


def test_as_many_transactions_as_are_promised_fit_into_one_request(
    analyst: Person, transaction: dict[str, float]
) -> None:
    full = {name: value + 1e-13 for name, value in transaction.items()}
    answer = ask(analyst, {"transactions": [full] * 10_000})
    assert answer.status_code == 200, answer.get_data(as_text=True)[:300]
    assert len(answer.get_json()["results"]) == 10_000
