"""Sharing the work: nobody gets what somebody else has, whatever is done at once and whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from screening.errors import Conflict, NotFound
from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.review.cases import Cases
from screening.review.people import Reviewer
from screening.review.tables import Case, CaseAct, CaseEvent, CaseState
from screening.settings import ROOT
from tests.screening.review.desk import all_cases, database, open_cases, row
from tests.waiting import wait_until

pytestmark = pytest.mark.both_databases

ANA, BEN = Reviewer(name="ana"), Reviewer(name="ben")
MIA = Reviewer(name="mia", sees_all=True, decides=True)
OTTO = Reviewer(name="otto", sees_all=True)
TAKER = """
import sys
from screening.infra.database import Database
from screening.review.cases import Cases
from screening.review.people import Reviewer
cases, who = Cases(Database(sys.argv[1])), Reviewer(name=sys.argv[2], sees_all=True)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    case = cases.take_next(who)
    print("none" if case is None else case.id, flush=True)
"""


@pytest.fixture
def kept(database_url: str) -> Iterator[Database]:
    found = database(database_url)
    yield found
    found.engine.dispose()


def taker(kept: Database, name: str, count: int) -> subprocess.Popen[str]:
    """A process that takes cases as soon as a line comes."""
    command = [sys.executable, "-c", TAKER, str(kept.engine.url), name, str(count)]
    made = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


def begin(people: list[subprocess.Popen[str]]) -> None:
    for each in people:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()


def taken_by_now(kept: Database) -> int:
    with kept.read() as session:
        return len(session.scalars(select(Case.id).where(Case.assignee.is_not(None))).all())


# the test of those who are killed has ten that take cases at once, with both
@pytest.mark.sqlite_only
def test_two_processes_that_take_200_cases_each_at_once_get_each_case_once(kept: Database) -> None:
    open_cases(kept, [row(number, amount=number) for number in range(1, 401)])
    people = [taker(kept, name, 200) for name in ("ana", "ben")]
    begin(people)
    got = [each.communicate(timeout=120)[0].split() for each in people]
    assert [len(each) for each in got] == [200, 200]
    both = Counter(got[0] + got[1])
    assert len(both) == 400
    assert set(both.values()) == {1}
    assert "none" not in both
    with kept.read() as session:
        for name, numbers in zip(("ana", "ben"), got, strict=True):
            mine = set(session.scalars(select(Case.id).where(Case.assignee == name)))
            assert mine == set(map(int, numbers))
    assert all(numbers == sorted(numbers, key=int, reverse=True) for numbers in got), (
        "the most expensive first, for each"
    )


def test_ten_who_are_killed_in_the_middle_lose_no_case_and_have_none_twice(kept: Database) -> None:
    open_cases(kept, [row(number) for number in range(1, 301)])
    people = [taker(kept, f"p{number}", 300) for number in range(10)]
    begin(people)
    wait_until(lambda: taken_by_now(kept) >= 10, "nobody took any")
    for each in people:
        os.kill(each.pid, signal.SIGKILL)
    told = [each.communicate(timeout=60)[0].split() for each in people]
    with kept.read() as session:
        rows = session.execute(select(Case.id, Case.state, Case.assignee, Case.waiting)).all()
        taken = Counter(
            session.scalars(select(CaseEvent.case_id).where(CaseEvent.kind == CaseAct.TAKEN.value))
        )
    assert len(rows) == 300
    for number, state, assignee, waiting in rows:
        assert (state == CaseState.IN_WORK) == (assignee is not None) == (not waiting)
        assert taken[number] == (assignee is not None)
    has = {str(number): assignee for number, _, assignee, _ in rows}
    for place, numbers in enumerate(told):
        for said in set(numbers) - {"none"}:
            assert has[said] == f"p{place}", "whoever was told of a case has it"
    assert sum(assignee is not None for _, _, assignee, _ in rows) >= 10


def test_a_skipped_case_does_not_come_back_to_who_skipped_it(kept: Database) -> None:
    open_cases(kept, [row(1, amount=500), row(2, amount=100)])
    cases = Cases(kept)
    first = cases.take_next(ANA)
    assert first is not None
    cases.skip(first.id, ANA, "I know her")
    second = cases.take_next(ANA)
    assert second is not None
    assert second.id != first.id
    assert cases.take_next(ANA) is None, "it isn't given to her again"
    other = cases.take_next(MIA)
    assert other is not None
    assert other.id == first.id, "but to somebody else"
    assert [event.note for event in cases.get(first.id, MIA).events if event.kind == CaseAct.SKIPPED] == [
        "I know her"
    ]


def test_a_case_with_which_nothing_is_done_goes_back_by_itself(kept: Database) -> None:
    open_cases(kept, [row(1), row(2)])
    cases = Cases(kept, release_minutes=30)
    first, second = cases.take_next(ANA), cases.take_next(ANA)
    assert first is not None
    assert second is not None
    with kept.write() as session:
        session.execute(update(Case).values(taken=now() - timedelta(minutes=31)))
    cases.note(second.id, ANA, "still at it")
    assert cases.release_old() == 1
    assert {case.id: case.state for case in all_cases(kept)} == {first.id: "open", second.id: "in_work"}
    again = cases.take_next(MIA)
    assert again is not None
    assert again.id == first.id
    with pytest.raises(Conflict, match="mia works on this case"):
        cases.skip(first.id, ANA)


def test_who_takes_the_next_case_needs_no_worker_to_free_old_ones(kept: Database) -> None:
    open_cases(kept, [row(1)])
    cases = Cases(kept)
    assert cases.take_next(ANA) is not None
    with kept.write() as session:
        session.execute(update(Case).values(taken=now() - timedelta(hours=2)))
    freed = cases.take_next(MIA)
    assert freed is not None
    assert freed.assignee == "mia"


def test_everybody_is_given_what_they_may_see_and_nothing_else(kept: Database) -> None:
    open_cases(kept, [row(1, owner="ana"), row(2, owner="ben", amount=99_999)])
    cases = Cases(kept)
    anas, bens = all_cases(kept)
    mine = cases.take_next(ANA)
    assert mine is not None
    assert mine.id == anas.id
    assert cases.take_next(ANA) is None
    for act in (cases.take, cases.skip, cases.escalate, cases.get):
        with pytest.raises(NotFound):
            act(bens.id, ANA)
    with pytest.raises(NotFound):
        cases.note(bens.id, ANA, "mine?")
    assert cases.get(bens.id, OTTO).case.id == bens.id
    team = Reviewer(name="ana", team=True)
    shared = cases.take_next(team)
    assert shared is not None
    assert shared.id == bens.id, "where the operator has all work on all"


def test_a_case_that_is_handed_over_is_seen_by_who_gets_it(kept: Database) -> None:
    open_cases(kept, [row(1, owner="ana")])
    cases = Cases(kept)
    (case,) = all_cases(kept)
    with pytest.raises(NotFound):
        cases.get(case.id, BEN)
    cases.hand_over(case.id, ANA, BEN, "yours")
    assert cases.get(case.id, BEN).case.assignee == "ben"
    with pytest.raises(Conflict, match="ben works on this case"):
        cases.hand_over(case.id, ANA, MIA)
    cases.hand_over(case.id, MIA, ANA)
    assert cases.get(case.id, ANA).case.assignee == "ana", "a manager hands over what others have"


def test_an_escalated_case_is_given_to_those_who_decide_alone(kept: Database) -> None:
    open_cases(kept, [row(1)])
    cases = Cases(kept)
    (case,) = all_cases(kept)
    cases.escalate(case.id, ANA, "too large for me")
    assert cases.take_next(ANA) is None
    with pytest.raises(Conflict, match="escalated"):
        cases.take(case.id, ANA)
    with pytest.raises(Conflict, match="isn't given such cases"):
        cases.hand_over(case.id, MIA, ANA)
    given = cases.take_next(MIA)
    assert given is not None
    assert given.id == case.id


def test_later_flags_join_a_case_that_waits_and_never_one_that_somebody_works_on(kept: Database) -> None:
    open_cases(kept, [row(1, customer="22")])
    open_cases(kept, [row(2, customer="22"), row(3, customer="23"), row(4, customer="22", owner="ben")])
    assert [(case.value, case.owner, case.items) for case in all_cases(kept)] == [
        ("22", "ana", 2),
        ("23", "ana", 1),
        ("22", "ben", 1),
    ]
    cases = Cases(kept)
    taken = cases.take_next(ANA)
    assert taken is not None
    assert taken.value == "22"
    version = cases.get(taken.id, ANA).case.version
    open_cases(kept, [row(5, customer="22"), row(1, customer="22")])
    assert cases.get(taken.id, ANA).case.version == version
    assert [case.items for case in all_cases(kept)] == [2, 1, 1, 1], "one more case, and no row twice"


def test_a_note_has_no_card_number(kept: Database) -> None:
    open_cases(kept, [row(1)])
    cases = Cases(kept)
    (case,) = all_cases(kept)
    cases.note(case.id, ANA, "called about 4111 1111 1111 1111")
    (event,) = cases.get(case.id, ANA).events
    assert "1111" not in json.dumps(event.note)
    with pytest.raises(Conflict, match="says nothing"):
        cases.note(case.id, ANA, "  ")
