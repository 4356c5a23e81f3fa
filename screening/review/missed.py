"""Estimate how much fraud isn't flagged, from rows below the threshold that were drawn at random and decided
on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from screening.infra.database import Database
from screening.ledger.filters import DecisionFilter
from screening.review.tables import Case, CaseState, ReviewOutcome
from screening.scoring.metrics import wilson

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

QUERY = (
    "SELECT detector, count(*) FILTER (WHERE NOT flagged) AS unflagged, "
    "count(*) FILTER (WHERE flagged AND known = 1) AS caught FROM chosen GROUP BY detector ORDER BY detector"
)


@dataclass(frozen=True, slots=True)
class Missed:
    """Of one detector, in some days."""

    detector: str
    unflagged: int
    """Rows that weren't flagged."""
    caught: int
    """Flagged rows that are known to be fraud."""
    sampled: int
    """Rows that were drawn."""
    decided: int
    """Of them, those of which it was said what they are."""
    fraud: int

    @property
    def estimate(self) -> float | None:
        """Frauds that weren't flagged; ``None`` as long as nothing was decided."""
        return self.unflagged * self.fraud / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval (Wilson's, of the share among the rows that were decided on)."""
        if not self.decided:
            return None
        low, high = wilson(self.fraud, self.decided)
        return self.unflagged * low, self.unflagged * high

    @property
    def catch_rate(self) -> tuple[float, float] | None:
        """The share of fraud that is flagged, at least and at most, as the interval has it."""
        if self.interval is None or not self.caught:
            return None
        low, high = self.interval
        return self.caught / (self.caught + high), self.caught / (self.caught + low)


def missed(database: Database, questions: Questions, since: datetime) -> Sequence[Missed]:
    """Return what is known of each detector that decided since a moment.

    Args:
        database: of the app.
        questions: of the ledger.
        since: decisions of before don't count.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    drawn = (
        select(Case.detector, Case.state, Case.outcome, func.count())
        .where(Case.sampled, Case.opened >= since)
        .group_by(Case.detector, Case.state, Case.outcome)
    )
    counts: dict[str, dict[str, int]] = {}
    with database.read() as session:
        for detector, state, outcome, number in session.execute(drawn):
            mine = counts.setdefault(
                detector, {"drawn": 0, ReviewOutcome.FRAUD: 0, ReviewOutcome.LEGITIMATE: 0}
            )
            mine["drawn"] += number
            if state == CaseState.DECIDED and outcome in mine:
                mine[outcome] += number
    found = []
    for row in questions.ask(QUERY, DecisionFilter(decided_from=since)).rows:
        mine = counts.get(row["detector"], {})
        fraud = mine.get(ReviewOutcome.FRAUD, 0)
        found.append(
            Missed(
                detector=row["detector"],
                unflagged=row["unflagged"],
                caught=row["caught"],
                sampled=mine.get("drawn", 0),
                decided=fraud + mine.get(ReviewOutcome.LEGITIMATE, 0),
                fraud=fraud,
            )
        )
    return found
