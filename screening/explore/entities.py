"""One customer, card, account, merchant, terminal, device or address: who an id is, what it did, and with whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from screening.ledger import money
from screening.ledger.fields import ENTITIES
from screening.ledger.filters import DecisionFilter

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

LATEST = 50
"""Most of its transactions that are read."""
LINKED = 8
"""Most others of each kind."""
ROWS = (
    "SELECT origin, number, screening, source, decided_at, event_time, moment, detector, probability, threshold, "
    f"flagged, amount, currency, known AS label, fraud_type, reasons, {', '.join(ENTITIES)} FROM chosen"
)
"""What a list shows of a row."""
LATEST_FIRST = "ORDER BY moment DESC, origin DESC, number DESC"


@dataclass(frozen=True, slots=True)
class KnownEntity:
    """Somebody or something in the ledger: kind and value as they are written there, and how often."""

    kind: str
    value: str
    transactions: int
    flagged: int


@dataclass(frozen=True, slots=True)
class EntityActivity:
    """Activity of one entity. ``amounts``: all, and of flagged rows, by currency, as people write them."""

    kind: str
    value: str
    transactions: int
    flagged: int
    confirmed: int
    """Rows of which a label says that they were fraud."""
    amounts: Mapping[str | None, tuple[float, float]]
    first: datetime
    last: datetime
    latest: Sequence[Mapping[str, Any]]
    """Its last rows, the latest first."""
    linked: Sequence[KnownEntity]
    """Others in the same transactions, the most shared first within each kind."""


def find(questions: Questions, value: str, owner: str | None) -> list[KnownEntity]:
    """Return who or what is called so, over all kinds; capital letters don't matter."""
    parts = " UNION ALL ".join(
        f"SELECT '{kind}' AS kind, any_value({kind}) AS value, count(*) AS transactions, "
        f"count(*) FILTER (WHERE flagged) AS flagged FROM same WHERE lower({kind}) = $value"
        for kind in ENTITIES
    )
    any_of = " OR ".join(f"lower({kind}) = $value" for kind in ENTITIES)
    query = (
        f", same AS MATERIALIZED (SELECT {', '.join(ENTITIES)}, flagged FROM chosen WHERE {any_of}) {parts}"
    )
    rows = questions.ask(query, DecisionFilter(owner=owner), {"value": value.lower()}).rows
    return [
        KnownEntity(row["kind"], row["value"], row["transactions"], row["flagged"])
        for row in rows
        if row["transactions"]
    ]


def past_of(
    questions: Questions, entity: tuple[str, str], owner: str | None, *, before: datetime, limit: int
) -> list[dict[str, Any]]:
    """Return the last transactions of somebody or something up to a moment, with it, the latest first.

    Args:
        questions: of the ledger.
        entity: a kind and a value.
        owner: whose rows; ``None`` for everybody's.
        before: UTC without a zone.
        limit: at most so many.
    """
    chosen = DecisionFilter(owner=owner, entity=entity)
    query = f"{ROWS} WHERE moment <= $moment::TIMESTAMP {LATEST_FIRST} LIMIT {int(limit)}"
    return questions.ask(query, chosen, {"moment": before}).rows


def look_up(questions: Questions, kind: str, value: str, owner: str | None) -> EntityActivity | None:
    """Return what somebody or something did; ``None`` where the ledger has none that may be seen.

    Raises:
        ValueError: there is no such kind.
        TooMuch: the ledger didn't answer in time.
    """
    chosen = DecisionFilter(owner=owner, entity=(kind, value))
    totals = questions.ask(
        f"SELECT currency, any_value({kind}) AS value, count(*) AS transactions, "
        "count(*) FILTER (WHERE flagged) AS flagged, count(*) FILTER (WHERE known = 1) AS confirmed, "
        "sum(amount)::HUGEINT AS amount, (sum(amount) FILTER (WHERE flagged))::HUGEINT AS flagged_amount, "
        "min(moment) AS first, max(moment) AS last FROM chosen GROUP BY currency",
        chosen,
    ).rows
    if not totals:
        return None
    others = [other for other in ENTITIES if other != kind]
    linked = questions.ask(
        "SELECT * FROM ("
        + " UNION ALL ".join(
            f"(SELECT '{other}' AS kind, {other} AS value, count(*) AS transactions, "
            f"count(*) FILTER (WHERE flagged) AS flagged FROM chosen WHERE {other} IS NOT NULL "
            f"GROUP BY {other} ORDER BY transactions DESC, value LIMIT {LINKED})"
            for other in others
        )
        + ")",
        chosen,
    ).rows
    latest = questions.ask(f"{ROWS} {LATEST_FIRST} LIMIT {LATEST}", chosen).rows
    return EntityActivity(
        kind=kind,
        value=next(row["value"] for row in totals),
        transactions=sum(row["transactions"] for row in totals),
        flagged=sum(row["flagged"] for row in totals),
        confirmed=sum(row["confirmed"] for row in totals),
        amounts={
            row["currency"]: (
                money.major(row["amount"], row["currency"]),
                money.major(row["flagged_amount"] or 0, row["currency"]),
            )
            for row in totals
            if row["amount"] is not None
        },
        first=min(row["first"] for row in totals),
        last=max(row["last"] for row in totals),
        latest=latest,
        linked=[
            KnownEntity(row["kind"], row["value"], row["transactions"], row["flagged"]) for row in linked
        ],
    )
