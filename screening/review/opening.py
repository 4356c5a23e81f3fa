"""Makes cases of flagged rows: afterwards, from the ledger's segments, some at a time, by the worker.

Neither an upload nor a decision of the API waits for it. A transaction is in one case, whatever is repeated after a
crash: its id is the key of :class:`screening.review.tables.Item`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger.fields import ENTITIES
from screening.review.tables import MOST_VALUE, Case, CaseState, Event, Item, LookedAt, Skip

if TYPE_CHECKING:
    from screening.ledger.ledger import Ledger
    from screening.ledger.tables import Segment

AT_ONCE = 5_000
"""Rows of a step: a file that arrives needn't wait longer than for these."""
OF_TRANSACTION = 1_000
"""Rows that are written in one transaction, for which everybody else who writes waits."""
MOST_ITEMS = 200
"""Transactions of one case: whoever decides must be able to look at them."""
GROUPED_BY = ("customer", "card", "account")
"""Kinds of entities whose transactions are decided together, the first that a row has."""
MOST_PARAMETERS = 400
Key = tuple[str, str, str | None, str | None]
Each = TypeVar("Each")


@dataclass(slots=True)
class _Group:
    """Rows that come into one case."""

    key: Key
    items: list[Item] = field(default_factory=list)
    case: Case | None = None
    """One that waits already."""


class Opener:
    """Opens cases.

    Args:
        database: of the app.
        ledger: whose segments are looked at.
        days: rows that were decided longer ago are left alone.
        raised: gives the names of the rules that raise a row.
    """

    def __init__(
        self, database: Database, ledger: Ledger, days: int, raised: Callable[[], Collection[str]]
    ) -> None:
        self._database, self._ledger, self._days, self._raised = database, ledger, days, raised
        self._seen: int | None = None

    def step(self) -> bool:
        """Open the cases of some rows, and tell whether there are more."""
        version = self._ledger.tables.version()
        if version is not None and version == self._seen:
            return False
        oldest = now() - timedelta(days=self._days)
        due = self._due(oldest)
        if not due:
            self._seen = version
            return False
        segment, done = due[0]
        self._look(segment, done, oldest)
        return True

    def _due(self, oldest: datetime) -> list[tuple[Segment, int]]:
        """Return the segments that aren't done, the oldest first, and how many of their rows are; forget others."""
        segments = {each.name: each for each in self._ledger.segments.all() if each.decided_last >= oldest}
        with self._database.read() as session:
            seen = {each.name: each for each in session.scalars(select(LookedAt))}
        gone = sorted(seen.keys() - segments.keys())
        if gone:
            with self._database.write() as session:
                for some in parts(gone, MOST_PARAMETERS):
                    session.execute(delete(LookedAt).where(LookedAt.name.in_(some)))
        return [
            (each, seen[name].rows if name in seen else 0)
            for name, each in segments.items()
            if each.flagged or self._raised()
            if name not in seen or not seen[name].done
        ]

    def _look(self, segment: Segment, done: int, oldest: datetime) -> None:
        from screening.review.flagged import (  # the command line needn't load Arrow for the queue
            item_of,
            rows_of,
        )

        try:
            rows = rows_of(self._ledger.segments.path(segment.name), self._raised(), skip=done, limit=AT_ONCE)
        except FileNotFoundError:  # deleted, or put together with others: the manifest has another one
            return
        limit = oldest.replace(tzinfo=None)
        for some in parts(rows, OF_TRANSACTION):
            kept = [(_key(row), item_of(row)) for row in some if row["decided_at"] >= limit]
            done += len(some)
            with self._database.write() as session:
                _add(session, kept)
                session.merge(LookedAt(name=segment.name, rows=done, done=False))
        if len(rows) < AT_ONCE:
            with self._database.write() as session:
                session.merge(LookedAt(name=segment.name, rows=done, done=True))
        self._forget_gone({row["screening"] for row in rows if row["screening"] is not None})

    def _forget_gone(self, screenings: Collection[str]) -> None:
        """Forget rows of screenings that were deleted while they were read."""
        there = self._ledger.segments.screenings()
        for screening in set(screenings) - there:
            forget_screening(self._database, screening)


def parts(all_of_them: Sequence[Each], size: int) -> Iterator[Sequence[Each]]:
    """Give some at a time."""
    for start in range(0, len(all_of_them), size):
        yield all_of_them[start : start + size]


def _key(row: dict[str, object]) -> Key:
    """Return what rows of one case have in common. Ids of two detectors' data needn't mean the same person."""
    for kind in (*GROUPED_BY, *(other for other in ENTITIES if other not in GROUPED_BY)):
        value = row[kind]
        if isinstance(value, str) and len(value) <= MOST_VALUE:
            return str(row["owner"]), str(row["detector"]), kind, value
    return str(row["owner"]), str(row["detector"]), None, None


