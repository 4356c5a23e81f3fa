"""What was trained here is on trial until a manager approves it, and scores nothing new once it is retired."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from screening.detectors.registry import Detectors
from screening.detectors.states import DetectorState, DetectorStates, trial_note
from screening.errors import BadFile, Conflict, NotFound
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.settings import ROOT, Settings
from screening.training.training_job import begin_trial
from screening.uploads.questions.column_mappings import Mapping
from screening.web.app_factory import create_app
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person

SHIPPED = ROOT / "model" / "detectors"
PAYMENTS = (SHIPPED / "payments" / "sample.csv").read_bytes()
GUESSING = (
    "No better than guessing, as far as its test shows: the AUC is 0.512 (95 % interval 0.452 to 0.567)"
)


def trained(instance: Path, like: str, name: str = "mine") -> Path:
    """A detector as a training leaves it; nothing was said of it."""
    folder = instance / "detectors" / name
    folder.parent.mkdir(exist_ok=True)
    shutil.copytree(SHIPPED / like, folder)
    return folder


@pytest.fixture
def mine(settings: Settings, services: Services) -> Path:
    """Trained by ada on files with the columns of payments; the shipped detector of these columns is retired."""
    folder = trained(settings.instance, "payments")
    begin_trial(services.states, folder, "ada")
    services.detectors.retire("payments", "mia")
    return folder


@pytest.fixture
def guessing(settings: Settings, services: Services) -> Path:
    """Trained by ada; its AUC's interval has 0.5 in it."""
    folder = trained(settings.instance, "ecommerce")
    begin_trial(services.states, folder, "ada")
    return folder


