"""A detector in the shadow says what it would have said alone, nobody else is told, and its faults harm nothing."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from screening.settings import Settings
from screening.shadow.desk import ShadowDesk
from screening.uploads.results import Outcome
from screening.uploads.upload_folder import Folder
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.second_detector import second_detector
from tests.web.test_data_api import PAYMENTS
from tests.web.test_decisions_are_kept import post

Row = dict[str, Any]
SAME = 1e-6


def payments() -> list[Row]:
    """The sample of payments by time, as a program has it; few customers, so that rows tell of each other."""
    rows = sorted(csv.DictReader(io.StringIO(PAYMENTS.decode())), key=lambda row: row["TX_DATETIME"])
    return [
        {
            **row,
            "TX_AMOUNT": float(row["TX_AMOUNT"]),
            "CUSTOMER_ID": str(place % 5),
            "TX_FRAUD": int(row["TX_FRAUD"]),
        }
        for place, row in enumerate(rows)
    ]


def as_csv(rows: Sequence[Row]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def ask(person: Person, rows: Sequence[Row], detector: str | None = "payments") -> list[Row]:
    body = {"transactions": list(rows), **({} if detector is None else {"detector": detector})}
    answer = post(person, "/detect_fraud", body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: list[Row] = answer.get_json()["results"]
    return found


@pytest.fixture
def second(settings: Settings, services: Services) -> str:
    second_detector(settings.instance, "payments")
    return "second"


@pytest.fixture
def desk(services: Services) -> ShadowDesk:
    return ShadowDesk(services.detectors, services.ledger, services.history)


def wait_for(desk: ShadowDesk, run: Any, seconds: float = 60) -> Any:
    """Wait until a run has scored all that there is."""
    deadline = time.monotonic() + seconds
    while True:
        standing = desk.standing(run)
        if standing.waiting_rows == standing.waiting_files == 0 and standing.count.seeded:
            return standing
        assert time.monotonic() < deadline, standing
        time.sleep(0.05)


def said(desk: ShadowDesk, run: Any) -> dict[tuple[bytes, int], float]:
    """All probabilities of a run, by the key and number of their rows."""
    table = desk.store.table(run.id)
    keys, numbers, found = (table.column(name).to_pylist() for name in ("key", "number", "probability"))
    assert len(set(zip(keys, numbers, strict=True))) == len(numbers)
    return dict(zip(zip(keys, numbers, strict=True), found, strict=True))


def of_api(answers: Sequence[Row]) -> list[tuple[bytes, int]]:
    raw = [bytes.fromhex(each["id"].replace("-", "")) for each in answers]
    return [(each[:12], int.from_bytes(each[12:], "big")) for each in raw]


def traffic(
    person: Person, services: Services, detector: str, start: Callable[[], Any] = lambda: None
) -> tuple[list[Row], list[str]]:
    """Requests and files by turns, some rows late; returns the answers, and the screenings, since ``start``."""
    rows = payments()[:200]
    ask(person, rows[:10], detector)
    upload(person, services, as_csv(rows[10:40]), detector)
    start()
    found: list[Row] = []
    for size, at in ((1, 40), (1, 41), (1, 42), (7, 43), (1, 50)):
        found += ask(person, rows[at : at + size], detector)
    files = [upload(person, services, as_csv(rows[60:120]), detector)]
    found += ask(person, rows[120:121], detector)
    found += ask(person, rows[51:60], detector)  # late: they are compared with what was before them
    for at in range(121, 160):
        found += ask(person, rows[at : at + 1], detector)
    files.append(upload(person, services, as_csv(rows[170:200]), detector))
    found += ask(person, rows[160:170], detector)
    return found, files


def upload(person: Person, services: Services, content: bytes, detector: str) -> str:
    answer = person.upload(content, "rows.csv", detector=detector)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    screening: str = answer.headers["Location"].split("/")[2]
    deadline = time.monotonic() + 30
    while services.ledger.segments.of(screening) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return screening


def probabilities(services: Services, screening: str) -> np.ndarray:
    return np.array(Outcome(Folder(services.settings.instance, screening), 0.8).probability)


def test_it_says_what_it_would_have_said_alone(
    login: Callable[[str], Person], worker: Worker, services: Services, second: str, desk: ShadowDesk
) -> None:
    mia = login("mia")
    runs: list[Any] = []
    theirs, files = traffic(
        mia, services, "payments", lambda: runs.append(desk.start("payments", second, "mia"))
    )
    standing = wait_for(desk, runs[0])
    found = said(desk, runs[0])
    assert (standing.count.unreadable, standing.count.failed, standing.count.dropped) == (0, 0, 0)
    alone, files_alone = traffic(mia, services, second)
    assert {each["detector"] for each in alone} == {second}

    shadowed = [found[key] for key in of_api(theirs)]
    np.testing.assert_allclose(shadowed, [each["fraud_probability"] for each in alone], atol=SAME, rtol=0)
    own = [each["fraud_probability"] for each in theirs]
    assert np.abs(np.array(own) - shadowed).max() > 0.01, "the two differ, else this shows nothing"
    count = len(theirs)
    for mine, other in zip(files, files_alone, strict=True):
        expected = probabilities(services, other)
        key = bytes.fromhex(mine)[:12]
        np.testing.assert_allclose(
            [found[key, number] for number in range(1, len(expected) + 1)], expected, atol=SAME, rtol=0
        )
        count += len(expected)
    assert len(found) == count == standing.count.scored
