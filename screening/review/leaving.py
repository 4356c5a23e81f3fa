"""Takes transactions out of cases: a screening was deleted, decisions grew too old, a name is somebody else's now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.orm import Session

from screening.infra.database import Database
from screening.ledger.identity import id_prefix
from screening.review.counting import MOST_PARAMETERS, Values, joined, parts
from screening.review.tables import Case, CaseEvent, CaseItem, CaseState, Skip

# Transactions that leave in one database transaction: other writers wait for it.
AT_ONCE = 500


COUNTED = (CaseItem.decided_at, CaseItem.probability, CaseItem.amount, CaseItem.currency, CaseItem.fraud_type)


def recount(session: Session, cases: Sequence[Case]) -> None:
    """Count cases again after some of their items left them; those without any go, with what was decided about them.

    Two statements whatever their number, and three more where some go: a large file has thousands of cases.
    """
    left: dict[int, list[Values]] = {}
    wanted = select(CaseItem.case_id, *COUNTED).where(CaseItem.case_id.in_([case.id for case in cases]))
    for row in session.execute(wanted.order_by(CaseItem.id)).mappings():
        left.setdefault(row["case_id"], []).append(dict(row))
    empty = [case.id for case in cases if case.id not in left]
    if empty:
        for table in (CaseEvent, Skip):
            session.execute(delete(table).where(table.case_id.in_(empty)))
        session.execute(delete(Case).where(Case.id.in_(empty)))
    for case in cases:
        if case.id in left:
            recount_one(case, left[case.id])


def recount_one(case: Case, items: Sequence[Values]) -> None:
    """Set the counts of a case that has these items."""
    nothing = {"items": 0, "loss": 0.0, "probability": 0.0, "amount": None, "currency": None}
    counted = joined({**nothing, "version": case.version}, items)
    # somebody may have said it
    counted["fraud_type"] = case.fraud_type or counted["fraud_type"]
    for name, value in counted.items():
        setattr(case, name, value)
    if not case.sampled:
        case.rank = case.loss


def forget_screening(database: Database, screening: str) -> None:
    """Take a screening's transactions out of the cases; cases without any go, with what was decided about them."""
    forget_items(database, CaseItem.screening == screening)


def forget_origins(database: Database, origins: Collection[bytes]) -> None:
    """Take a job's transactions out of the cases, by the first 96 bits of their ids."""
    for origin in sorted(origins):
        begin = id_prefix(origin)
        # digits of ids are hexadecimal: a range is found by the index, where a pattern isn't
        forget_items(database, and_(CaseItem.id >= begin, CaseItem.id < f"{begin}g"))


def forget_deleted(database: Database, there: Collection[str]) -> None:
    """Take transactions out of the cases whose screening isn't in the ledger: a deletion ended before it was done.

    An empty ledger says nothing: it may be another one's.
    """
    if not there:
        return
    with database.read() as session:
        known = set(
            session.scalars(select(CaseItem.screening).where(CaseItem.screening.is_not(None)).distinct())
        )
    for screening in sorted(str(each) for each in known - set(there)):
        forget_screening(database, screening)


def forget_decided_before(database: Database, moment: datetime) -> None:
    """Take transactions out of the cases that left the ledger because of their age."""
    forget_items(database, CaseItem.decided_at < moment)


def forget_items(database: Database, which: ColumnElement[bool]) -> None:
    """Remove items, a part of them at a time, and count their cases again."""
    while True:
        with database.write() as session:
            some = session.execute(select(CaseItem.id, CaseItem.case_id).where(which).limit(AT_ONCE)).all()
            for ids in parts([row.id for row in some], MOST_PARAMETERS):
                session.execute(delete(CaseItem).where(CaseItem.id.in_(ids)))
            for numbers in parts(sorted({row.case_id for row in some}), MOST_PARAMETERS):
                cases = select(Case).where(Case.id.in_(numbers)).with_for_update()
                recount(session, session.scalars(cases).all())
        if len(some) < AT_ONCE:
            return


def detach_owner(database: Database, owner: str) -> None:
    """Take cases away from a name that somebody new has signed up with; they stay for those who see all."""
    name = owner.casefold()
    with database.write() as session:
        former = func.substr("~" + Case.owner, 1, 64)
        session.execute(update(Case).where(Case.owner == name).values(owner=former))
        mine = Case.assignee == name
        handed = {"assignee": None, "taken": None, "state": CaseState.OPEN.value, "waiting": True}
        session.execute(update(Case).where(mine, Case.state == CaseState.IN_WORK).values(handed))
        session.execute(update(Case).where(mine).values(assignee=None))
        session.execute(delete(Skip).where(Skip.by == name))
