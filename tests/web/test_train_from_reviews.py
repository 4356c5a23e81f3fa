"""``train --from-reviews``: what is known of transactions becomes a file to learn from, whoever said it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from screening.review.tables import CaseItem
from screening.settings import Settings
from screening.training.trainer_process import Workshop
from screening.web.cli import train
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_data_api import PAYMENTS, SHOP, scored, sent
from tests.web.test_decisions_are_kept import detect, post, shop
from tests.web.test_review import do, flags, opened, taken


@pytest.fixture
def run(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, dict[str, Any], list[dict[str, str]]]]:
    """Runs the command with a child that only speaks as a training does; gives its order and the file's rows, too."""
    monkeypatch.setattr(train, "WORKSHOP", "tests.fake_trainer")
    seen: list[tuple[dict[str, Any], list[dict[str, str]]]] = []

    def workshop(folder: Any, order: dict[str, Any], module: str) -> Any:
        with Path(order["file"]).open(newline="") as file:
            seen.append((order, list(csv.DictReader(file))))
        return Workshop(folder, order, module)

    monkeypatch.setattr(train, "Workshop", workshop)

    def invoke(*words: str) -> tuple[Any, dict[str, Any], list[dict[str, str]]]:
        result = app.test_cli_runner().invoke(args=["train", *words])
        return result, *(seen[-1] if seen else ({}, []))

    return invoke


def test_labels_of_files_of_programs_and_decisions_are_learned_from_and_the_last_word_counts(
    login: Callable[[str], Person], worker: Worker, services: Services, run: Any, settings: Settings
) -> None:
    ana, mia = login("ana"), login("mia")
    screening = sent(ana, services, PAYMENTS)
    rows, flagged = scored(ana, screening), flags(ana, screening)
    (case,) = opened(services, len(flagged))
    assert taken(ana) == case.id
    do(ana, f"/review/{case.id}/decision", decision="legitimate", then="stay")
    charged = next(
        each
        for each in ana.client.get("/transactions?flagged=false&limit=1").get_json()["transactions"]
        if each["label"] == "legitimate"
    )
    assert post(mia, "/labels", {"labels": [{"id": charged["id"], "label": "fraud"}]}).status_code == 200
    result, order, learned = run("--from-reviews", "--detector", "payments")
    assert result.exit_code == 0, result.output
    contract = services.detectors.get("payments").contract
    assert list(learned[0]) == [*contract.columns, "known_fraud"]
    assert len(learned) == len(rows)
    was = {(row["CUSTOMER_ID"], row["TERMINAL_ID"], row["TX_DATETIME"]): row for row in rows}
    changed = 0
    for row in learned:
        time = row["TX_DATETIME"].replace("T", " ").removesuffix(".000000Z")
        before = was.pop((row["CUSTOMER_ID"], row["TERMINAL_ID"], time))
        assert float(row["TX_AMOUNT"]) == float(before["TX_AMOUNT"])
        if before["flagged"] == "true":
            assert row["known_fraud"] == "0", "as was decided"
        changed += row["known_fraud"] != before["TX_FRAUD"]
    frauds = sum(row["TX_FRAUD"] == "1" for row in flagged)
    assert changed == frauds + 1, "what was decided to be legitimate, and the chargeback"
    assert f"{len(flagged):,} decisions on cases" in result.output
    assert "1 label of programs" in result.output
    assert order["name"] == "payments-reviewed"
    roles = {column["name"]: column["role"] for column in order["columns"]}
    assert roles == {each.name: each.role for each in contract.parts()} | {"known_fraud": "label"}
    assert (settings.instance / "detectors" / "payments-reviewed" / "card.json").exists()
    again, order, _ = run("--from-reviews", "--detector", "payments")
    assert again.exit_code == 0, again.output
    assert order["name"] == "payments-reviewed-2"


def test_transactions_of_the_api_and_of_a_file_come_together(
    login: Callable[[str], Person], worker: Worker, services: Services, run: Any
) -> None:
    ana = login("ana")
    sent(ana, services, SHOP)
    detect(ana, shop(10))
    result, _, learned = run("--from-reviews", "--detector", "ecommerce", "--label-delay", "3d")
    assert result.exit_code == 0, result.output
    file = list(csv.DictReader(SHOP.decode().splitlines()))
    assert len(learned) == len(file) + 10
    twice = Counter((row["device_id"], row["purchase_time"], row["purchase_value"]) for row in learned)
    for each in file[:10]:
        time = each["purchase_time"].replace(" ", "T") + ".000000Z"
        assert twice[each["device_id"], time, str(float(each["purchase_value"]))] == 2


def test_what_cannot_be_is_said(app: Flask, login: Callable[[str], Person], run: Any, tmp_path: Path) -> None:
    login("ana")
    result, _, _ = run("--from-reviews", "--detector", "payments")
    assert result.exit_code != 0
    assert "Of no transaction of payments" in result.output
    file = tmp_path / "a.csv"
    file.write_text("a,b\n1,2\n")
    for words, said in (
        (["--from-reviews", str(file)], "takes the place of FILE"),
        (["--detector", "card", str(file), "--label", "a"], "--from-reviews learns from"),
        ([str(file)], "Missing option '--label'"),
        ([], "Missing argument 'FILE'"),
    ):
        result, _, _ = run(*words)
        assert result.exit_code == 2, words
        assert said in result.output
    result, _, _ = run("--from-reviews", "--detector", "nobody")
    assert result.exit_code == 1


def test_rows_of_a_deleted_file_are_left_out(
    login: Callable[[str], Person], worker: Worker, services: Services, run: Any, settings: Settings
) -> None:
    ana = login("ana")
    screening = sent(ana, services, SHOP)
    sent(ana, services, SHOP, "again.csv")
    with services.database.read() as session:
        session.scalars(select(CaseItem)).all()
    (settings.instance / "screenings" / screening / "canonical.csv").unlink(missing_ok=True)
    for path in (settings.instance / "screenings" / screening).glob("input*"):
        path.unlink()
    result, _, learned = run("--from-reviews", "--detector", "ecommerce")
    assert result.exit_code == 0, result.output
    count = SHOP.count(b"\n") - 1
    assert len(learned) == count
    assert f"{count:,} more can't be read any more" in result.output
