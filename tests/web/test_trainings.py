"""From the form to the detector, with a child process that speaks as the workshop does."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from screening.infra.audit.log import AuditLog
from screening.settings import Settings
from screening.training.trainings import CHOOSING, DONE, FAILED, WAITING, Training, TrainingFolder
from screening.web.services import Services
from tests.conftest import Person
from tests.training_runner import TrainingRunner

HEADER = "paid_at,card_id,amount,shop,is_fraud"


def table(header: str = HEADER, rows: int = 200) -> bytes:
    lines = [
        f"2024-03-{1 + row % 28:02d} {row % 24:02d}:15:00,c{row % 50},{10 + row % 13}.50,shop {row % 3},"
        f"{int(row % 9 == 0)}"
        for row in range(rows)
    ]
    return "\n".join([header, *lines, ""]).encode()


class Admin:
    """An administrator at the pages of a training."""

    def __init__(self, person: Person, services: Services) -> None:
        self.person, self.services = person, services

    def send(self, content: bytes | None = None, **fields: str) -> Any:
        file = (io.BytesIO(table() if content is None else content), fields.pop("filename", "past.csv"))
        token = fields.pop("csrf_token", None) or self.person.token("/detectors/new")
        data = {"csrf_token": token, "label": "is_fraud", "name": "shops", **fields, "file": file}
        return self.person.client.post("/detectors/new", data=data, content_type="multipart/form-data")

    def sent(self, content: bytes | None = None, **fields: str) -> str:
        answer = self.send(content, **fields)
        assert answer.status_code == 303, answer.get_data(as_text=True)
        return str(answer.headers["Location"]).split("/")[2]

    def start(self, training_id: str, **changes: str | None) -> Any:
        page = self.person.client.get(f"/trainings/{training_id}/columns").get_data(as_text=True)
        fields = {**form_of(page), **changes}
        data = {name: value for name, value in fields.items() if value is not None}
        return self.person.client.post(f"/trainings/{training_id}/columns", data=data)

    def row(self, training_id: str) -> Training:
        return self.services.trainings.found(training_id)


def form_of(page: str) -> dict[str, str | None]:
    """What a browser would send of the page's first form in the main part."""
    form = page.split("<main", 1)[1].split("<form", 1)[1].split("</form>", 1)[0]
    found: dict[str, str | None] = {}
    for field in re.findall(r"<input[^>]*>", form):
        given = dict(re.findall(r'(\w+)="([^"]*)"', field))
        if given.get("type") != "checkbox" or " checked" in field:
            found[given["name"]] = given["value"]
    for name, options in re.findall(r'<select[^>]*name="([^"]+)".*?>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'value="([^"]+)" selected', options)
        assert chosen, f"{name} has no choice"
        found[name] = chosen[1]
    return found


@pytest.fixture
def admin(login: Callable[[str], Person], services: Services) -> Admin:
    return Admin(login("ada"), services)


@pytest.fixture
def trainer(settings: Settings, services: Services) -> TrainingRunner:
    return TrainingRunner(settings, services.trainings)


def test_a_labelled_file_becomes_a_detector(
    admin: Admin, trainer: TrainingRunner, settings: Settings, services: Services
) -> None:
    made = admin.sent()
    assert admin.row(made).state == CHOOSING
    page = admin.person.client.get(f"/trainings/{made}/columns").get_data(as_text=True)
    for said in ("paid_at", "shop 1", "2024-03-01", "What the columns are"):
        assert said in page
    answer = admin.start(made)
    assert answer.headers["Location"] == f"/trainings/{made}"
    waiting = admin.row(made)
    assert waiting.state == WAITING
    roles = {column["name"]: column["role"] for column in waiting.options["columns"]}
    assert roles["is_fraud"] == "label"
    assert roles["paid_at"] == "time"
    assert roles["amount"] == "amount"
    assert waiting.options["label_delay"] == 7 * 86_400
    assert "Waiting for its turn" in admin.person.client.get(f"/trainings/{made}").get_data(as_text=True)

    trainer.work_once()
    assert admin.row(made).state == DONE
    assert "shops" in services.detectors.names()
    assert "shops is ready" in admin.person.client.get(f"/trainings/{made}").get_data(as_text=True)
    assert admin.person.client.get("/detectors/shops").status_code == 200
    fragment = admin.person.client.get(f"/trainings/{made}/progress")
    assert fragment.headers["HX-Refresh"] == "true"


