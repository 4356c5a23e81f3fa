"""Card numbers in files, JSON and trainings: tokens are offered for them, and not a digit of them stays anywhere."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flask import Flask
from sqlalchemy import update

from screening.cards.tokens import TOKEN, Tokens
from screening.infra.audit.log import AuditLog
from screening.infra.job_queue import now
from screening.settings import ROOT, Settings
from screening.training.trainer_process import Workshop
from screening.uploads.questions.card_tokens import tokens_of
from screening.uploads.screenings import CHECKED, DONE, FAILED, Screening
from screening.web.cli import train
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.screening.intake.test_intake_refusals import luhn
from tests.training_runner import TrainingRunner
from tests.web.test_trainings import Admin, form_of

CARDS = [luhn(f"4{at:014d}") for at in range(123_456, 123_476)]
PAYMENTS = "TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT"


@pytest.fixture
def tokens(settings: Settings) -> Tokens:
    return tokens_of(settings.instance)


@pytest.fixture
def admin(login: Callable[[str], Person], services: Services) -> Admin:
    return Admin(login("ada"), services)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def with_cards(sample: bytes, write: Callable[[str], str] = str, every: int = 1) -> bytes:
    """The sample with a column more, a card's number in each or in some of its rows."""
    header, *rows = sample.decode().splitlines()
    cells = [write(CARDS[at % len(CARDS)]) if at % every == 0 else "none" for at in range(len(rows))]
    out = io.StringIO()
    lines = [*csv.reader([header]), *csv.reader(rows)]
    csv.writer(out, lineterminator="\n").writerows(
        [*line, cell] for line, cell in zip(lines, ["paid_with", *cells], strict=True)
    )
    return out.getvalue().encode()


def payments(card: Callable[[int], str] = lambda at: CARDS[at % 5], month: int = 1) -> bytes:
    lines = [
        f"2026-{month:02d}-{1 + at % 20:02d} 10:{at:02d}:00,{card(at)},{at % 3},{10 + at}.5"
        for at in range(40)
    ]
    return "\n".join([PAYMENTS, *lines, ""]).encode()


def traces(*folders: Path) -> list[str]:
    """The files in which digits of a card's number stand, be they bare, in groups or in another encoding."""
    found = []
    for path in (each for folder in folders for each in folder.rglob("*") if each.is_file()):
        if "compiled" in path.parts:
            continue  # nets, of other tests too
        content = path.read_bytes()
        bare = re.sub(rb"[ \-.\x00\xc2\xa0]", b"", content)
        if any(card[:12].encode() in bare or card[4:15].encode() in bare for card in CARDS):
            found.append(path.name)
    return found


def cards_page(answer: Any) -> str:
    assert answer.status_code == 400, answer.get_data(as_text=True)
    link: str
    (link,) = set(re.findall(r'href="(/results/\w+/card-numbers)"', answer.get_data(as_text=True)))
    return link


def events(settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in AuditLog(settings.instance).path.read_text().splitlines()]


WRITINGS: dict[str, Callable[[str], str]] = {
    "bare": str,
    "points": lambda card: ".".join(card[at : at + 4] for at in range(0, 16, 4)),
    "no-break spaces": lambda card: "\u00a0".join(card[at : at + 4] for at in range(0, 16, 4)),
    "expiry": lambda card: f"{card}|12|27",
    "text": lambda card: f"card {card[:4]} {card[4:8]} {card[8:12]} {card[12:]}, exp soon",
    "float": lambda card: f"{card}.0",
    "exponent": lambda card: f"{card[0]}.{card[1:]}E+15",
}


