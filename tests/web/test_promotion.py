"""A detector that a manager promotes decides in another one's place from then on, in every process, and no longer when
that is taken back.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from screening.detectors.registry import Detectors
from screening.detectors.states import DetectorState, DetectorStates
from screening.errors import ColumnsMissing, Conflict
from screening.infra.database import Database
from screening.settings import ROOT, Settings
from screening.shadow.desk import ShadowDesk
from screening.uploads.questions.column_mappings import Mapping
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.second_detector import second_detector
from tests.served import Server
from tests.web.test_data_api import PAYMENTS
from tests.web.test_decisions_are_kept import post
from tests.web.test_detector_states import audited
from tests.web.test_shadow import as_csv, ask, payments, upload, wait_for

CARD = (ROOT / "transactions_data.csv").read_text("utf-8").splitlines()
HEADER = PAYMENTS.split(b"\n", 1)[0].decode().strip().split(",")


def card_row() -> dict[str, float]:
    return dict(zip(CARD[0].split(","), map(float, CARD[1].split(",")), strict=True))


@pytest.fixture
def like_card(settings: Settings, services: Services) -> str:
    """A detector of the card columns that isn't the default one."""
    folder = settings.instance / "detectors" / "newer"
    folder.mkdir(parents=True)
    for name in ("model.h5", "vectorizer.pkl", "model.compiled.tar.xz"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "model" / "card.json", folder / "card.json")
    services.detectors.approve("newer", "mia", confirmed=True)
    return "newer"


def promote(services: Services, first: str, name: str) -> Any:
    return services.detectors.promote(first, name, "mia", confirmed=True)


@pytest.mark.security(60)
def test_what_names_no_detector_gets_the_promoted_one_and_a_name_stays_a_name(
    login: Callable[[str], Person], services: Services, like_card: str
) -> None:
    ana = login("ana")

    def decided(**more: str) -> str:
        answer = post(ana, "/detect_fraud", {"transaction": card_row(), **more})
        assert answer.status_code == 200
        return str(answer.get_json()["detector"])

    assert decided() == "card"
    row = promote(services, "card", like_card)
    assert decided() == like_card
    assert decided(detector="card") == "card"
    told = ana.client.get("/openapi.json").get_json()["components"]["schemas"]
    usual = [name for name, each in told.items() if '"default": "newer"' in json.dumps(each)]
    assert usual == ["DecisionRequest.newer"]
    assert "was promoted in its place" in login("mia").client.get("/detectors/card").get_data(as_text=True)
    services.detectors.take_back(row.id, "mia")
    assert decided() == "card"


@pytest.mark.security(60)
def test_a_files_header_chooses_it_in_the_place_of_the_other(
    login: Callable[[str], Person], worker: Worker, settings: Settings, services: Services
) -> None:
    second_detector(settings.instance, "payments", "zzz")  # by the alphabet it would come last
    assert services.detectors.choose(HEADER).name == "payments"
    row = promote(services, "payments", "zzz")
    assert services.detectors.choose(HEADER).name == "zzz"
    assert services.detectors.choose(HEADER, "payments").name == "payments"
    assert [one.name for one in services.detectors.choosable()] == ["card", "ecommerce", "zzz"]
    renamed = PAYMENTS.replace(b"TX_AMOUNT", b"Betrag", 1)
    columns = {name: "Betrag" if name == "TX_AMOUNT" else name for name in HEADER if name != "TX_FRAUD"}
    columns = {name: columns[name] for name in services.detectors.get("payments").contract.columns}
    header = [name.replace("TX_AMOUNT", "Betrag") for name in HEADER]
    services.mappings.remember(header, Mapping("payments", columns), "ana")
    ana = login("ana")

    def screened(content: bytes) -> str | None:
        answer = ana.upload(content)
        assert answer.status_code == 303, answer.get_data(as_text=True)
        found = services.screenings.get(answer.headers["Location"].split("/")[2])
        assert found is not None
        return found.detector

    assert screened(PAYMENTS) == screened(renamed) == "zzz"
    services.detectors.take_back(row.id, "mia")
    assert screened(PAYMENTS) == screened(renamed) == "payments"


@pytest.mark.security(60)
def test_one_that_needs_more_columns_asks_for_them(services: Services) -> None:
    """A file that lacks them isn't scored by the one that was replaced, without a word."""
    promote(services, "payments", "ecommerce")
    with pytest.raises(ColumnsMissing, match="purchase_value"):
        services.detectors.choose(HEADER)


@pytest.mark.security(60)
def test_one_that_cant_be_used_any_more_leaves_the_place_and_that_is_told(
    login: Callable[[str], Person], settings: Settings, services: Services, like_card: str
) -> None:
    promote(services, "card", like_card)
    shutil.rmtree(settings.instance / "detectors" / like_card)
    answer = post(login("ana"), "/detect_fraud", {"transaction": card_row()}).get_json()
    assert answer["detector"] == "card"
    assert any("was promoted, can't be used" in note for note in answer["notes"])
    second_detector(settings.instance, "payments", like_card)  # another one of that name isn't approved
    assert post(login("ana"), "/detect_fraud", {"transaction": card_row()}).get_json()["detector"] == "card"