def audited(settings: Settings, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in AuditLog(settings.instance).path.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


# ---- the rules ---------------------------------------------------------------------------------------------------


@pytest.mark.security(60)
def test_without_a_word_what_was_trained_is_on_trial_and_what_ships_is_approved(
    settings: Settings, services: Services
) -> None:
    trained(settings.instance, "payments")
    standings = services.detectors.standings()
    assert {name: one.state for name, one in standings.items()} == {
        "card": DetectorState.APPROVED,
        "ecommerce": DetectorState.APPROVED,
        "mine": DetectorState.TRIAL,
        "payments": DetectorState.APPROVED,
    }
    assert standings["mine"].owner is None
    assert Detectors(settings).standing("mine").state is DetectorState.TRIAL, (
        "where states can't be read, too"
    )


@pytest.mark.security(60)
def test_a_detector_on_trial_is_never_chosen_by_itself(mine: Path, services: Services) -> None:
    header = PAYMENTS.split(b"\n", 1)[0].decode().strip().split(",")
    with pytest.raises(BadFile, match=r"missing"):
        services.detectors.choose(header)
    assert services.detectors.choose(header, "mine").name == "mine", "asked for by its name it scores"
    services.detectors.approve("mine", "mia", confirmed=False)
    assert services.detectors.choose(header).name == "mine"
    services.detectors.retire("mine", "mia")
    with pytest.raises(Conflict, match="mine is retired"):
        services.detectors.choose(header, "mine")


@pytest.mark.security(60)
def test_a_mapping_doesnt_choose_it_either(
    mine: Path, login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    renamed = PAYMENTS.replace(b"TX_AMOUNT", b"Betrag", 1)
    header = renamed.split(b"\n", 1)[0].decode().strip().split(",")
    names = services.detectors.get("mine").contract.columns
    said = Mapping("mine", {name: "Betrag" if name == "TX_AMOUNT" else name for name in names})
    services.mappings.remember(header, said, "ada")
    ada = login("ada")
    assert ada.upload(renamed).status_code == 400
    answer = ada.upload(renamed, detector="mine")
    assert answer.status_code == 303
    services.detectors.approve("mine", "mia", confirmed=False)
    assert ada.upload(renamed).status_code == 303


@pytest.mark.security(60)
def test_another_folder_of_the_same_name_brings_no_approval(mine: Path, services: Services) -> None:
    services.detectors.approve("mine", "mia", confirmed=False)
    shutil.rmtree(mine)
    shutil.copytree(SHIPPED / "ecommerce", mine)
    standing = services.detectors.standing("mine")
    assert (standing.state, standing.owner) == (DetectorState.TRIAL, None)


@pytest.mark.security(60)
def test_removed_and_trained_again_it_is_on_trial_again(
    mine: Path, login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    services.detectors.approve("mine", "mia", confirmed=False)
    assert login("ada").post("/detectors/mine/delete", "/upload").status_code == 303
    assert services.states.rows().keys() == {"payments"}
    trained(settings.instance, "payments")
    assert services.detectors.standing("mine").state is DetectorState.TRIAL


@pytest.mark.security(60)
def test_the_default_detector_cant_be_retired_and_a_shipped_one_can_and_comes_back(
    services: Services,
) -> None:
    with pytest.raises(Conflict, match="default one"):
        services.detectors.retire("card", "mia")
    services.detectors.retire("ecommerce", "mia")
    assert "ecommerce" not in {one.name for one in services.detectors.offered()}
    services.detectors.approve("ecommerce", "mia", confirmed=True)
    assert "ecommerce" in {one.name for one in services.detectors.offered()}
    with pytest.raises(NotFound):
        services.detectors.approve("nobody", "mia", confirmed=True)


# ---- who sees and asks it --------------------------------------------------------------------------------------------


@pytest.mark.security(60)
def test_only_its_owner_and_managers_know_of_it(
    mine: Path, login: Callable[[str], Person], nobody: Person, worker: Worker, app: Flask
) -> None:
    row = dict(zip(*(line.split(",") for line in PAYMENTS.decode().splitlines()[:2]), strict=True))
    body = json.dumps({"transaction": {**row, "TX_AMOUNT": float(row["TX_AMOUNT"])}, "detector": "mine"})
    for name, knows in (("ana", False), ("otto", False), ("mia", True), ("ada", True)):
        person = login(name)
        for page in ("/detectors", "/status", "/readyz"):
            assert ("mine" in person.client.get(page).get_data(as_text=True)) is knows, (name, page)
        answer = person.client.get("/detectors/mine")
        assert answer.status_code == (200 if knows else 404)
        if name == "otto":
            continue
        assert ('value="mine"' in person.client.get("/upload").get_data(as_text=True)) is knows
        assert person.upload(PAYMENTS, detector="mine").status_code == (303 if knows else 404)
        headers = {"X-CSRFToken": person.token("/upload"), "Content-Type": "application/json"}
        scored = person.client.post("/detect_fraud", data=body, headers=headers)
        assert scored.status_code == (200 if knows else 404)
        if knows:
            assert trial_note("mine") in scored.get_json()["notes"]
        else:
            assert "mine" not in str(scored.get_json()["remedy"])
    assert "mine" not in nobody.client.get("/").get_data(as_text=True)
    assert "mine" not in login("ada").client.get("/").get_data(as_text=True), "it isn't at work"


@pytest.mark.security(60)
def test_its_results_say_that_it_is_on_trial(
    mine: Path, login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ada = login("ada")
    location = ada.upload(PAYMENTS, detector="mine").headers["Location"]
    page = ada.client.get(location).get_data(as_text=True)
    assert trial_note("mine") in page
    assert "may not be worth trusting" in page
    import openpyxl

    report = openpyxl.load_workbook(io.BytesIO(ada.client.get(f"{location}/report.xlsx").get_data()))
    assert ("Detector state", "on trial, not approved") in list(report["Summary"].values)
    services.detectors.approve("mine", "mia", confirmed=False)
    later = ada.client.get(ada.upload(PAYMENTS).headers["Location"]).get_data(as_text=True)
    assert trial_note("mine") not in later
    assert trial_note("mine") in ada.client.get(location).get_data(as_text=True), (
        "the old result is as it was"
    )


@pytest.mark.security(60)
def test_what_a_retired_one_has_scored_stays_readable(
    mine: Path, login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    services.detectors.approve("mine", "mia", confirmed=False)
    ana = login("ana")
    location = ana.upload(PAYMENTS).headers["Location"]
    scores = ana.client.get(f"{location}/scores.csv").get_data()
    services.detectors.retire("mine", "mia")
    assert ana.client.get(location).status_code == 200
    assert ana.client.get(f"{location}/scores.csv").get_data() == scores
    assert "Retired" in ana.client.get("/detectors/mine").get_data(as_text=True)
    assert ana.upload(PAYMENTS).status_code == 400
    answer = ana.upload(PAYMENTS, detector="mine")
    assert answer.status_code == 409
    assert "is retired" in answer.get_data(as_text=True)


@pytest.mark.security(60)
def test_a_name_that_was_anothers_inherits_no_trial(mine: Path, services: Services) -> None:
    assert services.detectors.standing("mine").is_known_to("ADA", decides=False)
    services.states.detach_owner("Ada")
    assert not services.detectors.standing("mine").is_known_to("ada", decides=False)


# ---- approval ----------------------------------------------------------------------------------------------------


@pytest.mark.security(60)
def test_a_manager_approves_and_retires_on_the_detectors_page_and_it_is_audited(
    mine: Path, login: Callable[[str], Person], settings: Settings, services: Services
) -> None:
    mia = login("mia")
    page = mia.client.get("/detectors/mine").get_data(as_text=True)
    assert "On trial" in page
    assert "Trained by ada" in page
    assert mia.post("/detectors/mine/approve", "/detectors/mine").status_code == 303
    page = mia.client.get("/detectors/mine").get_data(as_text=True)
    assert "Approved by mia" in page
    assert mia.post("/detectors/mine/retire", "/detectors/mine").status_code == 303
    assert services.detectors.standing("mine").state is DetectorState.RETIRED
    (approved,) = audited(settings, "detector_approved")
    assert (approved["user"], approved["name"]) == ("mia", "mine")
    assert approved["fingerprint"] == services.detectors.get("mine").fingerprint
    assert audited(settings, "detector_retired")[-1]["user"] == "mia"


@pytest.mark.security(60)
def test_one_that_may_be_guessing_says_so_and_needs_its_name_typed(
    guessing: Path, login: Callable[[str], Person], settings: Settings, services: Services
) -> None:
    mia = login("mia")
    page = mia.client.get("/detectors/mine").get_data(as_text=True)
    assert GUESSING in page
    assert "notice-doubt" in page
    assert "Not shown to work on later rows" in page
    for typed in ({}, {"confirm": "mime"}, {"confirm": "yes"}):
        answer = mia.post("/detectors/mine/approve", "/detectors/mine", **typed)
        assert answer.status_code == 409
        assert GUESSING in answer.get_data(as_text=True)
    assert services.detectors.standing("mine").state is DetectorState.TRIAL
    assert audited(settings, "detector_approved") == []
    assert mia.post("/detectors/mine/approve", "/detectors/mine", confirm=" mine ").status_code == 303
    (line,) = audited(settings, "detector_approved")
    assert line["doubt"].startswith(GUESSING)
    assert line["confirmed"] is True


@pytest.mark.security(60)
def test_a_shipped_one_that_may_be_guessing_says_so_too(login: Callable[[str], Person]) -> None:
    assert GUESSING in login("ana").client.get("/detectors/ecommerce").get_data(as_text=True)
    listed = login("ana").client.get("/detectors").get_data(as_text=True)
    assert listed.count('class="doubted"') == 1
    assert GUESSING not in login("ana").client.get("/detectors/payments").get_data(as_text=True)


@pytest.mark.security(60)
def test_the_command_line_lists_shows_approves_and_retires(
    guessing: Path, app: Flask, settings: Settings, services: Services
) -> None:
    def run(*words: str) -> Any:
        return app.test_cli_runner().invoke(args=["detectors", *words])

    listed = run("list").output
    assert "mine\ttrial\t" in listed
    assert "card\tapproved\t" in listed
    assert GUESSING in listed
    shown = json.loads(run("show", "mine").output)
    assert (shown["state"], shown["owner"]) == ("trial", "ada")
    assert shown["doubt"].startswith(GUESSING)
    refused = run("approve", "mine")
    assert refused.exit_code == 1
    assert GUESSING in refused.output
    assert services.detectors.standing("mine").state is DetectorState.TRIAL
    assert run("approve", "mine", "--yes").output.endswith("mine: approved\n")
    assert run("retire", "mine").output == "mine: retired\n"
    assert run("retire", "card").exit_code == 1
    assert run("approve", "nobody").exit_code == 1
    (line,) = audited(settings, "detector_approved")
    assert line["user"].endswith("(command line)")


# ---- upgrades ----------------------------------------------------------------------------------------------------


@pytest.fixture
def earlier(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An instance of an earlier version, with a detector that was trained there."""
    (settings.instance / "screening.sqlite3").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("screening.infra.database.HEAD", "0008")
        old = Database(settings.database_url)
        old.create_tables()
    old.engine.dispose()
    trained(settings.instance, "payments")
    return settings


@pytest.mark.security(60)
def test_what_an_earlier_version_trained_becomes_approved_once_and_that_is_said(
    earlier: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        app = create_app(earlier)
        services: Services = app.extensions["screening"]
        assert services.detectors.standing("mine").state is DetectorState.APPROVED
        services.database.engine.dispose()
    assert caplog.text.count("Detector mine was in use before") == 1
    (line,) = audited(earlier, "detector_approved")
    assert (line["user"], line["name"]) == ("upgrade", "mine")
    trained(earlier.instance, "ecommerce", "newer")
    services = create_app(earlier).extensions["screening"]
    assert services.detectors.standing("newer").state is DetectorState.TRIAL
    services.database.engine.dispose()


@pytest.mark.security(60)
def test_a_new_database_approves_nothing(settings: Settings) -> None:
    """Beside detectors that are there: it may be the wrong one."""
    trained(settings.instance, "payments")
    services: Services = create_app(settings).extensions["screening"]
    assert services.detectors.standing("mine").state is DetectorState.TRIAL
    assert not DetectorStates(services.database).to_adopt()
    services.database.engine.dispose()
