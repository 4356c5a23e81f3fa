"""A detector in the shadow says what it would have said alone, nobody else is told, and its faults harm nothing."""

from __future__ import annotations

import csv
import io
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from flask import Flask

from screening.ledger import sealing
from screening.ledger.tables import ShadowScores, ShadowWaiting
from screening.scoring.score import own_probabilities
from screening.settings import Settings
from screening.shadow.comparison import ShareInterval, compare
from screening.shadow.desk import ShadowDesk
from screening.shadow.step import ShadowStep
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.second_detector import second_detector
from tests.waiting import wait_until
from tests.web.test_data_api import PAYMENTS, asked
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
    second_detector(settings.instance, "payments", "quietnet")
    return "quietnet"


@pytest.fixture
def desk(services: Services) -> ShadowDesk:
    return ShadowDesk(services.detectors, services.ledger, services.screenings)


def wait_for(desk: ShadowDesk, run: Any, seconds: float = 60) -> Any:
    """Wait until a run has scored all that there is."""
    deadline = time.monotonic() + seconds
    while True:
        standing = desk.standing(run)
        counted = standing.count
        if standing.waiting_rows == standing.waiting_files == 0 and counted is not None and counted.seeded:
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
    wait_until(lambda: services.ledger.segments.of(screening) is not None)
    return screening


def probabilities(services: Services, screening: str) -> np.ndarray:
    return np.array(ScreeningOutcome(UploadFolder(services.settings.instance, screening), 0.8).probability)


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


def test_requests_that_waited_are_scored_as_if_each_had_been_scored_at_once(
    login: Callable[[str], Person], services: Services, settings: Settings, second: str, desk: ShadowDesk
) -> None:
    """Sealed before they were scored, late rows among them, of two owners, with later labels."""
    mia, ana = login("mia"), login("ana")
    services.detectors.approve(second, "mia", confirmed=True)
    services.detectors.approve("payments", "mia", confirmed=True)
    run = desk.start("payments", second, "mia")
    rows = payments()[:120]
    order = [*range(40), 60, 61, *range(40, 60), *range(62, 120)]

    def send(detector: str) -> list[Row]:
        found: list[Row] = []
        for place in order:
            found += ask(ana if place % 7 == 3 else mia, [rows[place]], detector)
        return found

    theirs = send("payments")
    assert services.ledger.sealing.seal() == len(rows)
    assert desk.store.waiting() == len(rows)
    theirs += ask(mia, rows[:1])
    step = ShadowStep(settings, services.detectors, services.screenings, services.ledger)
    while step.step():
        pass
    found = said(desk, run)
    alone = send(second) + ask(mia, rows[:1], second)
    np.testing.assert_allclose(
        [found[key] for key in of_api(theirs)],
        [each["fraud_probability"] for each in alone],
        atol=SAME,
        rtol=0,
    )
    with services.ledger.tables.read() as session:
        assert session.query(ShadowWaiting).count() == 0
        parts = session.query(ShadowScores).count()
    assert parts < len(rows), "small parts are put together"


def test_nobody_is_told_and_nothing_is_decided_by_it(
    login: Callable[[str], Person],
    app: Flask,
    worker: Worker,
    services: Services,
    second: str,
    desk: ShadowDesk,
) -> None:
    mia, otto = login("mia"), login("otto")
    rows = payments()[:60]
    before = ask(mia, rows[:20])
    run = desk.start("payments", second, "mia")
    answers = ask(mia, rows[20:40])
    file = upload(mia, services, as_csv(rows[40:]), "payments")
    wait_for(desk, run)
    assert len(said(desk, run)) == 40
    assert {name for each in answers for name in each} <= {name for each in before for name in each} | {
        "notes"
    }
    assert second not in str(answers)
    for person in (mia, otto):
        texts = [
            person.client.get(url).get_data(as_text=True)
            for url in (
                "/transactions?limit=1000",
                f"/transactions/{answers[0]['id']}",
                "/summary",
                "/fraud_trends?interval=hour",
                f"/results/{file}",
                f"/results/{file}.json",
                f"/results/{file}/scores.csv",
            )
        ]
        assert [text[max(text.find(second) - 80, 0) :][:200] for text in texts if second in text] == []
    counted = mia.client.get("/metrics").get_data(as_text=True).splitlines()
    assert all(line.endswith(" 0.0") for line in counted if second in line)
    assert asked(mia, "/summary")["total_transactions"] == 60
    assert asked(mia, "/summary", detector=second)["total_transactions"] == 0
    own = services.ledger.velocity.subject(services.detectors.get(second))
    assert own is not None
    assert services.ledger.velocity.standing(own).rows == 0, "its own past doesn't know of it"
    first = services.ledger.velocity.subject(services.detectors.get("payments"))
    assert first is not None
    assert services.ledger.velocity.standing(first).rows == 40
    assert second not in mia.client.get(f"/transactions/{answers[0]['id']}").get_data(as_text=True)


