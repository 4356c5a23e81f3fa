"""Rows that are no transactions, and files that were put together: read right, or refused with their lines."""

from __future__ import annotations

import dataclasses
import gzip

import numpy as np
import pytest

from screening.intake import ReadLimits
from screening.transactions.encoding import text_code
from screening.transactions.schema import CellKind, ColumnContract, Role
from tests.screening.intake.conftest import Read, Refused
from tests.screening.intake.test_intake_workbooks import workbook

NEEDED = ColumnContract(
    ("when", "customer", "shop", "amount"),
    time="when",
    amount="amount",
    kinds=(CellKind.TIME, CellKind.TEXT, CellKind.TEXT, CellKind.NUMBER),
    roles=(Role.TIME, Role.ENTITY, Role.ENTITY, Role.AMOUNT),
)
OPTIONAL = dataclasses.replace(NEEDED, optional=NEEDED.columns)
TEXTS = ColumnContract(
    ("customer", "shop"), kinds=(CellKind.TEXT, CellKind.TEXT), roles=(Role.ENTITY, Role.ENTITY)
)
ALL = pytest.mark.parametrize("contract", [NEEDED, OPTIONAL, TEXTS], ids=["needed", "optional", "texts"])
HEAD = "when,customer,shop,amount"
ROWS = [f"2025-01-0{day} 10:00:00,C{day},S{day},{day}0.5" for day in range(1, 8)]
SUM = 283.5


def joined(*rows: str, end: str = "\n") -> str:
    return end.join(rows) + end


def as_workbook(text: str) -> bytes:
    """The same rows as a workbook, numbers as numbers."""
    rows = [[_cell(cell) for cell in line.split(",")] for line in text.splitlines()]
    return workbook(rows)


