"""The panels of the dashboard: for each its chart, the same figures as a table, and what a reader must know of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from screening.explore.board import Board, GroupCounts, Range
from screening.explore.countries import country, on_map
from screening.explore.counts import Row
from screening.ledger.filters import TrendInterval
from screening.web.views.dashboard.charts import ChartMark, Figure, bars, columns, world
from screening.web.views.dashboard.links import RowLinks
from screening.web.views.formatting import number, percent, plural

MOST_PERIODS = 1000
SEVERAL_NAMES = "#geography-table"
"""Target of the map for a country that the files write in several ways: its table has each with its rows."""
PERIOD_FORMS = {
    TrendInterval.HOUR: "%-d %b %Y, %H:%M",
    TrendInterval.DAY: "%-d %b %Y",
    TrendInterval.WEEK: "week of %-d %b %Y",
    TrendInterval.MONTH: "%b %Y",
}
TIME_WORDS = {
    "event": "By the transactions' own time, UTC.",
    "decided": "By when they were scored, UTC: these transactions have no calendar time of their own.",
    "mixed": "By the transactions' own time, UTC; those that have none, by when they were scored.",
}
BRINGS = {
    "geography": (
        "has a country",
        "A column country in the file brings this map; so does one with IP addresses, once IP_COUNTRIES is set.",
    ),
    "types": (
        "has a type of fraud",
        "A column fraud_type in the file brings this chart; so does fraud_type in labels sent to POST /labels.",
    ),
    "devices": ("names a device", "A column device_id in the file brings this chart."),
    "browsers": ("names a browser", "A column browser in the file brings this chart."),
    "amounts": ("has an amount", "A column that the detector knows as the amount brings this chart."),
}
"""What rows lack where a chart is empty, and which column would bring it."""
NOTHING = "No transactions: screen a file, or take a filter away."


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table; ``href`` leads to its rows."""

    text: str
    href: str | None = None
    number: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart with all that belongs to it. ``figure`` is ``None`` where there is nothing to draw."""

    name: str
    figure: Figure | None
    notes: Sequence[str] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """One figure of the summary. ``fraud``: shown in the colour of risk."""

    word: str
    value: str
    foot: str = ""
    href: str | None = None
    fraud: bool = False
    more: Sequence[str] = field(default=())
    """Further lines: sums of other currencies."""


TITLES = {
    "trends": "Trends",
    "geography": "Geography",
    "types": "Fraud types",
    "devices": "Devices",
    "browsers": "Browsers",
    "amounts": "Amounts",
    "scores": "Score distribution",
    "detectors": "Detectors",
}
"""The panels in their order."""


def panels(board: Board, interval: TrendInterval, links: RowLinks) -> list[Panel]:
    """Return all panels, in the order of :data:`TITLES`."""
    made = [
        trends_panel(board, interval, links),
        geography_panel(board, links),
        named_panel("types", "Fraud type", "fraud_type", board.groups["fraud_type"], links),
        named_panel("devices", "Device", "device_id", board.groups["device_id"], links),
        named_panel("browsers", "Browser", "browser", board.groups["browser"], links),
        amounts_panel(board, links),
        scores_panel(board, links),
        named_panel("detectors", "Detector", "detector", board.groups["detector"], links),
    ]
    by_name = {panel.name: panel for panel in made}
    return [by_name[name] for name in TITLES]


def summary(board: Board, links: RowLinks) -> list[Figures]:
    """Return the figures at the head."""
    sums = [(each, f" {each.currency}" if each.currency else "") for each in board.by_currency]
    shares = percent(board.fraud_percentage / 100, 2) if board.transactions else ""
    return [
        Figures("Transactions", number(board.transactions), href=links.rows()),
        Figures(
            "Fraud cases",
            number(board.fraud_cases),
            foot=f"{shares} of the transactions" if shares else "",
            href=links.rows(fraud=True),
            fraud=board.fraud_cases > 0,
        ),
        Figures(
            "Amount",
            f"{sums[0][0].amount:,.2f}{sums[0][1]}" if sums else "–",
            foot=_without_amount(board),
            more=[f"{each.amount:,.2f}{unit}" for each, unit in sums[1:]],
        ),
        Figures(
            "Amount of fraud cases",
            f"{sums[0][0].fraud_amount:,.2f}{sums[0][1]}" if sums else "–",
            fraud=any(each.fraud_amount for each, _ in sums),
            more=[f"{each.fraud_amount:,.2f}{unit}" for each, unit in sums[1:]],
        ),
        Figures(
            "Flagged",
            number(board.flagged),
            foot="" if board.blocked is None else f"{number(board.blocked)} to be stopped",
            href=links.rows(flagged="true"),
        ),
        Figures(
            "Confirmed fraud",
            number(board.confirmed),
            foot=f"of {number(board.labelled)} with a label",
            href=links.rows(label="fraud"),
        ),
    ]


def _without_amount(board: Board) -> str:
    if not board.without_amount or board.without_amount == board.transactions:
        return ""
    return f"{number(board.without_amount)} {plural(board.without_amount, 'transaction has', 'transactions have')} none"


def trends_panel(board: Board, interval: TrendInterval, links: RowLinks) -> Panel:
    """Return the panel of transactions over time."""
    shown = board.trends[-MOST_PERIODS:]
    marks, rows = [], []
    for each in shown:
        begins: datetime = each["period"]
        word = f"{begins:{PERIOD_FORMS[interval]}}"
        there, fraud = (links.period(begins, interval, fraud=case) for case in (False, True))
        marks.append(_mark(begins.isoformat(), word, each, there, fraud))
        rows.append(_cells(word, each, there, fraud))
    notes = [TIME_WORDS[board.time_basis]] if shown else [NOTHING]
    if len(shown) < len(board.trends):
        notes.append(
            f"The last {number(len(shown))} of {number(len(board.trends))} {interval.value}s; choose a longer period, "
            "or other days, to see the rest."
        )
    return Panel("trends", columns(marks, dates=True) if marks else None, notes, head_of("Period"), rows)


def geography_panel(board: Board, links: RowLinks) -> Panel:
    """Return the panel of countries, as a map."""
    found = board.groups["country"]
    if not found.rows:
        return Panel("geography", None, [_missing("geography", board.transactions)])
    by_code: dict[str, list[Row]] = {}
    names: dict[str, str] = {}
    unknown, too_small = [], []
    rows = []
    for each in found.rows:
        known = country(each["country"])
        word = (
            each["country"]
            if known is None or known.name == each["country"]
            else f"{known.name} ({each['country']})"
        )
        rows.append(
            _cells(
                word,
                each,
                links.rows(country=each["country"]),
                links.rows(fraud=True, country=each["country"]),
            )
        )
        said = f"{word}: {number(each['transactions'])}"
        if known is None:
            unknown.append(said)
        elif known.code not in on_map():
            too_small.append(said)
        else:
            by_code.setdefault(known.code, []).append(each)
            names[known.code] = known.name
    marks = []
    for code, same in by_code.items():
        counts = {name: sum(each[name] for each in same) for name in ("transactions", "fraud_cases")}
        there = links.rows(country=same[0]["country"]) if len(same) == 1 else SEVERAL_NAMES
        marks.append(_mark(code, names[code], counts, there, there))
    notes = [
        *say_rest(found, "countries", "has no country", "have no country"),
        *([f"No country that the map knows: {_some(unknown)}."] if unknown else []),
        *([f"Too small for this map: {_some(too_small)}."] if too_small else []),
    ]
    return Panel("geography", world(marks) if marks else None, notes, head_of("Country"), rows)


def named_panel(name: str, head: str, key: str, found: GroupCounts, links: RowLinks) -> Panel:
    """Return the panel of a kind of group, as bars."""
    if not found.rows:
        return Panel(name, None, [_missing(name, found.without)])
    marks, rows = [], []
    for each in found.rows:
        value = each[key]
        own = {"entity": f"device:{value}"} if key == "device_id" else {key: value}
        there, fraud = links.rows(**own), links.rows(fraud=True, **own)
        marks.append(_mark(value, value, each, there, fraud))
        rows.append(_cells(value, each, there, fraud))
    one = head.lower()
    notes = say_rest(found, f"{one}s", f"names no {one}", f"name no {one}")
    return Panel(name, bars(marks), notes, head_of(head), rows)


def amounts_panel(board: Board, links: RowLinks) -> Panel:
    """Return the panel of how amounts lie."""
    if not board.spreads:
        return Panel("amounts", None, [_missing("amounts", board.transactions)])
    spread, *others = board.spreads
    unit = f" {spread.currency}" if spread.currency else ""
    several = bool(others)
    marks, rows = [], []
    for each in spread.ranges:
        word = _range(each, unit)
        bounds: dict[str, Any] = {"min_amount": whole_number(each.low), "max_amount": whole_number(each.high)}
        if several or spread.currency:
            bounds["currency"] = spread.currency or "none"
        there, fraud = (links.rows(fraud=case, **bounds) for case in (False, True))
        counts = {"transactions": each.transactions, "fraud_cases": each.fraud_cases}
        marks.append(_mark("< 0" if each.low is None else number(each.low), word, counts, there, fraud))
        rows.append(_counted(word, counts, there, fraud))
    notes = ["Each bar begins at its number."]
    if others:
        left = ", ".join(f"{each.currency or 'no currency'} ({number(each.transactions)})" for each in others)
        notes.append(f"Amounts in {spread.currency or 'no currency that is named'}. Not drawn: {left}.")
    if board.without_amount:
        notes.append(f"{_without_amount(board)}, of {number(board.transactions)}.")
    return Panel("amounts", columns(marks), notes, head_of("Amount", money=False), rows)


def _missing(name: str, rows: int) -> str:
    """Return why a chart is empty: no rows, or none that has what it shows; and which column would bring it."""
    if name not in BRINGS:
        return NOTHING
    lack, brings = BRINGS[name]
    return f"{f'No transaction here {lack}.' if rows else 'No transactions.'} {brings}"


def scores_panel(board: Board, links: RowLinks) -> Panel:
    """Return the panel of how scores lie."""
    if not board.transactions:
        return Panel("scores", None, [NOTHING])
    marks, rows = [], []
    for each in board.scores:
        low, high = each.low or 0.0, each.high
        word = f"{100 * low:.0f} to {100 if high is None else 100 * high:.0f}"
        bounds: dict[str, Any] = {
            "min_probability": f"{low:g}" if low else None,
            "max_probability": None if high is None else f"{high:g}",
        }
        there, fraud = (links.rows(fraud=case, **bounds) for case in (False, True))
        counts = {"transactions": each.transactions, "fraud_cases": each.fraud_cases}
        marks.append(_mark(f"{100 * low:.0f}", f"Score {word}", counts, there, fraud))
        rows.append(_counted(word, counts, there, fraud))
    notes = ["The probability of fraud times 100; each bar begins at its number."]
    return Panel("scores", columns(marks), notes, head_of("Score", money=False), rows)


def _mark(at: str, word: str, counts: Row, there: str | None, fraud: str | None) -> ChartMark:
    cases, all_of_them = counts["fraud_cases"], counts["transactions"]
    says = (
        f"{word}: {number(all_of_them)} {plural(all_of_them, 'transaction')}, "
        f"{number(cases)} fraud {plural(cases, 'case')}"
    )
    return ChartMark(at, all_of_them, cases, says, there, fraud)


def head_of(first: str, *, money: bool = True) -> list[str]:
    """Return the head of a panel's table."""
    return [first, "Transactions", "Fraud cases", "Share", *(["Amount", "Of fraud cases"] if money else [])]


