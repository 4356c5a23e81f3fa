"""The workbook of a screening with all of its rows: summary, flagged rows, all rows, reasons, cleaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import IO, Any

import numpy as np

from screening.intake import all_records, header_of, read_records
from screening.intake.output import CutOff
from screening.reports.sheets import SheetTable, Workbook
from screening.uploads import exports
from screening.uploads.results import ScreeningOutcome
from screening.uploads.screenings import Screening

ROWS_AT_ONCE = 4000
FLAGS = np.array(["no", "yes"])
Progress = Callable[[float, str], None]
"""Takes the share that is done, 0 to 1, and what is being done, in words; may raise to stop the work."""


def write_screening(
    file: IO[bytes],
    screening: Screening,
    found: ScreeningOutcome,
    *,
    author: str,
    made: datetime,
    progress: Progress,
) -> None:
    """Write the workbook; of the rows never more than some thousand are in memory.

    Args:
        file: where it goes, opened for writing bytes.
        screening: one that is done.
        found: what came of it.
        author: who has it made.
        made: when.
        progress: is told how far it is.

    Raises:
        NotFound, FileNotFoundError, CutOff: the files of the screening aren't there any more, or not whole.
    """
    header = header_of(found.canonical)
    with Workbook(file) as book:
        with book.table("Summary", [], [28, 70]) as table:
            table.rows(
                [
                    ("Report", f"Screening of {screening.filename}"),
                    ("Made (UTC)", f"{made:%Y-%m-%d %H:%M}"),
                    ("By", author),
                ]
            )
            table.rows(list(exports.summary(screening, found)))
        flagged = found.strongest(len(found.probability))
        # the rows of a sheet that are looked up one by one cost some four times as much as those that are read in order
        whole = len(found.probability) + 4 * len(flagged) + 1
        with book.table("Flagged", ["Row", "Probability", "Reasons", *header], [9, 12, 80]) as table:
            for done in write_flagged(table, found, flagged, len(header)):
                progress(4 * done / whole, "Writing flagged rows")
        with book.table("All", ["Row", "Probability", "Flagged", *header], [9, 12, 9]) as table:
            for done in _all(table, found, len(header)):
                progress((4 * len(flagged) + done) / whole, "Writing all rows")
        with book.table("Reasons", ["Row", "Probability", "Place", "Reason"], [9, 12, 7, 90]) as table:
            _reasons(table, found, flagged)
        with book.table(
            "Cleaning", ["Row", "Column", "Value", "What was found or done"], [9, 24, 30, 100]
        ) as table:
            _cleaning(table, screening, found)


def write_flagged(
    table: SheetTable, found: ScreeningOutcome, rows: np.ndarray[Any, Any], width: int
) -> Iterator[int]:
    """Write the flagged rows into a sheet, and yield how many are done."""
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[begin : begin + ROWS_AT_ONCE]
        records = read_records(found.canonical, found.offsets, [int(row) for row in some])
        reasons = ["; ".join(found.reasons.get(int(row), ())) for row in some]
        table.columns(
            [
                some + 1,
                probability_texts(found.probability[some]),
                reasons,
                *columns_of_records(records, width),
            ]
        )
        yield begin + len(some)


def _all(table: SheetTable, found: ScreeningOutcome, width: int) -> Iterator[int]:
    done, total = 0, len(found.probability)
    flagged = found.flagged
    for records in all_records(found.canonical, ROWS_AT_ONCE):
        rows = slice(done, done + len(records))
        probability = np.asarray(found.probability[rows])
        if len(probability) != len(records):
            raise CutOff("the file of a screening has more rows than were scored")
        flags = np.where(np.isfinite(probability), FLAGS[flagged[rows].astype(int)], "")
        numbers = np.arange(done + 1, done + len(records) + 1)
        table.columns(
            [numbers, probability_texts(probability), flags.tolist(), *columns_of_records(records, width)]
        )
        done += len(records)
        yield done
    if done != total:
        raise CutOff("the file of a screening has lost its end")


def probability_texts(probability: np.ndarray[Any, Any]) -> list[str]:
    """Return the probabilities with nine significant digits, which bring every float32 back exactly; a row that was set
    aside has none.
    """
    return ["" if value != value else format(value, ".9g") for value in probability.tolist()]  # noqa: PLR0124


def columns_of_records(records: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Return the columns of records, each of shape (records,). A row that was set aside may be shorter, or longer."""
    even = [
        record if len(record) == width else [*record[:width], *[""] * (width - len(record))]
        for record in records
    ]
    return [list(column) for column in zip(*even, strict=True)]


def _reasons(table: SheetTable, found: ScreeningOutcome, rows: np.ndarray[Any, Any]) -> None:
    lines = [
        (row + 1, format(float(found.probability[row]), ".9g"), place, reason)
        for row in rows.tolist()
        for place, reason in enumerate(found.reasons.get(row, ()), 1)
    ]
    # of some thousand rows at most: others have none
    table.rows(lines)


def _cleaning(table: SheetTable, screening: Screening, found: ScreeningOutcome) -> None:
    names: dict[str, str] = found.meta.get("columns", {})
    table.rows([("", "", "", note) for note in screening.notes or ()])
    table.rows([("", theirs, "", f"is read as {ours}") for ours, theirs in names.items() if ours != theirs])
    composed: dict[str, dict[str, str]] = found.meta.get("composed", {})
    table.rows([("", name, "", f"is made of {', '.join(made.values())}") for name, made in composed.items()])
    table.rows([(one["row"], one["column"], one["value"], one["problem"]) for one in found.problems])
    listed = len({one["row"] for one in found.problems})
    if screening.set_aside > listed:
        words = (
            f"{screening.set_aside - listed:,} further rows couldn't be read; rejected.csv has all of them"
        )
        table.rows([("", "", "", words)])
