"""Totals of the ledger: each row once, whatever happens to it, and no number ever smaller than an earlier one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.config import Config

from screening.ledger import totals
from screening.ledger.ledger import Ledger
from screening.ledger.tail import Entry, Kept, Repeatable
from screening.ledger.totals import EDGES
from tests.screening.ledger.ledger_rows import DECIDED, table

pytestmark = pytest.mark.both_databases


@pytest.fixture
def ledger(tmp_path: Path, database_url: str) -> Iterator[Ledger]:
    made = Ledger.open(tmp_path, database_url)
    yield made
    made.tables.engine.dispose()


def entry(*probabilities: float, detector: str = "card", key: str | None = None) -> Entry:
    values = [float(np.float32(each)) for each in probabilities]
    kept = Kept(
        len(values),
        {
            "source": "api",
            "origin": "00" * 12,
            "owner": "ana",
            "decided_at": 1_700_000_000_000_000,
            "detector": detector,
            "fingerprint": "f",
            "threshold": 0.8,
        },
        {
            "number": list(range(len(values))),
            "probability": values,
            "flagged": [each >= 0.8 for each in values],
        },
        [{} for _ in values],
    )
    request = None if key is None else Repeatable("ana", key, b"body")
    return Entry.of("ana", kept, b"answer", request)


def counted(ledger: Ledger) -> dict[tuple[str, str], tuple[int, int]]:
    return {(each.detector, each.source): (each.count, each.flagged) for each in totals.read(ledger.tables)}


def test_a_new_ledger_has_none(ledger: Ledger) -> None:
    assert counted(ledger) == {}


def test_rows_of_the_api_count_before_they_are_sealed_and_once_after(ledger: Ledger) -> None:
    ledger.tail.add([entry(0.1, 0.9), entry(0.8, detector="payments")])
    before = totals.read(ledger.tables)
    ledger.sealing.seal()
    after = totals.read(ledger.tables)
    assert [(each.detector, each.source, each.count, each.flagged) for each in before] == [
        ("card", "api", 2, 1),
        ("payments", "api", 1, 1),
    ]
    for one, other in zip(before, after, strict=True):
        assert one.rows.tolist() == other.rows.tolist()
        assert one.flagged == other.flagged
        assert one.probability == pytest.approx(other.probability)
    ledger.tail.add([entry(0.5)])
    assert counted(ledger)["card", "api"] == (3, 1)


def test_a_probability_belongs_to_the_range_whose_edge_it_is(ledger: Ledger) -> None:
    ledger.tail.add([entry(0.0, 0.1, 0.8, 1.0)])
    for _ in range(2):
        (found,) = totals.read(ledger.tables)
        ranges = {edge: count for edge, count in zip(EDGES, found.rows.tolist(), strict=True) if count}
        assert ranges == {0.01: 1, 0.1: 1, 0.8: 1, 1.0: 1}
        ledger.sealing.seal()


def test_a_request_that_is_sent_again_counts_once(ledger: Ledger) -> None:
    ledger.tail.add([entry(0.9, key="k")])
    ledger.tail.add([entry(0.9, key="k")])
    assert counted(ledger) == {("card", "api"): (1, 1)}


def test_a_screening_counts_once_however_often_it_is_entered(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.segments.add("a" * 32, "file", table(3))
    ledger.segments.add("b" * 32, "file", table(2, screening="b" * 32))
    assert counted(ledger)["payments", "file"][0] == 5


def test_a_screening_that_was_put_together_with_others_isnt_counted_again(ledger: Ledger) -> None:
    for name in "ab":
        ledger.segments.add(name * 32, "file", table(3, screening=name * 32))
    ledger.compaction.put_together(ledger.segments.all())
    assert len(ledger.segments.all()) == 1
    ledger.segments.add("a" * 32, "file", table(3))
    assert counted(ledger)["payments", "file"][0] == 6


def test_what_leaves_the_ledger_stays_counted(ledger: Ledger) -> None:
    ledger.segments.add("a" * 32, "file", table(3))
    known = counted(ledger)
    assert ledger.segments.forget("a" * 32)
    assert counted(ledger) == known
    ledger.segments.add("b" * 32, "file", table(2, screening="b" * 32))
    ledger.segments.expire(DECIDED.replace(year=DECIDED.year + 1))
    assert counted(ledger)["payments", "file"][0] == 5
    assert ledger.segments.all() == []


def test_a_segment_that_isnt_entered_isnt_counted(ledger: Ledger) -> None:
    assert ledger.segments.add("api-x", "api", table(3), lambda _session: False) is None
    assert counted(ledger) == {}


def test_a_total_never_shrinks_while_rows_move_from_the_tail_to_a_segment(ledger: Ledger) -> None:
    done = threading.Event()

    def work() -> None:
        for _ in range(30):
            ledger.tail.add([entry(0.1), entry(0.9)])
            ledger.sealing.seal()
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    seen = [0]
    while not done.is_set():
        seen.append(counted(ledger).get(("card", "api"), (0, 0))[0])
    thread.join()
    assert seen == sorted(seen)
    assert counted(ledger) == {("card", "api"): (60, 30)}


def test_screenings_of_an_older_ledger_arent_counted_when_they_are_entered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger.open(tmp_path, "sqlite:///unused")
    ledger.segments.add("a" * 32, "file", table(3))
    config = Config()
    config.set_main_option("script_location", "screening.ledger:migrations")
    config.set_main_option("path_separator", "os")
    with ledger.tables.engine.execution_options(writes=True).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")  # which had no totals
    ledger.tables.engine.dispose()
    again = Ledger.open(tmp_path, "sqlite:///unused")
    again.segments.add("a" * 32, "file", table(3))
    assert counted(again) == {}
    again.segments.add("b" * 32, "file", table(2, screening="b" * 32))
    assert counted(again)["payments", "file"][0] == 2