def _counted(word: str, counts: Row, there: str | None, fraud: str | None) -> list[Cell]:
    share = counts["fraud_cases"] / counts["transactions"] if counts["transactions"] else None
    return [
        Cell(word, number=False),
        Cell(number(counts["transactions"]), there),
        Cell(number(counts["fraud_cases"]), fraud if counts["fraud_cases"] else None),
        Cell(percent(share, 2)),
    ]


def _cells(word: str, each: Row, there: str | None, fraud: str | None) -> list[Cell]:
    unit = f" {each['currency']}" if each["currency"] not in (None, "mixed") else ""
    sums = [
        Cell(
            "several currencies"
            if each["currency"] == "mixed"
            else "–"
            if value is None
            else f"{value:,.2f}{unit}"
        )
        for value in (each["amount"], each["fraud_amount"])
    ]
    return [*_counted(word, each, there, fraud), *sums]


def say_rest(found: GroupCounts, many: str, singular: str, several: str) -> list[str]:
    """Say what isn't drawn."""
    notes = []
    if found.count > len(found.rows):
        notes.append(
            f"The {number(len(found.rows))} {many} with the most fraud cases, of {number(found.count)}."
        )
    if found.without:
        notes.append(
            f"{number(found.without)} {plural(found.without, f'transaction {singular}', f'transactions {several}')}."
        )
    return notes


def _some(said: Iterable[str], most: int = 12) -> str:
    kept = list(said)
    rest = len(kept) - most
    return ", ".join(kept[:most]) + (f", and {number(rest)} more in the table" if rest > 0 else "")


def _range(each: Range, unit: str) -> str:
    if each.low is None:
        return f"below {number(each.high)}{unit}"
    if each.high is None:
        return f"{number(each.low)}{unit} and more"
    return f"{number(each.low)} to {number(each.high)}{unit}"


def whole_number(edge: float | None) -> str | None:
    """Return the bound of a bin as a filter takes it."""
    return None if edge is None else f"{edge:.0f}"
