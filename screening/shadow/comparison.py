"""Compares a detector in the shadow with the one that decided, over the rows that both have scored."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from screening.detectors.shadow_runs import ShadowRun
from screening.ledger import money
from screening.ledger.fields import ENTITIES, entities_of
from screening.ledger.filters import DecisionFilter
from screening.ledger.identity import TransactionId
from screening.shadow.scores import ShadowStore

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

# With fewer rows there is no comparison: of 1,000 rows a rate of one in a hundred is known to within 0.6 of a
# hundredth.
LEAST_ROWS = 1_000
# With fewer rows that either flags, the difference between the two says nothing.
LEAST_FLAGGED = 30
SHOWN = 25
MOST_DAYS = 366
BINS = 20
Z = 1.959963984540054
"""Of a two-sided interval of 95 %."""
QUERIES: Mapping[str, str] = {
    "parts": "SELECT flagged, other_flagged, known, currency, count(*) AS rows, sum(amount)::HUGEINT AS amount "
    "FROM pairs GROUP BY ALL",
    "days": "SELECT date_trunc('day', decided_at) AS day, count(*) AS rows, "
    "count(*) FILTER (WHERE flagged = other_flagged) AS agreed, count(*) FILTER (WHERE flagged) AS first, "
    f"count(*) FILTER (WHERE other_flagged) AS shadow FROM pairs GROUP BY day ORDER BY day DESC LIMIT {MOST_DAYS}",
    **{
        f"{name}_bins": f"SELECT least(floor({column} * {BINS})::INTEGER, {BINS - 1}) AS bin, count(*) AS rows, "
        f"count(*) FILTER (WHERE {flag}) AS flagged FROM pairs GROUP BY bin"
        for name, column, flag in (("first", "probability", "flagged"), ("shadow", "other", "other_flagged"))
    },
    **{
        name: "SELECT origin, number, amount, currency, probability, other, known, moment, "
        f"{', '.join(ENTITIES)} FROM pairs "
        f"WHERE {condition} ORDER BY amount DESC NULLS LAST, origin, number LIMIT {SHOWN}"
        for name, condition in (
            ("gained", "other_flagged AND NOT flagged"),
            ("lost", "flagged AND NOT other_flagged"),
        )
    },
}


@dataclass(frozen=True, slots=True)
class ShareInterval:
    """A share with its 95 % interval (Wilson 1927)."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """The share; ``None`` of nothing."""
        return self.count / self.of if self.of else None

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return None if not self.of else max(self._middle - self._half, 0.0)

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return None if not self.of else min(self._middle + self._half, 1.0)

    @property
    def _middle(self) -> float:
        return (self.count + Z * Z / 2) / (self.of + Z * Z)

    @property
    def _half(self) -> float:
        share = self.count / self.of
        spread = share * (1 - share) / self.of + Z * Z / (4 * self.of * self.of)
        return Z / (1 + Z * Z / self.of) * math.sqrt(spread)


@dataclass(frozen=True, slots=True)
class Sum:
    """An amount of one currency, as people write it."""

    amount: float
    currency: str | None


@dataclass(frozen=True, slots=True)
class FlagGroup:
    """Rows that were flagged by one, by both, or by neither."""

    first: bool
    shadow: bool
    rows: int
    money: Sequence[Sum]
    fraud: int
    """Of which a label says that they were fraud."""
    legitimate: int
    """Of which a label says that they weren't."""


@dataclass(frozen=True, slots=True)
class ShadowDay:
    """The rows that were decided on one day."""

    day: datetime
    rows: int
    agreed: int
    first: int
    """That the first detector flags."""
    shadow: int
    """That the one in the shadow flags."""


@dataclass(frozen=True, slots=True)
class FlippedRow:
    """A row that only one of the two flags."""

    id: str
    money: Sum | None
    first: float
    shadow: float
    label: int | None
    moment: datetime
    who: Sequence[tuple[str, str]]
    """Who and what it is about: kind and value."""


