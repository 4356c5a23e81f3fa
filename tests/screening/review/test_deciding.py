"""What is decided is what the ledger says: also when it is taken back, corrected, or the ledger wasn't there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from screening.errors import Conflict, ScreeningError
from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger import identity
from screening.ledger.labels import FEED, Labels, LaterLabel
from screening.ledger.ledger import Ledger
from screening.ledger.tables import Label
from screening.review.cases import Cases
from screening.review.deciding import CaseDecisions, ReviewDecision
from screening.review.people import Reviewer
from screening.review.tables import Case, CaseAct, CaseEvent, CaseItem, CaseState, ReviewOutcome
from tests.screening.review.desk import all_cases, database, id_of, open_cases, row

pytestmark = pytest.mark.both_databases

ANA = Reviewer(name="ana")
MIA = Reviewer(name="mia", sees_all=True, decides=True)
FRAUD, LEGITIMATE, UNSURE = (ReviewDecision(outcome=outcome) for outcome in ReviewOutcome)


@dataclass
class Desk:
    """Cases beside a ledger."""

    kept: Database
    ledger: Ledger
    cases: Cases
    deciding: CaseDecisions

    def label(self, number: int) -> tuple[int, str] | None:
        """The later label of a transaction, and its source."""
        with self.ledger.tables.read() as session:
            found = session.get(Label, id_of(number))
        return None if found is None else (found.label, found.source)

    def say(self, number: int, label: int) -> None:
        """A chargeback, or its contrary, comes in."""
        parsed = identity.parse(id_of(number))
        assert parsed is not None
        self.ledger.labels.say([LaterLabel(parsed, label)], "bank")

    def close(self) -> None:
        self.kept.engine.dispose()
        self.ledger.tables.engine.dispose()


def desk_in(folder: Path, url: str) -> Desk:
    kept = database(url)
    ledger = Ledger.open(folder, url)
    cases = Cases(kept)
    return Desk(kept, ledger, cases, CaseDecisions(cases, ledger.labels))


@pytest.fixture
def desk(tmp_path: Path, database_url: str) -> Iterator[Desk]:
    made = desk_in(tmp_path, database_url)
    yield made
    made.close()


def test_a_decision_is_the_label_of_all_transactions_of_its_case(desk: Desk) -> None:
    open_cases(desk.kept, [row(number, customer="22") for number in (1, 2, 3)])
    (case,) = all_cases(desk.kept)
    told = desk.deciding.decide(
        [case.id],
        ANA,
        ReviewDecision(outcome=ReviewOutcome.FRAUD, fraud_type=" Card  Testing ", note="so it was"),
    )
    assert [(each.case, each.act, each.transactions) for each in told] == [(case.id, CaseAct.DECIDED, 3)]
    assert {desk.label(number) for number in (1, 2, 3)} == {(1, "review")}
    with desk.ledger.tables.read() as session:
        label = session.get(Label, id_of(1))
    assert label is not None
    assert (label.fraud_type, label.by) == ("card testing", "ana")
    whole = desk.cases.get(case.id, ANA)
    assert (whole.case.state, whole.case.outcome, whole.case.untold) == ("decided", "fraud", False)


def test_within_ten_seconds_it_is_as_if_nothing_had_been_decided(desk: Desk) -> None:
    open_cases(desk.kept, [row(1), row(2)])
    desk.say(1, 1)
    first, second = all_cases(desk.kept)
    desk.deciding.decide([first.id, second.id], ANA, LEGITIMATE)
    assert [desk.label(1), desk.label(2)] == [(0, "review"), (0, "review")]
    assert sorted(desk.deciding.undo(ANA)) == [first.id, second.id]
    assert [desk.label(1), desk.label(2)] == [(1, FEED), None], "the chargeback is back"
    assert [case.state for case in all_cases(desk.kept)] == ["open", "open"]
    with pytest.raises(Conflict, match="nothing"):
        desk.deciding.undo(ANA)
    events = desk.cases.get(first.id, ANA).events
    assert [(event.kind, event.undone) for event in events] == [("undone", False), ("decided", True)]


def test_later_it_is_corrected_and_both_decisions_stay(desk: Desk) -> None:
    open_cases(desk.kept, [row(1)])
    (case,) = all_cases(desk.kept)
    desk.deciding.decide([case.id], ANA, FRAUD)
    with desk.kept.write() as session:
        session.execute(update(CaseEvent).values(at=now() - timedelta(seconds=11)))
    with pytest.raises(Conflict, match="nothing"):
        desk.deciding.undo(ANA)
    (told,) = desk.deciding.decide([case.id], MIA, LEGITIMATE)
    assert told.act == CaseAct.CORRECTED
    assert desk.label(1) == (0, "review")
    events = [(event.kind, event.by, event.outcome) for event in desk.cases.get(case.id, ANA).events]
    assert events == [("corrected", "mia", "legitimate"), ("decided", "ana", "fraud")]
    desk.deciding.undo(MIA)
    assert desk.label(1) == (1, "review"), "a correction can be taken back, too"
    desk.deciding.decide([case.id], ANA, UNSURE)
    assert desk.label(1) is None


def test_a_reopened_case_waits_and_keeps_its_label_until_it_is_decided_anew(desk: Desk) -> None:
    open_cases(desk.kept, [row(1)])
    (case,) = all_cases(desk.kept)
    with pytest.raises(Conflict, match="isn't decided"):
        desk.deciding.reopen(case.id, ANA)
    desk.deciding.decide([case.id], ANA, FRAUD)
    desk.deciding.reopen(case.id, MIA, "look again")
    assert all_cases(desk.kept)[0].state == CaseState.REOPENED
    assert desk.label(1) == (1, "review")
    again = desk.cases.take_next(ANA)
    assert again is not None
    desk.deciding.decide([case.id], ANA, LEGITIMATE)
    assert desk.label(1) == (0, "review")


def test_what_others_do_stands_in_the_way(desk: Desk) -> None:
    open_cases(desk.kept, [row(1), row(2)])
    first, second = all_cases(desk.kept)
    desk.cases.take(first.id, MIA)
    with pytest.raises(Conflict, match="mia works"):
        desk.deciding.decide([second.id, first.id], ANA, FRAUD)
    assert all_cases(desk.kept)[1].state == CaseState.OPEN, "all or none"
    assert desk.label(2) is None
    version = second.version
    desk.cases.note(second.id, MIA, "seen")
    with pytest.raises(Conflict, match="has changed"):
        desk.deciding.decide([second.id], ANA, FRAUD, version=version)
    desk.deciding.decide([second.id], ANA, FRAUD)
    desk.cases.note(second.id, MIA, "and now?")
    with pytest.raises(Conflict, match="Something else was done"):
        desk.deciding.undo(ANA)


def test_some_transactions_of_a_case_are_decided_alone(desk: Desk) -> None:
    open_cases(desk.kept, [row(number, customer="22", amount=number * 100) for number in (1, 2, 3)])
    (case,) = all_cases(desk.kept)
    desk.deciding.decide([case.id], ANA, FRAUD, only=[id_of(1), id_of(3)])
    decided, rest = all_cases(desk.kept)
    assert (decided.id, decided.items, decided.amount, decided.state) == (case.id, 2, 4.0, "decided")
    assert (rest.items, rest.amount, rest.state, rest.assignee) == (1, 2.0, "in_work", "ana")
    assert [desk.label(number) for number in (1, 2, 3)] == [(1, "review"), None, (1, "review")]
    with pytest.raises(ScreeningError, match="isn't in this case"):
        desk.deciding.decide([rest.id], ANA, FRAUD, only=[id_of(1)])


def test_the_worker_tells_the_ledger_what_it_could_not_be_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_cases(desk.kept, [row(1)])
    (case,) = all_cases(desk.kept)

    def fails(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    with monkeypatch.context() as broken:
        broken.setattr(Labels, "say", fails)
        desk.deciding.decide([case.id], ANA, FRAUD)
    assert desk.label(1) is None
    assert all_cases(desk.kept)[0].outcome == "fraud"
    assert desk.deciding.tell_what_waits() == 1
    assert desk.label(1) == (1, "review")
    assert desk.deciding.tell_what_waits() == 0


def test_what_is_decided_while_the_ledger_is_told_of_something_else_is_what_it_says(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody corrects between the decision and the label of somebody slow: the last decision counts."""
    open_cases(desk.kept, [row(1)])
    (case,) = all_cases(desk.kept)
    say = Labels.say
    first = [True]

    def slow(labels: Labels, said: list[LaterLabel], by: str, source: str) -> None:
        if first:
            first.clear()
            desk.deciding.decide([case.id], MIA, LEGITIMATE)
        say(labels, said, by, source)

    monkeypatch.setattr(Labels, "say", slow)
    desk.deciding.decide([case.id], ANA, FRAUD)
    assert desk.label(1) == (0, "review")
    assert not all_cases(desk.kept)[0].untold


