"""Shares the work: who is given which case, and how it gets from one to another. Each act is one short transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, exists, select, update
from sqlalchemy.orm import Session

from screening.cards.masking import masked
from screening.errors import Conflict, NotFound
from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.review.people import Reviewer, takeable, visible
from screening.review.tables import (
    MOST_NOTE,
    MOST_REASON,
    WAITING,
    Case,
    CaseAct,
    CaseEvent,
    CaseItem,
    CaseState,
    Skip,
)

LOOKED_THROUGH = 500
"""Cases that time out in one go."""


@dataclass(frozen=True, slots=True)
class CaseWithItems:
    """A case with what it consists of."""

    case: Case
    items: Sequence[CaseItem]
    """The most probable first."""
    events: Sequence[CaseEvent]
    """The latest first."""


class Cases:
    """The cases of one instance.

    Args:
        database: of the app.
        release_minutes: after which a case goes back that somebody took and did nothing with.
    """

    def __init__(self, database: Database, release_minutes: int = 30) -> None:
        self.database, self._release = database, timedelta(minutes=release_minutes)

    def get(self, number: int, who: Reviewer) -> CaseWithItems:
        """Return a case.

        Raises:
            NotFound: there is none that they may see.
        """
        with self.database.read() as session:
            case = seen(session, number, who)
            items = session.scalars(
                select(CaseItem)
                .where(CaseItem.case_id == number)
                .order_by(CaseItem.probability.desc(), CaseItem.id)
            ).all()
            events = session.scalars(
                select(CaseEvent).where(CaseEvent.case_id == number).order_by(CaseEvent.id.desc())
            ).all()
        return CaseWithItems(case, items, events)

    def take_next(self, who: Reviewer, told: Sequence[tuple[int, int]] = ()) -> Case | None:
        """Give somebody the case that waits and has the highest expected loss; ``None`` where none waits for them.

        They keep the one that they have, and aren't given one again that they skipped.

        Args:
            who: they.
            told: cases, each with its version, of which the ledger was told and it has to be noted.
        """
        with self.database.write() as session:
            for number, version in told:
                note_told(session, number, version)
            release(session, self._release)
            skipped = exists().where(Skip.case_id == Case.id, Skip.by == who.name)
            first = (
                select(Case)
                .where(takeable(who), ~skipped)
                .order_by(*BY_RISK)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            case = session.scalar(first)
            if case is not None:
                _take(session, case, who)
        return case

    def take(self, number: int, who: Reviewer) -> Case:
        """Give somebody one case.

        Raises:
            NotFound: they may not see it.
            Conflict: it doesn't wait: somebody else has it, or it is decided.
        """
        with self.changing(number, who) as (session, case):
            require_free(case, who)
            if case.assignee != who.name:
                _take(session, case, who)
        return case

    def skip(self, number: int, who: Reviewer, note: str = "") -> None:
        """Give a case back; whoever does so isn't given it again.

        Raises:
            NotFound, Conflict: as :meth:`take`.
        """
        with self.changing(number, who) as (session, case):
            require_free(case, who)
            put_back(case)
            session.merge(Skip(case_id=case.id, by=who.name, at=now()))
            tell(session, case, who, CaseAct.SKIPPED, note=note)

    def hand_over(self, number: int, who: Reviewer, to: Reviewer, note: str = "") -> None:
        """Give a case to somebody else, who sees it from then on.

        Raises:
            NotFound: they may not see it.
            Conflict: somebody else has it, and they don't decide on that; or it is decided.
        """
        with self.changing(number, who) as (session, case):
            if not who.decides or case.state == CaseState.DECIDED:
                require_free(case, who)
            if case.escalated and not to.decides:
                raise Conflict(
                    f"This case was escalated, and {to.name} isn't given such cases.",
                    remedy="Hand it to a manager or an administrator.",
                )
            keep_at_work(case, to.name)
            tell(session, case, who, CaseAct.HANDED, note=note, target=to.name)

    def escalate(
        self, number: int, who: Reviewer, note: str = "", *, version: int | None = None
    ) -> CaseEvent:
        """Put a case among those that only managers and administrators are given.

        Raises:
            NotFound, Conflict: as :meth:`take`; or it has changed since ``version``.
        """
        with self.changing(number, who) as (session, case):
            require_free(case, who)
            require_version(case, version)
            before = state_of(case)
            case.escalated = True
            put_back(case)
            return tell(session, case, who, CaseAct.ESCALATED, note=note, before=before)

    def note(self, number: int, who: Reviewer, note: str) -> None:
        """Keep a note, whatever the state of the case.

        Raises:
            NotFound: they may not see it.
            Conflict: it says nothing.
        """
        if not note.strip():
            raise Conflict("The note says nothing.", remedy="Write something, or leave it.")
        with self.changing(number, who) as (session, case):
            if case.assignee == who.name:
                case.taken = now()
            tell(session, case, who, CaseAct.NOTED, note=note)

    def release_old(self) -> int:
        """Give cases back with which nothing was done for too long, and return how many."""
        with self.database.write() as session:
            return release(session, self._release)

    @contextmanager
    def changing(self, number: int, who: Reviewer) -> Iterator[tuple[Session, Case]]:
        """Have a case for oneself until its change is written.

        Raises:
            NotFound: they may not see it.
        """
        with self.database.write() as session:
            case = seen(session, number, who, alone=True)
            yield session, case
            case.version += 1


def note_told(session: Session, number: int, version: int) -> None:
    """Note that the ledger knows what a case of some version says; of a later one it has to be told again."""
    mine = Case.id == number
    done = session.execute(update(Case).where(mine, Case.version == version).values(untold=False))
    if isinstance(done, CursorResult) and done.rowcount == 0:
        # who changed it may have told of it before this, and then the last word was the older one
        session.execute(update(Case).where(mine).values(untold=True))


BY_RISK = (Case.rank.desc(), Case.probability.desc(), Case.id.desc())


def seen(session: Session, number: int, who: Reviewer, *, alone: bool = False) -> Case:
    """Return a case that somebody may see; ``alone`` has everybody else who would change it wait.

    Raises:
        NotFound: there is none.
    """
    query = select(Case).where(Case.id == number, visible(who))
    case = session.scalar(query.with_for_update() if alone else query)
    if case is None:
        raise NotFound("There is no such case.", remedy="Take one of the queue.")
    return case


def require_free(case: Case, who: Reviewer) -> None:
    """See that a case waits, or that they have it.

    Raises:
        Conflict: it doesn't.
    """
    if case.state == CaseState.DECIDED:
        raise Conflict(
            f"This case was decided by {case.decided_by}.",
            remedy="Correct the decision on its page, or reopen it.",
        )
    if case.state == CaseState.IN_WORK and case.assignee != who.name:
        raise Conflict(
            f"{case.assignee} works on this case.",
            remedy="Take another one, or ask for it to be handed over.",
        )
    if case.escalated and not who.decides:
        raise Conflict("This case was escalated.", remedy="A manager or an administrator decides on it.")


def require_version(case: Case, version: int | None) -> None:
    """See that a case is still what somebody looked at; ``None`` is whatever it is.

    Raises:
        Conflict: it has changed.
    """
    if version is not None and version != case.version:
        raise Conflict(
            "This case has changed since you opened it: a transaction joined it, or somebody did something with it.",
            remedy="Look at it again, then decide. Nothing was changed.",
        )


def put_back(case: Case, state: CaseState = CaseState.OPEN) -> None:
    """Let a case wait."""
    case.state, case.waiting, case.assignee, case.taken = state.value, state in WAITING, None, None


def _take(session: Session, case: Case, who: Reviewer) -> None:
    keep_at_work(case, who.name)
    case.version += 1
    tell(session, case, who, CaseAct.TAKEN)


def keep_at_work(case: Case, name: str) -> None:
    """Give a case to somebody, who works on it from now on."""
    case.state, case.waiting, case.assignee, case.taken = CaseState.IN_WORK.value, False, name, now()


def release(session: Session, after: timedelta) -> int:
    """Give cases back that were taken too long ago."""
    old = Case.state == CaseState.IN_WORK, Case.taken < now() - after
    rows = session.execute(
        select(Case.id, Case.assignee).where(*old).limit(LOOKED_THROUGH).with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        session.add(
            CaseEvent(case_id=row.id, at=now(), by="", kind=CaseAct.RELEASED.value, target=row.assignee)
        )
    if not rows:
        return 0
    waiting = {"state": CaseState.OPEN.value, "waiting": True, "assignee": None, "taken": None}
    done = session.execute(
        update(Case).where(Case.id.in_([row.id for row in rows])).values(**waiting, version=Case.version + 1)
    )
    return done.rowcount if isinstance(done, CursorResult) else 0


def tell(session: Session, case: Case, who: Reviewer, kind: CaseAct, **more: Any) -> CaseEvent:
    """Note an act; what was written with it has no card numbers."""
    event = event_of(case, who, kind, **more)
    session.add(event)
    session.flush()
    return event


def event_of(case: Case, who: Reviewer, kind: CaseAct, **more: Any) -> CaseEvent:
    """Return the note of an act, for a session that it still has to be added to."""
    for name, most in (("note", MOST_NOTE), ("reason", MOST_REASON)):
        more[name] = masked(" ".join(str(more.get(name) or "").split()))[:most]
    return CaseEvent(case_id=case.id, at=now(), by=who.name, kind=kind.value, **more)


def state_of(case: Case) -> dict[str, Any]:
    """Return what taking an act back restores."""
    decided: datetime | None = case.decided
    return {
        "state": case.state,
        "escalated": case.escalated,
        "assignee": case.assignee,
        "outcome": case.outcome,
        "fraud_type": case.fraud_type,
        "decided": None if decided is None else decided.isoformat(),
        "decided_by": case.decided_by,
    }