@pytest.mark.security(25, 33, 54)
@pytest.mark.parametrize(
    ("writing", "every"), [("bare", 1), ("points", 2), ("no-break spaces", 1), ("text", 2), ("exponent", 1)]
)
def test_a_file_of_card_numbers_is_screened_with_tokens_after_one_click(
    *,
    analyst: Person,
    worker: Worker,
    services: Services,
    settings: Settings,
    sample: bytes,
    tokens: Tokens,
    logged: pytest.LogCaptureFixture,
    writing: str,
    every: int,
) -> None:
    sent = with_cards(sample, WRITINGS[writing], every)
    link = cards_page(analyst.upload(sent, may_map="1"))
    screening_id = link.split("/")[2]
    assert traces(settings.instance) == [], "the file that waits has tokens already"
    page = analyst.client.get(link).get_data(as_text=True)
    assert "Use tokens instead" in page
    assert "paid_with" in page
    went = analyst.client.post(link, data={"csrf_token": analyst.token(link)})
    assert went.headers["Location"] == f"/results/{screening_id}"
    screening = services.screenings.get(screening_id)
    assert screening is not None
    assert screening.state == DONE
    result = analyst.client.get(f"/results/{screening_id}").get_data(as_text=True)
    assert "paid_with were replaced by tokens" in result
    exported = analyst.client.get(f"/results/{screening_id}/scores.csv").get_data(as_text=True)
    rows = list(csv.DictReader(io.StringIO(exported)))
    assert len(rows) == screening.rows == sample.count(b"\n") - 1
    for at, row in enumerate(rows):
        card = CARDS[at % len(CARDS)]
        assert (tokens.token(card) in row["paid_with"]) if at % every == 0 else row["paid_with"] == "none"
    others = [{name: row[name] for name in ("Time", "V1", "Amount")} for row in rows]
    given = csv.DictReader(io.StringIO(sample.decode()))
    assert others == [{name: row[name] for name in ("Time", "V1", "Amount")} for row in given]
    for export in ("flagged.csv", "report.xlsx"):
        assert analyst.client.get(f"/results/{screening_id}/{export}").status_code == 200
    shown = page + result + exported + logged.text
    assert not any(card[:12] in re.sub(r"[ .\u00a0]", "", shown) for card in CARDS)
    assert traces(settings.instance) == []
    names = [line["event"] for line in events(settings)]
    assert names[-1] == "export"
    assert "card_numbers_replaced" in names
    assert "card_tokens_accepted" in names
    (replaced,) = [line for line in events(settings) if line["event"] == "card_numbers_replaced"]
    assert (replaced["columns"], replaced["agreed"]) == (["paid_with"], "to be asked")
    assert analyst.client.get(link).status_code == 409


@pytest.mark.security(54)
@pytest.mark.parametrize("ending", ["xlsx", "parquet"])
def test_a_workbook_and_a_parquet_file_leave_no_card_number_either(
    *,
    analyst: Person,
    worker: Worker,
    settings: Settings,
    sample: bytes,
    tmp_path: Path,
    ending: str,
) -> None:
    frame = pd.read_csv(io.BytesIO(with_cards(sample)), dtype={"paid_with": "int64"})
    path = tmp_path / f"cards.{ending}"
    if ending == "xlsx":
        frame.to_excel(path, index=False, engine="xlsxwriter")
    else:
        frame.to_parquet(path)
    link = cards_page(analyst.upload(path.read_bytes(), path.name, may_map="1"))
    folder = settings.instance / "screenings" / link.split("/")[2]
    assert {each.name for each in folder.iterdir()} == {"tokens.csv", "tokens.json", "whole"}
    went = analyst.client.post(link, data={"csrf_token": analyst.token(link)})
    exported = analyst.client.get(f"{went.headers['Location']}/scores.csv").get_data(as_text=True)
    tokens = [row["paid_with"] for row in csv.DictReader(io.StringIO(exported))]
    assert all(map(TOKEN.fullmatch, tokens))
    assert traces(settings.instance) == []


@pytest.mark.security(25, 54)
def test_a_program_is_refused_or_says_at_once_that_tokens_shall_stand_there(
    analyst: Person, worker: Worker, services: Services, settings: Settings, sample: bytes
) -> None:
    analyst.client.environ_base["HTTP_ACCEPT"] = "application/json"
    refused = analyst.upload(with_cards(sample))
    assert refused.status_code == 400
    said = refused.get_json()
    assert said["card_columns"] == ["paid_with"]
    assert "tokenize=1" in said["remedy"]
    assert services.screenings.ids() == set()
    assert not list((settings.instance / "screenings").iterdir())
    taken = analyst.upload(with_cards(sample), tokenize="1")
    assert taken.status_code == 201, taken.json
    assert traces(settings.instance) == []
    (line,) = [line for line in events(settings) if line.get("agreed") == "by the sender"]
    assert line["cells"] == sample.count(b"\n") - 1


def test_a_check_stays_a_check_and_other_questions_follow(
    analyst: Person, worker: Worker, services: Services, settings: Settings, sample: bytes
) -> None:
    link = cards_page(analyst.upload(with_cards(sample), may_map="1", check="1"))
    analyst.client.post(link, data={"csrf_token": analyst.token(link)})
    assert services.screenings.state(link.split("/")[2]) == CHECKED
    other = with_cards(sample.replace(b"Amount", b"Betrag", 1))
    link = cards_page(analyst.upload(other, may_map="1"))
    went = analyst.client.post(link, data={"csrf_token": analyst.token(link)})
    assert went.headers["Location"].endswith("/mapping")
    page = analyst.client.get(went.headers["Location"]).get_data(as_text=True)
    assert "card_" in page, "the examples are tokens"
    assert services.screenings.state(link.split("/")[2]) == FAILED
    assert traces(settings.instance) == []


