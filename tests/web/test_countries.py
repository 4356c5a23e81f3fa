"""Countries of transactions that bring none: by their addresses, the same for a file and for the API."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from screening.errors import BadSetting
from screening.ledger.filters import DecisionFilter
from screening.rules.store import RuleDraft, RuleStore
from screening.rules.tables import RuleState
from screening.rules.trying import Trials
from screening.settings import Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_data_api import SHOP, asked, scored, sent
from tests.web.test_decisions_are_kept import detect

TABLE = """lower,upper,country
0.0.0.0,63.255.255.255,Alpha
64.0.0.0,127.255.255.255,Beta
2a00::,2a0f:ffff:ffff:ffff:ffff:ffff:ffff:ffff,Gamma
"""
OTHERS = ("2a00:1450:4001:81b::200e", "2600::1", "10.1.2.3", "::1", "8.8.8.8")


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    from dataclasses import replace

    file = tmp_path / "ranges.csv"
    file.write_text(TABLE, encoding="utf-8")
    return replace(settings, ip_countries=file)


def rows(count: int = 300) -> list[dict[str, str]]:
    """Rows of a shop, some with other addresses; some bring a country."""
    found = list(csv.DictReader(io.StringIO(SHOP.decode())))[:count]
    for place, row in enumerate(found):
        if place % 10 == 0:
            row["ip_address"] = OTHERS[place // 10 % len(OTHERS)]
        row["country"] = "Delta" if place % 7 == 0 else ""
    return found


def expected(row: dict[str, str]) -> str:
    """The country as a reader of the file would find it."""
    if row["country"]:
        return row["country"]
    address = row["ip_address"]
    if ":" in address:
        return "private" if address == "::1" else "Gamma" if address.startswith("2a0") else "unknown"
    first = int(address.split(".")[0])
    if first in (0, 10, 127) or first >= 224 or address.startswith(("192.168.", "169.254.")):
        return "private"
    if first == 100 and 64 <= int(address.split(".")[1]) <= 127:
        return "private"
    if first == 172 and 16 <= int(address.split(".")[1]) <= 31:
        return "private"
    return "Alpha" if first < 64 else "Beta" if first < 128 else "unknown"


def counted(person: Person, **query: str) -> dict[str, tuple[int, int]]:
    return {
        each["country"]: (each["transactions"], each["fraud_cases"])
        for each in asked(person, "/fraud_geography", **query)
    }


def test_api_ledger_and_file_agree(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    mia = login("mia")
    given = rows()
    out = io.StringIO()
    writer = csv.DictWriter(out, list(given[0]))
    writer.writeheader()
    writer.writerows(given)
    screening = sent(mia, services, out.getvalue().encode())
    kept = scored(mia, screening)
    assert len(kept) == len(given)
    total = Counter(expected(row) for row in kept)
    fraud = Counter(expected(row) for row in kept if row["flagged"] == "true")
    assert {"Alpha", "Beta", "Gamma", "Delta", "private", "unknown"} <= total.keys()
    assert counted(mia) == {country: (count, fraud[country]) for country, count in total.items()}

    answers: list[dict[str, Any]] = []
    for row in given:
        body: dict[str, Any] = {
            **row,
            "purchase_value": float(row["purchase_value"]),
            "age": float(row["age"]),
        }
        body = {name: value for name, value in body.items() if value != ""}
        answers += detect(mia, [body])
    by_api = Counter(map(expected, given))
    flags = Counter(expected(row) for row, answer in zip(given, answers, strict=True) if answer["fraud"])
    assert counted(mia, source="api") == {key: (count, flags[key]) for key, count in by_api.items()}
    assert by_api == total
    one = asked(mia, f"/transactions/{answers[10]['id']}")
    assert (one["country"], one["address"]) == (expected(given[10]), given[10]["ip_address"])
    assert counted(mia, country="private") == {"private": counted(mia)["private"]}


def test_a_table_that_cant_be_read_stops_the_start(app_with: Callable[..., Flask], tmp_path: Path) -> None:
    file = tmp_path / "none.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(BadSetting, match="IP_COUNTRIES"):
        app_with(ip_countries=file)
    with pytest.raises(BadSetting, match="IP_COUNTRIES"):
        app_with(ip_countries=tmp_path / "missing.csv")


def test_a_rule_finds_the_same_mismatches_in_a_file_the_api_and_the_past(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    store = RuleStore(services.database, services.detectors)
    draft = RuleDraft(name="Mismatch", condition="country != address_country", effect="raise")
    store.set_state(store.add(draft, "mia").id, RuleState.ACTIVE, "mia")
    ana, mia = login("ana"), login("mia")
    given = rows()
    out = io.StringIO()
    writer = csv.DictWriter(out, list(given[0]))
    writer.writeheader()
    writer.writerows(given)
    sent(ana, services, out.getvalue().encode())
    answers = detect(
        mia,
        [{**row, "purchase_value": float(row["purchase_value"]), "age": float(row["age"])} for row in given],
    )
    wanted = [bool(row["country"]) for row in given]  # Delta is in no table
    assert [answer["rules"] == ["Mismatch"] for answer in answers] == wanted
    asked_for = "SELECT number, rules FROM chosen ORDER BY number"
    file = services.ledger.questions.ask(asked_for, DecisionFilter(source="file")).rows
    assert [row["rules"] == ["Mismatch"] for row in file] == wanted
    trial = Trials(store, services.ledger.questions).one(
        draft, chosen=DecisionFilter(), now=datetime.now(UTC)
    )
    assert (trial.outcome.fired.rows, trial.outcome.unknown) == (2 * sum(wanted), 0)
