"""The workbook of a period: summary, trend, groups, flagged decisions, and, where it is asked for, all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING

from screening.ledger import money
from screening.ledger.fields import ENTITIES
from screening.ledger.filters import DecisionFilter
from screening.reports.period_report import GROUPED, PeriodFigures, day, last_day, summary
from screening.reports.sheets import Workbook

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

MOST_FLAGGED = 50_000
"""Flagged decisions in a workbook without all decisions."""
PART_ROWS, MOST_SORTED = 40_000, 100_000
"""Decisions of a part of the period that are asked for together, mostly, and that can be sorted in DuckDB's memory."""
BATCH = 5_000
"""Rows that are in memory at once."""
Progress = Callable[[float, str], None]
"""Takes the share that is done, 0 to 1, and what is being done, in words; may raise to stop the work."""

_MAJOR = "amount::DOUBLE / CASE currency {} ELSE {} END".format(
    " ".join(f"WHEN '{code}' THEN {10**exponent}" for code, exponent in money.EXPONENTS.items()),
    10**money.USUAL,
)
_HEX = "(lower(hex(origin)) || printf('%08x', number))"
_ID = " || '-' || ".join(
    f"{_HEX}[{first}:{last}]" for first, last in ((1, 8), (9, 12), (13, 16), (17, 20), (21, 32))
)
_MOMENT = "strftime({}, '%Y-%m-%d %H:%M:%S')"
COLUMNS: Mapping[str, str] = {
    "Id": _ID,
    "When (UTC)": _MOMENT.format("moment"),
    "Decided (UTC)": _MOMENT.format("decided_at"),
    "Detector": "detector",
    "Source": "source",
    "Probability": "probability",
    "Threshold": "threshold::FLOAT",
    "Flagged": "CASE WHEN flagged THEN 'yes' ELSE 'no' END",
    "Amount": _MAJOR,
    "Currency": "currency",
    **{kind.capitalize(): kind for kind in ENTITIES},
    "Country": "country",
    "Browser": "browser",
    "Channel": "channel",
    "Known as": "CASE known WHEN 1 THEN 'fraud' WHEN 0 THEN 'legitimate' END",
    "Type of fraud": "fraud_type",
    "Rules": "array_to_string(rules, '; ')",
    "Reasons": "array_to_string(reasons, '; ')",
}
"""Heads of columns, and what each holds, as SQL."""
WIDTHS = [38, 19, 19, 16, 8, 12]
_ROWS = f"SELECT {', '.join(COLUMNS.values())} FROM chosen"
_FLAGGED = f"{_ROWS} WHERE flagged"
_REASONS = (
    f"SELECT {_ID}, {COLUMNS['When (UTC)']}, probability, unnest(reasons) FROM chosen WHERE len(reasons) > 0"
)
_ORDER = " ORDER BY moment, origin, number"
_FILES = (
    "SELECT screening, count(*), count(*) FILTER (WHERE flagged) "
    "FROM chosen WHERE screening IS NOT NULL GROUP BY 1 ORDER BY 1"
)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a period, and how many decisions it has."""

    chosen: DecisionFilter
    rows: int

    def asked(self, query: str) -> tuple[DecisionFilter, str]:
        """Return the question of this part: in the order of time; too many of one second, as they are kept."""
        return self.chosen, query + (_ORDER if self.rows <= MOST_SORTED else "")


def write_period(
    file: IO[bytes],
    found: PeriodFigures,
    questions: Questions,
    chosen: DecisionFilter,
    *,
    whole: bool,
    files: Callable[[str], tuple[str, int] | None],
    whose: str,
    author: str,
    made: datetime,
    progress: Progress = lambda _share, _stage: None,
) -> None:
    """Write the workbook.

    Args:
        file: where it goes, opened for writing bytes.
        found: the figures of the period.
        questions: of the ledger.
        chosen: the period, and whose decisions.
        whole: whether all decisions, and their reasons, appear in it; else only the flagged ones, up to
            :data:`MOST_FLAGGED`.
        files: takes the id of a screening; gives its file's name and how many of its rows couldn't be read.
        whose: of whose decisions it tells, in words.
        author: who has it made.
        made: when.
        progress: is told how far it is.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    with Workbook(file) as book:
        with book.table("Summary", [], [28, 60]) as table:
            title = f"Decisions from {day(found.start)} to {last_day(found)}"
            table.rows([("Report", title), ("Made (UTC)", f"{made:%Y-%m-%d %H:%M}"), ("By", author)])
            table.rows(list(summary(found, whose)))
        for words, rows in (
            ("Trend", [(day(at), every, cases) for at, every, cases in found.trend]),
            ("Detectors", found.detectors),
            *((GROUPED[key], rows) for key, rows in found.groups.items()),
        ):
            if rows:
                with book.table(words, [words, "Transactions", "Flagged"], [28]) as table:
                    table.rows(rows)
        if not whole:
            latest = f"{_FLAGGED} ORDER BY moment DESC, origin DESC, number DESC LIMIT {MOST_FLAGGED}"
            with book.table("Flagged", list(COLUMNS), WIDTHS) as table:
                for _, batch in questions.in_parts(chosen, [(chosen, latest)], rows=BATCH):
                    table.columns(batch.columns)
            return
        parts = list(cut(questions, chosen))
        for name, query, done in (
            ("Flagged", _FLAGGED, 0.0),
            ("All", _ROWS, 0.2),
            ("Reasons", _REASONS, 0.8),
        ):
            heads = ["Id", "When (UTC)", "Probability", "Reason"] if name == "Reasons" else list(COLUMNS)
            share = 0.6 if name == "All" else 0.2
            with book.table(name, heads, [38, 19, 12, 90] if name == "Reasons" else WIDTHS) as table:
                taken, every = 0, sum(part.rows for part in parts) or 1
                asked = [part.asked(query) for part in parts]
                for number, batch in questions.in_parts(chosen, asked, rows=BATCH):
                    table.columns(batch.columns)
                    taken += len(batch)
                    seen = taken if name == "All" else sum(part.rows for part in parts[:number])
                    progress(done + share * seen / every, f"Writing the sheet {name}")
        heads = ["Screening", "File", "Rows", "Flagged", "Unreadable rows"]
        with book.table("Files", heads, [34, 40]) as table:
            table.rows(_files(questions, chosen, files))


