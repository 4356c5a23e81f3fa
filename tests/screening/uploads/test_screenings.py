from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from screening.errors import NotFound, NotReady
from screening.infra import job_queue as module
from screening.infra.database import Database
from screening.uploads.screenings import (
    CHECKED,
    DONE,
    FAILED,
    QUEUED,
    RECEIVING,
    RUNNING,
    Screenings,
    UploadRequest,
    new_id,
)

pytestmark = pytest.mark.both_databases

WISH = UploadRequest(
    owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
)


@pytest.fixture
def screenings(database_url: str) -> Iterator[Screenings]:
    database = Database(database_url)
    database.create_tables()
    yield Screenings(database)
    database.engine.dispose()


def begun(screenings: Screenings) -> str:
    made = new_id()
    screenings.begin(made, WISH)
    return made


def received(screenings: Screenings) -> str:
    made = begun(screenings)
    screenings.received(made, 10, "00")
    return made


def test_the_oldest_waiting_screening_is_claimed_once(screenings: Screenings) -> None:
    first, second = received(screenings), received(screenings)
    claimed = [screenings.claim("a"), screenings.claim("b"), screenings.claim("c")]
    assert [one and one.id for one in claimed] == [first, second, None]
    assert screenings.state(first) == RUNNING


def test_many_workers_never_claim_the_same(screenings: Screenings) -> None:
    wanted = {received(screenings) for _ in range(20)}
    taken: list[str] = []

    def work(name: str) -> None:
        while claimed := screenings.claim(name):
            taken.append(claimed.id)

    threads = [threading.Thread(target=work, args=(f"worker-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(wanted)


def test_a_screening_can_be_worked_on_while_it_arrives(screenings: Screenings) -> None:
    made = begun(screenings)
    claimed = screenings.claim("a")
    assert claimed is not None
    assert claimed.id == made
    assert screenings.state(made) == RECEIVING
    screenings.received(made, 5, "ff")
    assert screenings.state(made) == RUNNING


def test_a_slow_upload_is_left_alone_until_it_is_whole(screenings: Screenings) -> None:
    slow = begun(screenings)
    assert screenings.claim("a", slow={slow}) is None
    other = received(screenings)
    assert screenings.others_wait(slow)
    assert not screenings.others_wait(other, slow={slow})
    assert getattr(screenings.claim("a", slow={slow}), "id", None) == other
    screenings.received(slow, 10, "00")
    assert getattr(screenings.claim("b", slow={slow}), "id", None) == slow


def test_what_failed_while_it_arrived_stays_failed(screenings: Screenings) -> None:
    made = begun(screenings)
    screenings.claim("a")
    assert screenings.finish(made, "a", state=FAILED, error={"what": "no"})
    screenings.received(made, 5, "ff")
    assert screenings.state(made) == FAILED


def test_a_lease_that_ran_out_is_free_again(screenings: Screenings, monkeypatch: pytest.MonkeyPatch) -> None:
    made = received(screenings)
    monkeypatch.setattr(module, "LEASE", timedelta(seconds=-1))
    screenings.claim("dead")
    monkeypatch.undo()
    claimed = screenings.claim("alive")
    assert claimed is not None
    assert claimed.id == made
    assert not screenings.finish(made, "dead", state=DONE)
    assert screenings.finish(made, "alive", state=DONE)


def test_a_restarted_worker_frees_what_it_held_at_once(screenings: Screenings) -> None:
    made = received(screenings)
    screenings.claim("slot")
    screenings.release("slot")
    assert screenings.state(made) == QUEUED
    again = screenings.claim("slot")
    assert again is not None
    assert again.attempts == 2


def test_an_orderly_stop_is_no_failed_attempt(screenings: Screenings) -> None:
    received(screenings)
    for _ in range(10):
        assert screenings.claim("slot") is not None
        screenings.release("slot", in_order=True)


def test_a_file_that_kills_its_worker_again_and_again_is_given_up_and_shown(screenings: Screenings) -> None:
    made = received(screenings)
    for _ in range(module.MOST_ATTEMPTS):
        assert screenings.claim("slot") is not None
        screenings.release("slot")
    assert screenings.claim("slot") is None
    assert screenings.give_up() == []
    screening = screenings.get(made)
    assert screening is not None
    assert screening.state == FAILED
    assert screening.error is not None
    assert "stopped 3 times" in screening.error["what"]


def test_an_upload_that_stopped_arriving_is_forgotten(
    screenings: Screenings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = received(screenings)
    monkeypatch.setattr("screening.uploads.screenings.ARRIVAL", timedelta(seconds=-1))
    made = begun(screenings)
    assert screenings.give_up() == [made]
    assert screenings.ids() == {kept}


def test_a_checked_file_waits_for_its_owner_and_then_is_screened_by_the_detector_of_the_check(
    screenings: Screenings,
) -> None:
    made = new_id()
    screenings.begin(made, replace(WISH, check_first=True))
    screenings.received(made, 10, "00")
    claimed = screenings.claim("a")
    assert claimed is not None
    assert claimed.stage == "checking"
    assert screenings.finish(made, "a", state=CHECKED, detector="card", rows=9, set_aside=2)
    assert screenings.claim("a") is None
    assert screenings.give_up() == []
    assert screenings.approve(made, set_aside_bad=True)
    assert not screenings.approve(made, set_aside_bad=False), "once is enough"
    again = screenings.claim("a")
    assert again is not None
    assert (again.stage, again.attempts, again.check_first) == (RUNNING, 1, False)
    assert (again.wanted_detector, again.set_aside_bad, again.rows) == ("card", True, 0)


def test_somebody_elses_and_nobodys_screening_get_the_same_answer(screenings: Screenings) -> None:
    made = received(screenings)
    answers = []
    for screening_id, owner in ((made, "eve"), (new_id(), "ana")):
        with pytest.raises(NotFound) as caught:
            screenings.owned(screening_id, owner)
        answers.append(str(caught.value))
    assert answers[0] == answers[1]
    assert screenings.owned(made, "ana").id == made


@pytest.mark.sqlite_only  # takes half a minute; other tests have processes that write at once with both
@pytest.mark.security(39)
def test_eight_writers_at_once_lose_nothing(database_url: str) -> None:
    url = database_url
    database = Database(url)
    database.create_tables()
    program = (
        "import sys; from screening.infra.database import Database\n"
        "from tests.screening.uploads.test_screenings import *\n"
        "screenings = Screenings(Database(sys.argv[1]))\n"
        "for _ in range(50): received(screenings)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(8)]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 8
    assert Screenings(database).count("ana") == 400
    database.engine.dispose()


@pytest.mark.security(38)
def test_a_file_that_is_no_database_stops_the_start_and_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "kept.sqlite3"
    file.write_bytes(b"not a database, but somebody's only copy of it" * 100)
    before = file.read_bytes()
    database = Database(f"sqlite:///{file}")
    with pytest.raises(NotReady, match="untouched"):
        database.create_tables()
    database.engine.dispose()
    assert file.read_bytes() == before


@pytest.mark.sqlite_only  # PostgreSQL keeps no damaged JSON
@pytest.mark.parametrize(
    "kept",
    [
        '{"what": "w", "status": 400',
        "[1]",
        '"w"',
        "1",
        '{"what": 1, "status": 400, "problems": [], "problem_count": 0}',
        '{"what": "w", "status": 400, "problems": [1], "problem_count": 1}',
        '{"what": "w", "status": 400, "problems": [], "problem_count": "1"}',
        '{"what": "w", "status": 400, "problems": [{"line": {"a": 1}}], "problem_count": 1}',
        '{"what": "w", "status": 400, "problems": [{"row": "x"}], "problem_count": 1}',
        '{"what": "w", "status": 400, "problems": [{"a": 1}], "problem_count": 1}',
        '{"what": "w", "status": 400, "problems": [{"value": []}], "problem_count": 1}',
        '{"whau": "w", "status": 400, "problems": [], "problem_count": 0}',
        '{"what": "\\ud800", "status": 400, "problems": [], "problem_count": 0}',
        "[" * 100_000,
    ],
)
def test_an_error_that_is_damaged_in_the_database_is_left_out_and_keeps_no_other_row_from_being_shown(
    screenings: Screenings, kept: str, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, other = received(screenings), received(screenings)
    with screenings.database.write() as session:
        session.execute(
            text("UPDATE screenings SET error = :kept WHERE id = :id"), {"kept": kept, "id": damaged}
        )
    shown = {screening.id: screening.error for screening in screenings.list_for("ana")}
    assert shown == {damaged: None, other: None}
    assert "in the database is left out" in caplog.text


@pytest.mark.sqlite_only  # PostgreSQL keeps no damaged JSON
def test_a_mapping_that_is_damaged_in_the_database_is_as_if_nobody_had_given_it(
    screenings: Screenings,
) -> None:
    damaged = received(screenings)
    with screenings.database.write() as session:
        session.execute(
            text("UPDATE screenings SET mapping = :kept, answers = :kept, notes = :kept"), {"kept": "{x"}
        )
    screening = screenings.get(damaged)
    assert screening is not None
    assert (screening.mapping, screening.answers, screening.notes) == (None, None, None)