def test_the_roles_can_be_overruled_and_a_kind_that_was_left_follows_its_role(admin: Admin) -> None:
    made = admin.sent()
    names = [column["name"] for column in admin.row(made).options["columns"]]
    place = names.index("amount")
    shop = names.index("shop")
    answer = admin.start(
        made,
        **{
            f"role-{place}": "category",
            f"role-{shop}": "ignore",
            f"blank-{place}": "1",
            "label_delay": "1,5",
        },
    )
    assert answer.status_code == 303
    options = admin.row(made).options
    chosen = {column["name"]: column for column in options["columns"]}
    assert (chosen["amount"]["role"], chosen["amount"]["optional"]) == ("category", True)
    assert chosen["amount"]["reason"] == "chosen here"
    assert chosen["shop"]["role"] == "ignore"
    assert options["label_delay"] == 1.5 * 86_400


PARTS = "day,clock,card_id,gone,back,is_fraud"


def in_parts(rows: int = 200) -> bytes:
    """Payments with time and amount in columns whose names say nothing."""
    lines = [
        f"2024-03-{1 + row % 28:02d},{row % 24:02d}:15:00,c{row % 50},"
        + (f",{10 + row % 13}.50" if row % 5 == 0 else f"{10 + row % 13}.50,")
        + f",{int(row % 9 == 0)}"
        for row in range(rows)
    ]
    return "\n".join([PARTS.replace("day", "c1").replace("clock", "c2"), *lines, ""]).encode()


def test_columns_are_put_together_by_hand_and_what_follows_is_shown_first(
    admin: Admin, trainer: TrainingRunner
) -> None:
    made = admin.sent(in_parts())
    names = [column["name"] for column in admin.row(made).options["columns"]]
    place = {name: str(number) for number, name in enumerate(names)}
    parts = {"part-amount-debit": place["gone"], "part-amount-credit": place["back"]}
    answer = admin.start(made, **parts)
    page = html.unescape(answer.get_data(as_text=True))
    assert (answer.status_code, admin.row(made).state) == (200, CHOOSING)
    assert "Look at what follows, then train." in page
    assert "gone and back are read together as the amount. Positive is money that leaves" in page
    assert "one column called gone & back" in page
    assert "<dt><code>– | 10.50</code></dt><dd>-10.5</dd>" in page
    again = {"part-amount-debit": place["back"], "part-amount-credit": place["gone"]}
    assert "back and gone are read together" in admin.start(made, **again).get_data(as_text=True)
    none = dict.fromkeys(parts, "none")
    assert "No column is the amount" in html.unescape(admin.start(made, **none).get_data(as_text=True))
    admin.start(made, **parts)
    assert admin.start(made).status_code == 303
    columns = {column["name"]: column for column in admin.row(made).options["columns"]}
    assert columns["gone & back"]["made"] == {"debit": "gone", "credit": "back"}
    assert columns["gone & back"]["chosen"]
    assert {columns[name]["role"] for name in ("gone", "back")} == {"ignore"}
    trainer.work_once()
    assert admin.row(made).state == DONE


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"part-amount-debit": "gone"}, "debit make no value together"),
        ({"part-amount-debit": "gone", "part-amount-credit": "gone"}, "one column can't be two parts"),
        ({"part-time-year": "c1"}, "year make no value together"),
        ({"part-amount-debit": "99"}, "isn't that of this file"),
        ({"part-amount-debit": "-1"}, "isn't that of this file"),
        ({"shape": "x"}, "put together in another way meanwhile"),
        (
            {"part-amount-debit": "gone", "part-amount-credit": "back", "role": "card_id"},
            "card_id is the amount, and parts are chosen for it, too",
        ),
    ],
)
def test_parts_that_cant_be_meant_are_said_and_change_nothing(
    admin: Admin, parts: dict[str, str], words: str
) -> None:
    made = admin.sent(in_parts())
    before = admin.row(made).options
    names = [column["name"] for column in before["columns"]]
    sent = {
        name: str(names.index(value)) if value in names else value
        for name, value in parts.items()
        if name != "role"
    }
    if "role" in parts:
        sent[f"role-{names.index(parts['role'])}"] = "amount"
    answer = admin.start(made, **sent)
    assert answer.status_code == 400
    assert words in html.unescape(answer.get_data(as_text=True))
    assert admin.row(made).options == before


