from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from flask import Flask

from screening.settings import ROOT, Settings
from screening.web.app_factory import create_app
from screening.web.services import Services
from tests.conftest import Person
from tests.served import PASSWORD


@pytest.fixture
def copied(settings: Settings, tmp_path: Path) -> Settings:
    for name in ("model.h5", "vectorizer.pkl"):
        shutil.copy(ROOT / name, tmp_path / name)
    return dataclasses.replace(
        settings, model_file=tmp_path / "model.h5", vectorizer_file=tmp_path / "vectorizer.pkl"
    )


def test_a_good_installation_is_alive_and_ready(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/healthz").get_json() == {"status": "ok"}
    assert client.get("/readyz").get_json()["detectors"][0] == "card"


@pytest.mark.security(30)
@pytest.mark.parametrize("name", ["model.h5", "vectorizer.pkl"])
def test_an_artefact_that_is_lost_or_cut_while_serving_makes_the_server_not_ready(
    copied: Settings, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = create_app(copied).test_client()
    assert client.get("/readyz").status_code == 200

    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    cut = client.get("/readyz")
    (tmp_path / name).unlink()
    gone = client.get("/readyz")

    assert cut.status_code == gone.status_code == 503
    assert cut.mimetype == "application/problem+json"
    assert "was changed" in cut.get_json()["detail"]
    assert "is gone" in gone.get_json()["detail"]
    assert str(tmp_path / name) in caplog.text
    assert cut.get_json()["where"] == name
    assert str(tmp_path) not in cut.get_data(as_text=True) + gone.get_data(as_text=True)
    assert client.get("/healthz").status_code == 200


@pytest.mark.security(17, 30)
def test_a_missing_accounts_file_makes_the_server_not_ready(app: Flask, settings: Settings) -> None:
    settings.users_file.unlink()
    answer = app.test_client().get("/readyz")
    assert answer.status_code == 503
    assert "accounts" in answer.get_json()["detail"]


@pytest.mark.security(38)
def test_a_database_that_is_damaged_while_serving_makes_the_server_not_ready(
    app: Flask, settings: Settings, services: Services, analyst: Person
) -> None:
    services.database.engine.dispose()
    for path in settings.instance.glob("screening.sqlite3-*"):
        path.unlink()
    file = settings.instance / "screening.sqlite3"
    file.write_bytes(b"garbage" * 1000)
    person = Person(app, "ana")
    answers = [
        person.client.get("/readyz"),
        person.post("/login", username="ana", password=PASSWORD),
        person.post("/signup", "/signup", username="zoe", email="zoe@bank.example", password=PASSWORD),
        analyst.client.get("/results"),
    ]
    assert [answer.status_code for answer in answers] == [503] * 4
    assert not any(str(settings.instance) in answer.get_data(as_text=True) for answer in answers)
    assert services.users.get("zoe") is None
    assert person.client.get("/healthz").status_code == 200
    assert file.read_bytes() == b"garbage" * 1000
