"""The decisions of a job over a folder enter the ledger together or not at all, and once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import select

from screening.errors import Conflict
from screening.infra.job_queue import now
from screening.ledger import segments as module
from screening.ledger.filters import DamagedLedger, DecisionFilter
from screening.ledger.identity import TransactionId, new_origin
from screening.ledger.labels import LaterLabel
from screening.ledger.ledger import Ledger
from screening.ledger.tables import API, BATCH, FILE, BatchJob, Label, SegmentDraft
from screening.ledger.totals import read
from screening.settings import ROOT
from tests.screening.ledger.ledger_rows import DECIDED, table

pytestmark = pytest.mark.both_databases
JOB = "c" * 32
KILLED = """
import os, signal, sys
from pathlib import Path
from screening.ledger.ledger import Ledger
from tests.screening.ledger.test_jobs import JOB, job, parts

def until_killed():
    yield from parts(3, 2)
    os.kill(os.getpid(), signal.SIGKILL)

ledger = Ledger.open(Path(sys.argv[1]), sys.argv[2])
ledger.jobs.enter(job(JOB, 5), ledger.segments, until_killed())
"""


@pytest.fixture
def ledger(tmp_path: Path, database_url: str) -> Iterator[Ledger]:
    made = Ledger.open(tmp_path, database_url)
    yield made
    made.tables.engine.dispose()


def job(name: str, rows: int, **changes: Any) -> BatchJob:
    given = {"owner": "ana", "counts_for_all": False, "detector": "payments", "fingerprint": "f" * 64}
    return BatchJob(**{"id": name, "folder": "in/", "rows": rows, "flagged": 0, **given, **changes})


def parts(*rows: int, request: str = JOB) -> Iterator[pa.Table]:
    """Tables of so many rows each, none of them flagged."""
    for count in rows:
        nothing = np.zeros(count, np.float32)
        origin = new_origin(int(DECIDED.timestamp() * 1000))
        given = {"screening": None, "source": BATCH, "request": request, "probability": nothing}
        yield table(count, origin=origin, **given)


def counted(ledger: Ledger, **chosen: Any) -> int:
    rows = ledger.questions.ask("SELECT count(*) AS rows FROM chosen", DecisionFilter(**chosen)).rows
    return int(rows[0]["rows"]) if rows else 0


def test_a_job_enters_as_a_whole_and_once(ledger: Ledger) -> None:
    assert ledger.jobs.enter(job(JOB, 6), ledger.segments, parts(3, 2, 1))
    assert not ledger.jobs.enter(job(JOB, 6), ledger.segments, parts(3, 2, 1)), "it is there"
    assert (counted(ledger), counted(ledger, source=BATCH), counted(ledger, source=API)) == (6, 6, 0)
    kept = sorted((each.rows, each.kind, each.owner) for each in ledger.segments.all())
    assert kept == [(rows, BATCH, "ana") for rows in (1, 2, 3)]
    assert [(each.source, each.count) for each in read(ledger.tables)] == [(BATCH, 6)]
    entered = found(ledger, JOB)
    assert (entered.rows, entered.folder) == (6, "in/")
    assert len(list(ledger.segments.folder.iterdir())) == 3
    assert not drafts(ledger)

    # as the worker does for a day that is over
    (due,) = ledger.compaction.due(today=True)
    assert ledger.compaction.put_together(due) is not None
    assert counted(ledger) == 6
    assert not ledger.segments.verify()


def test_other_rows_than_the_job_has_are_refused(ledger: Ledger) -> None:
    with pytest.raises(Conflict, match="6 rows and 0 flags, and 5 and 0 came"):
        ledger.jobs.enter(job(JOB, 6), ledger.segments, parts(3, 2))
    assert ledger.jobs.find(JOB) is None
    assert not list(ledger.segments.folder.iterdir())
    assert counted(ledger) == 0


def test_files_that_were_swept_meanwhile_enter_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow() -> Iterator[pa.Table]:
        yield from parts(3)
        monkeypatch.setattr(module, "YOUNG", timedelta(seconds=-1))
        assert len(ledger.segments.sweep()) == 1
        yield from parts(2)

    with pytest.raises(DamagedLedger, match="swept before they were entered"):
        ledger.jobs.enter(job(JOB, 5), ledger.segments, slow())
    assert counted(ledger) == 0


def test_who_is_killed_in_the_middle_leaves_nothing_that_counts(
    ledger: Ledger, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.segments.add("a" * 32, FILE, table(4))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), database_url], cwd=ROOT, check=False, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    assert counted(ledger) == 4
    assert ledger.jobs.find(JOB) is None
    assert len(drafts(ledger)) == 2
    assert not ledger.segments.verify()
    monkeypatch.setattr(module, "YOUNG", timedelta(seconds=-1))
    assert len(ledger.segments.sweep()) == 2
    assert len(list(ledger.segments.folder.iterdir())) == 1

    assert ledger.jobs.enter(job(JOB, 5), ledger.segments, parts(3, 2))
    assert (counted(ledger), counted(ledger, source=BATCH)) == (9, 5)


def test_jobs_count_for_their_owner_and_those_of_managers_for_all(ledger: Ledger) -> None:
    ledger.jobs.enter(job("1" * 32, 1), ledger.segments, parts(1))
    ledger.jobs.enter(job("2" * 32, 1, owner="bo", counts_for_all=True), ledger.segments, parts(1))
    ledger.jobs.enter(job("3" * 32, 1, fingerprint="e" * 64), ledger.segments, parts(1))
    counting = ledger.jobs.counting
    assert counting("f" * 64, "Ana", for_all=False) == {"1" * 32}
    assert counting("f" * 64, None, for_all=True) == {"2" * 32}
    assert counting("f" * 64, "ana", for_all=True) == {"1" * 32, "2" * 32}
    ledger.detach_owner("Ana")
    assert not counting("f" * 64, "ana", for_all=False), "somebody else has the name now"
    ledger.jobs.enter(job("4" * 32, 1), ledger.segments, parts(1))
    assert counting("f" * 64, "ana", for_all=False) == {"4" * 32}, "whose own jobs count"
    assert counting("f" * 64, "ana", for_all=True) == {"2" * 32, "4" * 32}


@pytest.mark.parametrize("compacted", [False, True])
def test_a_job_is_taken_out_as_a_whole_with_its_labels_and_can_enter_again(
    ledger: Ledger, *, compacted: bool
) -> None:
    other = "d" * 32
    ledger.segments.add("a" * 32, FILE, table(4))
    assert ledger.jobs.enter(job(JOB, 5), ledger.segments, parts(3, 2))
    assert ledger.jobs.enter(job(other, 2), ledger.segments, parts(2, request=other))
    if compacted:
        (due,) = [each for each in ledger.compaction.due(today=True) if each[0].kind == BATCH]
        assert ledger.compaction.put_together(due) is not None
    first, second = (found(ledger, name) for name in (JOB, other))
    mine, others = (ledger.jobs.origins(each, ledger.segments) for each in (first, second))
    assert (len(mine), len(others)) == (2, 1)
    ledger.labels.say([LaterLabel(TransactionId(each, 1), 1) for each in (*mine, *others)], "ana")

    assert ledger.jobs.remove(first, ledger.segments) == 5
    assert ledger.jobs.find(JOB) is None
    assert [each.id for each in ledger.jobs.all()] == [other]
    assert (counted(ledger), counted(ledger, source=BATCH)) == (6, 2)
    with ledger.tables.read() as session:
        assert list(session.scalars(select(Label.id))) == [str(TransactionId(each, 1)) for each in others]
    assert not ledger.segments.verify()
    assert not drafts(ledger)
    assert len(list(ledger.segments.folder.iterdir())) == len(ledger.segments.all()) == 2

    assert ledger.jobs.enter(job(JOB, 5), ledger.segments, parts(4, 1))
    assert counted(ledger, source=BATCH) == 7
    totals = {each.source: each.count for each in read(ledger.tables)}
    assert totals == {FILE: 4, BATCH: 7}, "the totals only grow, and count a row once"


def test_a_job_that_cannot_be_taken_out_stays_as_a_whole(ledger: Ledger) -> None:
    assert ledger.jobs.enter(job(JOB, 5), ledger.segments, parts(3, 2))
    damaged = ledger.segments.path(ledger.segments.all()[0].name)
    damaged.write_bytes(b"not Parquet")
    with pytest.raises(DamagedLedger):
        ledger.jobs.remove(found(ledger, JOB), ledger.segments)
    assert sum(each.rows for each in ledger.segments.all()) == 5
    assert ledger.jobs.find(JOB) is not None
    assert not drafts(ledger)


def test_a_job_whose_rows_have_expired_may_enter_again(ledger: Ledger) -> None:
    assert ledger.jobs.enter(job(JOB, 3), ledger.segments, parts(3))
    assert ledger.segments.expire(now() + timedelta(days=1)) == 3
    assert ledger.jobs.find(JOB) is None


def found(ledger: Ledger, name: str) -> BatchJob:
    kept = ledger.jobs.find(name)
    assert kept is not None
    return kept


def drafts(ledger: Ledger) -> list[str]:
    with ledger.tables.read() as session:
        return list(session.scalars(select(SegmentDraft.name)))
