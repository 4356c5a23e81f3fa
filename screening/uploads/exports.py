"""Exports of a screening: every row with its score, the flagged rows with their reasons, a workbook."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from screening.detectors.states import trial_note
from screening.intake import append_columns, header_of, read_records
from screening.intake.formulas import csv_text, safe
from screening.uploads.preflight import PreflightReport
from screening.uploads.results import ScreeningOutcome
from screening.uploads.screenings import Screening

ROWS_AT_ONCE = 2000
BLOCK = 1 << 18
MOST_SHEET_ROWS = 1_000_000  # a worksheet ends at 1,048,576
NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*\Z", re.ASCII)
UNLISTED = "can't be used; problems beyond the first thousand aren't listed"
ADDED = ("fraud_probability", "flagged")


def scores_csv(found: ScreeningOutcome) -> Iterator[bytes]:
    """Yield every input row in input order, its columns untouched, then ``fraud_probability`` and ``flagged``.

    Rows that were set aside have both empty. Text that a spreadsheet would run as a formula gets a leading ``'``.
    """
    # nine significant digits bring every float32 back exactly; NaN, which a row set aside has, is blank
    texts = ("" if math.isnan(value) else format(value, ".9g") for value in found.probability.tolist())
    return append_columns(found.canonical, {ADDED[0]: texts, ADDED[1]: _flags(found)})


def _flags(found: ScreeningOutcome) -> Iterator[str]:
    scored = np.isfinite(found.probability).tolist()
    return (
        ("true" if flag else "false") if known else ""
        for flag, known in zip(found.flagged.tolist(), scored, strict=True)
    )


def flagged_csv(found: ScreeningOutcome) -> Iterator[bytes]:
    """Yield the flagged rows, most probable first: row number, probability, reasons, then the file's own columns."""
    header = header_of(found.canonical)
    yield csv_bytes([["row", "fraud_probability", "reasons", *(safe(name) for name in header)]])
    chosen = found.strongest(len(found.probability))
    for begin in range(0, len(chosen), ROWS_AT_ONCE):
        yield csv_bytes(
            [
                number + 1,
                format(float(found.probability[number]), ".9g"),
                safe(reasons_of(found, number)),
                *map(safe, record),
            ]
            for number, record in _records(found, chosen[begin : begin + ROWS_AT_ONCE])
        )


def rejected_csv(found: ScreeningOutcome | PreflightReport) -> Iterator[bytes]:
    """Yield the rows that were set aside, in the file's order: row number, what is wrong, then the file's own columns.

    What is wrong is known of the first thousand problems; a row beyond them says so.
    """
    header = header_of(found.canonical)
    yield csv_bytes([["row", "problem", *(safe(name) for name in header)]])
    wrong: dict[int, list[str]] = {}
    for problem in found.problems:
        said = f"{problem['column']} {problem['problem']}" if problem["column"] else problem["problem"]
        wrong.setdefault(problem["row"], []).append(said)
    chosen = found.rejected
    for begin in range(0, len(chosen), ROWS_AT_ONCE):
        yield csv_bytes(
            [number + 1, safe("; ".join(wrong.get(number + 1, [UNLISTED]))), *map(safe, record)]
            for number, record in _records(found, chosen[begin : begin + ROWS_AT_ONCE])
        )


def workbook(found: ScreeningOutcome, screening: Screening) -> Iterator[bytes]:
    """Yield a workbook of two sheets: a summary with what proves it, and the flagged rows with their reasons.

    It is made on the disk, beside the screening's files: 200,000 rows would take a gigabyte and a half of memory.
    """
    import xlsxwriter  # only this export needs it

    with tempfile.TemporaryDirectory(prefix="report-", dir=found.canonical.parent) as folder:
        options = {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "tmpdir": folder,
        }
        made = Path(folder) / "report.xlsx"
        with xlsxwriter.Workbook(made, options) as book:
            _summary_sheet(book, screening, found)
            _flagged_sheet(book, found, screening.id)
        with made.open("rb") as file:
            while piece := file.read(BLOCK):
                yield piece


def _summary_sheet(book: Any, screening: Screening, found: ScreeningOutcome) -> None:
    sheet = book.add_worksheet("Summary")
    sheet.set_column(0, 0, 28)
    sheet.set_column(1, 1, 70)
    bold = book.add_format({"bold": True})
    for line, (name, value) in enumerate(summary(screening, found)):
        sheet.write_string(line, 0, name, bold)
        (sheet.write_number if isinstance(value, int | float) else sheet.write_string)(line, 1, value)


