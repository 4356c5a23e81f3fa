"""The report of a period: its decisions by day, detector, country and type of fraud, as the data API counts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from screening.ledger import money
from screening.ledger.fields import ENTITIES
from screening.ledger.filters import DecisionFilter, TrendInterval, amounts
from screening.reports import svg_charts
from screening.reports.typeset import (
    Block,
    Chart,
    Heading,
    NamedValues,
    Paragraph,
    TypesetTable,
    accessible_pdf,
)

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

MOST_GROUPS = 20
MOST_ROWS = 100
"""Of the flagged decisions of the period, the latest, in a PDF."""
BY_DAY, BY_WEEK, BY_MONTH = 62, 370, 100_000
"""Up to so many days, trends go by the day, by the week, by the month."""
GROUPED = {"country": "Country", "browser": "Browser", "device_id": "Device", "fraud_type": "Type of fraud"}
MONEY = ("amount", "fraud_amount")


@dataclass(frozen=True, slots=True)
class PeriodFigures:
    """Answers of the ledger for one period; rows as of :class:`screening.ledger.queries.questions.Questions`."""

    start: datetime
    end: datetime
    total: Mapping[str, int]
    sums: Sequence[Mapping[str, Any]]
    """For each currency ``currency``, ``amount`` and ``fraud_amount``, as people write them."""
    interval: TrendInterval
    trend: Sequence[tuple[datetime, int, int]]
    """Its beginning, transactions, flagged ones."""
    detectors: Sequence[tuple[str, int, int]]
    groups: Mapping[str, Sequence[tuple[str, int, int]]]
    flagged: Sequence[Mapping[str, Any]]
    time_basis: str


def figures(questions: Questions, chosen: DecisionFilter, *, most_rows: int) -> PeriodFigures:
    """Ask for a period.

    Args:
        questions: of the ledger.
        chosen: the period, with a start and an end, and whose rows.
        most_rows: of its flagged rows.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    if chosen.start is None or chosen.end is None:
        raise ValueError("a period has a start and an end")
    summary = questions.summary(chosen)
    days = (chosen.end - chosen.start) / timedelta(days=1)
    interval = (
        TrendInterval.DAY
        if days <= BY_DAY
        else TrendInterval.WEEK
        if days <= BY_WEEK
        else TrendInterval.MONTH
    )
    trend: dict[Any, tuple[int, int]] = {}
    for row in questions.trends(chosen, interval).rows:
        every, cases = trend.get(row["period"], (0, 0))
        trend[row["period"]] = every + row["transactions"], cases + row["fraud_cases"]
    by_detector = questions.ask(
        "SELECT detector, count(*) AS transactions, count(*) FILTER (WHERE case_) AS fraud_cases FROM chosen "
        "GROUP BY detector ORDER BY transactions DESC, detector",
        chosen,
    ).rows
    names = ("transactions", "fraud_cases", "flagged", "confirmed", "labelled")
    return PeriodFigures(
        start=chosen.start,
        end=chosen.end,
        total={name: sum(row[name] for row in summary.rows) for name in names},
        sums=[amounts([row], MONEY) for row in summary.rows if row["amount"] is not None],
        interval=interval,
        trend=[(period, *counts) for period, counts in sorted(trend.items())],
        detectors=[(row["detector"], row["transactions"], row["fraud_cases"]) for row in by_detector],
        groups={name: _grouped(questions, name, chosen) for name in GROUPED},
        flagged=_flagged(questions, chosen, most_rows),
        time_basis=summary.time_basis,
    )


