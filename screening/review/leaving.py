"""Takes transactions out of cases: a screening was deleted, decisions grew too old, a name is somebody else's now."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from screening.infra.database import Database
from screening.review.counting import MOST_PARAMETERS, joined, parts
from screening.review.tables import Case, CaseState, Event, Item, Skip

# Transactions that leave in one database transaction: other writers wait for it.
AT_ONCE = 500


def recount(session: Session, case: Case) -> bool:
    """Count a case anew after some of its items left it; ``False``, and it is gone, where none is left."""
    items = session.scalars(select(Item).where(Item.case_id == case.id).order_by(Item.id)).all()
    if not items:
        for table in (Event, Skip):
            session.execute(delete(table).where(table.case_id == case.id))
        session.delete(case)
        return False
    names = ("decided_at", "probability", "amount", "currency", "fraud_type")
    counted = joined(
        {
            "items": 0,
            "loss": 0.0,
            "probability": 0.0,
            "version": case.version,
            "amount": None,
            "currency": None,
        },
        [{name: getattr(item, name) for name in names} for item in items],
    )
    counted["fraud_type"] = case.fraud_type or counted["fraud_type"]  # somebody may have said it
    for name, value in counted.items():
        setattr(case, name, value)
    if not case.sampled:
        case.rank = case.loss
    return True


def forget_screening(database: Database, screening: str) -> None:
    """Take a screening's transactions out of the cases; cases without any go, with what was decided about them."""
    forget_items(database, Item.screening == screening)


def forget_deleted(database: Database, there: Collection[str]) -> None:
    """Take transactions out of the cases whose screening isn't in the ledger: a deletion ended before it was done.

    An empty ledger says nothing: it may be another one's.
    """
    if not there:
        return
    with database.read() as session:
        known = set(session.scalars(select(Item.screening).where(Item.screening.is_not(None)).distinct()))
    for screening in sorted(str(each) for each in known - set(there)):
        forget_screening(database, screening)


def forget_decided_before(database: Database, moment: datetime) -> None:
    """Take transactions out of the cases that left the ledger because of their age."""
    forget_items(database, Item.decided_at < moment)


def forget_items(database: Database, which: ColumnElement[bool]) -> None:
    """Remove items, a part of them at a time, and count their cases anew."""
    while True:
        with database.write() as session:
            some = session.execute(select(Item.id, Item.case_id).where(which).limit(AT_ONCE)).all()
            for ids in parts([row.id for row in some], MOST_PARAMETERS):
                session.execute(delete(Item).where(Item.id.in_(ids)))
            for numbers in parts(sorted({row.case_id for row in some}), MOST_PARAMETERS):
                for case in session.scalars(select(Case).where(Case.id.in_(numbers)).with_for_update()):
                    recount(session, case)
        if len(some) < AT_ONCE:
            return


def part(database: Database, owner: str) -> None:
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