def test_the_value_that_means_fraud_is_named_with_the_file(admin: Admin, settings: Settings) -> None:
    from screening.training.training_job import order_of

    content = table().replace(b",1\n", b",Charged Off\n").replace(b",0\n", b",Fully Paid\n")
    refused = admin.send(content)
    assert refused.status_code == 400
    assert "Fully Paid (" in refused.get_data(as_text=True)
    sent = admin.send(content, fraud_value="charged off")
    assert sent.status_code == 303, sent.get_data(as_text=True)
    made = sent.headers["Location"].split("/")[2]
    admin.start(made)
    order = order_of(admin.row(made), TrainingFolder(settings.instance, made), settings.instance)
    assert order["fraud_values"] == ["charged off"]


def test_several_values_that_mean_fraud_are_types_and_told(admin: Admin) -> None:
    content = re.sub(rb",1\n", b",stolen\n", table()).replace(b",stolen\n", b",phished\n", 5)
    made = admin.sent(content)
    page = admin.person.client.get(f"/trainings/{made}/columns").get_data(as_text=True)
    assert "2 types of fraud: stolen (18), phished (5)" in page
    assert admin.row(made).options["fraud_values"] == ["stolen", "phished"]
    named = admin.sent(content.replace(b",0\n", b",A\n"), fraud_value="phished; stolen", name="named")
    assert admin.row(named).options["fraud_values"] == ["phished", "stolen"]


def test_the_page_asks_what_a_time_counts_and_keeps_the_answer(admin: Admin) -> None:
    lines = table().decode().splitlines()
    rows = [f"{3 * at},{line.split(',', 1)[1]}" for at, line in enumerate(lines[1:])]
    made = admin.sent("\n".join(["step" + lines[0].removeprefix("paid_at"), *rows, ""]).encode())
    page = admin.person.client.get(f"/trainings/{made}/columns").get_data(as_text=True)
    assert "Say what it counts first" in page
    asked = admin.start(made)
    assert asked.status_code == 400
    assert "its numbers can be hours or days" in asked.get_data(as_text=True)
    assert admin.start(made, time_unit="weeks").status_code == 400
    assert admin.start(made, time_unit="hours").status_code == 303
    options = admin.row(made).options
    assert options["time_unit"] == "hours"
    assert options["answers"]["time_unit"] is None
    (time,) = [column for column in options["columns"] if column["role"] == "time"]
    assert (time["name"], time["since"]) == ("step", "hours")


def test_a_leak_that_is_chosen_on_the_page_is_kept(admin: Admin) -> None:
    lines = table().decode().splitlines()
    rows = [f"{line},{line[-1]}" for line in lines[1:]]
    made = admin.sent("\n".join([lines[0] + ",chargebacks", *rows, ""]).encode())
    page = admin.person.client.get(f"/trainings/{made}/columns").get_data(as_text=True)
    assert "Not learned from: chargebacks (alone tells fraud from the rest" in page
    assert admin.start(made, **{"role-5": "number"}).status_code == 303
    columns = {column["name"]: column for column in admin.row(made).options["columns"]}
    assert (columns["chargebacks"]["role"], columns["chargebacks"]["chosen"]) == ("number", True)
    assert not columns["amount"]["chosen"]


def test_the_options_reach_the_workshop_as_its_order(
    admin: Admin, trainer: TrainingRunner, settings: Settings
) -> None:
    made = admin.sent()
    admin.start(made, keep_leaks="1", quick="1", dates="mdy", remember=None)
    from screening.training.training_job import order_of

    training = admin.row(made)
    order = order_of(training, TrainingFolder(settings.instance, made), settings.instance)
    assert (order["name"], order["label"], order["filename"]) == ("shops", "is_fraud", "past.csv")
    assert order["keep_leaks"] is True
    assert order["quick"] is True
    assert {name: value for name, value in order["answers"].items() if value} == {"dates": "mdy"}
    assert "instance" not in order, "what isn't to be remembered isn't"
    assert {"name", "role", "kind", "optional"} <= set(order["columns"][0])


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"label_delay": "soon"}, 400, "no number of days"),
        ({"name": "Big Name"}, 400, "can’t be|can&#39;t be"),
        ({"name": "card"}, 409, "There is a detector card already"),
        ({"name": "new"}, 400, "taken by a page"),
        ({"role-0": "nonsense"}, 400, "isn&#39;t that of this file"),
        ({"role-4": "ignore"}, 400, "No column says which rows were fraud"),
        ({"role-0": "amount", "role-2": "amount"}, 400, "all be the amount"),
    ],
)
def test_choices_that_dont_work_are_said_and_start_nothing(
    admin: Admin, changes: dict[str, str], status: int, said: str
) -> None:
    made = admin.sent()
    answer = admin.start(made, **changes)
    assert answer.status_code == status
    assert re.search(said, answer.get_data(as_text=True))
    assert admin.row(made).state == CHOOSING