def summary(screening: Screening, found: ScreeningOutcome) -> Iterator[tuple[str, Any]]:
    """Give names and values: the file, the detector, the counts, and what proves them."""
    yield "File", screening.filename
    yield "File SHA-256", screening.sha256 or ""
    yield "Screened (UTC)", f"{screening.finished:%Y-%m-%d %H:%M:%S}" if screening.finished else ""
    yield "Detector", screening.detector or ""
    if screening.detector and trial_note(screening.detector) in (screening.notes or []):
        yield "Detector state", "on trial, not approved"
    yield "Detector fingerprint", screening.fingerprint or ""
    yield "Threshold", screening.threshold
    if screening.block is not None:
        yield "Block threshold", screening.block
        yield "To be stopped", screening.blocked
    yield "Rows", screening.rows
    yield "Flagged", screening.flagged
    yield "Not flagged", screening.legitimate
    yield "Unreadable (not scored)", screening.set_aside
    if found.amount is not None:
        yield "Amount flagged", round(float(np.nansum(found.amount[found.flagged])), 2)
    for name, value in (screening.quality or {}).items():
        if value is not None:
            yield name.replace("_", " ").capitalize(), value


FLAGGED_SHEET = "Flagged rows"
BEFORE = ("Row", "Fraud probability", "Reasons", "Decision", "Fraud type", "Note")
"""Columns before the file's own. The fourth to the sixth are for people to fill in (:mod:`.decided_workbook`)."""
KEY = "Key"
"""The last column: the screening and the row."""
CHOICES = ("fraud", "legitimate", "unsure")


def _flagged_sheet(book: Any, found: ScreeningOutcome, screening: str) -> None:
    sheet = book.add_worksheet(FLAGGED_SHEET)
    bold = book.add_format({"bold": True, "bottom": 1})
    percent = book.add_format({"num_format": "0.0000"})
    sheet.freeze_panes(1, 2)
    sheet.set_column(2, 2, 80)
    sheet.set_column(3, 5, 16)
    for place, name in enumerate([*BEFORE, *header_of(found.canonical), KEY]):
        sheet.write_string(0, place, name, bold)
    line = 0
    chosen = found.strongest(MOST_SHEET_ROWS)
    for begin in range(0, len(chosen), ROWS_AT_ONCE):
        for number, record in _records(found, chosen[begin : begin + ROWS_AT_ONCE]):
            line += 1
            sheet.write_number(line, 0, number + 1)
            sheet.write_number(line, 1, float(found.probability[number]), percent)
            sheet.write_string(line, 2, reasons_of(found, number))
            for place, cell in enumerate(record, start=len(BEFORE)):
                _write_cell(sheet, line, place, cell)
            sheet.write_string(line, len(BEFORE) + len(record), f"{screening}-{number + 1}")
    if line:
        sheet.data_validation(1, 3, line, 3, {"validate": "list", "source": list(CHOICES)})


def _write_cell(sheet: Any, line: int, place: int, cell: str) -> None:
    """Write a cell: numbers stay numbers; everything else is text, whatever it begins with."""
    number = as_number(cell)
    if number is None:
        sheet.write_string(line, place, sheet_text(cell))
    else:
        sheet.write_number(line, place, number)


def as_number(cell: str) -> float | None:
    """Return the number that a cell of a sheet can be in place of a text; ``None`` where it must stay a text.

    Names of digits stay: 007 would lose its first digits, a longer account its last. A sheet can't hold 1e999.
    """
    bare = cell.strip().lstrip("+-")
    name = bare.isdigit() and (len(cell) > EXACT_DIGITS or (bare[0] == "0" and bare != "0"))
    number = float(cell) if NUMBER.match(cell) and "," not in cell else math.inf
    return number if math.isfinite(number) and not name else None


def sheet_text(text: str) -> str:
    """Return a text as a cell of a sheet takes it: without signs that XML has no room for, and not too long."""
    return CONTROL.sub("\ufffd", text)[:LONGEST_CELL]


LONGEST_CELL = 32_767
# A longer whole number (an account, a reference) would lose its last digits in a sheet, and 007 its zeros.
EXACT_DIGITS = 15
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML lacks."""


def _records(
    found: ScreeningOutcome | PreflightReport, numbers: np.ndarray[Any, Any]
) -> Iterator[tuple[int, list[str]]]:
    wanted = [int(number) for number in numbers]
    return zip(wanted, read_records(found.canonical, found.offsets, wanted), strict=True)


def reasons_of(found: ScreeningOutcome, number: int) -> str:
    """Return a row's reasons as one text."""
    return "; ".join(found.reasons.get(number, []))


def csv_bytes(lines: Any) -> bytes:
    """Return lines as CSV in UTF-8."""
    return csv_text(lines).encode()
