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
from screening.review.cases import state_of, tell
from screening.review.people import Reviewer
from screening.review.tables import Act, Case, CaseState, Item, Outcome

AT_ONCE = 400
"""Transactions that are looked for with one statement."""
OUTCOMES = {1: Outcome.FRAUD, 0: Outcome.LEGITIMATE}


@dataclass(frozen=True, slots=True)
class Heard:
    """Result for the cases."""

    closed: Sequence[int]
    noted: Sequence[int]
    """Those that somebody works on, that are decided, or of which not all transactions are known to be one thing."""


def hear(database: Database, labels: Labels, said: Mapping[str, int], by: str) -> Heard:
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
    for number, ids in sorted(_cases(database, list(said)).items()):
        with database.write() as session:
            case = session.get(Case, number, with_for_update=True)
            if case is None:
                continue
            counts = Counter(OUTCOMES[said[one]] for one in ids)
            words = f"{len(ids)} of {case.items}: " + ", ".join(
                f"{n} {outcome}" for outcome, n in counts.items()
            )
            outcome = _whole(session, labels, case, said) if case.waiting else None
            before = state_of(case)
            if outcome is not None:
                case.state, case.waiting, case.outcome = CaseState.DECIDED.value, False, outcome.value
                case.decided, case.decided_by = now(), by
            tell(
                session,
                case,
                who,
                Act.LABELLED,
                outcome=None if outcome is None else outcome.value,
                note=words,
                before=before,
            )
            case.version += 1
        (noted if outcome is None else closed).append(number)
    return Heard(closed, noted)


def _cases(database: Database, ids: Sequence[str]) -> Mapping[int, Sequence[str]]:
    """Return the cases that some transactions are in, each with these."""
    found: dict[int, list[str]] = defaultdict(list)
    with database.read() as session:
        for start in range(0, len(ids), AT_ONCE):
            some = Item.id.in_(ids[start : start + AT_ONCE])
            for row in session.execute(select(Item.case_id, Item.id).where(some)):
                found[row.case_id].append(row.id)
    return found


def _whole(session: Session, labels: Labels, case: Case, said: Mapping[str, int]) -> Outcome | None:
    """Return what programs say of a whole case; ``None`` where they don't say one thing of all of it."""
    ids = session.scalars(select(Item.id).where(Item.case_id == case.id)).all()
    others = labels.standing([one for one in ids if one not in said], REVIEW)
    kinds = {said[one] if one in said else others[one]["label"] if one in others else UNKNOWN for one in ids}
    return OUTCOMES.get(kinds.pop()) if len(kinds) == 1 else None