def test_a_file_that_is_of_no_use_leaves_nothing_behind(admin: Admin, settings: Settings) -> None:
    for content, fields, status in (
        (b"", {}, 400),
        (b"\x89PNG\r\n\x1a\n" * 40, {}, 400),
        (table(), {"filename": "past.doc"}, 415),
        (table(), {"label": "chargeback"}, 400),
        (table(), {"label": ""}, 400),
        (table(), {"name": "Ü"}, 400),
        (table(), {"name": "card"}, 409),
        (b"a,a\n1,2\n", {"label": "a"}, 400),
    ):
        answer = admin.send(content, **fields)
        assert answer.status_code == status, (fields, answer.get_data(as_text=True))
        assert "Train a detector" in answer.get_data(as_text=True), "the form is shown again"
    assert list((settings.instance / "trainings").glob("*")) == []
    assert admin.services.trainings.recent() == []


def test_a_label_that_isnt_there_is_answered_with_the_names_that_are(admin: Admin) -> None:
    text = admin.send(label="chargeback").get_data(as_text=True)
    assert "no column &#39;chargeback&#39;" in text
    assert "card_id" in text
    assert "be screened" not in text


def test_a_name_that_is_being_made_is_refused(admin: Admin) -> None:
    admin.sent()
    assert admin.send().status_code == 409
    other = admin.sent(name="others")
    assert admin.start(other, name="shops").status_code == 409


@pytest.mark.security(11)
def test_a_file_without_the_sessions_token_isnt_kept(admin: Admin, app: Flask, settings: Settings) -> None:
    assert admin.send(csrf_token="made up").status_code == 400
    assert not (settings.instance / "trainings").exists()


@pytest.mark.security(26)
def test_a_file_over_the_limit_is_refused_before_it_is_read(
    app_with: Callable[..., Flask], nobody: Person
) -> None:
    app = app_with(max_upload=2**20)
    answer = app.test_client().post(
        "/detectors/new", data=b"x" * (2**20 + 2**17), content_type="multipart/form-data; boundary=b"
    )
    assert answer.status_code == 413


def test_a_program_gets_the_address_as_json(admin: Admin) -> None:
    data = {"csrf_token": admin.person.token("/detectors/new"), "label": "is_fraud", "name": "shops"}
    answer = admin.person.client.post(
        "/detectors/new",
        data={**data, "file": (io.BytesIO(table()), "past.csv")},
        headers={"Accept": "application/json"},
    )
    assert answer.status_code == 201
    assert answer.get_json()["location"].endswith("/columns")


def test_what_fails_says_why_and_can_be_tried_with_other_columns(
    admin: Admin, trainer: TrainingRunner
) -> None:
    made = admin.sent(content=table("paid_at,card_id,amount,refuse,is_fraud"))
    admin.start(made)
    trainer.work_once()
    assert admin.row(made).state == FAILED
    text = admin.person.client.get(f"/trainings/{made}").get_data(as_text=True)
    assert "There are 3 frauds." in text
    assert "Change the columns" in text
    assert admin.start(made, name="others").status_code == 303
    again = admin.row(made)
    assert (again.state, again.error, again.name) == (WAITING, None, "others")


def test_a_cancelled_training_is_gone_with_its_file(admin: Admin, settings: Settings) -> None:
    made = admin.sent()
    admin.start(made)
    assert admin.person.post(f"/trainings/{made}/cancel").status_code == 303
    assert not (settings.instance / "trainings" / made).exists()
    assert "Cancelled" in admin.person.client.get(f"/trainings/{made}").get_data(as_text=True)
    assert admin.person.client.get(f"/trainings/{made}/columns").status_code == 409
    assert admin.person.post(f"/trainings/{made}/delete").status_code == 303
    assert admin.person.client.get(f"/trainings/{made}").status_code == 404


