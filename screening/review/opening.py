"""Makes cases of flagged rows: afterwards, from the ledger's segments, some at a time, by the worker.

Neither an upload nor a decision of the API waits for it. A transaction is in one case, whatever is repeated after a
crash: its id is the key of :class:`screening.review.tables.CaseItem`.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger.fields import ENTITIES
from screening.ledger.filters import DamagedLedger
from screening.ledger.tables import BATCH
from screening.review.counting import MOST_PARAMETERS, Values, joined, parts
from screening.review.leaving import forget_origins, forget_screening
from screening.review.tables import MOST_VALUE, Case, CaseItem, CaseState, LookedAt

if TYPE_CHECKING:
    from screening.ledger.ledger import Ledger
    from screening.ledger.tables import Segment

log = logging.getLogger("screening.review")
# Rows per step: a file that arrives meanwhile waits for one step only.
AT_ONCE = 5_000
# Rows per transaction: every other writer waits for it.
OF_TRANSACTION = 500
LAST_NUMBER = text("SELECT seq FROM sqlite_sequence WHERE name = 'review_cases'")
# A damaged segment is tried again so long after: its file may have been restored.
AGAIN = timedelta(minutes=10)
# Transactions per case: whoever decides must be able to look at all of them.
MOST_ITEMS = 200
GROUPED_BY = ("customer", "card", "account")
"""Kinds of entities whose transactions are decided together, the first that a row has."""
Key = tuple[str, str, str | None, str | None]
# Cases among which one that was drawn at random gets its rank, so that it stands among the others.
RANKS = 20


@dataclass(slots=True)
class _Group:
    """Rows that come into one case."""

    key: Key
    items: list[Values] = field(default_factory=list)
    case: Mapping[str, Any] | None = None
    """One that waits already."""
    sampled: bool = False


class Opener:
    """Opens cases.

    Args:
        database: of the app.
        ledger: whose segments are looked at.
        days: rows that were decided longer ago are left alone.
        raised: gives the names of the rules that raise a row.
        share: of the rows that aren't flagged, so many are drawn at random.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        days: int,
        raised: Callable[[], Collection[str]],
        share: float = 0.0,
    ) -> None:
        self._database, self._ledger, self._days, self._raised = database, ledger, days, raised
        self._share = share
        self._seen: int | None = None
        self._damaged: dict[str, datetime] = {}
        """Segments that couldn't be read, and when they are tried again."""

    def step(self) -> bool:
        """Open the cases of some rows, and tell whether there are more."""
        version = self._ledger.tables.version()
        if version is not None and version == self._seen:
            return False
        oldest = now() - timedelta(days=self._days)
        every = self._due(oldest)
        left = {each.name for each, _ in every}
        self._damaged = {name: again for name, again in self._damaged.items() if name in left}
        due = [each for each in every if self._damaged.get(each[0].name, oldest) < now()]
        if not due:
            self._seen = None if self._damaged else version
            return False
        segment, done = due[0]
        try:
            self._look(segment, done, oldest)
            self._damaged.pop(segment.name, None)
        except DamagedLedger as problem:  # the others' cases mustn't wait for its being restored
            log.error("no cases can be opened: %s", problem)
            self._damaged[segment.name] = now() + AGAIN
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
            if each.flagged or self._share or self._raised()
            if name not in seen or not seen[name].done
        ]

    def _look(self, segment: Segment, done: int, oldest: datetime) -> None:
        # the command line needn't load Arrow for the queue
        from screening.review.flagged import (
            item_of,
            rows_of,
        )

        try:
            with self._ledger.segments.reading([segment]):
                rows = rows_of(
                    self._ledger.segments.path(segment.name),
                    self._raised(),
                    skip=done,
                    limit=AT_ONCE,
                    share=self._share,
                )
        except FileNotFoundError:  # deleted, or put together with others: the manifest has another one
            return
        limit = oldest.replace(tzinfo=None)
        for some in parts(rows, OF_TRANSACTION):
            kept = [
                (key_of(row), item_of(row), bool(row["sampled"]))
                for row in some
                if row["decided_at"] >= limit
            ]
            done += len(some)
            with self._database.write() as session:
                add_rows(session, kept)
                session.merge(LookedAt(name=segment.name, rows=done, done=False))
        if len(rows) < AT_ONCE:
            with self._database.write() as session:
                session.merge(LookedAt(name=segment.name, rows=done, done=True))
        self._forget_gone({row["screening"] for row in rows if row["screening"] is not None})
        jobs = {(row["request"], row["origin"]) for row in rows if row["source"] == BATCH}
        for job in {name for name, _ in jobs}:
            if self._ledger.jobs.find(job) is None:
                forget_origins(self._database, {origin for name, origin in jobs if name == job})

    def _forget_gone(self, screenings: Collection[str]) -> None:
        """Forget rows of screenings that were deleted while they were read."""
        there = self._ledger.segments.screenings()
        for screening in set(screenings) - there:
            forget_screening(self._database, screening)


def key_of(row: dict[str, object]) -> Key:
    """Return what rows of one case have in common. Ids of two detectors' data needn't mean the same person."""
    for kind in (*GROUPED_BY, *(other for other in ENTITIES if other not in GROUPED_BY)):
        value = row[kind]
        if isinstance(value, str) and len(value) <= MOST_VALUE:
            return str(row["owner"]), str(row["detector"]), kind, value
    return str(row["owner"]), str(row["detector"]), None, None


