"""Reads decisions from the workbook of a screening, after somebody has filled them in.

Each row is held against what was exported: a row that was changed, or that isn't of here, is named, and then nothing of
the workbook is taken.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from screening.errors import BadFile, CellProblem
from screening.intake import FileKind, header_of, read_records
from screening.intake.batch import ReadLimits
from screening.intake.conversion.convert import convert
from screening.uploads.exports import BEFORE, CHOICES, FLAGGED_SHEET, KEY, as_number, sheet_text
from screening.uploads.results import ScreeningOutcome

MEGABYTE = 2**20
LIMITS = ReadLimits(unpacked=256 * MEGABYTE, child_seconds=60.0)
MOST_DECISIONS = 2_000
MOST_NAMED = 20
MOST_SHOWN = 40
ID = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,9})")


@dataclass(frozen=True, slots=True)
class DecidedRow:
    """Decision in one row of a workbook. ``line`` is that of the sheet."""

    line: int
    number: int
    """Of the file's row, from 1."""
    decision: str
    fraud_type: str
    note: str


def read_decisions(
    path: Path, scratch: Path, outcome_of: Callable[[str], ScreeningOutcome | None]
) -> tuple[str, list[DecidedRow]]:
    """Return the id of the screening, and the rows that have a decision.

    Args:
        path: the workbook.
        scratch: a folder that can be written.
        outcome_of: gives what a screening left, by its id; ``None`` where there is none that may be seen.

    Raises:
        BadFile: it is no such workbook, another screening's, or has rows that were changed; says which.
    """
    with tempfile.TemporaryDirectory(prefix="decided-", dir=scratch) as folder:
        target = Path(folder) / "sheet.csv"
        convert(path.resolve(), FileKind.XLSX, target, LIMITS, sheet=FLAGGED_SHEET)
        csv.field_size_limit(LIMITS.record)
        with target.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    if not rows or tuple(rows[0][: len(BEFORE)]) != BEFORE or KEY not in rows[0]:
        raise not_ours("Its sheet hasn't the columns of a workbook that was downloaded here.")
    key = rows[0].index(KEY)
    filled = [
        (line, row)
        for line, row in enumerate(rows[1:], start=2)
        if len(row) > key and any(cell.strip() for cell in row[3:6])
    ]
    if not filled:
        raise BadFile(
            "No row has a decision.",
            remedy="Choose one in the column Decision, save, and send the workbook again.",
        )
    if len(filled) > MOST_DECISIONS:
        raise BadFile(
            f"The workbook has {len(filled):,} decisions; at most {MOST_DECISIONS:,} are taken at once.",
            remedy="Send some of them, then the others.",
        )
    screening = _screening([row[key] for _, row in filled])
    found = outcome_of(screening)
    if found is None or not found.there:
        raise not_ours("Its rows are of a screening that isn't here.")
    problems = list(problems_of(filled, rows[0], key, found))
    if problems:
        raise BadFile(
            f"{len(problems):,} of the rows with a decision can't be taken; nothing was.",
            remedy="Put back what was changed, or download the workbook again and decide there.",
            problems=problems[:MOST_NAMED],
            problem_count=len(problems),
        )
    return screening, [
        DecidedRow(
            line, int(row[key].rpartition("-")[2]), row[3].strip().lower(), row[4].strip(), row[5].strip()
        )
        for line, row in filled
    ]


def _screening(keys: Sequence[str]) -> str:
    found = {match[1] for each in keys if (match := ID.fullmatch(each.strip()))}
    if len(found) != 1:
        raise not_ours("The last column doesn't say which screening its rows are of, or names several.")
    return found.pop()


def problems_of(
    filled: Sequence[tuple[int, list[str]]], names: Sequence[str], key: int, found: ScreeningOutcome
) -> Iterator[CellProblem]:
    """Name what was changed: cells of the file, the row's number, and decisions that are none."""
    header = header_of(found.canonical)
    if [sheet_text(name) for name in header] != list(names[len(BEFORE) : key]):
        yield CellProblem("the columns of the file were changed", line=1)
        return
    seen: dict[int, int] = {}
    for line, row in filled:
        match = ID.fullmatch(row[key].strip())
        number = int(match[2]) if match else 0
        if not 1 <= number <= len(found.offsets) or row[0].strip() != str(number):
            yield CellProblem(
                "the number of the row was changed", "Row", line=line, value=row[0][:MOST_SHOWN]
            )
            continue
        if number in seen:
            yield CellProblem(f"the row appears in line {seen[number]}, too", KEY, row=number, line=line)
            continue
        seen[number] = line
        if row[3].strip().lower() not in CHOICES:
            said = f"“{row[3][:MOST_SHOWN]}” is none of {', '.join(CHOICES)}"
            yield CellProblem(said, "Decision", row=number, line=line)
        (record,) = read_records(found.canonical, found.offsets, [number - 1])
        for name, was, now in zip(header, record, row[len(BEFORE) : key], strict=False):
            if not _same(was, now):
                yield CellProblem("was changed", name[:MOST_SHOWN], row=number, line=line)


def _same(was: str, now: str) -> bool:
    """Return whether a cell is what was exported; a spreadsheet keeps the value of a number, not its form."""
    number = as_number(was)
    if number is None:
        return sheet_text(was).strip() == now.strip()
    again = as_number(now)
    return again is not None and again == number


def not_ours(why: str) -> BadFile:
    """Return the error of a workbook that wasn't downloaded here."""
    return BadFile(
        f"This isn't the workbook of one of your screenings. {why}",
        remedy="Download report.xlsx from the page of a screening, decide there, and send that.",
    )
