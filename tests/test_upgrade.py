"""An upgrade is quiet: an instance that version 0.2 left opens in this version with everything there.

The instance was written by that version's server (``tests/fixtures/make_instance_0_2.py`` says how and what is in it),
and with it what that version answered. Two things are touched before a test: compiled nets are shared with other tests,
as a cache; and since the fixture gets older each day, the times of a session's log-in and last use are moved to some
minutes or hours ago where a test is about them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import sqlite3
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from screening.detectors.detector import load_detector
from screening.detectors.registry import cache_of, load_default
from screening.settings import ROOT, Settings
from screening.training.trainings import CANCELLED, WAITING
from screening.uploads.screenings import CHECKED, DONE, FAILED, OPEN_STATES
from screening.web.app_factory import create_app
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.served import Server
from tests.shared import share_compiled
from tests.waiting import wait_until
from tests.web.test_column_mapping import fields_of
from tests.web.test_trainings import form_of

ARCHIVE = Path(__file__).parent / "fixtures" / "instance-0.2.tar.gz"
ANA, ADA = "Ana.Maria", "ada"
DONE_KEYS = (
    "sample", "of-ada", "set-aside", "wide", "workbook", "packed", "payments", "mapped", "by-memory", "shops",
)  # fmt: skip
DATABASE = "screening.sqlite3"
NEW = ("instance_id", "instance_secret", "ledger.sqlite3", "reserve")
"""Files that 0.2 had not."""
NOT_KEPT = (DATABASE, "audit", "doorbell", "server.log", "server.lock", "users.txt.lock", *NEW)
Tables = dict[str, list[dict[str, Any]]]
"""The rows of each table; the first column is the key."""


@dataclass(frozen=True)
class Old:
    """The unpacked instance, and what 0.2 said of it."""

    folder: Path

    @property
    def instance(self) -> Path:
        return self.folder / "instance"

    @property
    def users(self) -> Path:
        return self.folder / "users.txt"

    @cached_property
    def said(self) -> dict[str, Any]:
        text = (self.folder / "answers" / "expected.json").read_text(encoding="utf-8")
        loaded: dict[str, Any] = json.loads(text)
        return loaded

    def answer(self, *names: str) -> bytes:
        return self.folder.joinpath("answers", *names).read_bytes()

    def id_of(self, key: str) -> str:
        return str(self.said["screenings"][key]["answer"]["id"])

    def settings(self) -> Settings:
        return Settings(
            instance=self.instance,
            users_file=self.users,
            database_url=f"sqlite:///{self.instance / DATABASE}",
        )

    def files(self) -> dict[str, str]:
        """What every file holds that is not the database's, the log's, the cache's, a signal or a start's counter."""
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
            and not path.name.startswith(NOT_KEPT)
            and not {"compiled", "signals", "ledger", "metrics"} & set(path.parts)
        }

    def wait_until_recorded(self) -> None:
        """Wait until the ledger has every screening; an upgraded instance had none."""
        deadline = time.monotonic() + 60
        while self.rows()["recordings"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def wait_until_reviewed(self) -> None:
        """Wait until the flagged rows of every segment are in cases."""
        deadline, quiet, before = time.monotonic() + 60, 0, None
        while quiet < 20:  # two seconds without anything new; segments may be put together meanwhile
            assert time.monotonic() < deadline
            time.sleep(0.1)
            now = {name: found for name, found in self.rows().items() if name.startswith("review_")}
            whole = bool(now["review_segments"]) and all(row["done"] for row in now["review_segments"])
            quiet, before = (quiet + 1 if whole and now == before else 0), now

    def rows(self) -> Tables:
        """Every table of the database, without the mark of their version."""
        connection = sqlite3.connect(self.instance / DATABASE)
        connection.row_factory = sqlite3.Row
        try:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            names = [row[0] for row in tables if row[0] != "alembic_version"]
            return {
                name: [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY 1")]
                for name in names
            }
        finally:
            connection.close()

    def audit(self) -> dict[str, bytes]:
        """The audit log, a file a month."""
        return {path.name: path.read_bytes() for path in (self.instance / "log").glob("audit*.jsonl")}

    def signed_cookies(self) -> dict[str, str]:
        """The cookie of the session that was open, as this version writes it; a log-in would leave traces."""
        app = Flask("cookies")
        app.secret_key = (self.instance / "secret_key").read_text("ascii").strip()
        signer = SecureCookieSessionInterface().get_signing_serializer(app)
        assert signer is not None
        return {name: str(signer.dumps({"_user_id": value})) for name, value in self.said["cookies"].items()}

    def age_sessions(self, *, begun: float, used: float) -> None:
        """Let the sessions have begun, and been used last, so many seconds ago."""
        times = time.time() - begun, time.time() - used
        with sqlite3.connect(self.instance / DATABASE) as connection:
            connection.execute("UPDATE sessions SET created = ?, last_seen = ?", times)
        connection.close()


class Opened:
    """The old instance in this version."""

    def __init__(self, old: Old) -> None:
        self.old = old
        self.app: Flask = create_app(old.settings())
        self.services: Services = self.app.extensions["screening"]

    def person(self, name: str) -> Person:
        return Person(self.app, name).log_in(self.old.said["passwords"][name])

    def wait(self, screening: str) -> str | None:
        wait_until(lambda: self.services.screenings.state(screening) not in OPEN_STATES)
        return self.services.screenings.state(screening)

    def close(self) -> None:
        self.services.database.engine.dispose()


@pytest.fixture(scope="module")
def unpack(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Callable[[], Old]:
    """Gives the instance as 0.2 left it, as often as it is wanted."""

    def unpacked() -> Old:
        folder = tmp_path_factory.mktemp("upgrade")
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(folder, filter="data")
        share_compiled(folder / "instance", compiled)
        return Old(folder)

    compile_nets(unpacked())
    return unpacked


def compile_nets(old: Old) -> None:
    """Compile the nets that are asked here beside each other: one after the other takes twice as long."""
    own, shipped = old.instance / "detectors", ROOT / "model" / "detectors"
    with ThreadPoolExecutor(3) as pool:
        made = [pool.submit(load_default, old.settings())]
        for folder in (own / "shops", shipped / "payments"):
            net, vectorizer, card = (folder / name for name in ("model.h5", "vectorizer.pkl", "card.json"))
            made.append(
                pool.submit(load_detector, folder.name, net, vectorizer, card, cache_of(old.instance))
            )
        for one in made:
            one.result()


@pytest.fixture(scope="module")
def read_only(unpack: Callable[[], Old]) -> Iterator[Opened]:
    """The instance, for tests that change nothing that another one looks at."""
    opened = Opened(unpack())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def people(read_only: Opened) -> dict[str, Person]:
    return {name: read_only.person(name) for name in (ADA, ANA)}


@pytest.fixture
def opened(unpack: Callable[[], Old]) -> Iterator[Opened]:
    """The instance, to be changed."""
    made = Opened(unpack())
    yield made
    made.close()


@pytest.fixture
def worked(opened: Opened) -> Iterator[Opened]:
    """The instance, with the worker beside it."""
    worker = Worker(opened.old.settings(), opened.services.screenings, opened.services.detectors)
    thread = threading.Thread(target=worker.loop)
    thread.start()
    yield opened
    worker.stop()
    thread.join(timeout=30)
    assert not thread.is_alive()


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def assert_same_probabilities(found: bytes, expected: bytes) -> None:
    """Of two files of scores. A row that was set aside has none."""
    one, other = (
        [float(row["fraud_probability"] or "nan") for row in table(content)] for content in (found, expected)
    )
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6, equal_nan=True)


def cells(workbook: bytes) -> dict[str, list[tuple[Any, ...]]]:
    book = openpyxl.load_workbook(io.BytesIO(workbook))
    return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book}


def undecided(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows of a sheet without the columns that 0.2 hadn't: those for decisions, and the row's key."""
    new = {place for place, name in enumerate(rows[0]) if name in ("Decision", "Fraud type", "Note", "Key")}
    assert all(row[place] is None for row in rows[1:] for place in sorted(new)[:-1])
    return [tuple(cell for place, cell in enumerate(row) if place not in new) for row in rows]