def add_rows(session: Session, rows: Sequence[tuple[Key, Values, bool]]) -> None:
    """Put rows into cases that wait or new ones; those that are in one are left out.

    Rows go to the database as they are: objects for each would hold its lock three times as long.
    """
    known = known_ids(session, [item["id"] for _, item, _ in rows])
    left = [row for row in rows if row[1]["id"] not in known]
    groups = grouped([(key, item) for key, item, sampled in left if not sampled])
    find_waiting(session, groups)
    groups += [_Group(key, [item], sampled=True) for key, item, sampled in left if sampled]
    new = [group for group in groups if group.case is None]
    if new:
        for group, number in zip(
            new, enter_cases(session, rank_sampled(session, [new_case(each) for each in new])), strict=True
        ):
            group.case = {"id": number}
    grown = [group for group in groups if group.case is not None and len(group.case) > 1]
    if grown:
        session.execute(
            update(Case), [with_rank(joined(dict(each.case or {}), each.items)) for each in grown]
        )
    items = [
        {**item, "case_id": group.case["id"]}
        for group in groups
        if group.case is not None
        for item in group.items
    ]
    if items:
        session.execute(insert(CaseItem), items)


def enter_cases(session: Session, cases: Sequence[Values]) -> Sequence[int]:
    """Enter cases, and return their numbers, in order."""
    if session.get_bind().dialect.name != "sqlite":
        adding = insert(Case).returning(Case.id, sort_by_parameter_order=True)
        return session.scalars(adding, cases).all()
    # one call of the driver instead of one for each; nobody else enters any, since the lock is held
    last = session.scalar(LAST_NUMBER) or 0
    numbers = range(last + 1, last + 1 + len(cases))
    session.execute(insert(Case), [{"id": each, **case} for each, case in zip(numbers, cases, strict=True)])
    return numbers


def known_ids(session: Session, ids: Sequence[str]) -> set[str]:
    """Return those of some transactions that are in a case already."""
    found: set[str] = set()
    for some in parts(ids, MOST_PARAMETERS):
        found.update(session.scalars(select(CaseItem.id).where(CaseItem.id.in_(some))))
    return found


def grouped(rows: Iterable[tuple[Key, Values]]) -> list[_Group]:
    """Return rows put together that may be in one case."""
    groups: list[_Group] = []
    latest: dict[Key, _Group] = {}
    for key, item in rows:
        group = latest.get(key)
        if group is None or key[2] not in GROUPED_BY or len(group.items) >= MOST_ITEMS:
            group = latest[key] = _Group(key)
            groups.append(group)
        group.items.append(item)
    return groups


COUNTED = (
    Case.id, Case.owner, Case.detector, Case.kind, Case.value, Case.opened, Case.version, Case.items, Case.loss,
    Case.probability, Case.amount, Case.currency, Case.fraud_type,
)  # fmt: skip


def find_waiting(session: Session, groups: Sequence[_Group]) -> None:
    """Find for groups the case of their entity that waits; one that somebody works on isn't changed below them."""
    wanted = {group.key: group for group in groups if group.key[2] in GROUPED_BY}  # the last one of each key
    for kind in GROUPED_BY:
        values = sorted({key[3] for key in wanted if key[2] == kind and key[3] is not None})
        for some in parts(values, MOST_PARAMETERS):
            waiting = select(*COUNTED).where(
                Case.kind == kind, Case.value.in_(some), Case.waiting, ~Case.sampled
            )
            for row in session.execute(waiting.with_for_update()):
                group = wanted.get((row.owner, row.detector, row.kind, row.value))
                if group is not None and row.items + len(group.items) <= MOST_ITEMS:
                    group.case = row._asdict()


def new_case(group: _Group) -> Values:
    """Return a case as it is entered."""
    owner, detector, kind, value = group.key
    counted = joined({"items": 0, "loss": 0.0, "probability": 0.0, "version": 0}, group.items)
    return {
        "amount": None,
        "currency": None,
        **counted,
        "owner": owner,
        "detector": detector,
        "kind": kind,
        "value": value,
        "state": CaseState.OPEN.value,
        "waiting": True,
        "escalated": False,
        "untold": False,
        "rank": counted["loss"],
        "sampled": group.sampled,
    }


def with_rank(case: Values) -> Values:
    """Return a case with its loss for its rank."""
    return {**case, "rank": case["loss"]}


def rank_sampled(session: Session, cases: list[Values]) -> list[Values]:
    """Put those that were drawn at random among the others: at the end, where their losses are, nobody would come."""
    drawn = [case for case in cases if case["sampled"]]
    if not drawn:
        return cases
    losses = [case["loss"] for case in cases if not case["sampled"]]
    waiting = select(Case.loss).where(Case.waiting, ~Case.sampled)
    last = session.scalar(select(func.max(Case.id))) or 0
    for _ in range(RANKS if last else 0):
        found = session.scalar(
            waiting.where(Case.id >= 1 + secrets.randbelow(last)).order_by(Case.id).limit(1)
        )
        losses += [] if found is None else [found]
    for case in drawn:
        case["rank"] = secrets.choice(losses) if losses else case["loss"]
    return cases