ACTS = st.lists(
    st.sampled_from(["fraud", "legitimate", "unsure", "undo", "reopen", "feed 1", "feed 0"]), max_size=12
)


@settings(max_examples=60)
@given(acts=ACTS)
def test_whatever_is_done_the_label_is_the_last_word(acts: list[str]) -> None:
    """Beside a plain account of it: what a feed said, and what was decided."""
    with tempfile.TemporaryDirectory() as folder:
        desk = desk_in(Path(folder), f"sqlite:///{Path(folder) / 'review.sqlite3'}")
        open_cases(desk.kept, [row(1)])
        (case,) = all_cases(desk.kept)
        shown: tuple[int, str] | None = None
        earlier: tuple[int, str] | None = None
        kept_earlier = False
        outcomes: list[str | None] = [None]
        last_was_a_decision = False
        for act in acts:
            if act.startswith("feed"):
                desk.say(1, int(act[-1]))
                shown = (int(act[-1]), FEED)
                continue
            if act == "undo":
                if not last_was_a_decision:
                    continue
                desk.deciding.undo(ANA)
                outcomes.pop()
                last_was_a_decision = False
            elif act == "reopen":
                if all_cases(desk.kept)[0].state != CaseState.DECIDED:
                    continue
                desk.deciding.reopen(case.id, ANA)
                last_was_a_decision = False
                continue
            else:
                if not kept_earlier and shown is not None and shown[1] == FEED:
                    earlier, kept_earlier = shown, True
                desk.deciding.decide([case.id], ANA, ReviewDecision(outcome=ReviewOutcome(act)))
                outcomes.append(act)
                last_was_a_decision = True
            if outcomes[-1] in ("fraud", "legitimate"):
                shown = (int(outcomes[-1] == "fraud"), "review")
            elif shown is not None and shown[1] == "review":
                shown = earlier
            assert desk.label(1) == shown
        assert desk.label(1) == shown
        with desk.kept.read() as session:
            assert session.scalar(select(Case.untold)) is False
            assert session.scalar(select(CaseItem.case_id)) == case.id
        desk.close()
