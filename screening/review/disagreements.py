"""Find disagreements about what a transaction was: between its file, a program (chargebacks), and who decided its case.

The last word counts, and what was said before isn't lost: a file's label appears in its row, a program's that somebody
decided otherwise on stands with the case, and a decision that a chargeback came after appears in its case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from screening.infra.database import Database
from screening.ledger.fields import ENTITIES, entities_of
from screening.ledger.filters import DecisionFilter
from screening.ledger.identity import TransactionId, parse
from screening.ledger.labels import FEED
from screening.ledger.tables import Label
from screening.monitoring.quality import Estimate
from screening.review.tables import Case, CaseItem, CaseState, ReviewOutcome

if TYPE_CHECKING:
    import pyarrow as pa

    from screening.ledger.ledger import Ledger

SHOWN = 200
MOST_EXPORTED = 100_000
OUTCOMES = {ReviewOutcome.FRAUD.value: 1, ReviewOutcome.LEGITIMATE.value: 0}
SOURCES = ("file", "feed", "decided")
SIDES = (
    ", sides AS (SELECT c.origin, c.number, c.screening, c.moment, c.detector, c.probability, c.threshold, c.flagged, "
    "c.amount, c.currency, c.known, c.label AS file, s.feed, s.decided, s.case_id, "
    f"{', '.join(f'c.{kind}' for kind in ENTITIES)} FROM chosen c "
    "JOIN said s ON s.origin = c.origin AND s.number = c.number) "
)
UNLIKE = "(file <> feed OR file <> decided OR feed <> decided)"
LISTED = (
    f"{SIDES}SELECT * FROM sides WHERE {UNLIKE} ORDER BY abs(amount) DESC NULLS LAST, origin, number LIMIT "
)
PAIRS = (
    SIDES
    + "SELECT "
    + ", ".join(
        f"count(*) FILTER (WHERE {one} IS NOT NULL AND {other} IS NOT NULL) AS {one}_{other}, "
        f"count(*) FILTER (WHERE {one} <> {other}) AS {one}_{other}_unlike"
        for one, other in combinations(SOURCES, 2)
    )
    + f", count(*) FILTER (WHERE {UNLIKE}) AS unlike FROM sides"
)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A transaction of which not all say the same: 1 for fraud, 0 for legitimate, ``None`` for who says nothing."""

    row: Mapping[str, Any]
    """Of the ledger."""
    file: int | None
    feed: int | None
    decided: int | None
    case: int | None

    @property
    def who(self) -> Sequence[tuple[str, str]]:
        """The customers, cards, terminals and others that it is about: kind and value."""
        return entities_of(self.row)

    @property
    def id(self) -> str:
        """The transaction's."""
        return str(TransactionId(self.row["origin"], self.row["number"]))


@dataclass(frozen=True, slots=True)
class Disagreements:
    """The rows, those with the largest amounts first, and how often each two sources disagree."""

    rows: Sequence[Disagreement]
    count: int
    pairs: Mapping[tuple[str, str], Estimate]
    """Of rows of which both say something, those of which they don't say the same."""


def disagreements(ledger: Ledger, database: Database, owner: str | None, limit: int = SHOWN) -> Disagreements:
    """Return where file, programs and decisions disagree.

    Args:
        ledger: of the instance.
        database: of the app, where cases are.
        owner: whose rows; ``None`` for everybody's.
        limit: so many rows at most.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    queries = {"rows": f"{LISTED}{int(limit)}", "pairs": PAIRS}
    found = ledger.questions.several(
        DecisionFilter(owner=owner), queries, {}, {"said": said_by_both(ledger, database)}
    )
    counts = found["pairs"][0] if found["pairs"] else {}
    rows = [
        Disagreement(row, row["file"], row["feed"], row["decided"], row["case_id"]) for row in found["rows"]
    ]
    pairs = {
        (one, other): Estimate(counts.get(f"{one}_{other}_unlike", 0), counts.get(f"{one}_{other}", 0))
        for one, other in combinations(SOURCES, 2)
    }
    return Disagreements(rows, counts.get("unlike", 0), pairs)


def said_by_both(ledger: Ledger, database: Database) -> pa.Table:
    """Return what programs and decisions say, by transaction."""
    # web processes do without it until somebody asks
    import pyarrow as pa

    said: dict[str, list[int | None]] = {}
    with ledger.tables.read() as session:
        for row in session.execute(select(Label.id, Label.label).where(Label.source == FEED)):
            said[row.id] = [row.label, None, None]
    query = (
        select(CaseItem.id, CaseItem.earlier, Case.id.label("case_id"), Case.outcome)
        .join(Case, Case.id == CaseItem.case_id)
        .where(Case.state == CaseState.DECIDED, Case.outcome.in_(list(OUTCOMES)))
    )
    with database.read() as session:
        for row in session.execute(query):
            mine = said.setdefault(row.id, [None, None, None])
            mine[1:] = [OUTCOMES[row.outcome], row.case_id]
            if mine[0] is None and row.earlier is not None and row.earlier["source"] == FEED:
                mine[0] = row.earlier["label"]
    there = [(each, words) for text, words in said.items() if (each := parse(text)) is not None]
    return pa.table(
        {
            "origin": pa.array([each.origin for each, _ in there], pa.binary()),
            "number": pa.array([each.number for each, _ in there], pa.uint32()),
            "feed": pa.array([words[0] for _, words in there], pa.int8()),
            "decided": pa.array([words[1] for _, words in there], pa.int8()),
            "case_id": pa.array([words[2] for _, words in there], pa.int64()),
        }
    )
