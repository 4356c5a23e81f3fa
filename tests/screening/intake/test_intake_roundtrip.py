"""Any table, written in any way that is accepted, comes back with the same numbers and the same cells."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from screening.errors import BadFile, Undecided
from screening.intake import (
    Batch,
    FileKind,
    Forms,
    ReadLimits,
    append_columns,
    look_over,
    open_transactions,
    read_records,
    settled,
)
from screening.intake.formulas import csv_text, without_formulas
from screening.intake.numbers import NUMBER, NUMBER_WITH_COMMA, NumberForm, number, plain
from screening.intake.text.parse import TOTAL
from screening.intake.text.total_watch import CENT, CLOSE, LEAST_ROWS, LEAST_SUM
from screening.transactions.schema import ColumnContract

CONTRACT = ColumnContract(("Time", "A", "Amount"), label="Class", time="Time", amount="Amount")
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = st.floats(-1e30, 1e30, allow_nan=False).map(float)
TEXTS = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=8) | st.sampled_from(
    ["a,b", 'say "x"', "two\nlines", "semi;colon", "tab\there", "", " x ", "=1+1", "-3", "end\r\nof"]
)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    rows = draw(
        st.lists(
            st.tuples(NUMBERS, NUMBERS, NUMBERS, st.sampled_from([0, 1]), TEXTS), min_size=1, max_size=12
        )
    )
    # a last row with two sums of those above it is a total, and no transaction
    sums = np.sum([row[:3] for row in rows[:-1]], axis=0)
    assume(len(rows) < 4 or not np.isclose(sums, rows[-1][:3], atol=0.01).any())
    return {
        "rows": rows,
        "order": draw(st.permutations(range(5))),
        "delimiter": draw(st.sampled_from(",;\t")),
        "decimal": draw(st.booleans()),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])),
        "end": draw(st.sampled_from(["\n", "\r\n"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "pad": draw(st.sampled_from(["", " "])),
        "case": draw(st.sampled_from([str.upper, str.lower, str.title])),
        "block": draw(st.sampled_from([3, 50, 400, 2**21])),
        "gzip": draw(st.booleans()),
    }


def table_of(rows: list[tuple[float, float, float, int, str]]) -> dict[str, Any]:
    """Return the plainest form of a table."""
    return {
        "rows": rows,
        "order": list(range(5)),
        "delimiter": ",",
        "decimal": False,
        "encoding": "utf-8",
        "end": "\n",
        "quoting": csv.QUOTE_MINIMAL,
        "pad": "",
        "case": str.title,
        "block": 2**21,
        "gzip": False,
    }


def is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def written(table: dict[str, Any]) -> tuple[bytes, list[list[str]]]:
    """The table as a file, and its cells."""
    comma = table["decimal"] and table["delimiter"] != ","

    def cell(value: float) -> str:
        shown = repr(value).replace(".", ",") if comma else repr(value)
        return f"{table['pad']}{shown}"

    cells = [[*map(cell, row[:3]), str(row[3]), row[4]] for row in table["rows"]]
    header = [f"{table['pad']}{table['case'](name)}" for name in ("Time", "A", "Amount", "Class", "Note")]
    out = io.StringIO()
    writer = csv.writer(
        out, delimiter=table["delimiter"], lineterminator=table["end"], quoting=table["quoting"]
    )
    ordered = [[row[at] for at in table["order"]] for row in [header, *cells]]
    writer.writerows(ordered)
    raw = out.getvalue().encode(table["encoding"], "replace")
    assume(
        table["encoding"] != "cp1252" or raw.isascii() or not is_utf8(raw)
    )  # it can't be told from UTF-8 then
    return (gzip.compress(raw) if table["gzip"] else raw), ordered[1:]


def all_of(upload: Path, kind: FileKind, copy: Path, limits: ReadLimits) -> list[Batch]:
    def at_it(forms: Forms | None) -> list[Batch]:
        return list(
            open_transactions(
                upload, kind, lambda header: CONTRACT, canonical=copy, limits=limits, forms=forms
            )
        )

    return settled(at_it, lambda: look_over(upload, kind, lambda header: CONTRACT, limits=limits))


def looks_like_a_total(rows: list[tuple[float, float, float, int, str]]) -> bool:
    """Return whether two numbers of the last row are the sums of those above it; nobody is named in these tables."""
    *above, last = [row[:3] for row in rows]
    if len(above) < LEAST_ROWS:
        return False
    sums = [math.fsum(column) for column in zip(*above, strict=True)]
    sizes = [math.fsum(map(abs, column)) for column in zip(*above, strict=True)]
    alike = [
        abs(total) >= LEAST_SUM and abs(own - total) <= CENT + CLOSE * size
        for own, total, size in zip(last, sums, sizes, strict=True)
    ]
    return sum(alike) > 1


@example(table_of([(0.0, 0.0, 0.0, 0, "")] * 5 + [(0.0, 1.0, 1.0, 0, "")] * 2))
@given(tables())
@SLOW
def test_a_table_written_in_any_accepted_way_comes_back_the_same(
    tmp_path: Path, table: dict[str, Any]
) -> None:
    data, cells = written(table)
    upload, copy = tmp_path / "upload", tmp_path / "copy"
    upload.write_bytes(data)
    kind = FileKind.CSV_GZ if table["gzip"] else FileKind.CSV
    refused: BadFile | None = None
    try:
        batches = all_of(upload, kind, copy, ReadLimits(block=table["block"]))
    except BadFile as problem:
        refused = problem
    if looks_like_a_total(table["rows"]):
        assert refused is not None
        assert [(each.problem, each.row) for each in refused.problems] == [(TOTAL, len(table["rows"]))]
        return
    if refused is not None:
        # random letters look like no Western text
        assert "neither UTF-8 nor Western European" in refused.what
        assert table["encoding"] == "cp1252"
        return
    values = np.concatenate([batch.transactions.values for batch in batches])
    np.testing.assert_array_equal(values, np.array([row[:3] for row in table["rows"]]))
    assert np.concatenate([batch.labels for batch in batches]).tolist() == [row[3] for row in table["rows"]]
    canonical = copy if batches[0].copied else upload
    offsets = np.concatenate([batch.offsets for batch in batches])
    assert read_records(canonical, offsets, range(len(offsets))) == cells
    exported = b"".join(append_columns(canonical, {"p": [str(at) for at in range(len(cells))]})).decode(
        "utf-8-sig"
    )
    back = list(csv.reader(io.StringIO(exported, newline="")))
    assert [row[-1] for row in back] == ["p", *map(str, range(len(cells)))]
    for row, cells_in in zip(back[1:], cells, strict=True):
        assert [cell.removeprefix("'") for cell in row[:-1]] == [cell.removeprefix("'") for cell in cells_in]


@given(st.text(st.sampled_from("0123456789.,eE+-_ nainfx\t٣−"), max_size=8))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_read_as_a_number_is_one_by_the_grammar(tmp_path: Path, cell: str) -> None:
    upload = tmp_path / "upload"
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [["Time", "A", "Amount"], ["1", cell, "2"], ["3", "4", "5"]]
    )
    upload.write_bytes(out.getvalue().encode())
    plain_one = bool(NUMBER.fullmatch(cell)) and abs(float(cell)) <= 3e38
    assert (plain(cell) is not None) == plain_one
    found, error = value_or_error(upload, tmp_path / "copy")
    if isinstance(error, Undecided):
        assert error.where == "column A"
        assert re.fullmatch(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}[+-]?", re.sub(r"[\s−]", "", cell))
    elif error is not None:
        assert [(each.row, each.column) for each in error.problems] == [(1, "A")]
        assert not plain_one
    else:
        assert found in {number(cell), number(cell, NumberForm(","))}
        assert plain(cell) in {None, found}


def value_or_error(upload: Path, copy: Path) -> tuple[float | None, BadFile | None]:
    try:
        (batch,) = all_of(upload, FileKind.CSV, copy, ReadLimits())
    except BadFile as error:
        return None, error
    return float(batch.transactions.values[0, 1]), None


HARMLESS = re.compile(r"[ \n]*[+-]\d[\d.,eE+\- \n]*")
"""Begins with a sign and holds digits, marks and exponents only: no name, so nothing that a formula could call."""
SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫"
UNSEEN = (
    " \t\n\r\x00\x0b\x0c\x1c\x1f\x85\xa0\xad\u034f\u061c\u115f\u1680\u180e\u2003\u200b\u2028\u202e\u2060"
    "\u2800\u3000\u3164\ufe0f\ufeff\uffa0"
)


def _is_number(cell: str) -> bool:
    return bool(NUMBER.fullmatch(cell) or NUMBER_WITH_COMMA.fullmatch(cell))


def _begins_as_a_formula(cell: str) -> bool:
    return cell[:1] in ("\t", "\r") or cell.lstrip(UNSEEN)[:1] in tuple(SIGNS)


def _exported(cells: list[str]) -> str:
    return without_formulas(csv_text([["1", *cells], ["-2.5e-3", *cells]]).encode()).decode()


def _check(cells: list[str]) -> None:
    for row in csv.reader(io.StringIO(_exported(cells), newline="")):
        assert len(row) == len(cells) + 1
        for before, after in zip(cells, row[1:], strict=True):
            if _begins_as_a_formula(before) and not _is_number(before):
                assert after == "'" + before or (after == before and HARMLESS.fullmatch(before))
            else:
                assert after == before


@pytest.mark.security(32, 49)
@example(["\n-0,A"])
@example(["x", " \n+1,=2"])
@given(st.lists(st.text(st.sampled_from("=+-@\t0129.,eE A*'\"\n"), max_size=7), min_size=1, max_size=4))
@settings(max_examples=1500, deadline=None)
def test_no_cell_of_an_export_begins_as_a_formula_unless_it_is_a_number(cells: list[str]) -> None:
    _check(cells)


@pytest.mark.security(49)
@example(["\r\n"])
@example(["a,", "\r\n=1"])
@given(st.lists(st.text(st.sampled_from(f"{UNSEEN}{SIGNS}1aé“,\"'"), max_size=5), min_size=1, max_size=4))
@settings(max_examples=1500, deadline=None)
def test_nothing_that_is_unseen_hides_the_beginning_of_a_formula(cells: list[str]) -> None:
    _check(cells)


@pytest.mark.security(49)
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("unseen", ["", *UNSEEN])
def test_each_unseen_mark_before_each_sign_is_found(unseen: str, sign: str) -> None:
    _check([f"{unseen}{sign}A1", f"a{unseen}{sign}"])