@pytest.mark.security(60)
def test_places_cant_go_in_circles_nor_be_taken_twice(
    login: Callable[[str], Person], settings: Settings, services: Services
) -> None:
    second_detector(settings.instance, "payments", "b")
    second_detector(settings.instance, "payments", "c", shift=0.1)
    promote(services, "payments", "b")
    with pytest.raises(Conflict, match="in the place of payments already"):
        promote(services, "payments", "c")
    with pytest.raises(Conflict, match="itself in the place"):
        promote(services, "b", "payments")
    with pytest.raises(Conflict, match="own place"):
        promote(services, "b", "b")
    promote(services, "b", "c")
    assert services.detectors.choose(HEADER).name == "c"
    with pytest.raises(Conflict, match="in the place of b"):
        services.detectors.retire("c", "mia")
    assert login("ada").post("/detectors/c/delete", "/upload").status_code == 409
    services.detectors.retire("payments", "mia")
    first = services.detectors.promotions.history()[-1]
    with pytest.raises(Conflict, match="payments isn't approved"):
        services.detectors.take_back(first.id, "mia")
    services.detectors.approve("payments", "mia", confirmed=True)
    services.detectors.take_back(first.id, "mia")
    with pytest.raises(Conflict, match="doesn't hold any more"):
        services.detectors.take_back(first.id, "mia")


@pytest.mark.security(60)
def test_a_manager_promotes_what_was_compared_and_takes_it_back(
    login: Callable[[str], Person], worker: Worker, settings: Settings, services: Services
) -> None:
    second_detector(settings.instance, "payments")
    mia = login("mia")
    answer = mia.post("/shadow", "/shadow", first="payments", shadow="second")
    assert answer.status_code == 303
    place = answer.headers["Location"]
    desk = ShadowDesk(services.detectors, services.ledger, services.screenings)
    run = services.detectors.shadows.running()["payments"]
    assert mia.post("/shadow", "/shadow", first="payments", shadow="second").status_code == 409
    upload(mia, services, as_csv(payments()), "payments")
    wait_for(desk, run)
    page = mia.client.get(place).get_data(as_text=True)
    assert "Promote it" in page
    assert "No comparison yet" not in page
    assert mia.post(f"{place}/promote", place).status_code == 409, "not confirmed"
    assert services.detectors.choose(HEADER).name == "payments"
    assert mia.post(f"{place}/promote", place, confirm="yes").status_code == 303
    assert services.detectors.choose(HEADER).name == "second"
    assert services.detectors.standing("second").state is DetectorState.APPROVED
    assert not services.detectors.shadows.get(run.id).runs
    listed = mia.client.get("/shadow").get_data(as_text=True)
    assert "Take back" in listed
    number = services.detectors.promotions.history()[0].id
    assert mia.post(f"/shadow/promotions/{number}/take-back", "/shadow").status_code == 303
    assert services.detectors.choose(HEADER).name == "payments"
    assert "taken back" in mia.client.get("/shadow").get_data(as_text=True)
    for event, about in (
        ("shadow_started", {"first": "payments", "shadow": "second", "run": run.id}),
        ("detector_promoted", {"replaced": "payments", "promoted": "second", "run": run.id}),
        ("promotion_taken_back", {"replaced": "payments", "promoted": "second"}),
    ):
        (line,) = audited(settings, event)
        assert line["user"] == "mia"
        assert about.items() <= line.items()
    assert ask(mia, payments()[:1])[0]["detector"] == "payments"


def test_the_commands_do_the_same(app: Any, settings: Settings, services: Services) -> None:
    second_detector(settings.instance, "payments")
    runner = app.test_cli_runner()

    def said(*words: str) -> str:
        done = runner.invoke(args=["detectors", *words])
        assert done.exit_code == 0, done.output
        return str(done.output)

    assert "in the shadow of payments\t0 scored" in said("shadow", "second", "--of", "payments")
    assert "stopped" in said("shadow", "second", "--stop")
    assert "second decides in the place of payments" in said("promote", "second", "--of", "payments", "--yes")
    assert services.detectors.choose(HEADER).name == "second"
    assert "payments decides" in said("promote", "second", "--back")
    assert services.detectors.choose(HEADER).name == "payments"
    assert [line["user"] for line in audited(settings, "detector_promoted")] == ["command line"] or audited(
        settings, "detector_promoted"
    )
    failed = runner.invoke(args=["detectors", "promote", "second", "--back"])
    assert failed.exit_code == 1
    assert "in nobody's place" in failed.output


@pytest.mark.security(60)
def test_both_web_processes_use_it_within_a_second(tmp_path: Path, compiled: Path) -> None:
    server = Server(tmp_path, compiled, WORKERS="2", JOB_WORKERS="1")
    try:
        server.log_in()  # the first account is the administrator
        instance = tmp_path / "instance"
        folder = instance / "detectors" / "newer"
        folder.mkdir(parents=True)
        for source in (ROOT / "model.h5", ROOT / "vectorizer.pkl", ROOT / "model.compiled.tar.xz"):
            shutil.copy(source, folder / source.name)
        shutil.copy(ROOT / "model" / "card.json", folder / "card.json")
        token = server.token("/account")

        def decided(count: int) -> set[str]:
            found = set()
            for _ in range(count):
                body = json.dumps({"transaction": card_row()})
                sent = {"Content-Type": "application/json", "X-CSRFToken": token}
                status, _, content = server.request("POST", "/detect_fraud", body, **sent)
                assert status == 200, content
                found.add(json.loads(content)["detector"])
            return found

        assert decided(30) == {"card"}
        database = Database(f"sqlite:///{instance / 'screening.sqlite3'}")
        here = Detectors(Settings(instance=instance), DetectorStates(database))
        row = here.promote("card", "newer", "ana", confirmed=True)
        time.sleep(1.0)
        assert decided(30) == {"newer"}
        here.take_back(row.id, "ana")
        time.sleep(1.0)
        assert decided(30) == {"card"}
        database.engine.dispose()
    finally:
        server.process.terminate()
        server.process.wait(30)
        server.log.close()
