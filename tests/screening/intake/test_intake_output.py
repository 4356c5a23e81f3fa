"""Rows given back: single records, and the whole file with columns added."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from screening.intake import ReadLimits, read_records
from tests.screening.intake.conftest import Read
from tests.screening.intake.intake_tables import lines, numbers, text


def test_records_come_back_in_any_order(read: Read, cells: list[list[str]]) -> None:
    outcome = read(text(cells))
    assert read_records(outcome.canonical, outcome.offsets, [7, 0, 11]) == [cells[8], cells[1], cells[12]]


def test_an_export_is_the_file_with_columns_added(read: Read, cells: list[list[str]]) -> None:
    for end in ("\n", "\r\n"):
        outcome = read(text(cells, end=end))
        exported = outcome.exported(fraud_probability=["0.25"] * 12, flagged=["false"] * 12)
        added = [[*cells[0], "fraud_probability", "flagged"], *[[*row, "0.25", "false"] for row in cells[1:]]]
        assert exported == text(added, end=end)


def test_an_export_of_a_file_without_a_last_newline_is_whole(read: Read, cells: list[list[str]]) -> None:
    exported = read(text(cells).rstrip("\n")).exported(p=["1"] * 12)
    assert exported == text([[*row, "p" if at == 0 else "1"] for at, row in enumerate(cells)])


def test_an_export_has_no_empty_rows_at_the_end_since_they_were_left_out(
    read: Read, cells: list[list[str]]
) -> None:
    empty = "," * (len(cells[0]) - 1) + "\n"
    exported = read(text(cells) + 2 * empty).exported(p=["1"] * 12)
    assert exported == text([[*row, "p" if at == 0 else "1"] for at, row in enumerate(cells)])


def test_an_export_needs_a_text_for_each_row(read: Read, cells: list[list[str]]) -> None:
    outcome = read(text(cells))
    with pytest.raises(ValueError, match="zip"):
        outcome.exported(p=["1"] * 11)


def test_columns_of_the_same_name_are_kept_under_another(read: Read, cells: list[list[str]]) -> None:
    again = [[*row, "0.5", "x"] for row in cells]
    again[0][-2:] = ["Fraud_Probability", "fraud_probability_input"]
    exported = read(text(again)).exported(fraud_probability=["0.25"] * 12)
    header, first, *_ = csv.reader(io.StringIO(exported))
    assert header[-3:] == ["Fraud_Probability_input_2", "fraud_probability_input", "fraud_probability"]
    assert first[-3:] == ["0.5", "x", "0.25"]


@pytest.mark.security(32)
@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@SUM(A1)", "\tx", '=HYPERLINK("a","b")']
)
def test_text_cannot_become_a_formula_and_numbers_stay_numbers(
    read: Read, cells: list[list[str]], cell: str
) -> None:
    wide = [[*row, "note"] for row in cells]
    quoted = '"' + cell.replace('"', '""') + '"'
    wide[4][-1] = quoted
    rows = list(csv.reader(io.StringIO(read(text(wide)).exported(p=["0"] * 12))))
    assert rows[4][-2] == "'" + cell
    assert rows[4][:31] == cells[4]
    assert rows[5] == [*cells[5], "note", "0"]


@pytest.mark.security(32)
def test_a_column_name_cannot_become_a_formula(read: Read, cells: list[list[str]]) -> None:
    wide = [[*row, "=x()" if at == 0 else "1"] for at, row in enumerate(cells)]
    assert read(text(wide)).exported(p=["0"] * 12).startswith(",".join(cells[0]) + ",'=x(),p\n")


def test_long_exports_come_in_blocks_with_each_row_once(read: Read) -> None:
    cells = lines(numbers(9000))
    outcome = read(text(cells))
    exported = outcome.exported(at=[str(row) for row in range(9000)])
    rows = exported.splitlines()
    assert len(rows) == 9001
    assert [row.rpartition(",")[2] for row in rows[1:]] == [str(row) for row in range(9000)]


def test_set_aside_rows_keep_their_place(read: Read, cells: list[list[str]]) -> None:
    cells[2][3] = "x"
    outcome = read(text(cells), set_aside=True, limits=ReadLimits(block=500))
    assert np.flatnonzero(outcome.bad).tolist() == [1]
    assert outcome.records() == cells[1:]
