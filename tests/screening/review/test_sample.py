"""Rows below the threshold are drawn at random, stand among the others, and say how much fraud is missed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from screening.ledger.ledger import Ledger
from screening.ledger.tables import FILE
from screening.review.cases import BY_RISK, Cases
from screening.review.deciding import CaseDecisions, ReviewDecision
from screening.review.flagged import rows_of
from screening.review.listing import standing
from screening.review.missed import Missed, missed
from screening.review.opening import Opener
from screening.review.people import Reviewer
from screening.review.tables import Case, ReviewOutcome
from tests.screening.ledger.ledger_rows import table
from tests.screening.review.desk import database
from tests.screening.review.test_deciding import Desk

MIA = Reviewer(name="mia", sees_all=True, decides=True)
COUNT = 40_000


@pytest.fixture
def desk(tmp_path: Path, database_url: str) -> Iterator[Desk]:
    kept = database(database_url)
    ledger = Ledger.open(tmp_path, database_url)
    cases = Cases(kept)
    made = Desk(kept, ledger, cases, CaseDecisions(cases, ledger.labels))
    yield made
    made.close()


def enter(desk: Desk, count: int = COUNT) -> Path:
    """Enter a file of which one row in a hundred is flagged."""
    chance = np.random.default_rng(1)
    probability = chance.uniform(0, 0.7, count).astype(np.float32)
    probability[::100] = 0.9
    made = table(
        count,
        probability=probability,
        decided_at=datetime.now(UTC),
        amount=np.round(chance.gamma(2, 50, count), 2),
        fields={"customer": [f"C{each}" for each in range(count)]},
    )
    segment = desk.ledger.segments.add("a" * 32, FILE, made)
    assert segment is not None
    return desk.ledger.segments.path(segment.name)


def test_half_a_percent_is_drawn_the_same_each_time_and_a_smaller_share_is_a_part_of_it(desk: Desk) -> None:
    path = enter(desk)

    def drawn(share: float) -> list[int]:
        rows = rows_of(path, set(), skip=0, limit=COUNT, share=share)
        assert all(row["flagged"] != row["sampled"] for row in rows)
        return [row["number"] for row in rows if row["sampled"]]

    found = drawn(0.005)
    assert found == drawn(0.005)
    assert 140 <= len(found) <= 260, "198 are expected; 4 standard deviations are 56"
    assert set(drawn(0.001)) < set(found)
    assert drawn(0.0) == []
    halves = np.array(found) > COUNT / 2
    assert 0.3 < halves.mean() < 0.7, "from all parts of the file"


def test_those_that_are_drawn_stand_among_the_others_and_count_as_no_flags(desk: Desk) -> None:
    enter(desk)
    opener = Opener(desk.kept, desk.ledger, 30, set, share=0.005)
    while opener.step():
        pass
    with desk.kept.read() as session:
        order = list(session.scalars(select(Case.sampled).order_by(*BY_RISK)))
        items = session.scalar(select(func.count()).select_from(Case).where(~Case.sampled))
    assert items == COUNT // 100
    places = np.flatnonzero(order)
    assert len(places) > 100
    assert 0.35 < places.mean() / len(order) < 0.65, "neither at the beginning nor at the end"
    assert not opener.step(), "and nothing is drawn twice"
    (before,) = missed(desk.kept, desk.ledger.questions, datetime.now(UTC) - timedelta(days=1))
    assert (before.sampled, before.decided, before.estimate, before.interval) == (len(places), 0, None, None)
    with desk.kept.read() as session:
        drawn = list(session.scalars(select(Case.id).where(Case.sampled).order_by(Case.id).limit(100)))
    desk.deciding.decide(drawn[:4], MIA, ReviewDecision(outcome=ReviewOutcome.FRAUD))
    desk.deciding.decide(drawn[4:], MIA, ReviewDecision(outcome=ReviewOutcome.LEGITIMATE))
    (after,) = missed(desk.kept, desk.ledger.questions, datetime.now(UTC) - timedelta(days=1))
    assert (after.decided, after.fraud, after.unflagged) == (100, 4, COUNT - COUNT // 100)
    work = standing(
        desk.kept, MIA, since=datetime.now(UTC) - timedelta(days=1), late_before=datetime.now(UTC)
    )
    assert (work.decided, work.sure, work.fraud) == (100, 0, 0), (
        "work that was done, and no hit or miss of a flag"
    )
    assert after.estimate == pytest.approx(0.04 * after.unflagged)
    assert after.interval is not None
    assert after.estimate is not None
    assert after.interval[0] < after.estimate < after.interval[1]


@settings(max_examples=40)
@given(share=st.floats(0.001, 0.2), seed=st.integers(0, 2**32 - 1))
def test_the_interval_holds_the_truth_about_as_often_as_it_says(share: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    inside = 0
    for _ in range(100):
        fraud = int(chance.binomial(200, share))
        found = Missed("payments", 100_000, 0, 500, 200, fraud)
        assert found.interval is not None
        inside += found.interval[0] <= share * 100_000 <= found.interval[1]
    assert inside >= 80, "95 of 100 are expected"
