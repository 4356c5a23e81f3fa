"""The figures of the dashboard, all of one moment; they are those of the data API, in fewer passes over the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from screening.explore.counts import COUNTED, MONEY, Row, blocked_query, grouped, percentage, ranked, total
from screening.ledger import money
from screening.ledger.filters import DecisionFilter, TrendInterval, amounts
from screening.ledger.queries.questions import COUNTS, MORE, by_query, trends_query

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

MOST_BARS = 12
"""Of devices, browsers and so on."""
FEW = {"country": 1000, "browser": MOST_BARS, "detector": 25, "fraud_type": 25}
"""Fields with few different values, and the number of each that is shown: these are counted together, in one pass."""
SCORE_EDGES = tuple(number / 20 for number in range(20))
"""Beginnings of the ranges of the probability."""
AMOUNT_EDGES = (0, *(step * 10**power for power in range(7) for step in (1, 2, 5)), 10**7)
"""Beginnings of the ranges of the amount, in whole units of its currency; what lies below the first is one, too."""
MOST_CHOICES = 500


@dataclass(frozen=True, slots=True)
class Money:
    """The sums of one currency, as people write them; ``None`` is a currency that nothing says."""

    currency: str | None
    transactions: int
    amount: float
    fraud_amount: float


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """Counts by one thing, most fraud cases first."""

    rows: Sequence[Row]
    """As the data API gives them."""
    count: int
    """Number of groups, also those that aren't among the rows."""
    without: int
    """Transactions that have none."""


@dataclass(frozen=True, slots=True)
class Range:
    """Transactions from ``low`` on and below ``high``; ``None`` is without end."""

    low: float | None
    high: float | None
    transactions: int
    fraud_cases: int


@dataclass(frozen=True, slots=True)
class AmountRanges:
    """The amounts of one currency, in ranges from the lowest to the highest that there is."""

    currency: str | None
    transactions: int
    ranges: Sequence[Range]


@dataclass(frozen=True, slots=True)
class Board:
    """Figures of the dashboard."""

    transactions: int
    fraud_cases: int
    fraud_percentage: float
    flagged: int
    confirmed: int
    labelled: int
    blocked: int | None
    """Flagged rows that reached the second threshold of their time, too; ``None`` where there was never one."""
    sums: Mapping[str, Any]
    """As the data API gives them: ``amount``, ``fraud_amount``, ``currency``."""
    by_currency: Sequence[Money]
    """The most transactions first."""
    without_amount: int
    trends: Sequence[Row]
    groups: Mapping[str, GroupCounts]
    """By a key of :data:`FEW`, and by ``device_id``."""
    scores: Sequence[Range]
    spreads: Sequence[AmountRanges]
    """By currency, the most transactions first."""
    time_basis: str


def board(
    questions: Questions,
    chosen: DecisionFilter,
    interval: TrendInterval,
    blocks: Sequence[tuple[str, datetime, float | None]] = (),
) -> Board:
    """Count everything that the dashboard shows.

    Args:
        questions: of the ledger.
        chosen: which rows.
        interval: how long a period of the trends is.
        blocks: of which detector which second threshold held, since when.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    queries = {
        "cube": CUBE,
        "trends": trends_query(interval),
        "scores": SCORES,
        "amounts": AMOUNTS,
        "device_id": by_query("device_id", MOST_BARS),
        **({"blocked": blocked_query(blocks)} if blocks else {}),
    }
    found, time_basis = questions.together(queries, chosen)
    by_name: dict[str, list[Row]] = {name: [] for name in ("summary", *FEW)}
    for row in found["cube"]:
        by_name[row["name"]].append({**row, row["name"]: row["value"]})
    summary = by_name.pop("summary")
    by_name["device_id"] = found["device_id"]
    counts = total(summary, (*COUNTED, "flagged", "confirmed", "labelled", "amounts"))
    return Board(
        transactions=counts["transactions"],
        fraud_cases=counts["fraud_cases"],
        fraud_percentage=percentage(counts),
        flagged=counts["flagged"],
        confirmed=counts["confirmed"],
        labelled=counts["labelled"],
        blocked=sum(row["blocked"] for row in found["blocked"]) if blocks else None,
        sums=amounts(summary, MONEY),
        by_currency=_by_currency(summary),
        without_amount=counts["transactions"] - counts["amounts"],
        trends=list(grouped(found["trends"], "period")),
        groups={name: groups_of(rows, name) for name, rows in by_name.items()},
        scores=score_ranges(found["scores"]),
        spreads=amount_spreads(found["amounts"]),
        time_basis=time_basis,
    )


@dataclass(frozen=True, slots=True)
class Choices:
    """Choices that the ledger offers."""

    fraud_types: Sequence[str]
    detectors: Sequence[str]
    countries: Sequence[str]


def choices(questions: Questions, owner: str | None) -> Choices:
    """Return what the filters can be set to; at most :data:`MOST_CHOICES` of each.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    names = ("fraud_type", "detector", "country")
    queries = {
        name: f"SELECT DISTINCT {name} AS value FROM chosen WHERE {name} IS NOT NULL ORDER BY ALL LIMIT {MOST_CHOICES}"
        for name in names
    }
    found, _ = questions.together(queries, DecisionFilter(owner=owner))
    return Choices(*([str(row["value"]) for row in found[name]] for name in names))


