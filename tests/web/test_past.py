"""The manager's page of what counts for everybody, and what upload and results say of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from screening.infra.audit.log import AuditLog
from screening.settings import ROOT, Settings
from screening.uploads.questions.column_mappings import Mapping, mark
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person

PAYMENTS = (ROOT / "model" / "detectors" / "payments" / "sample.csv").read_bytes().splitlines(keepends=True)
EARLIER, LATER = b"".join(PAYMENTS[:1501]), b"".join([PAYMENTS[0], *PAYMENTS[1501:1801]])


def audited(settings: Settings, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in AuditLog(settings.instance).path.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def sent(person: Person, content: bytes) -> str:
    answer = person.upload(content)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return str(answer.headers["Location"])


def scores(person: Person, location: str) -> bytes:
    found: bytes = person.client.get(f"{location}/scores.csv").get_data()
    return found


def taken(person: Person, location: str) -> int:
    """How many earlier rows were taken into account, as the result says."""
    page = person.client.get(location).get_data(as_text=True)
    found = re.search(r"([\d,]+) earlier rows were taken into account", page)
    return int(found[1].replace(",", "")) if found else 0


@pytest.mark.security(55)
def test_an_analysts_file_counts_for_another_once_a_manager_releases_it_with_one_click(
    login: Callable[[str], Person], worker: Worker, settings: Settings, services: Services
) -> None:
    ana, ada, mia = login("ana"), login("ada"), login("mia")
    location = sent(ana, EARLIER)
    screening_id = location.rsplit("/", 1)[1]
    alone = sent(ada, LATER)
    assert taken(ada, alone) == 0
    assert "your own later files; everybody&#39;s once a manager releases them" in ana.client.get(
        f"{location}?view=receipt"
    ).get_data(as_text=True)
    page = mia.client.get("/history").get_data(as_text=True)
    assert f'action="/history/{screening_id}"' in page
    assert "ana alone" in page
    assert mia.post(f"/history/{screening_id}", "/history", counts="all").status_code == 303
    (line,) = audited(settings, "history_released")
    assert (line["user"], line["owner"], line["screening"]) == ("mia", "ana", screening_id)
    assert line["rows"] == 1500
    assert "said by mia" in mia.client.get("/history").get_data(as_text=True)
    together = sent(ada, LATER)
    assert taken(ada, together) == 1500
    assert scores(ada, together) != scores(ada, alone)
    assert mia.post(f"/history/{screening_id}", "/history", counts="owner").status_code == 303
    assert len(audited(settings, "history_withdrawn")) == 1
    again = sent(ada, LATER)
    assert scores(ada, again) == scores(ada, alone), "the same past gives the same numbers"
    mine = sent(ana, LATER)
    assert taken(ana, mine) >= 1500, "one's own count"


@pytest.mark.security(55)
def test_a_managers_file_counts_for_all_at_once(login: Callable[[str], Person], worker: Worker) -> None:
    mia, ana = login("mia"), login("ana")
    location = sent(mia, EARLIER)
    assert "everybody&#39;s later files" in mia.client.get(f"{location}?view=receipt").get_data(as_text=True)
    assert taken(ana, sent(ana, LATER)) == 1500


@pytest.mark.security(55)
def test_single_transactions_follow_the_policy(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    rows = [line.decode().strip().split(",") for line in PAYMENTS]
    row = dict(zip(rows[0], rows[1600], strict=True))
    body = json.dumps({"transaction": {**row, "TX_AMOUNT": float(row["TX_AMOUNT"])}, "detector": "payments"})

    def asked(person: Person) -> Any:
        headers = {"X-CSRFToken": person.token("/upload"), "Content-Type": "application/json"}
        answer = person.client.post("/detect_fraud", data=body, headers=headers).get_json()
        return {name: value for name, value in answer.items() if name != "id"}

    ana, ada = login("ana"), login("ada")
    before = asked(ada)
    assert asked(ana) == before
    location = sent(ana, EARLIER)
    assert asked(ada) == before, "another one's rows move nothing"
    assert asked(ana) != before
    detector = services.detectors.get("payments")
    services.screenings.let_count(location.rsplit("/", 1)[1], [detector.fingerprint], "mia", for_all=True)
    assert asked(ada) == asked(ana)


@pytest.mark.security(55)
def test_what_nobody_remembers_cant_be_released(
    login: Callable[[str], Person], worker: Worker, sample: bytes
) -> None:
    location = sent(login("ana"), sample)
    mia = login("mia")
    assert location.rsplit("/", 1)[1] not in mia.client.get("/history").get_data(as_text=True)
    assert mia.post(f"/history/{location.rsplit('/', 1)[1]}", "/history", counts="all").status_code == 404
    assert mia.post(f"/history/{'0' * 32}", "/history", counts="all").status_code == 404
    assert mia.post(f"/history/{'0' * 32}", "/history").status_code == 400


@pytest.mark.security(55)
def test_a_manager_lets_a_mapping_hold_for_all_and_no_longer(
    login: Callable[[str], Person], settings: Settings, services: Services
) -> None:
    header = ["When", "How much"]
    services.mappings.remember(header, Mapping("card", {"Amount": "How much", "Time": "When"}), "ana")
    mia = login("mia")
    page = mia.client.get("/history").get_data(as_text=True)
    assert "How much as Amount" in page
    sent = {"header": mark(header), "owner": "ana", "counts": "all"}
    assert mia.post("/history/mappings", "/history", **sent).status_code == 303
    assert services.mappings.recall(header, "otto") is not None
    (line,) = audited(settings, "mapping_approved")
    assert (line["user"], line["owner"]) == ("mia", "ana")
    assert mia.post("/history/mappings", "/history", **{**sent, "counts": "owner"}).status_code == 303
    assert services.mappings.recall(header, "otto") is None
    assert services.mappings.recall(header, "ana") is not None
    assert mia.post("/history/mappings", "/history", **{**sent, "owner": "ben"}).status_code == 404
    assert mia.post("/history/mappings", "/history", **{**sent, "owner": ""}).status_code == 404


@pytest.mark.security(55)
def test_only_a_managers_mapping_can_hold_for_all_and_only_when_said(
    login: Callable[[str], Person], worker: Worker, sample: bytes, services: Services
) -> None:
    head, rows = sample.split(b"\n", 1)
    for name, kept in (("ana", False), ("mia", True)):
        renamed = head.replace(b"Amount", f"Betrag {name}".encode()) + b"\n" + rows
        header = renamed.split(b"\n", 1)[0].decode().split(",")
        person = login(name)
        page = person.upload(renamed, may_map="1").get_data(as_text=True)
        (link,) = set(re.findall(r'href="(/results/\w+/mapping)"', page))
        form = person.client.get(link).get_data(as_text=True)
        assert ('name="for_all"' in form) is kept
        columns = services.detectors.default.contract.columns
        chosen = {
            f"column-{place}": f"Betrag {name}" if column == "Amount" else column
            for place, column in enumerate(columns)
        }
        fields = {"csrf_token": person.token(link), "detector": "card", "for_all": "1", **chosen}
        assert person.client.post(link, data=fields).status_code == 303
        assert (services.mappings.recall(header, "ben") is not None) is kept
        assert services.mappings.recall(header, name) is not None


@pytest.mark.security(55)
@pytest.mark.parametrize(
    ("policy", "who", "words"),
    [
        ("managers", "ana", "rows and labels of this one count for your own later files"),
        ("managers", "mia", "count for everybody&#39;s later files, since you are a manager"),
        ("own", "mia", "Only your own earlier files count"),
        ("all", "ana", "Files that anybody screened before count"),
    ],
)
def test_the_upload_page_says_whose_files_count(
    policy: str, who: str, words: str, app_with: Callable[..., Flask], team: Any
) -> None:
    app = app_with(history_policy=policy)
    person = Person(app, who).log_in()
    assert words in person.client.get("/upload").get_data(as_text=True)
    if who == "mia":
        told = "HISTORY_POLICY" in person.client.get("/history").get_data(as_text=True)
        assert told is (policy != "managers")


def test_the_list_has_pages(login: Callable[[str], Person], services: Services) -> None:
    from sqlalchemy import update

    from screening.uploads.screenings import DONE, Screening, UploadRequest, new_id

    fingerprint = services.detectors.get("payments").fingerprint
    wish = UploadRequest(
        owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
    )
    for number in range(60):
        made = new_id()
        services.screenings.begin(made, replace(wish, filename=f"file {number}.csv"))
        services.screenings.received(made, 10, "00")
        with services.database.write() as session:
            done = {"state": DONE, "fingerprint": fingerprint, "rows": 1}
            session.execute(update(Screening).where(Screening.id == made).values(done))
    mia = login("mia")
    first, second = (mia.client.get(f"/history?page={page}").get_data(as_text=True) for page in (1, 2))
    assert "file 59.csv" in first
    assert "Page 1 of 2" in first
    assert "file 9.csv" in second
    assert "file 59.csv" not in second
    assert mia.client.get("/history?page=99").status_code == 200
    assert mia.client.get("/history?page=x").status_code == 200
