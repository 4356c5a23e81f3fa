"""``flask --app app train``, with a child process that speaks as the workshop does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from screening.infra.audit.log import AuditLog
from screening.settings import ROOT, Settings
from screening.training.trainer_process import Workshop
from screening.training.trainings import TrainingFolder
from screening.web.cli import train
from tests.waiting import wait_until
from tests.web.test_trainings import HEADER, table

FAKE = "tests.fake_trainer"


@pytest.fixture
def past(tmp_path: Path) -> Path:
    file = tmp_path / "Past Payments (2024).csv"
    file.write_bytes(table())
    return file


def orders_given(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return a list that fills with the orders that trainings are begun with."""
    orders: list[dict[str, Any]] = []

    def noting(folder: TrainingFolder, order: dict[str, Any], module: str) -> Workshop:
        orders.append(order)
        return Workshop(folder, order, module)

    monkeypatch.setattr(train, "Workshop", noting)
    return orders


@pytest.fixture
def run(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr(train, "WORKSHOP", FAKE)
    return lambda *words: app.test_cli_runner().invoke(args=["train", *map(str, words)])


def left(settings: Settings) -> list[str]:
    """What a training has left that isn't a detector."""
    return [path.name for path in settings.instance.glob("training*")]


def test_one_command_makes_a_detector_and_shows_why_each_column_is_what_it_is(
    run: Callable[..., Result], past: Path, settings: Settings
) -> None:
    result = run(past, "--label", "IS_FRAUD")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.output.splitlines() if line.split()}
    assert "time" in lines["paid_at"].split()
    assert "entity" in lines["card_id"].split()
    assert "label" in lines["is_fraud"].split()
    assert "10% Reading the file" in result.output
    assert "0.980" in result.output
    made = settings.instance / "detectors" / "past-payments-2024"
    assert str(made) in result.output
    assert (made / "card.json").exists()
    assert left(settings) == []