def cut(questions: Questions, chosen: DecisionFilter) -> Iterator[_Part]:
    """Cut a period into parts of not too many rows, as far as no single second has more."""
    start, end, count = None, None, 0
    for begins, ends, rows in _counted(questions, chosen):
        if start is not None and end is not None and count + rows > PART_ROWS:
            yield _Part(between(chosen, start, end), count)
            start, count = None, 0
        start, end, count = start or begins, ends, count + rows
    if start is not None and end is not None:
        yield _Part(between(chosen, start, end), count)


def _counted(questions: Questions, chosen: DecisionFilter) -> Iterator[tuple[datetime, datetime, int]]:
    """Count by the hour, and an hour that has more rows than a part by the second: beginning, end and rows of each."""
    for hour, rows in _by_period(questions, chosen, "hour"):
        end = hour + timedelta(hours=1)
        if rows <= PART_ROWS:
            yield hour, end, rows
            continue
        for second, some in _by_period(questions, between(chosen, hour, end), "second"):
            yield second, second + timedelta(seconds=1), some


def _by_period(questions: Questions, chosen: DecisionFilter, period: str) -> list[tuple[datetime, int]]:
    query = f"SELECT date_trunc('{period}', moment) AS period, count(*) AS rows FROM chosen GROUP BY ALL ORDER BY ALL"
    return [(row["period"].replace(tzinfo=UTC), row["rows"]) for row in questions.ask(query, chosen).rows]


def between(chosen: DecisionFilter, start: datetime, end: datetime) -> DecisionFilter:
    """Return what is chosen of a part: a period may begin and end within an hour."""
    return replace(chosen, start=max(start, chosen.start or start), end=min(end, chosen.end or end))


def _files(
    questions: Questions, chosen: DecisionFilter, files: Callable[[str], tuple[str, int] | None]
) -> Sequence[Sequence[object]]:
    rows = []
    for _, batch in questions.in_parts(chosen, [(chosen, _FILES)], rows=BATCH):
        for screening, every, flagged in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            known = files(screening)
            name, unreadable = known if known is not None else ("deleted since", "")
            rows.append((screening, name, every, flagged, unreadable))
    return rows
