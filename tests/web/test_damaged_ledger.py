"""A segment of the ledger that is damaged: what is asked about it is told so, and everything else goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from screening.ledger.inspection import Inspection
from screening.ledger.tables import Segment
from screening.review.opening import Opener
from screening.settings import Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.screening.worker.test_watch import going_on, watch
from tests.web.test_data_api import PAYMENTS, SHOP, asked, sent
from tests.web.test_explore import words

BEFORE, AFTER = {"from": "2025-01-01", "to": "2025-01-09"}, "?from=2025-03-01&to=2026-01-01"
"""Payments alone are before, orders alone after."""
PROBLEM = "application/problem+json"


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def flip(path: Path, place: int = -6) -> None:
    """Turn one bit over, where the length of the file's description stands unless it is said."""
    content = bytearray(path.read_bytes())
    content[place] ^= 0b0100_0000
    path.write_bytes(content)


def flip_silently(path: Path) -> None:
    """Turn over one bit that no reader stumbles upon."""
    flip(path, -200)


def gone(path: Path) -> None:
    path.unlink()


@pytest.fixture
def damaged(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> Callable[[Callable[[Path], None]], Path]:
    """Does something to the segment of ana's orders, which begin later; mia's payments are whole."""

    def damage(how: Callable[[Path], None]) -> Path:
        orders, _ = sent(login("ana"), services, SHOP), sent(login("mia"), services, PAYMENTS)
        segment = services.ledger.segments.of(orders)
        assert segment is not None
        path = services.ledger.segments.path(segment.name)
        how(path)
        return path

    return damage


@pytest.mark.parametrize("how", [cut, flip, gone])
def test_a_question_about_it_is_told_which_and_what_to_do_and_others_are_answered(
    damaged: Callable[[Callable[[Path], None]], Path],
    login: Callable[[str], Person],
    services: Services,
    how: Callable[[Path], None],
) -> None:
    path, mia = damaged(how), login("mia")
    for address in ("/summary", f"/fraud_trends{AFTER}", "/transactions?detector=ecommerce"):
        answer = mia.client.get(address)
        assert (answer.status_code, answer.mimetype) == (503, PROBLEM), address
        told: dict[str, Any] = answer.get_json()
        assert told["title"] == "A part of the ledger is damaged"
        assert path.stem in told["detail"]
        assert "flask --app app ledger verify" in told["remedy"]
    whole = services.ledger.segments.all()
    (other,) = [each for each in whole if each.name != path.stem]
    assert asked(mia, "/summary", detector="payments")["total_transactions"] == other.rows
    assert asked(mia, "/summary", **BEFORE)["total_transactions"] > 0

    page = mia.client.get("/explore/transactions?detector=ecommerce")
    assert page.status_code == 503
    assert path.stem in words(page.text)
    for address in ("/", "/dashboard/", "/review", "/monitoring"):
        page = mia.client.get(address)
        assert page.status_code == 200, address
    assert path.stem in words(mia.client.get("/").text)
    assert mia.client.get("/explore/transactions?detector=payments").status_code == 200


@pytest.mark.parametrize("how", [cut, flip, flip_silently, gone])
def test_it_is_an_alert_until_it_is_restored_and_the_command_line_names_it(
    damaged: Callable[[Callable[[Path], None]], Path],
    app: Flask,
    settings: Settings,
    services: Services,
    login: Callable[[str], Person],
    how: Callable[[Path], None],
) -> None:
    content: list[bytes] = []

    def keeping(path: Path) -> None:
        content.append(path.read_bytes())
        how(path)

    path = damaged(keeping)
    made = watch(settings, services)
    assert ("ledger", "segments") in going_on(made)
    (text,) = [alert.text for alert in made.alerts.going_on() if alert.rule == "ledger"]
    assert path.stem in text
    assert path.stem in words(login("mia").client.get("/monitoring").text)
    checked = app.test_cli_runner().invoke(args=["ledger", "verify"])
    assert checked.exit_code == 1
    assert path.stem in checked.stderr
    path.write_bytes(content[0])
    assert list(made._ledger.inspection.step(24.0)) == []
    assert app.test_cli_runner().invoke(args=["ledger", "verify"]).exit_code == 0


def test_cases_of_whole_segments_are_opened_beside_a_damaged_one_which_is_tried_again(
    damaged: Callable[[Callable[[Path], None]], Path],
    services: Services,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    worker: Worker,
) -> None:
    path = damaged(cut)
    worker.stop()
    looked: list[str] = []
    opener = Opener(services.database, services.ledger, 36_500, lambda: ())
    look = opener._look

    def noting(segment: Segment, done: int, oldest: datetime) -> None:
        looked.append(segment.name)
        look(segment, done, oldest)

    monkeypatch.setattr(opener, "_look", noting)
    with services.database.write() as session:
        session.connection().exec_driver_sql("DELETE FROM review_segments")
    while opener.step():
        pass
    assert sorted(looked) == sorted(each.name for each in services.ledger.segments.all())
    assert path.stem in looked


def test_each_file_is_read_within_the_hours_and_those_that_were_never_read_come_first(
    damaged: Callable[[Callable[[Path], None]], Path], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged(lambda _path: None)
    segments, time, read = services.ledger.segments, [0.0], []
    fault = segments.fault

    def noting(segment: Segment) -> object:
        read.append(segment.name)
        return fault(segment)

    monkeypatch.setattr(segments, "fault", noting)
    monkeypatch.setattr("screening.ledger.inspection.LEAST_BYTES", 1)
    inspection = Inspection(segments, lambda: time[0])
    for _ in range(2):
        assert list(inspection.step(24.0)) == []
    assert sorted(read) == sorted(each.name for each in segments.all())
    time[0] = 23.9 * 3600
    inspection.step(24.0)
    assert len(read) == 2
    for _ in range(2):
        time[0] += 0.2 * 3600
        inspection.step(24.0)
    assert read[2:] == read[:2], "again in the same order, as much at a time as the time that passed asks for"
