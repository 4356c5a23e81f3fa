"""Compaction: fewer files, the same answers, and nothing comes back or is lost, whoever dies or deletes meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from screening.bucket.storage import Storage
from screening.infra.job_queue import now
from screening.ledger import compaction as module
from screening.ledger import segments
from screening.ledger.filters import DecisionFilter, TrendInterval
from screening.ledger.identity import TransactionId, new_origin
from screening.ledger.labels import LaterLabel
from screening.ledger.ledger import Ledger
from screening.ledger.tables import API, FILE
from tests.screening.ledger.ledger_rows import table

NAMES = ["a" * 32, "b" * 32, "c" * 32, "d" * 32]


@pytest.fixture
def ledger(tmp_path: Path, storage: Storage) -> Ledger:
    return Ledger.open(tmp_path, "sqlite:///unused", storage=storage)


def add(ledger: Ledger, name: str, rows: int, decided: datetime, **more: Any) -> bytes:
    """Enter a screening; gives the origin of its ids."""
    origin = new_origin(int(decided.timestamp() * 1000))
    ledger.segments.add(name, FILE, table(rows, screening=name, decided_at=decided, origin=origin, **more))
    return origin


def days_ago(days: float) -> datetime:
    return now() - timedelta(days=days)


def compacted(ledger: Ledger, *, today: bool = False) -> int:
    """Put together what is due; gives how many segments there are then."""
    for some in ledger.compaction.due(today=today):
        ledger.compaction.put_together(some)
    assert ledger.compaction.due(today=today) == []
    return len(ledger.segments.all())


def answers(ledger: Ledger) -> list[Any]:
    """What the ledger says of everything."""
    everything, ana = DecisionFilter(), DecisionFilter(owner="ana")
    ask = ledger.questions
    return [
        ask.summary(everything).rows,
        ask.summary(ana).rows,
        ask.summary(DecisionFilter(detector="payments")).rows,
        ask.trends(everything, TrendInterval.DAY).rows,
        ask.by("device_id", everything).rows,
        [ask.summary(DecisionFilter(screening=name)).rows for name in NAMES],
        [row["number"] for row in ask.rows(everything, limit=1000)],
        [row["probability"] for row in ask.rows(DecisionFilter(flagged=True), limit=1000)],
    ]


def files(ledger: Ledger) -> set[str]:
    return {path.stem for path in ledger.segments.folder.iterdir()}


@pytest.mark.both_homes
def test_days_that_are_over_become_one_segment_and_answer_as_before(ledger: Ledger) -> None:
    noon = days_ago(3).replace(hour=12)
    first = add(ledger, NAMES[0], 3, noon, fields={"device": ["D1", "D2", "D1"]})
    add(ledger, NAMES[1], 4, noon + timedelta(hours=1), owner="ben", detector="card")
    add(ledger, NAMES[2], 5, days_ago(2).replace(hour=12))
    add(ledger, NAMES[3], 6, now())
    before = answers(ledger)
    assert compacted(ledger) == 3
    assert answers(ledger) == before
    (both,) = [each for each in ledger.segments.all() if each.screening is None]
    assert (both.rows, both.owner, both.detector, both.kind) == (7, None, None, FILE)
    assert ledger.segments.screenings() == set(NAMES)
    for name in NAMES[:2]:
        segment = ledger.segments.of(name)
        assert segment is not None
        assert segment.name == both.name
    assert ledger.segments.verify() == []
    assert files(ledger) == {each.name for each in ledger.segments.all()}
    found = ledger.questions.one(TransactionId(first, 2), "ana")
    assert found is not None
    assert (found["number"], found["device"]) == (2, "D2")
    assert ledger.questions.one(TransactionId(first, 2), "ben") is None


def test_the_present_day_is_put_together_when_it_has_many_or_when_that_is_asked_for(ledger: Ledger) -> None:
    for number in range(module.MOST_OF_TODAY + 1):
        assert len(ledger.segments.all()) == number
        assert ledger.compaction.due() == []
        ledger.segments.add(f"api-{number}", API, table(2, screening=None, source=API, decided_at=now()))
    before = answers(ledger)
    assert compacted(ledger) == 1
    assert answers(ledger) == before
    ledger.segments.add("api-x", API, table(2, screening=None, source=API, decided_at=now()))
    assert compacted(ledger) == 2
    assert compacted(ledger, today=True) == 1


def test_files_and_the_api_stay_apart_and_large_ones_stay_as_they_are(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 10)
    noon = days_ago(3).replace(hour=12)
    add(ledger, NAMES[0], 5, noon)
    add(ledger, NAMES[1], 4, noon)
    add(ledger, NAMES[2], 4, noon)
    add(ledger, NAMES[3], 4, noon)
    ledger.segments.add("api-1", API, table(2, screening=None, source=API, decided_at=noon))
    assert compacted(ledger) == 4
    assert sorted(each.rows for each in ledger.segments.all()) == [2, 4, 5, 8]


@pytest.mark.both_homes
def test_a_screening_is_deleted_out_of_a_segment_of_several_with_its_labels(ledger: Ledger) -> None:
    noon = days_ago(3).replace(hour=12)
    origins = [add(ledger, name, 3, noon) for name in NAMES[:3]]
    ids = [TransactionId(origin, 1) for origin in origins]
    ledger.labels.say([LaterLabel(each, 1) for each in ids], "ana")
    assert compacted(ledger) == 1
    for left, (name, origin) in enumerate(zip(NAMES, origins, strict=False)):
        assert ledger.segments.forget(name)
        assert not ledger.segments.forget(name)
        assert sum(each.rows for each in ledger.segments.all()) == 6 - 3 * left
        assert ledger.segments.screenings() == set(NAMES[left + 1 : 3])
        assert ledger.questions.one(TransactionId(origin, 1), None) is None
        confirmed = [row["confirmed"] for row in ledger.questions.summary(DecisionFilter()).rows]
        assert confirmed == ([2 - left] if left < 2 else [])
        assert ledger.segments.verify() == []
    assert files(ledger) == set()


def test_a_screening_that_is_entered_again_takes_the_place_of_its_rows(ledger: Ledger) -> None:
    noon = days_ago(3).replace(hour=12)
    for name in NAMES[:3]:
        add(ledger, name, 3, noon)
    compacted(ledger)
    add(ledger, NAMES[0], 5, noon)
    assert sorted(each.rows for each in ledger.segments.all()) == [5, 6]
    assert ledger.segments.screenings() == set(NAMES[:3])
    assert compacted(ledger) == 1


def test_what_is_deleted_while_segments_are_put_together_stays_deleted(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = days_ago(3).replace(hour=12)
    for name in NAMES[:3]:
        add(ledger, name, 3, noon)
    (some,) = ledger.compaction.due()
    real = segments.write_whole

    def meanwhile(*given: Any) -> Any:
        written = real(*given)
        monkeypatch.undo()
        assert ledger.segments.forget(NAMES[1])
        return written

    monkeypatch.setattr(segments, "write_whole", meanwhile)
    assert ledger.compaction.put_together(some) is None
    assert ledger.segments.screenings() == {NAMES[0], NAMES[2]}
    assert len(files(ledger)) == 2
    assert ledger.compaction.put_together(some) is None  # a file of the list is gone
    assert compacted(ledger) == 1


def test_what_is_put_together_while_it_is_deleted_stays_deleted(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = days_ago(3).replace(hour=12)
    for name in NAMES[:2]:
        add(ledger, name, 3, noon)
    compacted(ledger)
    add(ledger, NAMES[2], 3, noon)
    real = segments.write_whole

    def meanwhile(*given: Any) -> Any:
        written = real(*given)
        monkeypatch.undo()
        assert compacted(ledger) == 1
        return written

    monkeypatch.setattr(segments, "write_whole", meanwhile)
    assert ledger.segments.forget(NAMES[0])
    assert ledger.segments.screenings() == set(NAMES[1:3])
    assert sum(each.rows for each in ledger.segments.all()) == 6
    assert len(files(ledger)) == 1


def test_a_segment_that_lost_all_its_screenings_but_one_is_put_together_again(ledger: Ledger) -> None:
    noon = days_ago(3).replace(hour=12)
    for name in NAMES[:2]:
        add(ledger, name, 2, noon)
    assert compacted(ledger) == 1
    add(ledger, NAMES[1], 1, noon)  # entered again: the segment of both is left with the first
    assert compacted(ledger) == 1
    assert {name: _rows_of(ledger, name) for name in NAMES[:2]} == {NAMES[0]: 2, NAMES[1]: 1}
    assert ledger.segments.forget(NAMES[0])
    assert ledger.segments.screenings() == {NAMES[1]}


@hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["add", "forget", "compact", "killed"]), st.sampled_from(NAMES), st.integers(1, 4)
        ),
        max_size=12,
    )
)
def test_whatever_happens_in_whatever_order_each_screening_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    ledger = Ledger.open(tmp_path_factory.mktemp("ledger"), "sqlite:///unused")
    noon, expected = days_ago(3).replace(hour=12), dict[str, int]()
    for what, name, rows in steps:
        if what == "add":
            add(ledger, name, rows, noon)
            expected[name] = rows
        elif what == "forget":
            assert ledger.segments.forget(name) is (expected.pop(name, None) is not None)
        elif what == "compact":
            compacted(ledger)
        else:
            _killed(ledger, name, rows, noon)
        assert {one: _rows_of(ledger, one) for one in NAMES} == {one: expected.get(one, 0) for one in NAMES}
        assert sum(each.rows for each in ledger.segments.all()) == sum(expected.values())
    assert ledger.segments.verify() == []
    ledger.tables.engine.dispose()


def _killed(ledger: Ledger, name: str, rows: int, noon: datetime) -> None:
    """Somebody dies before what was written is entered."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(segments, "write_whole", _dies)
        for some in ledger.compaction.due():
            with pytest.raises(KeyboardInterrupt):
                ledger.compaction.put_together(some)
        segment = ledger.segments.of(name)
        if segment is not None and segment.screening is None and segment.rows > _rows_of(ledger, name):
            with pytest.raises(KeyboardInterrupt):
                ledger.segments.forget(name)