def without_segments(tables: Tables) -> Tables:
    """Tables without what goes by the clock: which segments were looked at (these are put together by and by), and
    what the watch notes once a server has run for some seconds.
    """
    timed = ("review_segments", "monitoring_findings", "decisions_by_hour")
    return {name: rows for name, rows in tables.items() if name not in timed}


def screening_of(answer: Any) -> str:
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return str(answer.headers["Location"]).split("/")[2]


def moved(before: Tables) -> Tables:
    """Tables of 0.2 as this version names them: a mapping had no owner, so it is everybody's."""
    mappings = [
        {"header": row["header"], "owner": "", "said_by": row["owner"], **rest}
        for row in before["mappings"]
        for rest in [{name: row[name] for name in ("detector", "columns", "created")}]
    ]
    tables = {name: rows for name, rows in before.items() if name != "mappings"}
    return {**tables, "column_mappings": mappings}


def differences(before: Tables, after: Tables) -> list[str]:
    """What the old rows held that is gone or something else now, as "table key column"."""
    found = []
    for name, rows in before.items():
        now = {next(iter(row.values())): row for row in after.get(name, [])}
        for row in rows:
            key = next(iter(row.values()))
            kept = now.get(key, {})
            found += [f"{name} {key} {column}" for column in row if kept.get(column, ...) != row[column]]
    return found


