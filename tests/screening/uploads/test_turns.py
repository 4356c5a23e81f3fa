"""Several workers score files against the same history as one worker would: in the order in which they were sent."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from screening.detectors.registry import Detectors
from screening.infra.database import Database
from screening.infra.job_queue import MOST_ATTEMPTS, now
from screening.intake import FileKind
from screening.ledger.history import DetectorHistory
from screening.settings import ROOT, Settings
from screening.uploads import screening_job
from screening.uploads.line.order import ScreeningOrder
from screening.uploads.line.screen import screen
from screening.uploads.results import ScreeningOutcome
from screening.uploads.screenings import (
    CHECKED,
    DONE,
    FAILED,
    QUEUED,
    Screening,
    Screenings,
    UploadRequest,
    new_id,
)
from screening.uploads.upload_folder import UploadFolder
from screening.web.services import Services
from screening.worker.loop import Worker

pytestmark = pytest.mark.both_databases

WISH = UploadRequest(
    owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
)
TAKEN = (
    "earlier rows were taken into account, of files that count for all users and of the sender's own files."
)
KEY, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def screenings(database_url: str) -> Iterator[Screenings]:
    database = Database(database_url)
    database.create_tables()
    yield Screenings(database)
    database.engine.dispose()


def sent(screenings: Screenings, whole: bool = True) -> str:
    made = new_id()
    screenings.begin(made, WISH)
    if whole:
        screenings.received(made, 10, "00")
    return made


def taken(screenings: Screenings, holder: str, key: str | None) -> str:
    """A screening that was sent, is worked on, and of which the detector is known if there is a key."""
    made = sent(screenings)
    change(screenings, made, holder=holder, state="running", lease_until=now() + timedelta(minutes=1))
    if key is not None:
        assert screenings.renew(made, holder, history_key=key)
    return made


def change(screenings: Screenings, screening_id: str, **values: Any) -> None:
    with screenings.database.write() as session:
        session.execute(update(Screening).where(Screening.id == screening_id).values(values))


def test_a_file_waits_for_an_earlier_one_of_the_same_history(screenings: Screenings) -> None:
    monday, tuesday = taken(screenings, "one", KEY), taken(screenings, "two", KEY)
    assert not screenings.take_turn(tuesday)
    assert screenings.take_turn(monday)
    assert not screenings.take_turn(tuesday)
    screenings.finish(monday, "one", state=DONE)
    assert screenings.take_turn(tuesday)


def test_a_file_waits_for_an_earlier_one_until_it_is_known_to_have_another_history(
    screenings: Screenings,
) -> None:
    for key in (OTHER, ""):
        monday, tuesday = taken(screenings, "one", None), taken(screenings, "two", KEY)
        assert not screenings.take_turn(tuesday)
        screenings.renew(monday, "one", history_key=key)
        assert screenings.take_turn(tuesday)
        screenings.finish(tuesday, "two", state=DONE)


def test_a_file_waits_for_a_later_one_only_while_it_is_at_it(screenings: Screenings) -> None:
    monday = taken(screenings, "one", KEY)
    change(screenings, monday, size=None)  # still arriving
    tuesday = taken(screenings, "two", KEY)
    assert screenings.take_turn(tuesday), "a slow sender keeps nobody waiting"
    change(screenings, monday, size=10)
    assert not screenings.take_turn(monday)
    screenings.finish(tuesday, "two", state=DONE)
    assert screenings.take_turn(monday)


def test_a_file_waits_for_an_earlier_one_that_was_put_back(screenings: Screenings) -> None:
    monday, tuesday = taken(screenings, "one", KEY), taken(screenings, "two", KEY)
    screenings.release("one", in_order=True)
    assert screenings.state(monday) == QUEUED
    assert not screenings.take_turn(tuesday)
    assert screenings.claim("one").id == monday  # type: ignore[union-attr]
    assert screenings.take_turn(monday)


@pytest.mark.parametrize(
    "values",
    [
        {"state": DONE},
        {"state": FAILED},
        {"state": CHECKED},
        {"state": "running", "check_first": True},
        {"state": QUEUED, "holder": None, "attempts": MOST_ATTEMPTS},
    ],
)
def test_nobody_waits_for_what_adds_nothing_to_the_history(
    screenings: Screenings, values: dict[str, Any]
) -> None:
    monday, tuesday = taken(screenings, "one", KEY), taken(screenings, "two", KEY)
    change(screenings, monday, **values)
    assert screenings.take_turn(tuesday)


def test_a_dead_worker_leaves_no_turn_behind(screenings: Screenings) -> None:
    monday, tuesday = taken(screenings, "one", KEY), taken(screenings, "two", KEY)
    assert screenings.take_turn(monday)
    screenings.release("one")
    assert not screenings.take_turn(tuesday), "it is tried again, and comes first"
    again = screenings.claim("one")
    assert again is not None
    assert not again.history_turn
    change(screenings, monday, attempts=MOST_ATTEMPTS, lease_until=now() - timedelta(seconds=1))
    assert screenings.take_turn(tuesday), "its last attempt died"


def test_a_file_that_was_mapped_anew_is_of_no_known_history(screenings: Screenings) -> None:
    failed = taken(screenings, "one", KEY)
    screenings.finish(failed, "one", state=FAILED)
    screenings.requeue(failed, "payments", {})
    assert screenings.get(failed).history_key is None  # type: ignore[union-attr]


def test_who_has_no_history_takes_no_turn(screenings: Screenings) -> None:
    assert not screenings.take_turn(taken(screenings, "one", None))
    assert not screenings.take_turn(taken(screenings, "one", ""))
    assert not screenings.take_turn("nobody")


def test_however_many_come_at_once_each_has_its_turn_alone_and_in_order(screenings: Screenings) -> None:
    """Twelve files, three histories, four workers that take them up in any order."""
    chance = random.Random(7)
    keys = [chance.choice((KEY, OTHER, "c" * 64)) for _ in range(12)]
    ids = [sent(screenings) for _ in keys]
    order: list[str] = []
    inside: dict[str, str] = {}
    wrong: list[str] = []
    lock = threading.Lock()

    def work(holder: str) -> None:
        pause = random.Random(holder)
        while (job := screenings.claim(holder)) is not None:
            key = keys[ids.index(job.id)]
            time.sleep(pause.random() * 0.02)
            screenings.renew(job.id, holder, history_key=key)
            while not screenings.take_turn(job.id):
                time.sleep(0.002)
            with lock:
                wrong.extend([job.id] if key in inside else [])
                inside[key] = job.id
                order.append(job.id)
            time.sleep(pause.random() * 0.01)
            with lock:
                inside.pop(key, None)
            screenings.finish(job.id, holder, state=DONE)

    threads = [threading.Thread(target=work, args=(f"worker-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    for key in set(keys):
        assert [one for one in order if keys[ids.index(one)] == key] == [
            one for one, theirs in zip(ids, keys, strict=True) if theirs == key
        ]


# ---- with workers -------------------------------------------------------------------------------------------------

PAYMENTS = (ROOT / "model" / "detectors" / "payments" / "sample.csv").read_bytes().splitlines(keepends=True)
DAYS = [
    b"".join([PAYMENTS[0], *PAYMENTS[start:stop]]) for start, stop in ((1, 2400), (2400, 3000), (3000, 3519))
]


def upload(services: Services, content: bytes) -> str:
    folder = UploadFolder(services.settings.instance, new_id())
    folder.create()
    folder.input.write_bytes(content)
    services.screenings.begin(folder.path.name, WISH)
    services.screenings.received(folder.path.name, len(content), "00")
    folder.complete()
    return folder.path.name


def probabilities(services: Services, screening_id: str) -> np.ndarray:
    outcome = ScreeningOutcome(UploadFolder(services.settings.instance, screening_id), 0.8)
    return np.array(outcome.probability)


def forget(services: Services, ids: list[str]) -> None:
    context = DetectorHistory(services.settings.instance, services.detectors.get("payments"), counting=None)
    for one in ids:
        context.forget(one)


class Crew:
    """Workers in threads, as many as the operator says."""

    def __init__(self, settings: Settings, services: Services, count: int) -> None:
        self.workers = [
            Worker(settings, services.screenings, services.detectors, number=number)
            for number in range(count)
        ]
        self.threads = [threading.Thread(target=worker.loop) for worker in self.workers]

    def __enter__(self) -> None:
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.stop()
        for thread in self.threads:
            thread.join(60)


def all_done(services: Services, ids: list[str]) -> None:
    ends = services.signals.ended.listen()
    deadline = time.monotonic() + 120
    while {services.screenings.state(one) for one in ids} != {DONE}:
        assert time.monotonic() < deadline, [services.screenings.state(one) for one in ids]
        ends.wait(1)


def test_files_of_three_days_get_the_same_numbers_from_three_workers_as_from_one(
    services: Services, settings: Settings, sample: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first file is the slowest to read, so the others would all come before it."""
    alone = [upload(services, day) for day in DAYS]
    with Crew(settings, services, 1):
        all_done(services, alone)
    expected = [probabilities(services, one) for one in alone]
    notes = [services.screenings.get(one).notes for one in alone]  # type: ignore[union-attr]
    assert f"2,399 {TAKEN}" in (notes[1] or [])
    assert f"2,999 {TAKEN}" in (notes[2] or [])
    forget(services, alone)

    def slowly(folder: UploadFolder, kind: FileKind, detectors: Detectors, order: ScreeningOrder) -> Any:
        def chosen(detector: Any) -> None:
            time.sleep(1.0 if folder.path.name == together[0] else 0.0)
            order.on_choice(detector)

        return screen(folder, kind, detectors, replace(order, on_choice=chosen))

    monkeypatch.setattr(screening_job, "screen", slowly)
    together = [upload(services, day) for day in DAYS]
    others = [upload(services, sample) for _ in range(3)]  # of a detector that has no history
    with Crew(settings, services, 3):
        all_done(services, together + others)
    for one, numbers in zip(together, expected, strict=True):
        np.testing.assert_array_equal(probabilities(services, one), numbers)
    assert [services.screenings.get(one).notes for one in together] == notes  # type: ignore[union-attr]
    assert [services.screenings.get(one).attempts for one in together] == [1, 1, 1]  # type: ignore[union-attr]


def test_a_file_that_can_only_wait_lets_others_pass(
    services: Services, settings: Settings, sample: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers, two files of one history, the first of which takes long: a third file needn't wait for either."""
    goes_on = threading.Event()

    def slowly(folder: UploadFolder, kind: FileKind, detectors: Detectors, order: ScreeningOrder) -> Any:
        def context(detector: Any) -> DetectorHistory:
            assert order.context is not None
            found = order.context(detector)
            assert folder.path.name != first or goes_on.wait(60)
            return found

        return screen(folder, kind, detectors, replace(order, context=context))

    monkeypatch.setattr(screening_job, "screen", slowly)
    first, second = upload(services, DAYS[0]), upload(services, DAYS[1])
    third = upload(services, sample)
    with Crew(settings, services, 2):
        try:
            all_done(services, [third])
            assert services.screenings.state(first) == "running"
            assert services.screenings.state(second) in (QUEUED, "running")
        finally:
            goes_on.set()
        all_done(services, [first, second])
    notes = services.screenings.get(second).notes  # type: ignore[union-attr]
    assert notes is not None
    assert f"2,399 {TAKEN}" in notes
