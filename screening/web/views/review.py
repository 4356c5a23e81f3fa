"""Cases as pages show them: in words, and who is linked with whom as a drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from screening.review.around import CaseSurroundings, LinkedEntity
from screening.review.cases import Cases
from screening.review.deciding import CaseDecisions
from screening.review.listing import Listings
from screening.review.people import Reviewer
from screening.review.tables import Case, CaseAct, CaseEvent, CaseItem
from screening.web.http.sessions import may, user
from screening.web.services import services
from screening.web.views.decisions import level_of
from screening.web.views.formatting import shortened

STATES: Mapping[str, str] = {
    "open": "Open",
    "in_work": "In work",
    "decided": "Decided",
    "reopened": "Reopened",
}
OUTCOMES: Mapping[str, str] = {"fraud": "Fraud", "legitimate": "Legitimate", "unsure": "Unsure"}
ACTS: Mapping[str, str] = {
    CaseAct.TAKEN: "took it",
    CaseAct.SKIPPED: "gave it back",
    CaseAct.HANDED: "handed it to",
    CaseAct.ESCALATED: "escalated it",
    CaseAct.NOTED: "wrote a note",
    CaseAct.DECIDED: "decided",
    CaseAct.CORRECTED: "corrected the decision to",
    CaseAct.REOPENED: "reopened it",
    CaseAct.UNDONE: "took the last act back",
    CaseAct.LABELLED: "had a program say what its transactions were",
    CaseAct.SPLIT: "decided on some of its transactions alone; the others are case",
}
REASONS = (
    "Customer confirmed it",
    "Customer denies it",
    "Known pattern",
    "Known customer, usual payment",
    "Test payment",
    "Documents checked",
)
"""Offered where a reason is asked for; any other can be written."""
NODES_WIDTH, NODE_GAP, LEFT_X, RIGHT_X, TOP_Y = 560.0, 34.0, 92.0, 236.0, 22.0
MOST_LABEL = 18


def reviewer() -> Reviewer:
    """Return the account behind this request as the queue knows it."""
    return Reviewer(
        name=user().username.casefold(),
        sees_all=may("see_all"),
        decides=may("decide"),
        team=services().settings.review_queue == "team" and may("review"),
    )


def cases() -> Cases:
    """Return the cases of this app."""
    return Cases(services().database, services().settings.review_release_minutes)


def deciding() -> CaseDecisions:
    """Return what decides on the cases of this app."""
    return CaseDecisions(cases(), services().ledger.labels)


def listings() -> Listings:
    """Return the lists of cases of this app."""
    return Listings(services().database, services().settings.review_sla_hours)


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case in words."""

    case: Case
    late: bool

    @classmethod
    def of(cls, case: Case, now: datetime) -> CaseView:
        """Return a case as it stands now."""
        since = now - timedelta(hours=services().settings.review_sla_hours)
        return cls(case, case.state != "decided" and case.opened < since)

    @property
    def who(self) -> str:
        """Subject of the case: whom or what it is about."""
        case = self.case
        return "–" if case.kind is None else f"{case.kind.capitalize()} {case.value}"

    @property
    def state(self) -> str:
        """Its state, and with whom it is."""
        case = self.case
        if case.state == "decided":
            return OUTCOMES.get(case.outcome or "", "Decided")
        if case.state == "in_work":
            return f"In work: {case.assignee}"
        return "Escalated" if case.escalated else STATES[case.state]


@dataclass(frozen=True, slots=True)
class ItemView:
    """A transaction of a case."""

    item: CaseItem

    @property
    def level(self) -> str:
        """The level of risk, by what was decided then."""
        return level_of(self.item.probability, self.item.threshold, flagged=self.item.flagged)

    @property
    def moment(self) -> datetime:
        """Time of the transaction, or where the data have no calendar, when it was decided on."""
        return self.item.event_time or self.item.decided_at


def act_of(event: CaseEvent) -> str:
    """Return what somebody did, in words."""
    if event.kind == CaseAct.RELEASED:
        return f"It went back by itself: {event.target} did nothing with it"
    words = ACTS[event.kind]
    if event.kind in (CaseAct.DECIDED, CaseAct.CORRECTED):
        kind = f", {event.fraud_type}" if event.fraud_type else ""
        words = f"{words} {OUTCOMES.get(event.outcome or '', '')}{kind}"
    elif event.kind == CaseAct.LABELLED and event.outcome:
        words = f"{words}, which decided {OUTCOMES[event.outcome]}"
    elif event.target:
        words = f"{words} {event.target}"
    return f"{event.by} {words}"


@dataclass(frozen=True, slots=True)
class Node:
    """Somebody or something that is linked: where it is drawn, and what is said of it."""

    link: LinkedEntity
    y: float
    width: float
    """Of the line that leads to it."""
    label: str
    words: str


@dataclass(frozen=True, slots=True)
class Graph:
    """An entity with what it is linked with."""

    kind: str
    value: str
    label: str
    height: float
    middle: float
    nodes: Sequence[Node]
    width: float = NODES_WIDTH
    left: float = LEFT_X
    right: float = RIGHT_X


def graph_of(found: CaseSurroundings) -> Graph | None:
    """Return the drawing; ``None`` for somebody who is linked with nobody."""
    if not found.links:
        return None
    most = max(link.shared for link in found.links)
    nodes = [
        Node(
            link,
            TOP_Y + at * NODE_GAP,
            round(1 + 4 * link.shared / most, 1),
            shortened(f"{link.kind} {link.value}", MOST_LABEL),
            words_of(link, found.entity.kind),
        )
        for at, link in enumerate(found.links)
    ]
    height = TOP_Y * 2 + (len(nodes) - 1) * NODE_GAP
    kind, value = found.entity.kind, found.entity.value
    return Graph(kind, value, shortened(value, MOST_LABEL), height, height / 2, nodes)


def words_of(link: LinkedEntity, kind: str) -> str:
    """Return what is known of somebody who is linked."""
    others = (
        f"{link.others:,} other {kind}{'' if link.others == 1 else 's'}"
        if link.others
        else f"no other {kind}"
    )
    return f"{link.shared:,} shared, {others}, {link.flagged:,} flagged, {link.fraud:,} known fraud"


def now() -> datetime:
    """Return the present time, UTC."""
    return datetime.now(UTC)


def cells_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of a transaction as they are shown."""
    return {name: "–" if cell in ("", None) else str(cell) for name, cell in given.items()}