# ---- nothing is lost or changed ------------------------------------------------------------------------------


def test_a_start_loses_and_changes_nothing(unpack: Callable[[], Old]) -> None:
    old = unpack()
    before, files, audit = unpack().rows(), old.files(), old.audit()
    # one screening and one session appear in the write-ahead log only: the server was killed
    assert {name: len(rows) for name, rows in before.items()} == {
        "counters": 1, "handed_passwords": 1, "mappings": 1, "screenings": 13, "sessions": 3, "trainings": 3,
    }  # fmt: skip
    for _ in range(2):
        Opened(old).close()
        assert differences(moved(before), old.rows()) == []
        assert {row["counts_for_all"] for row in old.rows()["screenings"]} == {1}, "as they did"
        assert old.files() == files
        now = old.audit()
        assert {name: now[name][: len(lines)] for name, lines in audit.items()} == audit
        added = b"".join(data[len(audit.get(name, b"")) :] for name, data in now.items())
        said = [json.loads(line) for line in added.splitlines()]
        assert [(one["event"], one["name"]) for one in said] == [("detector_approved", "shops")], "and once"


@pytest.mark.parametrize("key", [*DONE_KEYS, "misnamed", "checked", "queued"])
def test_a_screening_answers_as_it_did_and_only_its_owner(
    key: str, read_only: Opened, people: dict[str, Person]
) -> None:
    said = read_only.old.said["screenings"][key]
    address = f"/results/{said['answer']['id']}.json"
    found = people[said["owner"]].client.get(address).get_json()
    assert {name: found.get(name) for name in said["answer"]} == said["answer"]
    assert people[ADA if said["owner"] == ANA else ANA].client.get(address).status_code == 404


