"""Count the hits of rules since a moment, and how many were right, as the ledger has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from screening.ledger.fields import SHADOW_RULES
from screening.ledger.filters import DecisionFilter
from screening.monitoring.quality import Estimate
from screening.rules.language.sql import quoted

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

COUNTS = "count(*) AS rows, count(*) FILTER (WHERE known = 1) AS fraud, count(*) FILTER (WHERE known = 0) AS legitimate"


@dataclass(frozen=True, slots=True)
class Hits:
    """Of one rule."""

    rows: int
    precision: Estimate
    """Of labelled ones, those that were fraud."""


def hits(questions: Questions, chosen: DecisionFilter) -> tuple[Mapping[str, Hits], Mapping[str, Hits]]:
    """Return the hits of active rules, and of those in the shadow, by name.

    Raises:
        TooMuch: it takes too long or too much memory.
    """
    active = f"SELECT rule, {COUNTS} FROM (SELECT unnest(rules) AS rule, known FROM chosen) GROUP BY rule"
    column = quoted(SHADOW_RULES)
    shadow = f"SELECT rule, {COUNTS} FROM (SELECT unnest({column}) AS rule, known FROM chosen) GROUP BY rule"
    return (
        _by_name(questions.ask(active, chosen).rows),
        _by_name(questions.ask(shadow, chosen, facts=[SHADOW_RULES]).rows),
    )


def _by_name(rows: list[dict[str, object]]) -> dict[str, Hits]:
    found = {}
    for row in rows:
        fraud, legitimate = int(str(row["fraud"])), int(str(row["legitimate"]))
        found[str(row["rule"])] = Hits(int(str(row["rows"])), Estimate(fraud, fraud + legitimate))
    return found
