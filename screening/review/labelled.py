"""Apply the labels that a program sends to cases: it closes a case that waits, and is noted in any other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger.labels import REVIEW, UNKNOWN, Labels
from screening.review.cases import event_of, state_of
from screening.review.people import Reviewer
from screening.review.tables import Case, CaseAct, CaseItem, CaseState, ReviewOutcome

AT_ONCE = 400
"""Transactions that are looked for with one statement."""
CASES_AT_ONCE = 100
"""Cases that are closed or marked in one write: others wait for it, and each has the disk wait once."""
OUTCOMES = {1: ReviewOutcome.FRAUD, 0: ReviewOutcome.LEGITIMATE}


@dataclass(frozen=True, slots=True)
class LabelResult:
    """Result for the cases."""

    closed: Sequence[int]
    noted: Sequence[int]
    """Those that somebody works on, that are decided, or of which not all transactions are known to be one thing."""


def hear(database: Database, labels: Labels, said: Mapping[str, int], by: str) -> LabelResult:
    """Close or mark the cases of transactions that a program has labelled; the ledger knows the labels already.

    A case that waits is closed when programs say one thing of all its transactions. What people decide later
    corrects it, as it would another decision.

    Args:
        database: of the app.
        labels: of the ledger.
        said: 1 for fraud or 0 for legitimate, by the transaction's id.
        by: whose program it is.
    """
    who = Reviewer(name=by)
    closed: list[int] = []
    noted: list[int] = []
    within = cases_of(database, list(said))
    numbers = sorted(within)
    for start in range(0, len(numbers), CASES_AT_ONCE):
        with database.write() as session:
            wanted = select(Case).where(Case.id.in_(numbers[start : start + CASES_AT_ONCE])).order_by(Case.id)
            cases = session.scalars(wanted.with_for_update()).all()
            outcomes = whole_cases(session, labels, [case.id for case in cases if case.waiting], said)
            for case in cases:
                ids = within[case.id]
                counts = Counter(OUTCOMES[said[one]] for one in ids)
                words = f"{len(ids)} of {case.items}: " + ", ".join(
                    f"{n} {outcome}" for outcome, n in counts.items()
                )
                outcome = outcomes.get(case.id)
                before = state_of(case)
                if outcome is not None:
                    case.state, case.waiting, case.outcome = CaseState.DECIDED.value, False, outcome.value
                    case.decided, case.decided_by = now(), by
                event = event_of(
                    case,
                    who,
                    CaseAct.LABELLED,
                    outcome=None if outcome is None else outcome.value,
                    note=words,
                    before=before,
                )
                session.add(event)
                case.version += 1
                (noted if outcome is None else closed).append(case.id)
    return LabelResult(closed, noted)


def cases_of(database: Database, ids: Sequence[str]) -> Mapping[int, Sequence[str]]:
    """Return the cases that some transactions are in, each with these."""
    found: dict[int, list[str]] = defaultdict(list)
    with database.read() as session:
        for start in range(0, len(ids), AT_ONCE):
            some = CaseItem.id.in_(ids[start : start + AT_ONCE])
            for row in session.execute(select(CaseItem.case_id, CaseItem.id).where(some)):
                found[row.case_id].append(row.id)
    return found


def whole_cases(
    session: Session, labels: Labels, numbers: Sequence[int], said: Mapping[str, int]
) -> Mapping[int, ReviewOutcome]:
    """Return what programs say of whole cases; without those of which they don't say one thing of all of it."""
    ids: dict[int, list[str]] = defaultdict(list)
    for row in session.execute(select(CaseItem.case_id, CaseItem.id).where(CaseItem.case_id.in_(numbers))):
        ids[row.case_id].append(row.id)
    others = labels.standing([one for some in ids.values() for one in some if one not in said], REVIEW)
    found = {}
    for number, some in ids.items():
        kinds = {
            said[one] if one in said else others[one]["label"] if one in others else UNKNOWN for one in some
        }
        if len(kinds) == 1 and (outcome := OUTCOMES.get(kinds.pop())) is not None:
            found[number] = outcome
    return found