@pytest.mark.parametrize("key", DONE_KEYS)
def test_the_pages_of_a_screening_show_what_was_found(
    key: str, read_only: Opened, people: dict[str, Person]
) -> None:
    old, said = read_only.old, read_only.old.said["screenings"][key]
    client, address = people[said["owner"]].client, f"/results/{old.id_of(key)}"
    page = unescape(client.get(address).get_data(as_text=True))
    for row in table(old.answer(key, "flagged.csv"))[:20]:
        for reason in row["reasons"].split("; "):
            assert reason in page
    assert (said["earlier"] or "") in page
    measured = client.get(f"{address}?view=performance").get_data(as_text=True)
    assert ("Hit rate (precision)" in measured) == (key in ("sample", "payments")), "only those have labels"
    for more in (
        "/rows?page=2&sort=amount&order=desc",
        "/rows?flagged=1",
        "/threshold?value=0.5",
        "/progress",
    ):
        answer = client.get(address + more)
        assert (answer.status_code, more) == (200, more)
    listed = client.get("/results").get_data(as_text=True)
    assert address in listed


RENAMED = {"Legitimate": "Not flagged", "Set aside (not scored)": "Unreadable (not scored)"}
"""What this version calls the same figures."""


@pytest.mark.parametrize("key", DONE_KEYS)
def test_the_exports_of_a_screening_are_those_of_0_2(
    key: str, read_only: Opened, people: dict[str, Person]
) -> None:
    old = read_only.old
    client = people[old.said["screenings"][key]["owner"]].client
    kept = sorted(path.name for path in (old.folder / "answers" / key).iterdir())
    assert kept == ["flagged.csv", *["rejected.csv"] * (key == "set-aside"), "report.xlsx", "scores.csv"]
    for name in kept:
        found = client.get(f"/results/{old.id_of(key)}/{name}").data
        expected = old.answer(key, name)
        if name.endswith(".xlsx"):
            now = cells(found)
            assert {**now, "Flagged rows": undecided(now["Flagged rows"])} == {
                sheet: [tuple(RENAMED.get(cell, cell) for cell in row) for row in rows]
                for sheet, rows in cells(expected).items()
            }
        else:
            assert found == expected, name


def test_the_check_says_what_it_said(read_only: Opened, people: dict[str, Person]) -> None:
    old, client = read_only.old, people[ANA].client
    address = f"/results/{old.id_of('checked')}"
    expected = old.said["screenings"]["checked"]["check"]
    found = client.get(f"{address}/check", headers={"Accept": "application/json"}).get_json()
    assert {name: found.get(name) for name in expected} == expected
    assert client.get(f"{address}/rejected.csv").data == old.answer("checked", "rejected.csv")
    assert "twelve" in client.get(address, follow_redirects=True).get_data(as_text=True)


def test_detectors_and_trainings_are_there(read_only: Opened, people: dict[str, Person]) -> None:
    client, trainings = people[ADA].client, read_only.old.said["trainings"]
    for name in ("card", "payments", "ecommerce", "shops"):
        assert client.get(f"/detectors/{name}").status_code == 200, name
    listed = client.get("/detectors").get_data(as_text=True)
    for name in ("shops", *trainings.values()):
        assert name in listed
    assert "shops is ready" in client.get(f"/trainings/{trainings['done']}").get_data(as_text=True)
    assert "frauds" in client.get(f"/trainings/{trainings['failed']}").get_data(as_text=True)
    for mendable in ("failed", "choosing"):
        columns = client.get(f"/trainings/{trainings[mendable]}/columns").get_data(as_text=True)
        assert "card_id" in columns


# ---- people ------------------------------------------------------------------------------------------------------


def test_old_passwords_open_and_a_disabled_account_stays_closed(opened: Opened) -> None:
    passwords, users = opened.old.said["passwords"], opened.old.users.read_bytes()
    Person(opened.app, ANA.lower()).log_in(passwords[ANA])
    refused = Person(opened.app, "dora").post("/login", username="dora", password=passwords["dora"])
    assert refused.status_code == 401
    assert opened.person(ADA).client.get("/admin/users").status_code == 200
    assert opened.person(ANA).client.get("/admin/users").status_code == 403
    assert opened.old.users.read_bytes() == users


