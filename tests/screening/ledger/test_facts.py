"""Further columns: each segment has its own, and what one lacks is unknown there, after any sealing and compaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from screening.ledger.filters import DecisionFilter
from screening.ledger.ledger import Ledger
from screening.ledger.sealing import table_of
from screening.ledger.tables import FILE
from screening.ledger.tail import Entry, Kept
from tests.screening.ledger.ledger_rows import table

ASKED = 'SELECT number, "n:age" AS age, "t:sex" AS sex FROM chosen ORDER BY screening, number'


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path, "sqlite:///unused")


def _told(ledger: Ledger) -> list[tuple[Any, Any]]:
    return [
        (row["age"], row["sex"])
        for row in ledger.questions.ask(ASKED, DecisionFilter(), facts=["n:age", "t:sex"]).rows
    ]


def test_what_a_segment_lacks_is_unknown(ledger: Ledger) -> None:
    ledger.segments.add("a" * 32, FILE, table(2))
    assert _told(ledger) == [(None, None)] * 2
    facts = {"n:age": pa.array([31.0, None]), "t:sex": pa.array(["F", "M"])}
    ledger.segments.add("b" * 32, FILE, table(2, screening="b" * 32, facts=facts))
    ledger.segments.add("c" * 32, FILE, table(1, screening="c" * 32, facts={"n:other": pa.array([1.0])}))
    wanted = [(None, None), (None, None), (31.0, "F"), (None, "M"), (None, None)]
    assert _told(ledger) == wanted
    assert ledger.questions.summary(DecisionFilter()).rows[0]["transactions"] == 5
    for some in ledger.compaction.due(today=True):
        ledger.compaction.put_together(some)
    assert len(ledger.segments.all()) == 1
    assert _told(ledger) == wanted
    ledger.segments.forget("c" * 32)
    assert _told(ledger) == wanted[:-1]
    assert not ledger.segments.verify()


def test_the_tail_has_them_as_well_and_keeps_them_when_sealed(ledger: Ledger) -> None:
    same = {
        "origin": "ab" * 12,
        "source": "api",
        "detector": "payments",
        "fingerprint": "f",
        "owner": "ana",
        "decided_at": 1_772_366_400_000_000,
    }
    one = Kept(1, same, {"number": [0], "probability": [0.5], "flagged": [False]}, [{}])
    other = Kept(
        2,
        {**same, "origin": "cd" * 12},
        {"number": [0, 1], "probability": [0.5, 0.6], "flagged": [False, False], "n:age": [4.0, None]},
        [{}, {}],
    )
    ledger.tail.add([Entry.of("ana", each, b"") for each in (one, other)])
    asked = 'SELECT number, "n:age" AS age, "t:sex" AS sex FROM chosen ORDER BY origin, number'

    def told() -> list[Any]:
        return [
            row["age"] for row in ledger.questions.ask(asked, DecisionFilter(), facts=["n:age", "t:sex"]).rows
        ]

    assert told() == [None, 4.0, None]
    assert ledger.sealing.seal() == 3
    assert told() == [None, 4.0, None]


def test_rows_without_any_are_what_they_were() -> None:
    kept = Kept(1, {"origin": "ab" * 12}, {"number": [0], "probability": [0.5]}, [{}])
    assert table_of([Entry.of("ana", kept, b"").payload]).column_names == table(1).column_names