def _add(session: Session, rows: Sequence[tuple[Key, Item]]) -> None:
    """Put rows into cases that wait or new ones; those that are in one are left out."""
    known = _known(session, [item.id for _, item in rows])
    groups = _grouped([(key, item) for key, item in rows if item.id not in known])
    _find_waiting(session, groups)
    made: list[Case] = []
    for group in groups:
        if group.case is None:
            group.case = _new(group)
            made.append(group.case)
        else:
            _join(group.case, group.items)
    session.add_all(made)
    session.flush()
    for group in groups:
        for item in group.items:
            item.case_id = group.case.id if group.case is not None else 0
        session.add_all(group.items)


def _known(session: Session, ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for some in parts(ids, MOST_PARAMETERS):
        found.update(session.scalars(select(Item.id).where(Item.id.in_(some))))
    return found


def _grouped(rows: Iterable[tuple[Key, Item]]) -> list[_Group]:
    groups: list[_Group] = []
    latest: dict[Key, _Group] = {}
    for key, item in rows:
        group = latest.get(key)
        if group is None or key[2] not in GROUPED_BY or len(group.items) >= MOST_ITEMS:
            group = latest[key] = _Group(key)
            groups.append(group)
        group.items.append(item)
    return groups


def _find_waiting(session: Session, groups: Sequence[_Group]) -> None:
    """Find for groups the case of their entity that waits; one that somebody works on isn't changed below them."""
    wanted = {group.key: group for group in groups if group.key[2] in GROUPED_BY}  # the last one of each key
    for kind in GROUPED_BY:
        values = sorted({key[3] for key in wanted if key[2] == kind and key[3] is not None})
        for some in parts(values, MOST_PARAMETERS):
            waiting = select(Case).where(Case.kind == kind, Case.value.in_(some), Case.waiting)
            for case in session.scalars(waiting.with_for_update()):
                group = wanted.get((case.owner, case.detector, case.kind, case.value))
                if group is not None and case.items + len(group.items) <= MOST_ITEMS:
                    group.case = case


def _new(group: _Group) -> Case:
    owner, detector, kind, value = group.key
    case = Case(
        owner=owner,
        detector=detector,
        kind=kind,
        value=value,
        state=CaseState.OPEN.value,
        waiting=True,
        opened=min(item.decided_at for item in group.items),
        items=0,
        loss=0.0,
        probability=0.0,
    )
    _join(case, group.items)
    case.version = 1
    return case


def _join(case: Case, items: Sequence[Item]) -> None:
    """Add what some items come to to a case."""
    case.opened = min(case.opened, *(item.decided_at for item in items))
    case.version = (case.version or 0) + 1
    for item in items:
        first = case.items == 0
        case.items += 1
        case.probability = max(case.probability, item.probability)
        case.loss += loss_of(item)
        if item.amount is not None:
            case.currency = item.currency if case.amount is None else _one(case.currency, item.currency)
            case.amount = (case.amount or 0.0) + item.amount
        if first:
            case.fraud_type = item.fraud_type
        elif case.fraud_type != item.fraud_type:
            case.fraud_type = case.fraud_type if item.fraud_type is None else item.fraud_type


def _one(first: str | None, second: str | None) -> str | None:
    return first if first == second else "mixed"


def loss_of(item: Item) -> float:
    """Return what a transaction is expected to cost: its probability times its amount, whatever its sign."""
    return item.probability * abs(item.amount or 0.0)


def recount(session: Session, case: Case) -> bool:
    """Count a case anew after some of its items left it; ``False``, and it is gone, where none is left."""
    items = session.scalars(select(Item).where(Item.case_id == case.id).order_by(Item.id)).all()
    if not items:
        for table in (Event, Skip):
            session.execute(delete(table).where(table.case_id == case.id))
        session.delete(case)
        return False
    case.items, case.loss, case.probability, case.amount, case.currency = 0, 0.0, 0.0, None, None
    case.opened = items[0].decided_at
    _join(case, items)
    return True


def forget_screening(database: Database, screening: str) -> None:
    """Take a screening's transactions out of the cases; cases without any go, with what was decided about them."""
    _forget(database, Item.screening == screening)


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
    _forget(database, Item.decided_at < moment)


def _forget(database: Database, which: object) -> None:
    while True:
        with database.write() as session:
            some = session.execute(
                select(Item.id, Item.case_id).where(which).limit(OF_TRANSACTION)  # type: ignore[arg-type]
            ).all()
            for ids in parts([row.id for row in some], MOST_PARAMETERS):
                session.execute(delete(Item).where(Item.id.in_(ids)))
            for numbers in parts(sorted({row.case_id for row in some}), MOST_PARAMETERS):
                for case in session.scalars(select(Case).where(Case.id.in_(numbers)).with_for_update()):
                    recount(session, case)
        if len(some) < OF_TRANSACTION:
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