def test_a_password_that_was_handed_over_must_still_be_changed(opened: Opened) -> None:
    tom, handed = opened.person("tom"), opened.old.said["passwords"]["tom"]
    sent_on = tom.client.get("/results")
    assert (sent_on.status_code, sent_on.headers["Location"].partition("?")[0]) == (303, "/account")
    fields = {"current_password": handed, "new_password": "my own words at last 5"}
    assert tom.post("/account", "/account", **fields).status_code == 303
    assert tom.client.get("/results").status_code == 200


def test_a_cookie_of_0_2_is_a_visitors_and_its_owner_logs_in_again(opened: Opened) -> None:
    opened.old.age_sessions(begun=60, used=60)
    client = opened.app.test_client()
    for name, value in opened.old.said["cookies"].items():
        client.set_cookie(name, value)
    answer = client.get("/account")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/login")
    assert opened.person(ANA).client.get("/account").status_code == 200


# ---- the work goes on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["payments", "shops"])
def test_the_next_file_is_judged_by_the_rows_that_0_2_remembered(key: str, worked: Opened) -> None:
    old, ana = worked.old, worked.person(ANA)
    found = screening_of(ana.upload(old.answer("next", f"{key}.csv")))
    page = ana.client.get(f"/results/{found}").get_data(as_text=True)
    assert old.said["next"][key]["earlier"] in page
    scores = ana.client.get(f"/results/{found}/scores.csv").data
    assert_same_probabilities(scores, old.answer("next", f"{key}-scores.csv"))


@pytest.mark.parametrize("key", ["card", "payments", "shops"])
def test_a_single_payment_gets_the_probability_that_it_got(
    key: str, read_only: Opened, people: dict[str, Person]
) -> None:
    said = read_only.old.said["single"][key]
    token = {"X-CSRFToken": people[ANA].token("/upload")}
    found = people[ANA].client.post("/detect_fraud", json=said["sent"], headers=token).get_json()
    near = pytest.approx(said["answer"]["fraud_probability"], rel=0, abs=1e-6)
    assert found["fraud_probability"] == near
    same = ("detector", "fraud", "threshold", "reasons")
    assert {name: found[name] for name in same} == {name: said["answer"][name] for name in same}


def test_a_file_that_was_checked_is_screened_as_0_2_would_have(worked: Opened) -> None:
    old, ana = worked.old, worked.person(ANA)
    checked = old.id_of("checked")
    page = f"/results/{checked}/check"
    assert worked.services.screenings.state(checked) == CHECKED
    assert ana.post(page, page).status_code == 400, "three rows can't be screened"
    assert ana.post(page, page, set_aside="1").status_code == 303
    assert worked.wait(checked) == DONE
    scores = ana.client.get(f"/results/{checked}/scores.csv").data
    assert_same_probabilities(scores, old.answer("set-aside", "scores.csv"))


def test_a_file_that_waits_for_a_mapping_gets_it(worked: Opened) -> None:
    old, ana = worked.old, worked.person(ANA)
    misnamed = old.id_of("misnamed")
    assert worked.services.screenings.state(misnamed) == FAILED
    page = f"/results/{misnamed}/mapping?detector=card"
    form = {
        **fields_of(ana.client.get(page).get_data(as_text=True)),
        "column-0": "Sekunden",
        "column-29": "Betrag",
    }
    answer = ana.post(f"/results/{misnamed}/mapping", page, detector="card", **form)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    assert worked.wait(misnamed) == DONE
    scores = ana.client.get(f"/results/{misnamed}/scores.csv").data
    head = b"\n".join(old.answer("sample", "scores.csv").splitlines()[:41])
    assert_same_probabilities(scores, head)


def test_what_was_said_of_a_header_still_holds_for_the_next_file(worked: Opened) -> None:
    ana = worked.person(ANA)
    capitals = worked.old.answer("next", "by-memory.csv").upper()  # case plays no part in names of columns
    found = screening_of(ana.upload(capitals))
    page = ana.client.get(f"/results/{found}").get_data(as_text=True)
    assert f"as was said by {ANA} on 20" in page
    assert "wieviel as TX_AMOUNT" in page