def test_deleting_a_screening_takes_what_was_said_of_it_along(
    login: Callable[[str], Person], worker: Worker, services: Services, second: str, desk: ShadowDesk
) -> None:
    mia = login("mia")
    run = desk.start("payments", second, "mia")
    file = upload(mia, services, as_csv(payments()[:50]), "payments")
    wait_for(desk, run)
    assert len(said(desk, run)) == 50
    assert list((services.settings.instance / "context").glob(f"{second}-*~{run.id}/{file}.npz"))
    assert mia.post(f"/results/{file}/delete", "/upload").status_code == 303
    assert said(desk, run) == {}
    assert not list((services.settings.instance / "context").glob(f"*/{file}.npz"))


@pytest.mark.parametrize("fault", ["raises", "reads another column", "is removed"])
def test_its_faults_harm_no_answer_and_are_counted(
    login: Callable[[str], Person],
    settings: Settings,
    services: Services,
    second: str,
    desk: ShadowDesk,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    mia = login("mia")
    run = desk.start("payments", second, "mia")
    answers = ask(mia, payments()[:5])

    def broken(inputs: Any, detector: Any) -> Any:
        raise RuntimeError("a fault of the net")

    if fault == "reads another column":
        desk.stop(run.id, "mia")
        run = desk.start("payments", "ecommerce", "mia")
        assert set(run.lacking) >= {"purchase_time", "purchase_value"}
        answers += ask(mia, payments()[5:10])
    if fault == "is removed":
        shutil.rmtree(settings.instance / "detectors" / second)
    ask_for = broken if fault == "raises" else own_probabilities
    step = ShadowStep(
        settings, services.detectors, services.screenings, services.ledger, probabilities=ask_for
    )
    while step.step():
        pass
    standing = desk.standing(services.detectors.shadows.get(run.id))
    assert standing.count is not None
    counted = (standing.count.scored, standing.count.unreadable, standing.count.failed)
    if fault == "raises":
        assert counted == (0, 0, 5)
        assert "could not score a request" in caplog.text
    elif fault == "reads another column":
        assert counted == (0, 5, 0)
        assert "missing" in str(standing.count.problem)
    else:
        assert counted == (0, 0, 0)
        assert not standing.run.runs
        assert "no detector" in str(standing.run.reason)
    assert asked(mia, "/summary")["total_transactions"] == len(answers)
    assert ask(mia, payments()[10:11])[0]["detector"] == "payments"


def test_a_run_at_which_the_worker_ends_again_and_again_is_stopped(
    login: Callable[[str], Person], settings: Settings, services: Services, second: str, desk: ShadowDesk
) -> None:
    run = desk.start("payments", second, "mia")
    mia = login("mia")
    ask(mia, payments()[:1])

    def killed(inputs: Any, detector: Any) -> Any:
        raise SystemExit

    for _ in range(3):
        step = ShadowStep(
            settings, services.detectors, services.screenings, services.ledger, probabilities=killed
        )
        with pytest.raises(SystemExit):
            step.step()
    ShadowStep(settings, services.detectors, services.screenings, services.ledger).step()
    stopped = services.detectors.shadows.get(run.id)
    assert not stopped.runs
    assert "worker ended 3 times" in str(stopped.reason)
    assert desk.store.waiting() in (0, 1)


def test_the_comparison_counts_what_the_rows_say(
    login: Callable[[str], Person], worker: Worker, services: Services, second: str, desk: ShadowDesk
) -> None:
    mia = login("mia")
    run = desk.start("payments", second, "mia")
    rows = payments()[:900]
    threshold = services.settings.threshold
    upload(mia, services, as_csv(rows), "payments")
    wait_for(desk, run)
    api = ask(mia, rows[:40])
    standing = wait_for(desk, run)
    other = said(desk, run)
    found = compare(run, desk.store, services.ledger.questions)
    listed = asked(mia, "/transactions", limit="1000")["transactions"]
    assert found.rows == len(other) == len(rows) + len(api) == standing.count.scored
    counted: Counter[tuple[bool, bool]] = Counter()
    money: Counter[tuple[bool, bool]] = Counter()
    fraud: Counter[tuple[bool, bool]] = Counter()
    for row in listed:
        raw = bytes.fromhex(row["id"].replace("-", ""))
        key = raw[:12] if row["screening"] is None else bytes.fromhex(row["screening"])[:12]
        flags = row["fraud"], bool(other[key, int.from_bytes(raw[12:], "big")] >= np.float32(threshold))
        counted[flags] += 1
        money[flags] += round(row["amount"] * 100)
        fraud[flags] += row["label"] == "fraud"
    assert len(listed) == found.rows <= 1000
    for part in found.parts:
        flags = part.first, part.shadow
        assert part.rows == counted[flags]
        assert round(sum(each.amount for each in part.money) * 100) == money[flags]
        assert part.fraud == fraud[flags]
        assert part.fraud + part.legitimate == part.rows
    assert sum(day.rows for day in found.days) == found.rows
    assert found.agreement.count == counted[True, True] + counted[False, False]
    for bins in (found.first_bins, found.shadow_bins):
        assert sum(each[2] for each in bins) == found.rows
    assert sum(each[3] for each in found.first_bins) == counted[True, True] + counted[True, False]
    assert {row.id for row in found.gained} <= {row["id"] for row in listed}
    assert len(found.lost) == min(counted[True, False], 25)
    page = mia.client.get(f"/shadow/{run.id}").get_data(as_text=True)
    assert "No comparison yet" in page
    assert "Promote it" not in page
    answer = mia.post(f"/shadow/{run.id}/promote", "/upload", confirm="yes")
    assert answer.status_code == 409
    assert "no comparison yet" in answer.get_data(as_text=True)


@pytest.mark.parametrize(("count", "of", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)])
def test_intervals_are_wilsons(count: int, of: int, low: float, high: float) -> None:
    """Bounds as in Brown, Cai, DasGupta (2001)."""
    found = ShareInterval(count, of)
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)
    assert ShareInterval(0, 0).value is None


