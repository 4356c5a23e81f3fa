"""Thresholds that a manager applies: what is decided from then on, in files, by the API and at the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from flask import Flask

from screening.settings import Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_audit_log import events
from tests.web.test_data_api import SHOP, asked, scored, sent
from tests.web.test_decisions_are_kept import detect, shop
from tests.web.test_explore import page, words


def applied(person: Person, status: int = 303, **fields: str) -> str:
    answer = person.post("/review/threshold/apply", "/account", detector="ecommerce", **fields)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return words(answer.get_data(as_text=True))


def parts(rows: list[dict[str, str]], *marks: float) -> list[int]:
    return [sum(float(row["fraud_probability"]) >= mark for row in rows) for mark in marks]


def test_two_thresholds_hold_in_files_answers_and_documents_and_nothing_that_was_decided_changes(
    app: Flask,
    login: Callable[[str], Person],
    worker: Worker,
    services: Services,
    settings: Settings,
    tmp_path: Path,
) -> None:
    ana, mia = login("ana"), login("mia")
    first = sent(ana, services, SHOP)
    assert "to be stopped" not in page(ana, "/"), "there never was a second threshold"
    before = detect(ana, shop(400))
    assert all("action" not in each for each in before)
    applied(mia, review="0.3", block="0.9", reason="the curve says so")
    (line,) = events(settings, "threshold_applied")
    told = {
        name: line[name]
        for name in ("detector", "review", "block", "review_before", "block_before", "reason")
    }
    assert told == {
        "detector": "ecommerce",
        "review": 0.3,
        "block": 0.9,
        "review_before": 0.8,
        "block_before": None,
        "reason": "the curve says so",
    }
    text = words(page(mia, "/review/threshold?detector=ecommerce"))
    assert "ecommerce now: 0.3, block 0.9" in text
    assert "the curve says so" in text
    assert asked(ana, f"/results/{first}.json")["threshold"] == 0.8
    second = sent(ana, services, SHOP, "again.csv")
    rows = scored(ana, second)
    flagged, blocked = parts(rows, 0.3, 0.9)
    assert sum(row["flagged"] == "true" for row in rows) == flagged
    told = asked(ana, f"/results/{second}.json")
    assert (told["threshold"], told["flagged"]) == (0.3, flagged)
    assert f"To be stopped {blocked}" in words(page(ana, f"/results/{second}"))
    kept = asked(ana, "/transactions", screening=second, flagged="true", limit="1000")["transactions"]
    assert len(kept) == flagged
    assert {each["threshold"] for each in kept} == {0.3}
    assert sum(each["action"] == "block" for each in kept) == blocked > 0
    assert sum(each["action"] == "review" for each in kept) == flagged - blocked > 0
    earlier = asked(ana, "/transactions", screening=first, limit="1000")["transactions"]
    assert all("action" not in each for each in earlier), (
        "there was no second threshold when these were decided"
    )
    board = json.dumps(ana.client.get("/dashboard/_dash-layout").json)
    assert f'"{blocked:,} to be stopped"' in board
    assert f"{blocked:,} to be stopped" in words(page(ana, "/")), "beside the flagged ones at home, too"
    assert page(ana, f"/explore/transactions?screening={second}&flagged=true").count(">Stop<") == min(
        blocked, 50
    )
    assert page(ana, f"/results/{second}").count(">Stop<") == min(blocked, 50)
    stopped = next(each["row"] for each in kept if each["action"] == "block")
    assert "Action Stop without a look" in words(page(ana, f"/results/{second}/rows/{stopped}"))
    report = tmp_path / "report.xlsx"
    report.write_bytes(ana.client.get(f"/results/{second}/report.xlsx").data)
    summary = {line[0].value: line[1].value for line in openpyxl.load_workbook(report)["Summary"].iter_rows()}
    assert (summary["Threshold"], summary["Block threshold"], summary["To be stopped"]) == (0.3, 0.9, blocked)
    for each in detect(mia, shop(400)):
        chance = each["fraud_probability"]
        assert each["threshold"] == 0.3
        assert each["fraud"] is (chance >= 0.3)
        assert each.get("action") == ("block" if chance >= 0.9 else "review" if chance >= 0.3 else None)
    (tmp_path / "rows.csv").write_bytes(SHOP)
    cli = app.test_cli_runner().invoke(args=["screen", str(tmp_path / "rows.csv")])
    assert f"{flagged:,} flagged" in cli.output
    assert "threshold 0.3" in cli.output
    applied(mia, review="", block="")
    assert all("action" not in each and each["threshold"] == 0.8 for each in detect(mia, shop(3)))
    other = services.thresholds.of("card")
    assert (other.review, other.block) == (0.8, None), "of another detector nothing was said"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"review": "much"}, "“much” is no number"),
        ({"review": "0"}, "isn't above 0"),
        ({"review": "1.5"}, "isn't above 0"),
        ({"review": "0.5", "block": "0.4"}, "isn't between the threshold and 1"),
        ({"review": "0.5", "reason": "x" * 501}, "more than 500 characters"),
    ],
)
def test_thresholds_that_can_not_be_are_refused_and_nothing_changes(
    login: Callable[[str], Person], services: Services, settings: Settings, fields: dict[str, Any], said: str
) -> None:
    assert said in applied(login("mia"), 422, **fields)
    assert services.thresholds.history("ecommerce") == []
    assert events(settings, "threshold_applied") == []
    assert services.thresholds.of("ecommerce").review == settings.threshold