def test_an_old_screening_is_deleted_with_all_that_is_remembered_of_it(opened: Opened) -> None:
    instance, gone = opened.old.instance, opened.old.id_of("payments")
    assert opened.person(ANA).post(f"/results/{gone}/delete", "/upload").status_code == 303
    assert [path for path in instance.rglob("*") if gone in path.name] == []
    assert len(list(instance.glob("context/payments-*/*.npz"))) == 2, "the others stay"


def test_a_training_whose_columns_were_not_chosen_is_ordered_and_called_off(opened: Opened) -> None:
    ada, training = opened.person(ADA), opened.old.said["trainings"]["choosing"]
    page = f"/trainings/{training}/columns"
    form = form_of(ada.client.get(page).get_data(as_text=True))
    assert form["name"] == "later"
    sent = {name: value for name, value in form.items() if value is not None}
    assert ada.client.post(page, data=sent).status_code == 303
    assert opened.services.trainings.state(training) == WAITING
    assert ada.post(f"/trainings/{training}/cancel", "/detectors/new").status_code == 303
    assert opened.services.trainings.state(training) == CANCELLED
    assert not (opened.old.instance / "trainings" / training).exists()


# ---- the real server ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on Unix")
def test_the_server_starts_quietly_finishes_what_waited_and_then_changes_nothing(
    unpack: Callable[[], Old],
) -> None:
    old = unpack()
    before, files, audit = old.rows(), old.files(), old.audit()
    queued = old.id_of("queued")
    old.age_sessions(begun=60, used=60)
    upkeep = Leftover(old)
    server = Server(old.folder, old.instance / "compiled", WORKERS="1")
    try:
        server.cookies.update(old.signed_cookies())
        assert server.wait_for(queued)["state"] == "done"
        assert_same_probabilities(
            server.get(f"/results/{queued}/scores.csv")[2], old.answer("sample", "scores.csv")
        )
        upkeep.wait_until_cleared()
        old.wait_until_recorded()
        old.wait_until_reviewed()
        server.stop()
        first, first_files = old.rows(), old.files()
        worked_on = {place.rsplit(" ", 1)[0] for place in differences(moved(before), first)}
        assert worked_on <= {
            f"screenings {queued}",
            *(f"sessions {row['digest']}" for row in before["sessions"]),
        }
        assert files.items() <= first_files.items()
        assert {Path(name).parent.name for name in first_files.keys() - files.keys()} == {queued}
        now = old.audit()
        assert {name: now[name][: len(lines)] for name, lines in audit.items()} == audit

        upkeep = Leftover(old)
        server.cookies.clear()  # a request of a session may note that it was used
        server.start()
        upkeep.wait_until_cleared()
        old.wait_until_recorded()
        old.wait_until_reviewed()
        server.stop()
        assert without_segments(old.rows()) == without_segments(first), "and nothing came into a case twice"
        assert old.files() == first_files
        assert old.audit() == now
    finally:
        server.close()
    told = (old.folder / "server.log").read_text(encoding="utf-8").splitlines()
    usual = re.compile(r"Serving on http://|INFO: Created TensorFlow Lite|[\d-]{10} [\d:,]{12} INFO ")
    (line,) = [line for line in told if not usual.match(line) and Leftover.NAME not in line]
    assert line.endswith("counts as approved. If it shouldn't: flask --app app detectors retire shops")


class Leftover:
    """What a command that was killed left long ago: when it is gone, the worker has looked through the instance."""

    NAME = "screen-left"

    def __init__(self, old: Old) -> None:
        self.path = old.instance / self.NAME
        self.path.mkdir()
        week = time.time() - 7 * 86_400
        os.utime(self.path, (week, week))

    def wait_until_cleared(self) -> None:
        wait_until(lambda: not self.path.exists())