def test_what_there_is_no_room_for_is_counted_and_the_rest_goes_on(
    login: Callable[[str], Person],
    settings: Settings,
    services: Services,
    second: str,
    desk: ShadowDesk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mia = login("mia")
    run = desk.start("payments", second, "mia")
    monkeypatch.setattr(sealing, "MOST_WAITING", 10)
    rows = payments()
    ask(mia, rows[:8])
    services.ledger.sealing.seal()
    ask(mia, rows[8:14])
    services.ledger.sealing.seal()
    ask(mia, rows[14:16])
    step = ShadowStep(settings, services.detectors, services.screenings, services.ledger)
    while step.step():
        pass
    count = desk.standing(run).count
    assert count is not None
    assert (count.scored, count.dropped) == (10, 6)
    assert asked(mia, "/summary")["total_transactions"] == 16


def test_a_run_that_ends_forgets_its_past_and_keeps_what_it_said(
    login: Callable[[str], Person], worker: Worker, services: Services, second: str, desk: ShadowDesk
) -> None:
    mia = login("mia")
    run = desk.start("payments", second, "mia")
    ask(mia, payments()[:5])
    upload(mia, services, as_csv(payments()[5:30]), "payments")
    wait_for(desk, run)
    subject = services.ledger.velocity.subject(services.detectors.get(second), f"shadow:{run.id}")
    assert subject is not None
    assert services.ledger.velocity.standing(subject).rows == 5
    assert mia.post(f"/shadow/{run.id}/stop", "/shadow").status_code == 303
    assert services.ledger.velocity.standing(subject).rows == 0
    assert not list((services.settings.instance / "context").glob(f"*~{run.id}"))
    assert len(said(desk, run)) == 30
    ask(mia, payments()[30:31])
    assert desk.standing(services.detectors.shadows.get(run.id)).waiting_rows == 0
    assert mia.client.get(f"/shadow/{run.id}").status_code == 200