def _cell(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


@pytest.mark.security(22)
@ALL
@pytest.mark.parametrize("first", ["", "sep=|\n", "\ufeff", "\ufeffsep=|\r\n"])
def test_bars_between_cells_are_read(read: Read, contract: ColumnContract, first: str) -> None:
    plain = read(joined(HEAD, *ROWS), contract=contract)
    records = plain.records()
    bars = read(first + joined(HEAD, *ROWS).replace(",", "|"), contract=contract)
    assert np.array_equal(plain.values, bars.values)
    assert bars.records() == records


def test_a_comma_in_a_cell_between_bars_is_kept(read: Read) -> None:
    rows = [row.replace(",C", "|C, ").replace(",S", "|S").replace(",", "|", 0) for row in ROWS]
    text = joined(
        HEAD.replace(",", "|"), *(row.rpartition(",")[0] + "|" + row.rpartition(",")[2] for row in rows)
    )
    found = read(text, contract=NEEDED)
    assert found.records()[0][1] == "C, 1"
    assert found.values[0, 1] == text_code("C, 1")


@pytest.mark.security(18)
@pytest.mark.parametrize(("named", "used"), [(",", ";"), (";", ","), ("|", ";"), ("\t", ",")])
def test_a_first_line_that_names_another_delimiter_than_the_header_has_is_refused(
    refused: Refused, named: str, used: str
) -> None:
    error = refused(f"sep={named}\n" + joined(HEAD, *ROWS).replace(",", used), contract=NEEDED)
    assert (error.where, "separated by" in error.what) == ("line 1", True)


@pytest.mark.security(20)
@ALL
def test_delimiters_at_the_end_of_rows(read: Read, refused: Refused, contract: ColumnContract) -> None:
    plain = read(joined(HEAD, *ROWS), contract=contract)
    for more in (",", ",,,"):
        both = read(joined(HEAD + more, *(row + more for row in ROWS)), contract=contract)
        assert np.array_equal(plain.values, both.values)
        for set_aside in (False, True):
            alone = refused(
                joined(HEAD, *(row + more for row in ROWS)), contract=contract, set_aside=set_aside
            )
            assert [problem.line for problem in alone.problems] == list(range(2, 9))
            header = refused(joined(HEAD + more, *ROWS), contract=contract, set_aside=set_aside)
            assert [problem.line for problem in header.problems] == list(range(2, 9))


@ALL
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("set_aside", [False, True])
def test_empty_lines_between_rows_are_refused_with_their_lines(
    refused: Refused, contract: ColumnContract, end: str, set_aside: bool
) -> None:
    text = joined(HEAD, ROWS[0], "", *ROWS[1:4], "", *ROWS[4:], end=end)
    error = refused(text, contract=contract, set_aside=set_aside)
    assert [(each.row, each.line, each.problem) for each in error.problems] == [
        (2, 3, "is an empty line"),
        (6, 7, "is an empty line"),
    ]


@ALL
@pytest.mark.parametrize("empty", [",,,", " , ,,", '"","","",""', "NULL,NULL,,NULL", "\ufeff,,,"])
def test_a_row_of_nothing_between_others_is_no_transaction(
    read: Read, refused: Refused, contract: ColumnContract, empty: str
) -> None:
    text = joined(HEAD, ROWS[0], empty, *ROWS[1:])
    error = refused(text, contract=contract)
    assert {(each.row, each.line) for each in error.problems} == {(2, 3)}
    assert read(text, contract=contract, set_aside=True).bad.tolist() == [at == 1 for at in range(8)]


@ALL
def test_rows_of_nothing_at_the_end_are_left_out_with_a_note(read: Read, contract: ColumnContract) -> None:
    plain = read(joined(HEAD, *ROWS), contract=contract)
    for text in (joined(HEAD, *ROWS, ",,,", ",,,"), joined(HEAD, *ROWS) + "\n\n,,,\n"):
        found = read(text, contract=contract)
        assert np.array_equal(plain.values, found.values)
        assert any("left out" in note for note in found.notes)
    book = read(as_workbook(joined(HEAD, *ROWS, ",,,", ",,,")), "a.xlsx", contract=contract)
    assert np.array_equal(plain.values, book.values)


@ALL
def test_an_empty_row_in_a_workbook_is_no_transaction(
    read: Read, refused: Refused, contract: ColumnContract
) -> None:
    data = as_workbook(joined(HEAD, ROWS[0], ",,,", *ROWS[1:]))
    assert refused(data, "a.xlsx", contract=contract).problems[0].row == 2
    assert read(data, "a.xlsx", contract=contract, set_aside=True).bad.tolist() == [
        at == 1 for at in range(8)
    ]


@ALL
def test_a_byte_order_mark_in_mid_file_changes_nobody(read: Read, contract: ColumnContract) -> None:
    """Two files put together with ``cat``: the second one's mark stands before its first cell."""
    plain = read(joined(HEAD, *ROWS), contract=contract)
    both = read("\ufeff" + joined(HEAD, *ROWS[:3]) + "\ufeff" + joined(*ROWS[3:]), contract=contract)
    assert np.array_equal(plain.values, both.values)
    marked = [row.replace(",C", ",\ufeffC").replace(",S", "\u200b,\u00a0\u200eS") for row in ROWS]
    assert np.array_equal(plain.values, read(joined(HEAD, *marked), contract=contract).values)


@pytest.mark.security(22)
@ALL
@pytest.mark.parametrize("again", [HEAD, HEAD.upper(), "\ufeff" + HEAD, HEAD.replace(",", " , ")])
def test_the_header_again_is_no_transaction(
    read: Read, refused: Refused, contract: ColumnContract, again: str
) -> None:
    """Exports put together, each with its header."""
    text = joined(HEAD, *ROWS[:3], again, *ROWS[3:])
    error = refused(text, contract=contract)
    assert [(each.row, each.line, each.problem) for each in error.problems] == [(4, 5, "repeats the header")]
    assert read(text, contract=contract, set_aside=True).bad.tolist() == [at == 3 for at in range(8)]
    book = as_workbook(text)
    assert refused(book, "a.xlsx", contract=contract).problems[0].problem == "repeats the header"


@pytest.mark.security(22)
@ALL
@pytest.mark.parametrize("set_aside", [False, True])
@pytest.mark.parametrize(
    "other", ["when,shop,customer,amount", "amount,when,shop,customer", "when,customer,shop,amount_eur"]
)
def test_another_header_refuses_the_file_since_what_follows_means_something_else(
    refused: Refused, contract: ColumnContract, set_aside: bool, other: str
) -> None:
    if contract is TEXTS and other.endswith("amount_eur"):
        return  # its columns are where they were
    error = refused(joined(HEAD, *ROWS[:3], other, *ROWS[3:]), contract=contract, set_aside=set_aside)
    moved = sorted(other.split(",")) == sorted(HEAD.split(","))
    words = "is the header once more with its columns in another order" if moved else "is another header"
    assert (error.problems[0].line, error.problems[0].problem.startswith(words)) == (5, True)


@pytest.mark.security(22)
@pytest.mark.parametrize("set_aside", [False, True])
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "xlsx"])
def test_exports_with_columns_in_another_order_are_refused_for_that_and_not_for_their_dates(
    refused: Refused, set_aside: bool, kind: str
) -> None:
    """Below the second header the dates' column holds something else, which is no reason by itself."""
    first = [f"{day:02}/12/2025,s1,c{day},{day}.50" for day in range(1, 29)]
    second = [f"{day}.50,c{day},s1,{day:02}.11.2025 10:00" for day in range(1, 29)]
    text = joined("when,shop,customer,amount", *first, "amount,customer,shop,when", *second)
    data = {"csv": text.encode(), "csv.gz": gzip.compress(text.encode()), "xlsx": as_workbook(text)}[kind]
    error = refused(data, f"a.{kind}", contract=NEEDED, set_aside=set_aside)
    assert error.what.startswith("Row 29 is the header once more with its columns in another order")
    assert error.where == "row 29"
    assert "a file of its own" in (error.remedy or "")