def _dies(path: Path, _tables: Any) -> Any:
    path.with_suffix(segments.PART).write_bytes(b"half of it")
    raise KeyboardInterrupt


def _rows_of(ledger: Ledger, name: str) -> int:
    return sum(row["transactions"] for row in ledger.questions.summary(DecisionFilter(screening=name)).rows)


def test_old_decisions_leave_with_their_labels_and_nothing_else_does(ledger: Ledger) -> None:
    origins = {
        days: add(ledger, name, 3, days_ago(days)) for days, name in zip([40, 20, 5], NAMES, strict=False)
    }
    ids = [TransactionId(origin, 1) for origin in origins.values()]
    ledger.labels.say([LaterLabel(each, 1) for each in ids], "ana")
    assert ledger.segments.expire(days_ago(90)) == 0
    assert ledger.segments.expire(days_ago(30)) == 3
    assert ledger.segments.screenings() == {NAMES[1], NAMES[2]}
    assert [row["confirmed"] for row in ledger.questions.summary(DecisionFilter()).rows] == [2]
    assert ledger.segments.expire(days_ago(1)) == 6
    assert ledger.questions.summary(DecisionFilter()).rows == []
    assert files(ledger) == set()


def test_a_segment_that_is_partly_old_stays_with_the_labels_of_all_its_rows(ledger: Ledger) -> None:
    start = days_ago(30).replace(hour=0, minute=10)
    origin = add(ledger, NAMES[0], 3, start)
    add(ledger, NAMES[1], 3, start + timedelta(hours=23))
    ledger.labels.say([LaterLabel(TransactionId(origin, 1), 1)], "ana")
    assert compacted(ledger) == 1
    assert ledger.segments.expire(start + timedelta(hours=12)) == 0
    assert [row["confirmed"] for row in ledger.questions.summary(DecisionFilter()).rows] == [1]
