"""Decides: an outcome closes a case and becomes labels in the ledger; it can be taken back, corrected, and reopened.

Cases are the app's, labels the ledger's, and these may be two databases. What was decided is written first, with a note
that the ledger has still to be told; whoever decided tells it at once, and the worker does where that failed.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from screening.errors import Conflict, ScreeningError
from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger import identity
from screening.ledger.labels import REVIEW, Labels, LaterLabel
from screening.review.cases import (
    Cases,
    note_told,
    put_back,
    require_free,
    require_version,
    seen,
    state_of,
    tell,
)
from screening.review.leaving import recount
from screening.review.people import Reviewer
from screening.review.tables import (
    MOST_TYPE,
    WAITING,
    Case,
    CaseAct,
    CaseEvent,
    CaseItem,
    CaseState,
    ReviewOutcome,
)

log = logging.getLogger(__name__)
# Until then an act is taken back as if it had not been; later, a decision is corrected and both stay on
# record.
UNDO = timedelta(seconds=10)
MOST_TOGETHER = 100
"""Cases that are decided with one click."""
LABELS = {ReviewOutcome.FRAUD: 1, ReviewOutcome.LEGITIMATE: 0}
CAN_BE_UNDONE = (CaseAct.DECIDED.value, CaseAct.CORRECTED.value, CaseAct.ESCALATED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewDecision:
    """Decision of a person on a case."""

    outcome: ReviewOutcome
    fraud_type: str | None = None
    reason: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class DecidedCase:
    """Result for one case."""

    case: int
    act: CaseAct
    transactions: int
    told: int | None = None
    """The version of the case of which the ledger knows, where that still has to be noted."""


class CaseDecisions:
    """Decides on cases.

    Args:
        cases: of the instance.
        labels: of its ledger.
    """

    def __init__(self, cases: Cases, labels: Labels) -> None:
        self._cases, self._labels = cases, labels
        self._database: Database = cases.database

    def decide(
        self,
        numbers: Sequence[int],
        who: Reviewer,
        decision: ReviewDecision,
        *,
        version: int | None = None,
        only: Sequence[str] = (),
        settle: bool = True,
    ) -> list[DecidedCase]:
        """Decide on some cases, all or none. One that is decided already is corrected, and keeps its trace.

        Args:
            numbers: of the cases.
            who: decides.
            decision: what they say.
            version: of the one case as they saw it; ``None`` for whatever it is.
            only: transactions of the one case that it is about; the others stay behind, in a case that waits for the
                same person. Nothing is all.
            settle: whether to note at once that the ledger knows; without it, whoever takes the next case does
                (:meth:`screening.review.cases.Cases.take_next`), or :meth:`settle`: it is one commit less to wait for.

        Raises:
            NotFound: there is one that they may not see.
            Conflict: somebody else has one of them, or it has changed.
        """
        if not 1 <= len(numbers) <= MOST_TOGETHER:
            raise Conflict(
                f"Decide on 1 to {MOST_TOGETHER} cases at once.", remedy="Choose fewer. Nothing was changed."
            )
        if decision.fraud_type is not None and len(decision.fraud_type) > MOST_TYPE:
            raise Conflict(
                f"A type of fraud has at most {MOST_TYPE} characters.", remedy="Write a shorter one."
            )
        together = secrets.token_hex(16)
        found: list[DecidedCase] = []
        ids = self._ids(numbers)
        earlier = self._labels.standing([one for some in ids.values() for one in some])
        with self._database.write() as session:
            for number in sorted(set(numbers)):
                case = seen(session, number, who, alone=True)
                require_version(case, version)
                if only:
                    split_undecided(session, case, who, only)
                found.append(self._one(session, case, who, decision, together))
                case.version += 1
            _keep_earlier(session, [each.case for each in found], earlier)
        if settle:
            self.tell_ledger([each.case for each in found])
            return found
        return [replace(each, told=self._said(each.case)) for each in found]

    def settle(self, found: Sequence[DecidedCase]) -> None:
        """Note that the ledger knows of what was decided."""
        with self._database.write() as session:
            for each in found:
                if each.told is not None:
                    note_told(session, each.case, each.told)

    def _said(self, number: int) -> int | None:
        """Tell the ledger of a case, and return of which version; ``None`` where the worker has to."""
        try:
            case, items = self._read(number)
            if case is None or not case.untold:
                return None
            self._say(case, items)
        except SQLAlchemyError:
            log.exception("the ledger could not be told of what was decided")
            return None
        return case.version

    def _read(self, number: int) -> tuple[Case | None, Sequence[CaseItem]]:
        with self._database.read() as session:
            case = session.get(Case, number)
            return case, session.scalars(select(CaseItem).where(CaseItem.case_id == number)).all()

    def _one(
        self, session: Session, case: Case, who: Reviewer, decision: ReviewDecision, together: str
    ) -> DecidedCase:
        act, before = CaseAct.DECIDED, state_of(case)
        if case.state == CaseState.DECIDED:
            if case.escalated and not who.decides:
                require_free(case, who)
            act = CaseAct.CORRECTED
        else:
            require_free(case, who)
        if decision.outcome == ReviewOutcome.FRAUD:
            case.fraud_type = " ".join((decision.fraud_type or "").split()).casefold() or case.fraud_type
        case.state, case.waiting = CaseState.DECIDED.value, False
        case.assignee = case.assignee or who.name
        case.taken = None
        case.outcome, case.decided, case.decided_by, case.untold = (
            decision.outcome.value,
            now(),
            who.name,
            True,
        )
        tell(
            session,
            case,
            who,
            act,
            outcome=decision.outcome.value,
            fraud_type=case.fraud_type if decision.outcome == ReviewOutcome.FRAUD else None,
            reason=decision.reason,
            note=decision.note,
            together=together,
            before=before,
        )
        return DecidedCase(case.id, act, case.items)

    def _ids(self, numbers: Sequence[int]) -> dict[int, list[str]]:
        with self._database.read() as session:
            found: dict[int, list[str]] = {}
            for row in session.execute(
                select(CaseItem.case_id, CaseItem.id).where(CaseItem.case_id.in_(numbers))
            ):
                found.setdefault(row.case_id, []).append(row.id)
        return found

    def undo(self, who: Reviewer) -> list[int]:
        """Take back what somebody did last, if that was a moment ago, and return which cases it was about.

        What they were given after that, and did nothing with, goes back.

        Raises:
            Conflict: there is nothing, or it was longer ago.
        """
        with self._database.write() as session:
            mine = CaseEvent.by == who.name, CaseEvent.at >= now() - UNDO, CaseEvent.kind.in_(CAN_BE_UNDONE)
            last = session.scalar(
                select(CaseEvent)
                .where(*mine, CaseEvent.undone.is_(False))
                .order_by(CaseEvent.id.desc())
                .limit(1)
            )
            if last is None:
                raise Conflict(
                    f"There is nothing of the last {UNDO.seconds} seconds to take back.",
                    remedy="Correct the decision on the page of its case.",
                )
            events = [last]
            if last.together is not None:
                events = list(
                    session.scalars(
                        select(CaseEvent).where(
                            CaseEvent.together == last.together, CaseEvent.undone.is_(False)
                        )
                    )
                )
            for event in events:
                case = seen(session, event.case_id, who, alone=True)
                _require_last(session, event)
                event.undone = True
                _restore(case, event.before)
                case.version += 1
                tell(session, case, who, CaseAct.UNDONE, outcome=event.outcome, together=last.together)
            numbers = [event.case_id for event in events]
            give_back(session, who, max(event.id for event in events), numbers)
        self.tell_ledger(numbers)
        return numbers

    def reopen(self, number: int, who: Reviewer, note: str = "") -> None:
        """Let a decided case wait again; its labels stay until it is decided again.

        Raises:
            NotFound: they may not see it.
            Conflict: it isn't decided.
        """
        with self._cases.changing(number, who) as (session, case):
            if case.state != CaseState.DECIDED:
                raise Conflict("This case isn't decided.", remedy="Decide on it, or give it back.")
            before = state_of(case)
            put_back(case, CaseState.REOPENED)
            tell(session, case, who, CaseAct.REOPENED, note=note, before=before)

    def tell_ledger(self, numbers: Sequence[int]) -> None:
        """Have the labels of some cases say what was decided."""
        try:
            for number in numbers:
                self._tell(number)
        except SQLAlchemyError:  # what was decided is kept, and the worker tells the ledger of it
            log.exception("the ledger could not be told of what was decided")

    def tell_what_waits(self, limit: int = 50) -> int:
        """Tell the ledger of what it wasn't told of, and return of how many cases."""
        with self._database.read() as session:
            numbers = session.scalars(select(Case.id).where(Case.untold).limit(limit)).all()
        self.tell_ledger(numbers)
        return len(numbers)

    def _tell(self, number: int) -> None:
        """Say, then look whether the case has changed meanwhile: what was said last must be what was decided last."""
        while True:
            case, items = self._read(number)
            if case is None or not case.untold:
                return
            self._say(case, items)
            with self._database.write() as session:
                note_told(session, number, case.version)

    def _say(self, case: Case, items: Sequence[CaseItem]) -> None:
        ids = {one.id: identity.parse(one.id) for one in items}
        label = None if case.outcome is None else LABELS.get(ReviewOutcome(case.outcome))
        if label is None:
            self._labels.withdraw([(one.id, one.earlier, one.label) for one in items], source=REVIEW)
            return
        kind = case.fraud_type if label == 1 else None
        said = [LaterLabel(found, label, case.decided, kind) for found in ids.values() if found is not None]
        self._labels.say(said, case.decided_by or "", REVIEW)


