"""Find rows that flip between two detectors or two thresholds: flagged by one and not by the other, by the nets alone.

Where the other detector's probabilities come from is said: it has run in the first one's shadow, or it has scored the
same file, byte for byte, in a screening of its own. Nothing is scored for the comparison: a past that has grown since
would be compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from screening.ledger.fields import ENTITIES
from screening.ledger.filters import DecisionFilter
from screening.shadow.comparison import (
    FlagGroup,
    ShareInterval,
    TwoSides,
    caught,
    moved_of,
    parts_of,
    precision,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from screening.ledger.queries.questions import Questions

SHOWN = 50
KEY_BYTES = 12
COLUMNS = ", ".join(
    f"c.{name}"
    for name in ("origin", "number", "amount", "currency", "probability", "known", "moment", *ENTITIES)
)
FLAGS = (
    "probability >= $first_threshold::FLOAT AS flagged, other >= $other_threshold::FLOAT AS other_flagged "
)
ONE = f", pairs AS (SELECT *, {FLAGS}FROM (SELECT {COLUMNS}, c.probability AS other FROM chosen c)) "
TWO = (
    f", pairs AS (SELECT *, {FLAGS}FROM (SELECT {COLUMNS}, s.probability AS other FROM chosen c JOIN scores s "
    "ON s.number = c.number "
    "AND s.key = CASE WHEN c.screening IS NULL THEN c.origin ELSE unhex(c.screening[1:24]) END)) "
)
PARTS = (
    "SELECT flagged, other_flagged, known, currency, count(*) AS rows, sum(amount)::HUGEINT AS amount "
    "FROM pairs GROUP BY ALL"
)
FLIPPED = (
    f"SELECT origin, number, amount, currency, probability, other, known, moment, {', '.join(ENTITIES)} FROM pairs "
    "WHERE {condition} "
    f"ORDER BY abs(amount) DESC NULLS LAST, origin, number LIMIT {SHOWN}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips(TwoSides):
    """Flags of two detectors, or at two thresholds."""

    @property
    def only_other(self) -> FlagGroup:
        """Rows that the other alone flags."""
        return self.parts[1]

    @property
    def only_first(self) -> FlagGroup:
        """Rows that the first alone flags."""
        return self.parts[2]

    @property
    def precisions(self) -> tuple[ShareInterval, ShareInterval]:
        """Of labelled rows that each flags, those that were fraud: the first's, the other's."""
        return (
            precision(part for part in self.parts if part.first),
            precision(part for part in self.parts if part.shadow),
        )

    @property
    def recalls(self) -> tuple[ShareInterval, ShareInterval]:
        """Of rows that were fraud, those that each flags."""
        return caught(self.parts, lambda part: part.first), caught(self.parts, lambda part: part.shadow)


def flips(
    questions: Questions,
    chosen: DecisionFilter,
    first_threshold: float,
    other_threshold: float,
    scores: pa.Table | None = None,
) -> Flips:
    """Return which rows flip, of one moment's ledger.

    Args:
        questions: of the ledger.
        chosen: whose and which decisions; of one detector.
        first_threshold: from which on that one flags.
        other_threshold: from which on the other one does.
        scores: the other's probabilities, as :meth:`screening.shadow.scores.ShadowStore.table` gives them; ``None``
            where only the thresholds differ.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    pairs = ONE if scores is None else TWO
    queries = {
        "parts": pairs + PARTS,
        "gained": pairs + FLIPPED.format(condition="other_flagged AND NOT flagged"),
        "lost": pairs + FLIPPED.format(condition="flagged AND NOT other_flagged"),
    }
    given: Mapping[str, Any] = {"first_threshold": first_threshold, "other_threshold": other_threshold}
    found = questions.several(chosen, queries, given, {} if scores is None else {"scores": scores})
    return Flips(
        parts=parts_of(found["parts"]),
        gained=[moved_of(row) for row in found["gained"]],
        lost=[moved_of(row) for row in found["lost"]],
    )


def scores_of(screening: str, probability: NDArray[np.float32]) -> pa.Table:
    """Return the probabilities of a file's rows (rows,) as scores of the rows of another screening of the same file.

    Args:
        screening: the id of that other one.
        probability: NaN for rows that weren't scored.
    """
    # web processes do without it until somebody compares
    import pyarrow as pa

    there = np.flatnonzero(np.isfinite(probability))
    key = pa.scalar(bytes.fromhex(screening)[:KEY_BYTES], pa.binary(KEY_BYTES))
    return pa.table(
        {
            "key": pa.repeat(key, len(there)),
            "number": pa.array((there + 1).astype(np.uint32)),
            "probability": pa.array(probability[there]),
        }
    )
