"""Workbooks of any size, read as openpyxl and a spreadsheet read them: nothing lost, nothing that would be run."""

from __future__ import annotations

import io
import random
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape
from python_calamine import CalamineWorkbook

from screening.reports import sheets
from screening.reports.sheets import Workbook

FORMULAS = ["=1+1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")', "\uff1d1+1", " =1"]
TEXTS = [
    "CASH_OUT", 'a & b <c> "d"', "  spaces  ", "two\nlines", "_x0041_", "_x00", "007", "12345678901234567890",
    "1,5", "1e999", "nan", "inf", "Łódź", "日本", "😀", "x" * 900, "bell\x07", "end\r\n", "2026-01-31", "-", "+",
    "1 2", "'=1",
]  # fmt: skip
NUMBERS = {
    "0": 0,
    "-0.5": -0.5,
    "1.25": 1.25,
    "+7": 7,
    ".5": 0.5,
    "5.": 5,
    "1e5": 1e5,
    "2E-3": 0.002,
    "123456789012345": 123456789012345,
}


def read(data: bytes) -> dict[str, list[list[Any]]]:
    """The cells of all sheets; openpyxl leaves to its caller what Excel reads as signs that XML hasn't."""
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True)
    return {sheet.title: [[plain(cell.value) for cell in row] for row in sheet.iter_rows()] for sheet in book}


def plain(value: Any) -> Any:
    return unescape(value) if isinstance(value, str) else value


def written(rows: list[list[str]], heads: list[str]) -> bytes:
    out = io.BytesIO()
    with Workbook(out) as book, book.table("All", heads) as table:
        table.rows(rows)
    return out.getvalue()


def test_texts_stay_and_numbers_become_numbers() -> None:
    found = read(
        written([[text, number] for text, number in zip(TEXTS, [*NUMBERS, *TEXTS], strict=False)], ["a", "b"])
    )
    kept = [row[0] for row in found["All"][1:]]
    assert [text for text in TEXTS if text not in kept] == ["bell\x07"]
    assert kept[TEXTS.index("bell\x07")] == "bell\ufffd", "XML has no room for it"
    assert [row[1] for row in found["All"][1 : 1 + len(NUMBERS)]] == list(NUMBERS.values())


def test_nothing_is_a_formula_and_what_would_be_one_is_marked_as_text() -> None:
    data = written([[text] for text in FORMULAS], ["=head()"])
    book = openpyxl.load_workbook(io.BytesIO(data))
    cells = [row[0] for row in book["All"].iter_rows(min_row=2)]
    assert len(cells) == len(FORMULAS)
    assert all(cell.data_type in ("s", "inlineStr") for cell in cells)
    assert all(cell.quotePrefix for cell in cells), (
        "editing such a cell in a spreadsheet doesn't make it a formula"
    )
    xml = zipfile.ZipFile(io.BytesIO(data)).read("xl/worksheets/sheet1.xml")
    assert b"<f" not in xml


@given(st.lists(st.lists(st.text(max_size=12), min_size=2, max_size=2), min_size=1, max_size=20))
def test_any_text_comes_back(rows: list[list[str]]) -> None:
    found = read(written(rows, ["a", "b"]))["All"][1:]
    for row, cells in zip(rows, found, strict=True):
        for text, cell in zip(row, [*cells, None, None], strict=False):
            if isinstance(cell, int | float):
                assert float(text) == cell
            else:
                expected = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", text)
                expected = "".join("\ufffd" if 0xD800 <= ord(sign) < 0xE000 else sign for sign in expected)
                assert (cell or "") == expected


def test_a_sheet_that_is_full_goes_on_in_another_with_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MOST_ROWS", 101)
    out = io.BytesIO()
    with Workbook(out) as book, book.table("All", ["n", "text"]) as table:
        for begin in (0, 70, 140):
            table.columns([list(range(begin, begin + 70)), [f"row {at}" for at in range(begin, begin + 70)]])
    found = read(out.getvalue())
    assert list(found) == ["All", "All (2)", "All (3)"]
    assert [len(rows) for rows in found.values()] == [101, 101, 11]
    assert all(rows[0] == ["n", "text"] for rows in found.values())
    assert [row[0] for rows in found.values() for row in rows[1:]] == list(range(210))


def test_columns_of_numbers_and_of_arrow_are_taken_and_blanks_stay_blank() -> None:
    out = io.BytesIO()
    with Workbook(out) as book, book.table("All", ["a", "b", "c", "d"]) as table:
        table.columns(
            [[1, 2], pa.array([0.5, None], pa.float32()), pa.array([None, "x"]), pa.nulls(2)],
        )
    assert [[*row, None, None][:4] for row in read(out.getvalue())["All"][1:]] == [
        [1, 0.5, None, None],
        [2, None, "x", None],
    ]


def test_an_error_in_between_leaves_no_workbook_that_looks_whole() -> None:
    out = io.BytesIO()

    def broken() -> None:
        with Workbook(out) as book, book.table("All", ["a"]) as table:
            table.rows([["1"]])
            raise ValueError("of the caller")

    with pytest.raises(ValueError, match="of the caller"):
        broken()
    assert "xl/workbook.xml" not in zipfile.ZipFile(io.BytesIO(out.getvalue())).namelist()


def test_the_apps_own_reader_of_workbooks_reads_it() -> None:
    data = written([["1.5", "=1+1"], ["", "x"]], ["a", "b"])
    sheet = CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_name("All")
    assert sheet.to_python() == [["a", "b"], [1.5, "=1+1"], ["", "x"]]


@pytest.mark.skipif(
    shutil.which("soffice") is None, reason="needs LibreOffice: `apt install libreoffice-calc-nogui`"
)
def test_libreoffice_opens_it(tmp_path: Path) -> None:
    chance = random.Random(7)
    rows = [
        [repr(chance.gauss(0, 1)), text, f"{chance.random():.3f}"] for text in [*FORMULAS[:4], *TEXTS[:6]]
    ]
    (tmp_path / "book.xlsx").write_bytes(written(rows, ["number", "text", "more"]))
    command = [
        "soffice",
        f"-env:UserInstallation=file://{tmp_path}/home",
        "--headless",
        "--convert-to",
        "csv",
        "book.xlsx",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    lines = (tmp_path / "book.csv").read_text("utf-8")
    assert lines.startswith("number,text,more")
    assert "=1+1" in lines
    assert "CASH_OUT" in lines
    assert 'a & b <c> ""d""' in lines