def give_back(session: Session, who: Reviewer, since: int, but: Sequence[int]) -> None:
    """Give the cases back that somebody was given after an act which is taken back, and did nothing with."""
    given = (
        CaseEvent.by == who.name,
        CaseEvent.kind == CaseAct.TAKEN.value,
        CaseEvent.id > since,
        CaseEvent.case_id.not_in(but),
    )
    for event in session.scalars(select(CaseEvent).where(*given)).all():
        case = session.get(Case, event.case_id, with_for_update=True)
        last = session.scalar(select(func.max(CaseEvent.id)).where(CaseEvent.case_id == event.case_id))
        if case is not None and last == event.id and case.assignee == who.name:
            event.undone = True
            put_back(case)
            case.version += 1


def _require_last(session: Session, event: CaseEvent) -> None:
    later = select(CaseEvent.id).where(CaseEvent.case_id == event.case_id, CaseEvent.id > event.id).limit(1)
    if session.scalar(later) is not None:
        raise Conflict(
            "Something else was done with this case since.", remedy="Correct the decision on its page."
        )


def _restore(case: Case, before: dict[str, object]) -> None:
    state = CaseState(str(before["state"]))
    case.state, case.waiting = state.value, state in WAITING
    case.escalated = bool(before["escalated"])
    case.assignee = None if before["assignee"] is None else str(before["assignee"])
    case.taken = now() if state == CaseState.IN_WORK else None
    for name in ("outcome", "fraud_type", "decided_by"):
        value = before[name]
        setattr(case, name, None if value is None else str(value))
    at = before["decided"]
    case.decided = None if at is None else datetime.fromisoformat(str(at))
    case.untold = True


