"""Lists cases: filters, orders, pages, and how many there are of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, UnaryExpression, and_, func, or_, select

from screening.infra.database import Database
from screening.review.cases import BY_RISK
from screening.review.people import Reviewer, visible
from screening.review.tables import Case, CaseAct, CaseEvent, CaseState, ReviewOutcome

ON_PAGE = 50
# Counting all cases takes too long, so a longer list says “more than”.
MOST_COUNTED = 10_000
ORDERS: dict[str, tuple[UnaryExpression[Any], ...]] = {
    "risk": BY_RISK,
    "age": (Case.opened.asc(), Case.id.asc()),
    "latest": (Case.decided.desc(), Case.id.desc()),
    "amount": (Case.amount.desc(), Case.id.desc()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFilter:
    """Filter of a list of cases; ``None`` is all."""

    state: str | None = "waiting"
    """A state, or ``waiting`` for those that somebody could be given."""
    mine: bool = False
    """Those that whoever asks has, or had when they were decided."""
    assignee: str | None = None
    escalated: bool | None = None
    detector: str | None = None
    fraud_type: str | None = None
    outcome: str | None = None
    entity: tuple[str, str] | None = None
    late: bool = False
    """That should have been decided by now."""
    sort: str = "risk"


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list."""

    cases: Sequence[Case]
    total: int
    page: int

    @property
    def pages(self) -> int:
        """Number of pages, at least one."""
        return max(1, -(-self.total // ON_PAGE))


class Listings:
    """Lists of the cases of one instance.

    Args:
        database: of the app.
        sla_hours: after which a case is late.
    """

    def __init__(self, database: Database, sla_hours: int) -> None:
        self._database, self._sla = database, timedelta(hours=sla_hours)

    def page(self, chosen: CaseFilter, who: Reviewer, page: int, now: datetime) -> Listing:
        """Return one page of the cases that somebody may see.

        Args:
            chosen: which cases, and in which order.
            who: asks.
            page: from 1; one behind the last is the last.
            now: cases are late by this time.
        """
        where = self._where(chosen, who, now)
        counted = select(Case.id).where(*where).limit(MOST_COUNTED + 1).subquery()
        with self._database.read() as session:
            total = session.scalar(select(func.count()).select_from(counted)) or 0
            last = max(1, -(-total // ON_PAGE))
            page = min(max(page, 1), last)
            order = ORDERS.get(chosen.sort, BY_RISK)
            query = select(Case).where(*where).order_by(*order).limit(ON_PAGE).offset((page - 1) * ON_PAGE)
            return Listing(session.scalars(query).all(), total, page)

    def _where(self, chosen: CaseFilter, who: Reviewer, now: datetime) -> list[ColumnElement[bool]]:
        where = [visible(who)]
        if chosen.state == "waiting":
            where.append(waiting_for(who) if chosen.escalated is None else Case.waiting.is_(True))
        elif chosen.state is not None:
            where.append(Case.state == chosen.state)
        if chosen.mine:
            where.append(or_(Case.assignee == who.name, Case.decided_by == who.name))
        given: list[tuple[Any, object]] = [
            (Case.assignee, chosen.assignee),
            (Case.escalated, chosen.escalated),
            (Case.detector, chosen.detector),
            (Case.fraud_type, chosen.fraud_type),
            (Case.outcome, chosen.outcome),
        ]
        where += [column == value for column, value in given if value is not None]
        if chosen.entity is not None:
            where += [Case.kind == chosen.entity[0], Case.value == chosen.entity[1]]
        if chosen.late:
            where += [Case.state != CaseState.DECIDED, Case.opened < now - self._sla]
        return where

    def of_entity(self, case: Case, who: Reviewer, limit: int = 20) -> Sequence[Case]:
        """Return other cases of the same customer, card, account or device, the latest first."""
        if case.kind is None:
            return []
        same = Case.kind == case.kind, Case.value == case.value, Case.detector == case.detector
        query = select(Case).where(*same, Case.id != case.id, visible(who))
        with self._database.read() as session:
            return session.scalars(query.order_by(Case.id.desc()).limit(limit)).all()

    def detectors(self) -> Sequence[str]:
        """Return the detectors that there are cases of."""
        with self._database.read() as session:
            return session.scalars(select(Case.detector).distinct().order_by(Case.detector)).all()


def waiting_for(who: Reviewer) -> ColumnElement[bool]:
    """Return the condition that a case waits, and not for others than those who look at it."""
    if who.decides or who.sees_all:
        return Case.waiting.is_(True)
    return and_(Case.waiting.is_(True), Case.escalated.is_(False))


@dataclass(frozen=True, slots=True)
class QueueState:
    """State of the work."""

    waiting: int
    in_work: int
    escalated: int
    late: int
    mine: int
    decided: int
    """Transactions that were decided since a moment."""
    fraud: int
    """Of the flagged ones among them, those that were fraud: what was drawn at random says nothing of flags."""
    sure: int
    """Of the flagged ones those of which it was said what they are."""
    opened: int
    """Transactions in cases that were flagged since that moment."""


def standing(database: Database, who: Reviewer, *, since: datetime, late_before: datetime) -> QueueState:
    """Return how the work stands for somebody.

    Args:
        database: of the app.
        who: counts what they may see.
        since: for what was decided.
        late_before: cases that were opened earlier and aren't decided are late.
    """
    here = visible(who)

    def cases(*conditions: ColumnElement[bool]) -> int:
        return session.scalar(select(func.count()).select_from(Case).where(here, *conditions)) or 0

    with database.read() as session:
        transactions = (
            select(Case.outcome, Case.sampled, func.sum(Case.items))
            .where(here, Case.state == CaseState.DECIDED, Case.decided >= since)
            .group_by(Case.outcome, Case.sampled)
        )
        decided = _Decided.of(session.execute(transactions))
        opened = select(func.sum(Case.items)).where(here, ~Case.sampled, Case.opened >= since)
        return QueueState(
            waiting=cases(waiting_for(who)),
            in_work=cases(Case.state == CaseState.IN_WORK),
            escalated=cases(Case.waiting.is_(True), Case.escalated.is_(True)),
            late=cases(Case.waiting.is_(True), Case.opened < late_before)
            + cases(Case.state == CaseState.IN_WORK, Case.opened < late_before),
            mine=cases(Case.state == CaseState.IN_WORK, Case.assignee == who.name),
            decided=decided.all,
            fraud=decided.fraud,
            sure=decided.sure,
            opened=int(session.scalar(opened) or 0),
        )


@dataclass(frozen=True, slots=True)
class DayOfWork:
    """Transactions that were decided on one day, UTC; ``fraud`` and ``sure`` as :class:`QueueState` has them."""

    decided: int = 0
    fraud: int = 0
    sure: int = 0


@dataclass(slots=True)
class _Decided:
    """Transactions that were decided: all of them, and the flagged ones by what they were."""

    all: int = 0
    fraud: int = 0
    sure: int = 0

    @classmethod
    def of(cls, counted: Iterable[Sequence[Any]]) -> _Decided:
        """Add up some counts: outcome, whether the case was drawn at random, and how many."""
        found = cls()
        for outcome, sampled, count in counted:
            found.all += int(count)
            if not sampled and outcome in (ReviewOutcome.FRAUD, ReviewOutcome.LEGITIMATE):
                found.sure += int(count)
                found.fraud += int(count) if outcome == ReviewOutcome.FRAUD else 0
        return found


def by_day(database: Database, who: Reviewer, *, first: datetime, days: int) -> list[DayOfWork]:
    """Count the transactions that were decided, day by day.

    Args:
        database: of the app.
        who: counts what they may see.
        first: the beginning of the first day.
        days: how many.
    """
    query = (
        select(func.date(Case.decided), Case.outcome, Case.sampled, func.sum(Case.items))
        .where(visible(who), Case.state == CaseState.DECIDED, Case.decided >= first)
        .group_by(func.date(Case.decided), Case.outcome, Case.sampled)
    )
    found: dict[str, list[Sequence[Any]]] = {}
    with database.read() as session:
        for day, *counted in session.execute(query):
            found.setdefault(str(day), []).append(counted)
    by_date = (found.get(f"{first + timedelta(days=at):%Y-%m-%d}", []) for at in range(days))
    return [DayOfWork(day.all, day.fraud, day.sure) for day in map(_Decided.of, by_date)]


def last_undoable(database: Database, name: str, since: datetime) -> CaseEvent | None:
    """Return what somebody did last since a moment and could take back; ``None`` where there is nothing."""
    kinds = (CaseAct.DECIDED.value, CaseAct.CORRECTED.value, CaseAct.ESCALATED.value)
    mine = CaseEvent.by == name, CaseEvent.at >= since, CaseEvent.kind.in_(kinds), CaseEvent.undone.is_(False)
    with database.read() as session:
        return session.scalar(select(CaseEvent).where(*mine).order_by(CaseEvent.id.desc()).limit(1))