def test_roles_are_overruled_and_the_order_says_so(
    run: Callable[..., Result], past: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = orders_given(monkeypatch)
    words = [
        "--label",
        "is_fraud",
        "--time",
        "paid_at",
        "--amount",
        "amount",
        "--entity",
        "shop",
        "--entity",
        "card_id",
    ]
    more = [
        "--role",
        "amount=number",
        "--name",
        "mine",
        "--label-delay",
        "36h",
        "--keep-leaks",
        "--seed",
        "7",
    ]
    result = run(past, *words, *more)
    assert result.exit_code == 0, result.output
    [order] = orders
    assert {name: order[name] for name in ("name", "label", "label_delay", "keep_leaks", "seed")} == {
        "name": "mine", "label": "is_fraud", "label_delay": 36 * 3600.0, "keep_leaks": True, "seed": 7,
    }  # fmt: skip
    roles = {column["name"]: column["role"] for column in order["columns"]}
    assert roles == {
        "paid_at": "time",
        "card_id": "entity",
        "amount": "amount",
        "shop": "entity",
        "is_fraud": "label",
    }
    assert order["instance"] == str(settings.instance), "the rows are the past of files to come"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--label", "chargeback"), 1, "no column 'chargeback'"),
        (("--label", "is_fraud", "--time", "nowhere"), 1, "no column 'nowhere'"),
        (("--label", "is_fraud", "--name", "card"), 1, "already"),
        (("--label", "is_fraud", "--name", "Ü"), 1, "can't be a detector's name"),
        (("--label", "is_fraud", "--role", "shop=wizard"), 2, "COLUMN=ROLE"),
        (("--label", "is_fraud", "--label-delay", "soon"), 2, "7d"),
        ((), 2, "--label"),
    ],
)
def test_what_is_wrong_is_said_plainly_and_nothing_is_left(
    *,
    run: Callable[..., Result],
    past: Path,
    settings: Settings,
    words: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    result = run(past, *words)
    assert result.exit_code == status, result.output
    assert said in result.output
    assert "Traceback" not in result.output
    assert left(settings) == []
    assert not (settings.instance / "detectors").exists()


@pytest.mark.parametrize(
    ("word", "said"), [("refuse", "There are 3 frauds."), ("crash", "went wrong"), ("die", "memory")]
)
def test_a_training_that_fails_says_why_with_status_one(
    run: Callable[..., Result], tmp_path: Path, settings: Settings, word: str, said: str
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(table(HEADER.replace("shop", word)))
    result = run(file, "--label", "is_fraud")
    assert result.exit_code == 1
    assert said in result.output
    assert left(settings) == []


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"1,2\n3,4\n"])
def test_a_file_that_is_no_table_is_refused(
    run: Callable[..., Result], tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    result = run(file, "--label", "b")
    assert result.exit_code == 1
    assert "Traceback" not in result.output


PROGRAM = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are deaf to it
from screening.web.cli import train
train.WORKSHOP = {FAKE!r}
from app import create_app
create_app().cli.main(prog_name="flask")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on Unix: run `make test` on Linux")
def test_ctrl_c_leaves_nothing(tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(table(HEADER.replace("shop", "wait")))
    environ = {**os.environ, "INSTANCE_PATH": str(settings.instance), "USERS_FILE": str(settings.users_file)}
    words = [sys.executable, "-c", PROGRAM, "train", str(file), "--label", "is_fraud"]
    running = subprocess.Popen(words, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said: list[str] = []

    def begun() -> bool:
        pids = settings.instance.glob("training-*/trainings/*/scratch/pid")
        said[:] = filter(None, (each.read_text() for each in pids))
        return bool(said)

    wait_until(begun, "it never began")
    child = int(said[0])
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert b"Traceback" not in output
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert left(settings) == []
    assert not (settings.instance / "detectors").exists()


def test_the_audit_log_knows_who_made_it(run: Callable[..., Result], past: Path, settings: Settings) -> None:
    run(past, "--label", "is_fraud", "--name", "mine")
    lines = AuditLog(settings.instance).path.read_text().splitlines()
    last = json.loads(lines[-1])
    assert (last["event"], last["name"]) == ("training_done", "mine")
    assert "command line" in last["user"]


def counted(tmp_path: Path) -> Path:
    file = tmp_path / "counted.csv"
    rows = [f"{3 * number},c{number % 50},{10 + number % 13}.50,{KINDS[number % 9]}" for number in range(240)]
    file.write_text("\n".join(["step,card_id,amount,is_fraud", *rows, ""]))
    return file


KINDS = ("stolen", "0", "0", "0", "phished", "0", "0", "0", "0")


def test_what_the_time_counts_is_asked_and_then_reaches_the_order(
    run: Callable[..., Result], tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = orders_given(monkeypatch)
    file = counted(tmp_path)
    asked = run(file, "--label", "is_fraud")
    assert asked.exit_code == 1
    assert "--time-unit hours or --time-unit days" in asked.output
    assert left(settings) == []
    result = run(file, "--label", "is_fraud", "--time", "step", "--time-unit", "hours")
    assert result.exit_code == 0, result.output
    assert "hours since a start" in result.output
    assert "2 types of fraud: stolen (27), phished (27)" in result.output
    [order] = orders
    (time,) = [one for one in order["columns"] if one["role"] == "time"]
    assert (time["name"], time["kind"], time["since"]) == ("step", "number", "hours")
    assert order["fraud_values"] == ("stolen", "phished")
    assert order["answers"]["time_unit"] is None
    assert run(file, "--label", "is_fraud", "--time-unit", "weeks", "--name", "b").exit_code == 2
    refused = run(file, "--label", "is_fraud", "--time-unit", "ms", "--name", "b")
    assert "don't count ms since 1970" in refused.output


def test_what_was_found_in_the_rows_is_told_with_the_frauds_that_were_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {"words": "3 rows, 2 of them fraud, can't be read (amount is not a number).", "done": "left out"}
    types = [{"name": "stolen", "rows": 4, "recall": 0.75}, {"name": "phished", "rows": 0, "recall": None}]
    train._tell(
        {
            "cleaning": {
                "rows": 200,
                "rows_learned_from": 197,
                "frauds": 23,
                "frauds_learned_from": 21,
                "findings": [found],
            },
            "metrics": {
                "validation": {"name": "later rows", "fraud_types": types, "flagged": {"threshold": 0.8}}
            },
        },
        "made",
        ROOT / "model" / "detectors" / "payments",
    )
    said = capsys.readouterr().out
    assert "Learned from 197 of 200 rows, 21 of 23 frauds." in said
    assert "3 rows, 2 of them fraud, can't be read (amount is not a number). (left out)" in said
    assert "Recall of stolen: 75.0" in said
    assert "of 4 test rows at 0.8" in said
    assert "Recall of phished: none among the test rows" in said


def test_a_column_that_was_chosen_is_kept_though_it_gives_the_label_away(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "leak.csv"
    lines = table(HEADER + ",chargebacks").decode().splitlines()
    file.write_text("\n".join([lines[0], *(f"{line},{line[-1]}" for line in lines[1:]), ""]))
    orders = orders_given(monkeypatch)
    first = run(file, "--label", "is_fraud", "--name", "a")
    assert "Not learned from: chargebacks (alone tells fraud from the rest" in first.output
    second = run(file, "--label", "is_fraud", "--name", "b", "--role", "chargebacks=number")
    assert "Not learned from" not in second.output
    chosen = [[one["name"] for one in order["columns"] if one["chosen"]] for order in orders]
    assert chosen == [[], ["chargebacks"]]
