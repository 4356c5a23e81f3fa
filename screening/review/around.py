"""Find what lies around a case: who its transactions are linked with, what these did, and how similar cases ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from screening.explore.entities import LATEST_FIRST, ROWS, EntityActivity, KnownEntity, look_up
from screening.infra.database import Database
from screening.ledger.fields import ENTITIES
from screening.ledger.filters import DecisionFilter
from screening.monitoring.quality import Estimate
from screening.review.people import Reviewer, visible
from screening.review.tables import Case, CaseState, ReviewOutcome

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

MOST_LINKS = 10
BEFORE, AFTER = 40, 15
"""Transactions that the timeline shows, up to the last one of the case and after it."""
NEAR = 0.05
"""Cases whose probabilities differ by less are alike."""


@dataclass(frozen=True, slots=True)
class LinkedEntity:
    """Somebody or something in the same transactions."""

    kind: str
    value: str
    shared: int
    """Transactions that both are in."""
    transactions: int
    """All that it is in."""
    flagged: int
    fraud: int
    """That are known to be fraud."""
    others: int
    """Number of others of the first one's kind that it has transactions with."""


@dataclass(frozen=True, slots=True)
class CaseSurroundings:
    """Content of the ledger about the entity of a case."""

    entity: EntityActivity
    links: Sequence[LinkedEntity]
    """Those first that others share and where fraud is known."""
    rows: Sequence[Mapping[str, Any]]
    """Its transactions up to the case and some after it, the latest first."""


def around(
    questions: Questions, kind: str, value: str, owner: str | None, *, moment: datetime
) -> CaseSurroundings | None:
    """Return what lies around an entity; ``None`` where the ledger has it no more.

    Args:
        questions: of the ledger.
        kind: of the entity.
        value: its id.
        owner: whose rows; ``None`` for everybody's.
        moment: of the last transaction of the case, UTC.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    entity = look_up(questions, kind, value, owner)
    if entity is None:
        return None
    chosen = DecisionFilter(owner=owner, entity=(kind, value))
    at = {"moment": moment.replace(tzinfo=None)}
    rows = questions.ask(
        f"(SELECT * FROM ({ROWS}) WHERE moment > $moment::TIMESTAMP ORDER BY moment LIMIT {AFTER}) UNION ALL "
        f"(SELECT * FROM ({ROWS}) WHERE moment <= $moment::TIMESTAMP {LATEST_FIRST} LIMIT {BEFORE})",
        chosen,
        at,
    ).rows
    rows.sort(key=lambda row: row["moment"], reverse=True)
    return CaseSurroundings(entity, _links(questions, entity, owner), rows)


def _links(questions: Questions, entity: EntityActivity, owner: str | None) -> list[LinkedEntity]:
    if not entity.linked:
        return []
    kind, value = entity.kind, entity.value
    parts, given = [], {"own": value.lower()}
    by_kind: dict[str, list[KnownEntity]] = {}
    for one in entity.linked:
        by_kind.setdefault(one.kind, []).append(one)
    for other, some in by_kind.items():
        names = []
        for at, one in enumerate(some):
            names.append(f"${other}{at}")
            given[f"{other}{at}"] = one.value
        parts.append(
            f"SELECT '{other}' AS kind, {other} AS value, count(*) AS transactions, "
            "count(*) FILTER (WHERE flagged) AS flagged, count(*) FILTER (WHERE known = 1) AS fraud, "
            f"count(DISTINCT lower({kind})) FILTER (WHERE lower({kind}) <> $own) AS others "
            f"FROM chosen WHERE {other} IN ({', '.join(names)}) GROUP BY {other}"
        )
    found = questions.ask(" UNION ALL ".join(parts), DecisionFilter(owner=owner), given).rows
    shared = {(one.kind, one.value): one.transactions for one in entity.linked}
    links = [
        LinkedEntity(
            row["kind"],
            row["value"],
            shared[row["kind"], row["value"]],
            row["transactions"],
            row["flagged"],
            row["fraud"],
            row["others"],
        )
        for row in found
    ]
    links.sort(key=lambda one: (-one.fraud, -one.flagged, -one.shared, ENTITIES.index(one.kind), one.value))
    return links[:MOST_LINKS]


@dataclass(frozen=True, slots=True)
class SimilarCases:
    """Outcomes of decided cases that are similar to one."""

    outcomes: Mapping[str, int]
    lowest: float
    highest: float

    @property
    def decided(self) -> int:
        """Number of decided cases."""
        return sum(self.outcomes.values())

    @property
    def fraud(self) -> Estimate:
        """Of those of which it was said what they are, the share that was fraud."""
        hits = self.outcomes.get(ReviewOutcome.FRAUD, 0)
        return Estimate(hits, hits + self.outcomes.get(ReviewOutcome.LEGITIMATE, 0))


def similar(database: Database, case: Case, who: Reviewer) -> SimilarCases:
    """Count decided cases of the same detector, with a probability near this one's, by their outcome."""
    lowest, highest = max(0.0, case.probability - NEAR), min(1.0, case.probability + NEAR)
    query = (
        select(Case.outcome, func.count())
        .where(
            visible(who),
            Case.state == CaseState.DECIDED,
            Case.detector == case.detector,
            Case.probability.between(lowest, highest),
            Case.id != case.id,
            ~Case.sampled,
        )
        .group_by(Case.outcome)
    )
    with database.read() as session:
        found = {str(outcome): int(count) for outcome, count in session.execute(query)}
    return SimilarCases(found, lowest, highest)