def test_what_was_sent_stands_in_the_list_until_it_is_deleted(admin: Admin, settings: Settings) -> None:
    made = admin.sent()
    assert "columns to be chosen" in admin.person.client.get("/detectors").get_data(as_text=True)
    answer = admin.person.client.get(f"/trainings/{made}")
    assert answer.headers["Location"].endswith(f"/trainings/{made}/columns")
    admin.person.post(f"/trainings/{made}/delete")
    assert not (settings.instance / "trainings" / made).exists()


@pytest.mark.security(13)
def test_for_everybody_else_there_are_no_trainings(admin: Admin, login: Callable[[str], Person]) -> None:
    made = admin.sent()
    for name in ("ana", "mia", "otto"):
        person = login(name)
        text = person.client.get("/detectors").get_data(as_text=True)
        assert "past.csv" not in text
        assert "Train" not in text.split("<main", 1)[1]
        answers = {
            person.client.get(path).status_code
            for path in (f"/trainings/{made}", f"/trainings/{made}/columns", "/trainings/0123abcd")
        }
        assert answers == {403}, "also for one that doesn't exist"


@pytest.mark.security(33)
def test_each_act_is_in_the_audit_log(admin: Admin, trainer: TrainingRunner, settings: Settings) -> None:
    made = admin.sent()
    admin.start(made)
    trainer.work_once()
    other = admin.sent(name="others")
    admin.person.post(f"/trainings/{other}/cancel")
    admin.person.post(f"/trainings/{other}/delete")
    admin.send(label="none")
    lines = [json.loads(line) for line in AuditLog(settings.instance).path.read_text().splitlines()]
    about = [line for line in lines if line["event"].startswith("training")]
    assert [line["event"].removeprefix("training_") for line in about] == [
        "upload", "started", "done", "upload", "cancelled", "deleted", "refused",
    ]  # fmt: skip
    assert {line["user"] for line in about} == {"ada"}
    assert about[0]["sha256"] == about[2]["sha256"]


@pytest.mark.security(25)
def test_card_numbers_in_the_file_are_neither_shown_nor_kept_with_the_training(admin: Admin) -> None:
    number = "4111111111111111"
    content = table().replace(b"shop 1", number.encode())
    made = admin.sent(content=content)
    page = admin.person.client.get(f"/trainings/{made}/columns").get_data(as_text=True)
    assert number not in page
    assert number not in json.dumps(admin.row(made).options)


@pytest.mark.parametrize(
    "kept",
    [
        "{",
        "null",
        "false",
        "[]",
        "{}",
        '{"label": 1}',
        '{"label": "is_fraud", "columns": [1]}',
        '{"label": "is_fraud", "columns": [{"name": "x"}]}',
        '{"label": "is_fraud", "label_delay": "x"}',
        '{"label": "is_fraud", "tokens": [1]}',
        '{"label": "\\ud800"}',
    ],
)
def test_what_is_damaged_in_the_database_keeps_no_page_from_being_shown(admin: Admin, kept: str) -> None:
    made, other = admin.sent(), admin.sent(name="others")
    with admin.services.database.write() as session:
        session.execute(
            text("UPDATE trainings SET options = :kept WHERE id = :id"), {"kept": kept, "id": made}
        )
    client = admin.person.client
    assert client.get("/detectors").status_code == 200
    assert client.get(f"/trainings/{other}/columns").status_code == 200
    answer = client.get(f"/trainings/{made}/columns")
    assert answer.status_code == 409
    assert "is damaged" in answer.get_data(as_text=True)
    assert client.get(f"/trainings/{made}").status_code in (200, 303)
    token = admin.person.token("/detectors")
    assert client.post(f"/trainings/{made}/delete", data={"csrf_token": token}).status_code == 303
    assert admin.services.trainings.state(made) is None


def test_a_kind_of_file_that_is_damaged_is_told(admin: Admin) -> None:
    made = admin.sent()
    with admin.services.database.write() as session:
        session.execute(text("UPDATE trainings SET kind = 'nonsense' WHERE id = :id"), {"id": made})
    answer = admin.person.client.get(f"/trainings/{made}/columns")
    assert (answer.status_code, "is damaged" in answer.get_data(as_text=True)) == (409, True)