Bins = Sequence[tuple[float, float, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSides:
    """Flags of two sides, the first and the other, on the same rows."""

    parts: Sequence[FlagGroup]
    """Both, the other alone, the first alone, neither."""
    gained: Sequence[FlippedRow]
    """That the other alone flags, the largest amounts first."""
    lost: Sequence[FlippedRow]
    """That the first alone flags."""

    @property
    def rows(self) -> int:
        """Number of rows that both have scored."""
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowComparison(TwoSides):
    """Scores of two detectors for the same rows, at the threshold at which each row was decided; the other is the one
    in the shadow.
    """

    days: Sequence[ShadowDay]
    """The earliest first."""
    first_bins: Bins
    """(low, high, rows, flagged rows)"""
    shadow_bins: Bins

    @property
    def flagged(self) -> int:
        """Number of rows that either flags."""
        return sum(part.rows for part in self.parts if part.first or part.shadow)

    @property
    def is_one(self) -> bool:
        """Return whether there are enough rows for a comparison."""
        return self.rows >= LEAST_ROWS and self.flagged >= LEAST_FLAGGED

    @property
    def agreement(self) -> ShareInterval:
        """Of all rows, those of which both say the same."""
        return ShareInterval(sum(part.rows for part in self.parts if part.first == part.shadow), self.rows)

    @property
    def first_precision(self) -> ShareInterval:
        """Of labelled rows that the first detector flags, those that were fraud."""
        return precision(part for part in self.parts if part.first)

    @property
    def shadow_precision(self) -> ShareInterval:
        """Of labelled rows that the one in the shadow flags, those that were fraud."""
        return precision(part for part in self.parts if part.shadow)

    @property
    def first_recall(self) -> ShareInterval:
        """Of rows that were fraud, those that the first detector flags."""
        return caught(self.parts, lambda part: part.first)

    @property
    def shadow_recall(self) -> ShareInterval:
        """Of rows that were fraud, those that the one in the shadow flags."""
        return caught(self.parts, lambda part: part.shadow)


def compare(run: ShadowRun, store: ShadowStore, questions: Questions) -> ShadowComparison:
    """Compare the two of a run, over all rows that are in the ledger and have both probabilities.

    Raises:
        TooMuch: it takes too long or too much memory.
    """
    chosen = DecisionFilter(detector=run.first)
    found = questions.beside(chosen, store.table(run.id), QUERIES)
    return ShadowComparison(
        parts=parts_of(found["parts"]),
        days=[ShadowDay(**row) for row in reversed(found["days"])],
        first_bins=_bins(found["first_bins"]),
        shadow_bins=_bins(found["shadow_bins"]),
        gained=[moved_of(row) for row in found["gained"]],
        lost=[moved_of(row) for row in found["lost"]],
    )


def parts_of(rows: Sequence[Mapping[str, Any]]) -> list[FlagGroup]:
    """Return both, the other alone, the first alone and neither, of rows counted by flags, label and currency."""
    found = []
    for first, shadow in ((True, True), (False, True), (True, False), (False, False)):
        mine = [row for row in rows if (row["flagged"], row["other_flagged"]) == (first, shadow)]
        sums: dict[str | None, int] = defaultdict(int)
        for row in mine:
            if row["amount"] is not None:
                sums[row["currency"]] += int(row["amount"])
        counted = {label: sum(row["rows"] for row in mine if row["known"] == label) for label in (0, 1)}
        kept = [
            Sum(money.major(units, currency), currency)
            for currency, units in sorted(sums.items(), key=lambda each: each[0] or "")
        ]
        found.append(FlagGroup(first, shadow, sum(row["rows"] for row in mine), kept, counted[1], counted[0]))
    return found


def _bins(rows: Sequence[Mapping[str, Any]]) -> Bins:
    counted = {row["bin"]: (row["rows"], row["flagged"]) for row in rows}
    return [(place / BINS, (place + 1) / BINS, *counted.get(place, (0, 0))) for place in range(BINS)]


def moved_of(row: Mapping[str, Any]) -> FlippedRow:
    """Return a row of an answer."""
    amount = row["amount"]
    return FlippedRow(
        str(TransactionId(row["origin"], row["number"])),
        None if amount is None else Sum(money.major(amount, row["currency"]), row["currency"]),
        row["probability"],
        row["other"],
        row["known"],
        row["moment"].replace(tzinfo=UTC),
        entities_of(row),
    )


def precision(parts: Iterable[FlagGroup]) -> ShareInterval:
    """Return of labelled rows those that were fraud."""
    some = list(parts)
    fraud = sum(part.fraud for part in some)
    return ShareInterval(fraud, fraud + sum(part.legitimate for part in some))


def caught(parts: Sequence[FlagGroup], flags: Callable[[FlagGroup], bool]) -> ShareInterval:
    """Return of the rows that were fraud those that are in the parts that one flags."""
    return ShareInterval(sum(part.fraud for part in parts if flags(part)), sum(part.fraud for part in parts))
