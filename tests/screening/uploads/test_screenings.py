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
    History,
    Request,
    new_id,
)

pytestmark = pytest.mark.both_databases

WISH = Request(owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8)


@pytest.fixture
def history(database_url: str) -> Iterator[History]:
    database = Database(database_url)
    database.create_tables()
    yield History(database)
    database.engine.dispose()


def begun(history: History) -> str:
    made = new_id()
    history.begin(made, WISH)
    return made


def received(history: History) -> str:
    made = begun(history)
    history.received(made, 10, "00")
    return made


def test_the_oldest_waiting_screening_is_claimed_once(history: History) -> None:
    first, second = received(history), received(history)
    assert [claimed and claimed.id for claimed in (history.claim("a"), history.claim("b"), history.claim("c"))] == [
        first, second, None,
    ]  # fmt: skip
    assert history.state(first) == RUNNING


def test_many_workers_never_claim_the_same(history: History) -> None:
    wanted = {received(history) for _ in range(20)}
    taken: list[str] = []

    def work(name: str) -> None:
        while claimed := history.claim(name):
            taken.append(claimed.id)

    threads = [threading.Thread(target=work, args=(f"worker-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(wanted)


def test_a_screening_can_be_worked_on_while_it_arrives(history: History) -> None:
    made = begun(history)
    claimed = history.claim("a")
    assert claimed is not None
    assert claimed.id == made
    assert history.state(made) == RECEIVING
    history.received(made, 5, "ff")
    assert history.state(made) == RUNNING


def test_a_slow_upload_is_left_alone_until_it_is_whole(history: History) -> None:
    slow = begun(history)
    assert history.claim("a", slow={slow}) is None
    other = received(history)
    assert history.others_wait(slow)
    assert not history.others_wait(other, slow={slow})
    assert getattr(history.claim("a", slow={slow}), "id", None) == other
    history.received(slow, 10, "00")
    assert getattr(history.claim("b", slow={slow}), "id", None) == slow


def test_what_failed_while_it_arrived_stays_failed(history: History) -> None:
    made = begun(history)
    history.claim("a")
    assert history.finish(made, "a", state=FAILED, error={"what": "no"})
    history.received(made, 5, "ff")
    assert history.state(made) == FAILED


def test_a_lease_that_ran_out_is_free_again(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    made = received(history)
    monkeypatch.setattr(module, "LEASE", timedelta(seconds=-1))
    history.claim("dead")
    monkeypatch.undo()
    claimed = history.claim("alive")
    assert claimed is not None
    assert claimed.id == made
    assert not history.finish(made, "dead", state=DONE)
    assert history.finish(made, "alive", state=DONE)


def test_a_restarted_worker_frees_what_it_held_at_once(history: History) -> None:
    made = received(history)
    history.claim("slot")
    history.release("slot")
    assert history.state(made) == QUEUED
    again = history.claim("slot")
    assert again is not None
    assert again.attempts == 2


def test_an_orderly_stop_is_no_failed_attempt(history: History) -> None:
    received(history)
    for _ in range(10):
        assert history.claim("slot") is not None
        history.release("slot", in_order=True)


def test_a_file_that_kills_its_worker_again_and_again_is_given_up_and_shown(history: History) -> None:
    made = received(history)
    for _ in range(module.MOST_ATTEMPTS):
        assert history.claim("slot") is not None
        history.release("slot")
    assert history.claim("slot") is None
    assert history.give_up() == []
    screening = history.get(made)
    assert screening is not None
    assert screening.state == FAILED
    assert screening.error is not None
    assert "stopped 3 times" in screening.error["what"]


def test_an_upload_that_stopped_arriving_is_forgotten(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = received(history)
    monkeypatch.setattr("screening.uploads.screenings.ARRIVAL", timedelta(seconds=-1))
    made = begun(history)
    assert history.give_up() == [made]
    assert history.ids() == {kept}


def test_a_checked_file_waits_for_its_owner_and_then_is_screened_by_the_detector_of_the_check(
    history: History,
) -> None:
    made = new_id()
    history.begin(made, replace(WISH, check_first=True))
    history.received(made, 10, "00")
    claimed = history.claim("a")
    assert claimed is not None
    assert claimed.stage == "checking"
    assert history.finish(made, "a", state=CHECKED, detector="card", rows=9, set_aside=2)
    assert history.claim("a") is None
    assert history.give_up() == []
    assert history.go_on(made, set_aside_bad=True)
    assert not history.go_on(made, set_aside_bad=False), "once is enough"
    again = history.claim("a")
    assert again is not None
    assert (again.stage, again.attempts, again.check_first) == (RUNNING, 1, False)
    assert (again.wanted_detector, again.set_aside_bad, again.rows) == ("card", True, 0)


def test_somebody_elses_and_nobodys_screening_get_the_same_answer(history: History) -> None:
    made = received(history)
    answers = []
    for screening_id, owner in ((made, "eve"), (new_id(), "ana")):
        with pytest.raises(NotFound) as caught:
            history.owned(screening_id, owner)
        answers.append(str(caught.value))
    assert answers[0] == answers[1]
    assert history.owned(made, "ana").id == made


@pytest.mark.sqlite_only  # takes half a minute; other tests have processes that write at once with both
@pytest.mark.security(39)
def test_eight_writers_at_once_lose_nothing(database_url: str) -> None:
    url = database_url
    database = Database(url)
    database.create_tables()
    program = (
        "import sys; from screening.infra.database import Database\n"
        "from tests.screening.uploads.test_screenings import *\n"
        "history = History(Database(sys.argv[1]))\n"
        "for _ in range(50): received(history)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(8)]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 8
    assert History(database).count("ana") == 400
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
    history: History, kept: str, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, other = received(history), received(history)
    with history.database.write() as session:
        session.execute(
            text("UPDATE screenings SET error = :kept WHERE id = :id"), {"kept": kept, "id": damaged}
        )
    shown = {screening.id: screening.error for screening in history.of("ana")}
    assert shown == {damaged: None, other: None}
    assert "in the database is left out" in caplog.text


@pytest.mark.sqlite_only  # PostgreSQL keeps no damaged JSON
def test_a_mapping_that_is_damaged_in_the_database_is_as_if_nobody_had_given_it(history: History) -> None:
    damaged = received(history)
    with history.database.write() as session:
        session.execute(
            text("UPDATE screenings SET mapping = :kept, answers = :kept, notes = :kept"), {"kept": "{x"}
        )
    screening = history.get(damaged)
    assert screening is not None
    assert (screening.mapping, screening.answers, screening.notes) == (None, None, None)