@pytest.mark.security(22)
@pytest.mark.parametrize("contract", [NEEDED, OPTIONAL], ids=["needed", "optional"])
@pytest.mark.parametrize(
    "total",
    [
        f"Total,,,{SUM}",
        f",,Total:,{SUM}",
        f",Summe,,{SUM}",
        f",,,{SUM}",
        f"2025-01-08 10:00:00,,Total,{SUM}",
        ",,合計,7",
    ],
)
@pytest.mark.parametrize("block", [64, 1 << 21])
def test_a_total_at_the_end_is_no_transaction(
    read: Read,
    refused: Refused,
    contract: ColumnContract,
    total: str,
    block: int,
) -> None:
    text, limits = joined(HEAD, *ROWS, total), ReadLimits(block=block)
    error = refused(text, contract=contract, limits=limits)
    assert {(each.row, each.line) for each in error.problems} == {(8, 9)}
    found = read(text, contract=contract, limits=limits, set_aside=True)
    assert found.bad.tolist() == [at == 7 for at in range(8)]
    assert np.isnan(found.values[7]).all()
    assert refused(as_workbook(text), "a.xlsx", contract=contract).problems[0].row == 8


@pytest.mark.parametrize(
    "last",
    [
        "2025-01-08 10:00:00,C8,Total,80.5",  # petrol
        "2025-01-08 10:00:00,C8,,80.5",
        f"2025-01-08 10:00:00,C8,S8,{SUM}",
        f"2025-01-08 10:00:00,C8,,{SUM}",  # of somebody
        ",C8,S8,80.5",
    ],
)
def test_a_last_payment_that_looks_a_little_like_a_total_is_a_payment(read: Read, last: str) -> None:
    found = read(joined(HEAD, *ROWS, last), contract=OPTIONAL)
    assert not found.bad.any()
    assert len(found.values) == 8


def test_the_sum_of_every_column_is_no_transaction(
    refused: Refused, cells: list[list[str]], table: np.ndarray
) -> None:
    sums = [repr(float(value)) for value in table[:, :-1].sum(axis=0)]
    error = refused(joined(*(",".join(row) for row in [*cells, [*sums, "0"]])))
    assert error.problems[0].problem == "looks like a total, not a transaction"
