"""The description of the data API is made of what answers, and says what it does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator

from screening.accounts.api_keys import SCOPES
from screening.detectors.states import DetectorState
from screening.ledger.fields import FIELDS
from screening.settings import ROOT
from screening.transactions import json_schema
from screening.transactions.json_records import from_mapping
from screening.transactions.schema import CellKind, Column, ColumnContract, Role
from screening.web.api.detect_fraud import EXAMPLES
from screening.web.api.ledger_forms import Transaction
from screening.web.services import Services
from screening.web.views.api_description import PATHS
from tests.conftest import Person
from tests.web.keys_kit import ask, made

Document = dict[str, Any]
WITHOUT_KEY = {"/healthz", "/readyz"}


@pytest.fixture
def document(login: Callable[[str], Person]) -> Document:
    answer = login("mia").client.get("/openapi.json")
    assert answer.status_code == 200
    found: Document = answer.json or {}
    return found


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def validator(document: Document, name: str) -> Draft202012Validator:
    """A validator of a schema of the description, whose references it follows."""
    return Draft202012Validator(
        {"components": document["components"], "$ref": f"#/components/schemas/{name}"}
    )


def test_every_route_that_takes_keys_is_described_and_no_other(app: Flask, document: Document) -> None:
    taken = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if getattr(app.view_functions[rule.endpoint], "scope", None) or rule.rule in WITHOUT_KEY
    }
    assert {(path, method) for path, method, _ in operations(document)} == taken


def test_every_operation_says_what_it_is_and_who_may(document: Document) -> None:
    told = [operation for _, _, operation in operations(document)]
    assert len({operation["operationId"] for operation in told}) == len(told)
    for path, method, operation in operations(document):
        assert operation["summary"], path
        assert set(re.findall(r"{(\w+)}", path)) <= set(PATHS)
        if path in WITHOUT_KEY:
            assert operation["security"] == []
            continue
        key, session = operation["security"]
        if path == "/metrics":  # Prometheus on the same machine needs no key, and nobody's session is one
            assert (key, session) == ({"key": ["metrics"]}, {})
            continue
        assert ("form_token" in session) == (method != "GET")
        assert set(key["key"]) <= set(SCOPES)
        assert {"400", "401", "403", "429", "500", "503"} <= set(operation["responses"])


def test_all_schemas_are_schemas_and_lead_somewhere(document: Document) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for target in set(re.findall(r'"#/([^"]+)"', json.dumps(document))):
        found = document
        for step in target.split("/"):
            found = found[step]
    ids = {operation["operationId"] for _, _, operation in operations(document)}
    links = re.findall(r'"operationId": "(\w+)", "parameters": {', json.dumps(document))
    assert set(links) <= ids
    assert links


def test_the_ledgers_fields_are_those_of_its_form() -> None:
    assert set(FIELDS) <= set(Transaction.__struct_fields__)


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_examples_stand_in_the_guide(title: str) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    printed = [json.loads(each) for each in re.findall(r"--data '({[^\n]*})'", text)]
    payments = [each["transaction"] for each in printed if "transaction" in each]
    example = EXAMPLES[title]
    first = example.get("transaction") or example["transactions"][0]
    assert first in payments


def test_every_example_fits_its_schema_and_is_answered(
    app: Flask, services: Services, document: Document
) -> None:
    key = made(services, "score", "label")
    asked = document["paths"]["/detect_fraud"]["post"]["requestBody"]["content"]["application/json"]
    assert {"a payment", "by card", "by payments", "by ecommerce"} <= set(asked["examples"])
    for title, example in asked["examples"].items():
        validator(document, "DecisionRequest").validate(example["value"])
        answer = ask(app, key, "/detect_fraud", "POST", json=example["value"])
        assert answer.status_code == 200, (title, answer.json)
        form = "Decision" if "transaction" in example["value"] else "Decisions"
        validator(document, form).validate(answer.json)
    labels = document["paths"]["/labels"]["post"]["requestBody"]["content"]["application/json"]
    for example in labels["examples"].values():
        validator(document, "LabelsBody").validate(example["value"])
        assert ask(app, key, "/labels", "POST", json=example["value"]).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"detector": "payments"},
        {"transaction": {"TX_AMOUNT": 1}, "detector": "payments"},
        {
            "transaction": {**EXAMPLES["a payment"]["transaction"], "TX_DATETIME": "yesterday"},
            "detector": "payments",
        },
        {
            "transaction": {**EXAMPLES["a payment"]["transaction"], "CUSTOMER_ID": " n/a "},
            "detector": "payments",
        },
        {
            "transaction": {**EXAMPLES["a payment"]["transaction"], "CUSTOMER_ID": "\x1d"},
            "detector": "payments",
        },
        {
            "transaction": {**EXAMPLES["a payment"]["transaction"], "TX_AMOUNT": "51.40"},
            "detector": "payments",
        },
        {
            "transaction": {**EXAMPLES["a payment"]["transaction"], "TX_AMOUNT": 3.5e38},
            "detector": "payments",
        },
        {"transaction": {**EXAMPLES["a payment"]["transaction"], "TX_AMOUNT": None}, "detector": "payments"},
        {**EXAMPLES["a payment"], "transactions": []},
        {**EXAMPLES["a payment"], "Detector": "payments"},
        {"detector": "payments", "transactions": []},
    ],
)
def test_what_the_schema_refuses_is_refused(
    app: Flask, services: Services, document: Document, body: Any
) -> None:
    assert not validator(document, "DecisionRequest").is_valid(body)
    answer = ask(app, made(services, "score"), "/detect_fraud", "POST", json=body)
    assert answer.status_code == 422
    validator(document, "Problem").validate(answer.json)


def test_numbers_end_where_the_description_says(app: Flask, services: Services, document: Document) -> None:
    """At the very last float64: ``V28`` is divided by a scale, and so ends before float32 does."""
    key = made(services, "score")
    example = document["paths"]["/detect_fraud"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ]
    transaction = example["by card"]["value"]["transaction"]
    for name in ("V28", "V1", "Amount"):
        limit = document["components"]["schemas"]["Transaction.card"]["properties"][name]["maximum"]
        for sign in (1, -1):
            for factor, status in ((1.0, 200), (1 + 2**-52, 422)):
                sent = {"transaction": {**transaction, name: sign * limit * factor}}
                assert ask(app, key, "/detect_fraud", "POST", json=sent).status_code == status, (name, sign)


def test_blank_cells_that_may_be_are_described_so() -> None:
    contract = ColumnContract.of(
        [
            Column("amount", Role.AMOUNT),
            Column("when", Role.TIME, CellKind.TIME),
            Column("browser", Role.CATEGORY, CellKind.TEXT, optional=True),
        ]
    )
    words = dict.fromkeys(contract.columns, "x")
    limits = dict.fromkeys(contract.columns, (-1e30, 1e30))
    schema = json_schema.of_contract(contract, words, limits, "#/$defs/{name}")
    check = Draft202012Validator({**schema, "$defs": json_schema.kinds()})
    for cell in (None, "", "N/A", "Chrome", 7):
        given = {"amount": 1, "when": "2024-02-29", "browser": cell}
        check.validate(given)
        from_mapping(given, contract)
    check.validate({"amount": 1, "when": 1_700_000_000})
    assert not check.is_valid({"amount": 1, "when": "2023-02-29"})
    assert not check.is_valid({"when": "2024-02-29"})


@pytest.mark.security(12, 14)
def test_whoever_is_let_in_may_read_it_and_sees_their_detectors(
    app: Flask, services: Services, login: Callable[[str], Person]
) -> None:
    assert app.test_client().get("/openapi.json").status_code == 401
    mark = services.detectors.get("ecommerce").fingerprint
    services.states.say("ecommerce", mark, DetectorState.TRIAL, "mia", None)
    ana, mia = login("ana"), login("mia")
    for key in [made(services, scope, owner="ana") for scope in SCOPES]:
        seen = ask(app, key, "/openapi.json")
        assert seen.status_code == 200
        assert "Transaction.ecommerce" not in seen.json["components"]["schemas"]
        assert "Transaction.payments" in seen.json["components"]["schemas"]
    assert "ecommerce" not in ana.client.get("/openapi.json").get_data(as_text=True)
    assert "Transaction.ecommerce" in (mia.client.get("/openapi.json").json or {})["components"]["schemas"]


def test_the_page_lists_every_route_without_script(
    login: Callable[[str], Person], document: Document
) -> None:
    text = login("otto").client.get("/docs").get_data(as_text=True)
    for path, method, _ in operations(document):
        assert f"<code>{method} {path}</code>" in text