@pytest.mark.security(54)
def test_discarding_leaves_nothing(
    analyst: Person, worker: Worker, services: Services, settings: Settings, sample: bytes
) -> None:
    link = cards_page(analyst.upload(with_cards(sample), may_map="1"))
    analyst.client.post(link.replace("card-numbers", "delete"), data={"csrf_token": analyst.token(link)})
    assert services.screenings.ids() == set()
    assert not list((settings.instance / "screenings").iterdir())


@pytest.mark.security(54)
def test_a_worker_that_is_killed_between_the_tokens_and_the_upload_leaves_no_number_to_the_next(
    analyst: Person, services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing follows on it."""

    def die(path: Path, target: Path) -> Path:
        found = replace(path, target)
        if path.name == "tokens.part":
            raise Killed
        return found

    replace = Path.replace
    monkeypatch.setattr("screening.web.pages.uploads.WAIT_SECONDS", 0.0)
    # in another form than the app's: a copy is made of it
    assert analyst.upload(payments().decode().encode("utf-16"), tokenize="1").status_code == 303
    (screening_id,) = services.screenings.ids()
    worker = Worker(settings, services.screenings, services.detectors)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(Killed):
            worker.work_once()
    assert traces(settings.instance / "screenings")
    with services.database.write() as session:
        session.execute(update(Screening).values(lease_until=now() - timedelta(seconds=1)))
    assert Worker(settings, services.screenings, services.detectors).work_once()
    assert services.screenings.state(screening_id) == DONE
    assert traces(settings.instance / "screenings") == []


@pytest.mark.security(13)
def test_nobody_elses_file_is_gone_on_with(
    analyst: Person, worker: Worker, app: Flask, sample: bytes
) -> None:
    link = cards_page(analyst.upload(with_cards(sample), may_map="1"))
    other = Person(app, "bert").sign_up().log_in()
    assert other.client.get(link).status_code == 404
    assert other.client.post(link, data={"csrf_token": other.token("/upload")}).status_code == 404


def test_one_number_that_may_be_chance_is_kept_and_told(
    analyst: Person, worker: Worker, sample: bytes
) -> None:
    header, *rows = sample.decode().splitlines()
    rows = [f"{row},{CARDS[0] if at == 6 else 'x'}" for at, row in enumerate(rows)]
    answer = analyst.upload("\n".join([f"{header},memo", *rows]).encode())
    assert answer.status_code == 303
    page = analyst.client.get(answer.headers["Location"]).get_data(as_text=True)
    assert "Column memo may hold a card number in row 7" in page


@pytest.fixture
def mine(services: Services, settings: Settings, tokens: Tokens) -> str:
    """A detector whose customers are tokens."""
    target = settings.instance / "detectors" / "mine"
    shutil.copytree(ROOT / "model" / "detectors" / "payments", target)
    card = json.loads((target / "card.json").read_text())
    (target / "card.json").write_text(json.dumps({**card, "tokens": {"CUSTOMER_ID": tokens.key_id}}))
    services.detectors.approve("mine", "mia", confirmed=False)
    return "mine"


@pytest.mark.security(54)
def test_a_detector_that_learned_from_tokens_takes_card_numbers_without_asking(
    analyst: Person, worker: Worker, services: Services, settings: Settings, mine: str, tokens: Tokens
) -> None:
    raw = analyst.upload(payments(), detector=mine)
    assert raw.status_code == 303, raw.get_data(as_text=True)
    already = analyst.upload(payments(lambda at: tokens.token(CARDS[at % 5]), month=2), detector=mine)
    assert already.status_code == 303

    def probabilities(answer: Any) -> list[str]:
        text = analyst.client.get(f"{answer.headers['Location']}/scores.csv").get_data(as_text=True)
        rows = list(csv.DictReader(io.StringIO(text)))
        assert {row["CUSTOMER_ID"] for row in rows} == {tokens.token(card) for card in CARDS[:5]}
        return [row["fraud_probability"] for row in rows]

    assert len(probabilities(raw)) == len(probabilities(already)) == 40
    page = analyst.client.get(already.headers["Location"]).get_data(as_text=True)
    assert "40 earlier rows were taken into account" in page
    assert traces(settings.instance) == []
    assert cards_page(analyst.upload(payments(), detector="payments", may_map="1")), (
        "this one learned from ids"
    )


@pytest.mark.security(54)
def test_with_another_key_no_card_is_taken_for_a_new_one(
    analyst: Person, worker: Worker, services: Services, settings: Settings, mine: str
) -> None:
    path = settings.instance / "detectors" / mine / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokens": {"CUSTOMER_ID": "00000000"}}))
    answer = analyst.upload(payments(), detector=mine)
    assert answer.status_code == 400
    assert "another key" in answer.get_data(as_text=True)
    answer = ask(analyst, {"transaction": {**ONE, "CUSTOMER_ID": CARDS[0]}, "detector": mine})
    assert answer.status_code == 400
    assert "another key" in answer.get_data(as_text=True)


ONE = {"TX_DATETIME": "2026-01-01 10:00:00", "CUSTOMER_ID": "c1", "TERMINAL_ID": "t1", "TX_AMOUNT": 12.5}


def ask(person: Person, body: dict[str, Any]) -> Any:
    headers = {"X-CSRFToken": person.token("/upload"), "Content-Type": "application/json"}
    return person.client.post("/detect_fraud", data=json.dumps(body), headers=headers)


@pytest.mark.security(33, 54)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pan", CARDS[0]),
        ("card_number", int(CARDS[0])),
        ("ccNum", float(CARDS[0])),
        ("Kartennummer", "4111.1111.1111.1111"),
        ("note", f"{CARDS[0]}|12|27"),
        ("note", "card 4111 1111 1111 1111 exp"),
        ("note", "4111\u00a01111\u00a01111\u00a01111"),
        ("more", {"pan": CARDS[0]}),
        ("more", [f"visa {CARDS[0]}"]),
    ],
)
def test_a_card_number_in_json_is_refused_and_its_field_named(
    analyst: Person, settings: Settings, logged: pytest.LogCaptureFixture, name: str, value: Any
) -> None:
    answer = ask(analyst, {"transaction": {**ONE, name: value}, "detector": "payments"})
    assert answer.status_code == 422, answer.json
    assert [(error["column"], error["row"]) for error in answer.json["errors"]] == [(name, 1)]
    assert "card number" in answer.json["errors"][0]["problem"]
    shown = answer.get_data(as_text=True) + logged.text
    assert CARDS[0][:12] not in shown
    assert "4111" not in shown
    assert traces(settings.instance) == []


@pytest.mark.security(54)
def test_many_transactions_are_judged_together(analyst: Person) -> None:
    many = [{**ONE, "device": CARDS[at % 20]} for at in range(40)]
    answer = ask(analyst, {"transactions": many, "detector": "payments"})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["column"] == "device"
    ids = [{**ONE, "device": str(4_000_000_000_000_000 + at), "sent": 1.7e12 + at} for at in range(300)]
    assert ask(analyst, {"transactions": ids, "detector": "payments"}).status_code == 200
    assert (
        ask(analyst, {"transaction": {**ONE, "device": CARDS[0]}, "detector": "payments"}).status_code == 200
    )


@pytest.mark.security(54)
@pytest.mark.parametrize("write", [str, int, WRITINGS["points"], WRITINGS["no-break spaces"]])
def test_json_for_a_detector_that_learned_from_tokens_gets_the_token_of_the_file(
    analyst: Person, worker: Worker, mine: str, tokens: Tokens, write: Callable[[str], Any]
) -> None:
    assert analyst.upload(payments(), detector=mine).status_code == 303
    late = {"TX_DATETIME": "2026-01-22 10:00:00", "TERMINAL_ID": "1", "TX_AMOUNT": 12.5}
    as_token = ask(
        analyst, {"transaction": {**late, "CUSTOMER_ID": tokens.token(CARDS[1])}, "detector": mine}
    )
    as_number = ask(analyst, {"transaction": {**late, "customer_id": write(CARDS[1])}, "detector": mine})
    unknown = ask(analyst, {"transaction": {**late, "CUSTOMER_ID": tokens.token(CARDS[9])}, "detector": mine})
    assert as_token.status_code == as_number.status_code == 200, as_number.json
    answers = [
        {**answer.json, "id": None} for answer in (as_token, as_number)
    ]  # each decision has an id of its own
    assert answers[0] == answers[1]
    assert unknown.json["fraud_probability"] != as_token.json["fraud_probability"], "its history counts"


def labelled(card: Callable[[int], str] = lambda at: CARDS[at % 20]) -> bytes:
    lines = [
        f"2024-03-{1 + at % 28:02d} {at % 24:02d}:15:00,{card(at)},{10 + at % 13}.50,{int(at % 9 == 0)}"
        for at in range(200)
    ]
    return "\n".join(["paid_at,pan,amount,is_fraud", *lines, ""]).encode()


@pytest.mark.security(25, 33, 54)
def test_a_training_on_card_numbers_is_offered_with_tokens(
    admin: Admin, settings: Settings, tokens: Tokens, logged: pytest.LogCaptureFixture
) -> None:
    made = admin.sent(content=labelled(WRITINGS_AT["points"]))
    folder = settings.instance / "trainings" / made
    assert {path.name for path in folder.iterdir()} == {"tokens.csv", "tokens.json"}
    assert traces(settings.instance) == []
    page = admin.person.client.get(f"/trainings/{made}/columns").get_data(as_text=True)
    assert "Learn from tokens in place of the card numbers" in page
    assert tokens.token(CARDS[0])[:20] in page
    refused = admin.start(made)
    assert refused.status_code == 400
    assert "learn from tokens" in refused.get_data(as_text=True)
    assert form_of(page)["csrf_token"]
    assert admin.start(made, tokens="1").status_code == 303
    row = admin.row(made)
    assert row.options["tokens"] == {"pan": tokens.key_id}
    assert {column["name"]: column["role"] for column in row.options["columns"]}["pan"] == "entity"
    trainer = TrainingRunner(settings, admin.services.trainings)
    trainer.work_once()
    assert admin.row(made).state == DONE
    assert traces(settings.instance) == []
    assert not any(card[:12] in logged.text + page for card in CARDS)
    lines = {line["event"]: line for line in events(settings)}
    assert lines["card_numbers_replaced"]["columns"] == ["pan"]
    assert lines["training_started"]["card_columns"] == ["pan"]


WRITINGS_AT = {name: lambda at, write=write: write(CARDS[at % 20]) for name, write in WRITINGS.items()}


@pytest.mark.security(54)
def test_the_command_line_screens_with_tokens(
    app: Flask, settings: Settings, tokens: Tokens, sample: bytes, tmp_path: Path, mine: str
) -> None:
    file, out = tmp_path / "a.csv", tmp_path / "scores.csv"
    file.write_bytes(with_cards(sample))
    runner = app.test_cli_runner()
    refused = runner.invoke(args=["screen", str(file)])
    assert refused.exit_code == 1
    assert "--tokenize paid_with" in refused.output
    done = runner.invoke(args=["screen", str(file), "--tokenize", "PAID_WITH", "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "replaced by tokens" in done.output
    assert tokens.token(CARDS[0]) in out.read_text()
    wrong = runner.invoke(args=["screen", str(file), "--tokenize", "nowhere"])
    assert wrong.exit_code == 1
    assert "no column 'nowhere'" in wrong.output
    other = runner.invoke(args=["screen", str(file), "--tokenize", "Time"])
    assert other.exit_code == 1
    assert "Column paid_with holds payment card numbers" in other.output
    file.write_bytes(payments())
    by_itself = runner.invoke(args=["screen", str(file), "--detector", mine])
    assert by_itself.exit_code == 0, by_itself.output
    assert not any(card[:12] in refused.output + done.output + by_itself.output for card in CARDS)
    assert traces(settings.instance) == []


@pytest.mark.security(54)
def test_the_command_line_trains_with_tokens(
    app: Flask, settings: Settings, tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "past.csv"
    file.write_bytes(labelled())
    orders: list[dict[str, Any]] = []
    contents: list[str] = []

    def workshop(folder: Any, order: dict[str, Any], _module: str) -> Any:
        orders.append(order)
        contents.append(Path(order["file"]).read_text())
        return Workshop(folder, order, "tests.fake_trainer")

    monkeypatch.setattr(train, "Workshop", workshop)
    runner = app.test_cli_runner()
    refused = runner.invoke(args=["train", str(file), "--label", "is_fraud"])
    assert refused.exit_code == 1
    assert "--tokenize pan" in refused.output
    done = runner.invoke(args=["train", str(file), "--label", "is_fraud", "--tokenize", "pan"])
    assert done.exit_code == 0, done.output
    (order,) = orders
    assert order["tokens"] == {"pan": tokens.key_id}
    assert contents[0].count(tokens.token(CARDS[3])) == 10
    assert not any(card[:12] in contents[0] + done.output for card in CARDS)
    assert traces(settings.instance) == []
    assert not list(settings.instance.glob("training*"))