def _grouped(questions: Questions, name: str, chosen: DecisionFilter) -> list[tuple[str, int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for row in questions.by(name, chosen).rows:
        if row[name] is not None:
            every, cases = found.get(row[name], (0, 0))
            found[row[name]] = every + row["transactions"], cases + row["fraud_cases"]
    ordered = sorted(found.items(), key=lambda item: (-item[1][1], -item[1][0], item[0]))
    return [(value, *counts) for value, counts in ordered[:MOST_GROUPS]]


def _flagged(questions: Questions, chosen: DecisionFilter, most: int) -> list[dict[str, Any]]:
    query = (
        "SELECT origin, number, source, moment, detector, probability, amount, currency, known, fraud_type, reasons, "
        f"{', '.join(ENTITIES)} FROM chosen WHERE flagged "
        f"ORDER BY moment DESC, origin DESC, number DESC LIMIT {int(most)}"
    )
    return questions.ask(query, chosen).rows


def period_pdf(found: PeriodFigures, *, whose: str, author: str, made: datetime) -> bytes:
    """Return the report as PDF.

    Args:
        found: of :func:`figures`, with at most :data:`MOST_ROWS` rows.
        whose: of whose decisions it tells, in words.
        author: who has it made.
        made: when.
    """
    name = f"Decisions from {day(found.start)} to {last_day(found)}"
    return accessible_pdf(name, author, list(_parts(found, whose)), made)


def _parts(found: PeriodFigures, whose: str) -> Iterator[Block]:
    yield NamedValues([(what, str(value)) for what, value in summary(found, whose)])
    if not found.total["transactions"]:
        yield Paragraph("No decision falls into this period.")
        return
    yield Heading(f"By {found.interval.value}")
    most = max(found.trend, key=lambda each: each[1])
    yield Chart(
        svg_charts.bars(
            [(day(at), every, cases) for at, every, cases in found.trend],
            (f"{found.interval.value}, by its beginning", "transactions"),
        ),
        words=f"Transactions by {found.interval.value}, flagged ones in red. Most, {most[1]:,} of which {most[2]:,} "
        f"flagged, in the {found.interval.value} that begins on {day(most[0])}.",
        caption=f"Transactions by {found.interval.value}; flagged ones in red.",
    )
    yield _counts(
        found.interval.value.capitalize(), [(day(at), every, cases) for at, every, cases in found.trend]
    )
    for words, rows in (
        ("Detector", found.detectors),
        *((GROUPED[key], rows) for key, rows in found.groups.items()),
    ):
        if rows:
            yield Heading(f"By {words.lower()}")
            yield _counts(words, rows)
    if found.flagged:
        yield Heading("Flagged decisions")
        if found.total["flagged"] > len(found.flagged):
            yield Paragraph(
                f"The latest {len(found.flagged)} of {found.total['flagged']:,}; the workbook has more.",
                soft=True,
            )
        lines = [
            [
                f"{row['moment']:%Y-%m-%d %H:%M}",
                row["detector"],
                f"{row['probability']:.4f}",
                ""
                if row["amount"] is None
                else f"{money.major(row['amount'], row['currency']):,.2f} {row['currency'] or ''}",
                ", ".join(f"{kind} {row[kind]}" for kind in ENTITIES if row[kind] is not None),
                {1: "fraud", 0: "legitimate"}.get(row["known"], ""),
                (row["reasons"] or [""])[0],
            ]
            for row in found.flagged
        ]
        heads = ["When (UTC)", "Detector", "Probability", "Amount", "Who", "Known as", "Strongest reason"]
        yield TypesetTable("The latest first", heads, lines, [2, 3], [2, 1.4, 1.6, 1.5, 2.6, 1.2, 3.2])


def summary(found: PeriodFigures, whose: str) -> Iterator[tuple[str, object]]:
    """Give names and values: the period, how many decisions, and how much money."""
    total = found.total
    yield "Of", whose
    yield "From", f"{day(found.start)}, 00:00 UTC"
    yield "To", f"{last_day(found)}, 24:00 UTC"
    yield (
        "Time",
        {
            "event": "the transactions' own",
            "decided": "when they were decided: the data have no calendar",
            "mixed": "the transactions' own, or when they were decided where the data have no calendar",
        }[found.time_basis],
    )
    yield "Transactions", f"{total['transactions']:,}"
    share = total["flagged"] / total["transactions"] if total["transactions"] else 0
    yield "Flagged", f"{total['flagged']:,} ({100 * share:.2f} %)"
    yield "Known fraud", f"{total['confirmed']:,} of {total['labelled']:,} with a label"
    for sums in found.sums:
        currency = sums["currency"] or "no currency"
        yield f"Amount, {currency}", f"{sums['amount']:,.2f}, of which {sums['fraud_amount']:,.2f} flagged"


def _counts(words: str, rows: Sequence[tuple[str, int, int]]) -> Block:
    lines = [
        [name, f"{every:,}", f"{cases:,}", f"{100 * cases / every:.2f} %"] for name, every, cases in rows
    ]
    return TypesetTable(
        f"Decisions by {words.lower()}",
        [words, "Transactions", "Flagged", "Share"],
        lines,
        [1, 2, 3],
        [3, 1, 1, 1],
    )


def day(moment: datetime) -> str:
    """Return a day as ISO 8601 writes it."""
    return f"{moment:%Y-%m-%d}"


def last_day(found: PeriodFigures) -> str:
    """Return the last day of a period."""
    return day(found.end - timedelta(microseconds=1))