def _keep_earlier(session: Session, cases: Sequence[int], earlier: dict[str, dict[str, object]]) -> None:
    """Keep with each transaction the label that somebody else had said before, once."""
    if not earlier:
        return
    for item in session.scalars(
        select(CaseItem).where(CaseItem.case_id.in_(cases), CaseItem.id.in_(list(earlier)))
    ):
        if item.earlier is None:
            item.earlier = earlier[item.id]


def split_undecided(session: Session, case: Case, who: Reviewer, only: Sequence[str]) -> None:
    """Leave the transactions that aren't decided on in a case of their own, which whoever decides keeps."""
    items = session.scalars(select(CaseItem).where(CaseItem.case_id == case.id)).all()
    chosen = set(only)
    if not chosen <= {item.id for item in items}:
        raise ScreeningError(
            "One of these transactions isn't in this case.", remedy="Look at the case again."
        )
    left = [item for item in items if item.id not in chosen]
    if not left:
        return
    require_free(case, who)
    rest = Case(
        owner=case.owner,
        detector=case.detector,
        kind=case.kind,
        value=case.value,
        state=CaseState.IN_WORK.value,
        waiting=False,
        assignee=who.name,
        taken=now(),
        escalated=case.escalated,
        opened=case.opened,
        items=0,
        loss=0.0,
        rank=0.0,
        sampled=False,
        probability=0.0,
        version=1,
        untold=False,
    )
    session.add(rest)
    session.flush()
    for item in left:
        item.case_id = rest.id
    session.flush()
    recount(session, [case, rest])
    tell(session, case, who, CaseAct.SPLIT, target=str(rest.id))
    tell(session, rest, who, CaseAct.SPLIT, target=str(case.id))
