"""Segments and their manifest: whole or not there, replaced as a whole, and swept only with a note that says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from screening.bucket.storage import Storage
from screening.infra.job_queue import now
from screening.ledger import segments as module
from screening.ledger.ledger import Ledger
from screening.ledger.moments import EPOCH
from screening.ledger.rows import SCHEMA
from screening.ledger.segments import Segments
from screening.ledger.tables import Segment, SegmentDraft
from tests.screening.ledger.ledger_rows import DECIDED, table

pytestmark = pytest.mark.both_databases


@pytest.fixture
def ledger(tmp_path: Path, database_url: str, storage: Storage) -> Iterator[Ledger]:
    made = Ledger.open(tmp_path, database_url, storage=storage)
    yield made
    made.tables.engine.dispose()


def drafts(ledger: Ledger) -> list[str]:
    with ledger.tables.read() as session:
        return list(session.scalars(select(SegmentDraft.name)))


def files(ledger: Ledger) -> set[str]:
    return {path.name for path in ledger.segments.folder.iterdir()}


def test_a_segment_says_what_is_in_it(ledger: Ledger) -> None:
    times = np.array([0.0, 86400.25, np.nan])
    made = ledger.segments.add("a" * 32, "file", table(3, seconds=times))
    assert made is not None
    (kept,) = ledger.segments.all()
    assert (kept.name, kept.rows, kept.flagged, kept.owner, kept.detector) == (
        made.name,
        3,
        1,
        "ana",
        "payments",
    )
    assert kept.calendar is None  # one row has no time of its own
    assert kept.earliest == datetime(1970, 1, 1, tzinfo=UTC)
    assert kept.latest == kept.decided_last == DECIDED
    read = pq.read_table(ledger.segments.path(kept.name))
    assert read.schema.names == SCHEMA.names
    assert read.column("event_time").to_pylist()[1] == EPOCH + timedelta(days=1, milliseconds=250)
    assert read.column("amount").to_pylist() == [1234, 1234, 1234]
    assert ledger.segments.path(kept.name).stat().st_mode & 0o777 == 0o600
    assert drafts(ledger) == []


@pytest.mark.both_homes
def test_a_segment_that_is_written_again_takes_the_place_of_the_first(ledger: Ledger) -> None:
    ledger.segments.add("a" * 32, "file", table(3))
    ledger.segments.add("b" * 32, "file", table(2, screening="b" * 32))
    ledger.segments.add("a" * 32, "file", table(5))
    assert sorted(each.rows for each in ledger.segments.all()) == [2, 5]
    assert len(files(ledger)) == 2
    assert ledger.segments.screenings() == {"a" * 32, "b" * 32}


@pytest.mark.both_homes
def test_what_is_forgotten_leaves_neither_row_nor_file(ledger: Ledger) -> None:
    ledger.segments.add("a" * 32, "file", table())
    assert ledger.segments.forget("a" * 32)
    assert not ledger.segments.forget("a" * 32)
    assert (ledger.segments.all(), files(ledger), drafts(ledger)) == ([], set(), [])


@pytest.mark.parametrize("moment", ["write_whole", "_described"])
def test_a_writer_that_dies_leaves_nothing_that_counts_and_a_note_of_what_to_sweep(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before = ledger.segments.add("a" * 32, "file", table(3))
    assert before is not None
    real = getattr(module, moment)

    def killed(*given: object) -> object:
        real(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, moment, killed)
    with pytest.raises(KeyboardInterrupt):
        ledger.segments.add("a" * 32, "file", table(5))
    monkeypatch.undo()
    assert [each.name for each in ledger.segments.all()] == [before.name]
    assert len(files(ledger)) == 2
    assert ledger.segments.sweep() == []  # it may still be written
    with ledger.tables.write() as session:
        for draft in session.scalars(select(SegmentDraft)):
            draft.since = now() - timedelta(minutes=11)
    assert len(ledger.segments.sweep()) == 1
    assert files(ledger) == {f"{before.name}.parquet"}
    assert drafts(ledger) == []


@pytest.mark.security(51)
def test_files_that_no_note_names_are_never_swept(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path, "sqlite:///unused")
    ledger.segments.add("a" * 32, "file", table())
    (tmp_path / "ledger.sqlite3").rename(tmp_path / "elsewhere.sqlite3")
    for beside in ("-wal", "-shm"):
        (tmp_path / f"ledger.sqlite3{beside}").unlink(missing_ok=True)
    empty = Ledger.open(tmp_path, "sqlite:///unused")
    assert empty.segments.all() == []
    assert empty.segments.sweep() == []
    assert len(files(empty)) == 1


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_verify_finds_a_changed_byte_a_missing_file_and_wrong_counts(ledger: Ledger) -> None:
    added = [ledger.segments.add(letter * 32, "file", table(screening=letter * 32)) for letter in "abcd"]
    names = [segment.name for segment in added if segment is not None]
    assert ledger.segments.verify() == []
    _flip(ledger.segments.path(names[0]))
    ledger.segments.path(names[1]).unlink()
    with ledger.tables.write() as session:
        wrong = session.get(Segment, names[2])
        assert wrong is not None
        wrong.flagged += 1
    found = {fault.name: fault.problem for fault in ledger.segments.verify()}
    assert set(found) == set(names[:3])
    assert "hash differs" in found[names[0]]
    assert "can't be read" in found[names[1]]
    assert "3 rows and 1 flags, the manifest 3 and 2" in found[names[2]]


def test_two_ledgers_of_one_instance_see_the_same(tmp_path: Path, ledger: Ledger, database_url: str) -> None:
    other = Segments(tmp_path, Ledger.open(tmp_path, database_url).tables)
    ledger.segments.add("a" * 32, "file", table())
    assert [each.rows for each in other.all()] == [3]