TWO = "count(*) AS transactions, count(*) FILTER (WHERE case_) AS fraud_cases"
# Each edge is compared as the filter by probability does it, so a row at an edge is on the same side of both.
SCORES = (
    "SELECT (CASE "
    + " ".join(f"WHEN probability < {edge}::FLOAT THEN {place}" for place, edge in enumerate(SCORE_EDGES[1:]))
    + f" ELSE {len(SCORE_EDGES) - 1} END)::TINYINT AS place, {TWO} FROM chosen GROUP BY place"
)
_UNIT = (
    "CASE currency "
    + " ".join(f"WHEN '{code}' THEN {10**digits}" for code, digits in money.EXPONENTS.items())
    + f" ELSE {10**money.USUAL} END"
)
_PLACE = " + ".join(f"(amount >= {edge}::BIGINT * unit)::TINYINT" for edge in AMOUNT_EDGES)
# Counted by amount first: there are far fewer amounts than rows.
AMOUNTS = (
    f"SELECT currency, {_PLACE} AS place, sum(transactions)::BIGINT AS transactions, "
    f"sum(fraud_cases)::BIGINT AS fraud_cases FROM (SELECT currency, amount, {_UNIT} AS unit, {TWO} FROM chosen "
    "WHERE amount IS NOT NULL GROUP BY ALL) GROUP BY ALL"
)
_SUMMED = ", ".join(
    f"sum({name})::HUGEINT AS {name}"
    for name in (
        "transactions",
        "fraud_cases",
        "amount",
        "fraud_amount",
        "flagged",
        "confirmed",
        "labelled",
        "amounts",
    )
)
CUBE = (
    f", cube AS MATERIALIZED (SELECT {', '.join(FEW)}, currency, {COUNTS}, {MORE} FROM chosen GROUP BY ALL), "
    + ", ".join(
        f"of_{name} AS MATERIALIZED (SELECT {name} AS value, currency, {_SUMMED} FROM cube GROUP BY ALL), "
        f"best_{name} AS (SELECT value FROM of_{name} WHERE value IS NOT NULL GROUP BY value "
        f"ORDER BY sum(fraud_cases) DESC, sum(transactions) DESC, value LIMIT {limit})"
        for name, limit in FEW.items()
    )
    + f" SELECT 'summary' AS name, NULL AS value, currency, {_SUMMED}, 0 AS groups FROM cube GROUP BY currency "
    + "".join(
        f"UNION ALL SELECT '{name}', *, (SELECT count(DISTINCT value) FROM of_{name}) FROM of_{name} "
        f"WHERE value IS NULL OR value IN (FROM best_{name}) "
        for name, limit in FEW.items()
    )
)


def _by_currency(rows: Sequence[Row]) -> list[Money]:
    found = [
        Money(
            row["currency"],
            row["amounts"],
            money.major(row["amount"], row["currency"]),
            money.major(row["fraud_amount"] or 0, row["currency"]),
        )
        for row in rows
        if row["amount"] is not None
    ]
    return sorted(found, key=lambda each: (-each.transactions, each.currency or ""))


def groups_of(rows: Sequence[Row], name: str) -> GroupCounts:
    """Return the counts of a kind of group, the groups with the most cases of fraud first."""
    return GroupCounts(
        rows=ranked(rows, name),
        count=rows[0]["groups"] if rows else 0,
        without=sum(row["transactions"] for row in rows if row[name] is None),
    )


def score_ranges(rows: Sequence[Row]) -> list[Range]:
    """Return the rows by ranges of their scores."""
    by_place = {row["place"]: row for row in rows}
    nothing = {"transactions": 0, "fraud_cases": 0}
    ends = [*SCORE_EDGES[1:], None]
    return [
        Range(low, high, **{name: by_place.get(place, nothing)[name] for name in nothing})
        for place, (low, high) in enumerate(zip(SCORE_EDGES, ends, strict=True))
    ]


def amount_spreads(rows: Sequence[Row]) -> list[AmountRanges]:
    """Return how the amounts lie, by currency."""
    by_currency: dict[str | None, dict[int, Row]] = {}
    for row in rows:
        by_currency.setdefault(row["currency"], {})[row["place"]] = row
    edges = [None, *map(float, AMOUNT_EDGES), None]
    found = []
    for currency, places in by_currency.items():
        ranges = []
        for place in range(min(places), max(places) + 1):
            row = places.get(place, {"transactions": 0, "fraud_cases": 0})
            ranges.append(Range(edges[place], edges[place + 1], row["transactions"], row["fraud_cases"]))
        found.append(AmountRanges(currency, sum(each.transactions for each in ranges), ranges))
    return sorted(found, key=lambda each: (-each.transactions, each.currency or ""))
