"""The list of detectors, their samples, and the removal of those that were trained here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from screening.infra.audit.log import AuditLog
from screening.settings import ROOT, Settings
from screening.web.services import Services
from tests.conftest import Person


def card_auc() -> str:
    """The shipped card detector's AUC on later windows, as pages say it."""
    windows = json.loads((ROOT / "model" / "card.json").read_text(encoding="utf-8"))["metrics"]["windows"]
    return f"{sum(one['auc'] for one in windows) / len(windows):.3f}"


@pytest.fixture
def own(settings: Settings, services: Services) -> Path:
    """A detector as a training leaves it, approved, with rows that it remembers."""
    folder = settings.instance / "detectors" / "mine"
    folder.mkdir(parents=True)
    for file in (ROOT / "model.h5", ROOT / "vectorizer.pkl", ROOT / "model" / "card.json"):
        shutil.copy(file, folder)
    for name in ("mine-0123456789abcdef", "mine-too-0123456789abcdef"):
        (settings.instance / "context" / name).mkdir(parents=True)
    services.detectors.approve("mine", "mia", confirmed=False)
    return folder


def test_the_list_shows_each_detector_with_its_figures_and_its_sample(
    login: Callable[[str], Person], own: Path
) -> None:
    text = login("ana").client.get("/detectors").get_data(as_text=True)
    assert "ships with the product" in text
    assert "trained here" in text
    assert card_auc() in text
    assert text.count("/detectors/card/sample.csv") == 1
    assert "Trainings" not in text, "who trains what is the administrators' business"


@pytest.mark.security(12)
def test_what_was_trained_here_is_no_visitors_business(
    nobody: Person, login: Callable[[str], Person], own: Path
) -> None:
    for page in ("/", "/status", "/readyz", "/detectors", "/detectors/card", "/detectors/payments"):
        answer = nobody.client.get(page)
        assert answer.status_code == 200
        assert "mine" not in answer.get_data(as_text=True), page
    for name in ("mine", "nobody"):
        answer = nobody.client.get(f"/detectors/{name}")
        assert (answer.status_code, answer.location) == (303, f"/login?next=/detectors/{name}")
    assert "/detectors/mine" in login("otto").client.get("/status").get_data(as_text=True)
    assert login("otto").client.get("/detectors/mine").status_code == 200


def test_a_detector_that_cant_be_loaded_is_listed_with_the_reason_and_stops_nothing(
    login: Callable[[str], Person], own: Path
) -> None:
    (own / "card.json").write_text("{}")
    text = login("ada").client.get("/detectors").get_data(as_text=True)
    assert "It can't be loaded" in text
    assert "Remove it" in text
    assert card_auc() in text


def test_every_shipped_sample_is_a_file_that_its_detector_takes(nobody: Person, app: object) -> None:
    answer = nobody.client.get("/detectors/card/sample.csv")
    assert answer.status_code == 200
    assert answer.get_data() == (ROOT / "transactions_data.csv").read_bytes()
    assert "card-sample.csv" in answer.headers["Content-Disposition"]


@pytest.mark.parametrize("name", ["mine", "nobody", "..", "%2e%2e%2fcard"])
def test_what_has_no_sample_is_not_found(nobody: Person, own: Path, name: str) -> None:
    assert nobody.client.get(f"/detectors/{name}/sample.csv").status_code == 404


def test_an_administrator_removes_a_detector_with_all_that_it_remembers(
    login: Callable[[str], Person], own: Path, settings: Settings
) -> None:
    ada = login("ada")
    assert "Remove mine" in ada.client.get("/detectors/mine").get_data(as_text=True)
    assert ada.post("/detectors/mine/delete", "/detectors/mine").status_code == 303
    assert not own.exists()
    assert ada.client.get("/detectors/mine").status_code == 404
    kept = sorted(path.name for path in (settings.instance / "context").iterdir())
    assert kept == ["mine-too-0123456789abcdef"], "another detector's rows stay"
    assert not list((settings.instance / "trainings").iterdir())
    log = AuditLog(settings.instance).path.read_text().splitlines()
    assert any(
        (one := json.loads(line))["event"] == "detector_deleted" and one["name"] == "mine" for line in log
    )


def test_what_ships_cant_be_removed_and_its_page_doesnt_offer_it(login: Callable[[str], Person]) -> None:
    ada = login("ada")
    assert "Remove" not in ada.client.get("/detectors/card").get_data(as_text=True)
    assert ada.post("/detectors/card/delete", "/upload").status_code == 409
    assert ada.post("/detectors/nobody/delete", "/upload").status_code == 404


@pytest.mark.security(12)
def test_nobody_else_removes_or_is_offered_it(login: Callable[[str], Person], own: Path) -> None:
    for name in ("ana", "mia", "otto"):
        person = login(name)
        assert "Remove" not in person.client.get("/detectors/mine").get_data(as_text=True)
        assert person.post("/detectors/mine/delete", "/account").status_code == 403
    assert own.exists()


def test_the_upload_page_offers_the_samples(login: Callable[[str], Person]) -> None:
    assert 'name="sample" value="card"' in login("ana").client.get("/upload").get_data(as_text=True)
