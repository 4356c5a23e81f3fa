"""An amount or a time that a file has in several columns is the same payment, and said to be made of them."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xlsxwriter

from screening.errors import BadFile, ColumnsMissing, ColumnsUnclear, Undecided
from screening.transactions.composition import Composition
from screening.uploads.questions.column_mappings import Mapping
from tests.screening.uploads.payment_forms import (
    DAYS,
    SHEET_ZERO,
    Plain,
    Row,
    Screen,
    german,
    payments,
    table,
)

WHEN = "%Y-%m-%d %H:%M:%S"
Cells = Callable[[Row], Sequence[str]]
ROWS = [
    (day, who, where, -amount if number % 7 == 3 else amount)
    for number, (day, who, where, amount) in enumerate(payments())
]
"""Some of the money comes back."""


def written(header: Sequence[str], cells: Cells, rows: Sequence[Row] = ROWS, mark: str = ",") -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=mark, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(cells(row) for row in rows)
    return out.getvalue()


def with_amount(names: Sequence[str], amount: Callable[[float], Sequence[str]], mark: str = ",") -> str:
    header = ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", *names)
    return written(header, lambda row: (f"{row[0]:{WHEN}}", row[1], row[2], *amount(row[3])), mark=mark)


def with_time(names: Sequence[str], formats: Sequence[str], rows: Sequence[Row] = ROWS) -> str:
    header = ("CUSTOMER_ID", *names, "TERMINAL_ID", "TX_AMOUNT")
    return written(
        header,
        lambda row: (row[1], *(f"{row[0]:{each}}" for each in formats), row[2], f"{row[3]:g}"),
        rows,
    )


def pair(blank: str, write: Callable[[float], str] = "{:g}".format) -> Callable[[float], Sequence[str]]:
    return lambda value: (write(value), blank) if value > 0 else (blank, write(-value))


def word(out: str, back: str) -> Callable[[float], Sequence[str]]:
    return lambda value: (f"{abs(value):g}", out if value > 0 else back)


AMOUNTS: dict[str, str] = {
    "debit and credit": with_amount(("Debit", "Credit"), pair("")),
    "Soll and Haben, zeros elsewhere": with_amount(("Soll", "Haben"), pair("0,00", german), ";"),
    "paid out and paid in": with_amount(("Paid out", "Paid in"), pair("-")),
    "both with a minus where money leaves": with_amount(
        ("Debit Amount", "Credit Amount"),
        lambda value: (f"{-value:g}", "") if value > 0 else ("", f"{-value:g}"),
    ),
    "Belastung and Gutschrift": with_amount(("Belastung", "Gutschrift"), pair("NULL")),
    "D/C": with_amount(("Amount", "D/C"), word("D", "C")),
    "S/H": with_amount(("Betrag", "S/H"), word("S", "H")),
    "DR/CR": with_amount(("Amount", "DR/CR"), word("DR", "CR")),
    "plus and minus": with_amount(("Amount", "Sign"), word("-", "+")),
    "words": with_amount(("Amount", "Direction"), word("debit", "credit")),
    "a word that the sign says, too": with_amount(
        ("Amount", "D/C"), lambda value: (f"{-value:g}", "D" if value > 0 else "C")
    ),
    "the detector's own name and a word": with_amount(("TX_AMOUNT", "D/C"), word("D", "C")),
    "the detector's own name, unsigned, beside debit and credit": with_amount(
        ("TX_AMOUNT", "Debit", "Credit"), lambda value: (f"{abs(value):g}", *pair("")(value))
    ),
}


@pytest.mark.parametrize("form", AMOUNTS)
def test_an_amount_of_two_columns_is_the_same_and_it_is_said(
    screened: Screen, plain: Plain, form: str
) -> None:
    found = screened(AMOUNTS[form])
    np.testing.assert_array_equal(found.probability, plain(table(ROWS)))
    assert "TX_AMOUNT was made of" in found.notes
    assert "TX_AMOUNT was made of" in screened(AMOUNTS[form], check=True).notes


def test_where_the_file_says_which_way_the_money_went_the_sign_is_not_asked(screened: Screen) -> None:
    rows = [(day, who, where, -amount) for day, who, where, amount in ROWS]
    both = "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID"
    pairs = written(
        (*both, "Debit", "Credit"), lambda row: (f"{row[0]:{WHEN}}", row[1], row[2], *pair("")(row[3])), rows
    )
    books = written(
        (*both, "TX_AMOUNT"),
        lambda row: (f"{row[0]:{WHEN}}", row[1], row[2], f"{abs(row[3]):g} {'DR' if row[3] > 0 else 'CR'}"),
        rows,
    )
    for content in (pairs, books):
        assert "amounts are negative" in screened(content).notes
    with pytest.raises(Undecided, match="is negative in 34 rows"):
        screened(table(rows))


def test_an_amount_that_debit_and_credit_say_once_more_is_read_alone(screened: Screen, plain: Plain) -> None:
    same = with_amount(("TX_AMOUNT", "Debit", "Credit"), lambda value: (f"{value:g}", *pair("")(value)))
    found = screened(same)
    np.testing.assert_array_equal(found.probability, plain(table(ROWS)))
    assert "made of" not in found.notes


TIMES: dict[str, str] = {
    "date and time": with_time(("Date", "Time"), ("%Y-%m-%d", "%H:%M:%S")),
    "Buchungstag and Uhrzeit": with_time(("Buchungstag", "Uhrzeit"), ("%d.%m.%Y", "%H:%M:%S")),
    "digits": with_time(("DATE", "TIME"), ("%Y%m%d", "%H%M%S")),
    "noon and midnight": with_time(("Date", "Time"), ("%m/%d/%Y", "%I:%M:%S %p")),
    "parts": with_time(
        ("Year", "Month", "Day", "Hour", "Minute", "Second"), ("%Y", "%m", "%d", "%H", "%M", "%S")
    ),
    "parts and a time": with_time(("Year", "Month", "Day", "Time"), ("%Y", "%b", "%d", "%H:%M:%S")),
    "date and hour and so on": with_time(
        ("tx_date", "tx_hour", "tx_minute", "tx_second"), ("%Y-%m-%d", "%H", "%M", "%S")
    ),
    "the detector's own name and a time": with_time(("TX_DATETIME", "Time"), ("%Y-%m-%d", "%H:%M:%S")),
}


@pytest.mark.parametrize("form", TIMES)
def test_a_time_of_several_columns_is_the_same_and_it_is_said(
    screened: Screen, plain: Plain, form: str
) -> None:
    found = screened(TIMES[form])
    np.testing.assert_array_equal(found.probability, plain(table(ROWS)))
    assert "TX_DATETIME was made of" in found.notes


def test_year_month_and_day_make_a_day(screened: Screen, plain: Plain) -> None:
    found = screened(with_time(("Year", "Month", "Day"), ("%Y", "%m", "%d"), DAYS))
    np.testing.assert_array_equal(found.probability, plain(table(DAYS)))


SHEET_1904 = datetime(1904, 1, 1, tzinfo=UTC)
Write = Callable[[Any, Any, int, datetime], None]


def _as_dates(book: Any, page: Any, number: int, day: datetime) -> None:
    form = book.add_format({"num_format": "dd.mm.yyyy hh:mm:ss"})
    page.write_datetime(number, 0, day.replace(tzinfo=None), form)


def _as_numbers(book: Any, page: Any, number: int, day: datetime) -> None:
    page.write_number(number, 0, (day - (SHEET_1904 if book.date_1904 else SHEET_ZERO)) / timedelta(days=1))


def _as_date_and_time(book: Any, page: Any, number: int, day: datetime) -> None:
    plain = day.replace(tzinfo=None)
    page.write_datetime(number, 0, plain.date(), book.add_format({"num_format": "[$-407]d. mmm yyyy"}))
    page.write_datetime(number, 4, plain.time(), book.add_format({"num_format": "hh:mm:ss"}))


def workbook(write: Write, header: Sequence[str], *, since_1904: bool) -> bytes:
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True, "date_1904": since_1904})
    page = book.add_worksheet()
    page.write_row(0, 0, header)
    for number, (day, who, where, amount) in enumerate(ROWS, start=1):
        write(book, page, number, day)
        page.write_row(number, 1, [int(who), int(where), amount])
    book.close()
    return out.getvalue()


@pytest.mark.parametrize("since_1904", [False, True])
@pytest.mark.parametrize("write", [_as_dates, _as_numbers, _as_date_and_time])
def test_the_days_of_a_workbook_are_those_that_it_shows(
    screened: Screen, plain: Plain, write: Write, since_1904: bool
) -> None:
    names = ["TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT"]
    header = ["Date", *names[1:], "Time"] if write is _as_date_and_time else names
    found = screened(workbook(write, header, since_1904=since_1904), "a.xlsx")
    np.testing.assert_array_equal(found.probability, plain(table(ROWS)))
    assert (", from 1904" in found.notes) is (since_1904 and write is _as_numbers)


@pytest.mark.parametrize("ending", ["parquet", "csv.gz", "tsv"])
def test_every_kind_of_file_is_composed_alike(screened: Screen, plain: Plain, ending: str) -> None:
    text = with_amount(("Debit", "Credit"), pair(""))
    if ending == "parquet":
        out = io.BytesIO()
        pd.read_csv(io.StringIO(text)).to_parquet(out)
        content = out.getvalue()
    else:
        content = gzip.compress(text.encode()) if ending == "csv.gz" else text.replace(",", "\t").encode()
    found = screened(content, f"a.{ending}")
    np.testing.assert_array_equal(found.probability, plain(table(ROWS)))
    assert "TX_AMOUNT was made of" in found.notes


UNCLEAR: dict[str, tuple[str, str]] = {
    "letters that may mean anything": (with_amount(("TX_AMOUNT", "class"), word("D", "C")), "class may belong"),
    "another amount beside debit and credit": (
        with_amount(("TX_AMOUNT", "Debit", "Credit"), lambda value: ("5", *pair("")(value))),
        "Debit and Credit may belong",
    ),
    "a sign that contradicts the word": (
        with_amount(("TX_AMOUNT", "D/C"), lambda value: (f"{value:g}", "D" if abs(value) > 20 else "C")),
        "D/C may belong",
    ),
    "a blank where the money leaves": (with_amount(("TX_AMOUNT", "Cr/Dr"), word("", "CR")), "Cr/Dr may belong"),
    "words that nobody knows": (with_amount(("TX_AMOUNT", "Debit/Credit"), word("Tag", "Nacht")), "Debit/Credit may"),
    "debit and credit that are both filled": (
        with_amount(("TX_AMOUNT", "Debit", "Credit"), lambda value: ("5", "6", "7")),
        "Debit and Credit may belong",
    ),
    "two times of day": (
        with_time(("TX_DATETIME", "start", "end"), ("%Y-%m-%d", "%H:%M", "%H:%M")),
        "may belong to TX_DATETIME",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", UNCLEAR)
def test_what_may_belong_together_is_asked_about_though_the_names_fit(screened: Screen, form: str) -> None:
    content, words = UNCLEAR[form]
    with pytest.raises(ColumnsUnclear, match=words) as asked:
        screened(content)
    assert asked.value.as_dict()["columns_missing"]
    own = {name: name for name in ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT")}
    said = Mapping("payments", own, of_this_file=True)
    if "sign" not in form:
        assert "made of" not in screened(content, said=said).notes


def test_other_columns_with_such_words_are_no_debit_and_credit(screened: Screen) -> None:
    names = ("TX_AMOUNT", "in_degree", "out_degree", "credit_score", "type", "direction")
    content = with_amount(names, lambda value: (f"{value:g}", "3", "4", "700", "web", "north"))
    assert "made of" not in screened(content).notes


def test_what_is_not_certain_isn_t_made_where_the_amount_is_missing(screened: Screen) -> None:
    content = with_amount(("Amount", "class"), word("D", "C"))
    with pytest.raises(ColumnsMissing, match="TX_AMOUNT"):
        screened(content)


def test_what_was_said_is_read_so(screened: Screen, plain: Plain) -> None:
    content = with_amount(("in_1", "out_1"), lambda value: pair("")(value)[::-1])
    made = Composition.of({"debit": "out_1", "credit": "in_1"})
    columns = {name: name for name in ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID")}
    said = Mapping("payments", {**columns, "TX_AMOUNT": made}, "by ana")
    found = screened(content, said=said)
    np.testing.assert_array_equal(found.probability, plain(table(ROWS)))
    assert "out_1 and in_1 as TX_AMOUNT" in found.notes or "TX_AMOUNT was made of" in found.notes


@pytest.mark.parametrize(
    ("names", "cells", "words"),
    [
        (("Umsatz", "Seite"), word("shop", "bank"), "Seite doesn't hold"),
        (("Seite", "Umsatz"), word("D", "C"), "Umsatz doesn't hold"),
    ],
)
def test_what_was_said_of_earlier_files_is_asked_anew_where_the_cells_contradict_it(
    screened: Screen,
    plain: Plain,
    names: tuple[str, str],
    cells: Callable[[float], Sequence[str]],
    words: str,
) -> None:
    columns = {name: name for name in ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID")}
    made = Composition.of({"amount": "Umsatz", "direction": "Seite"})
    said = Mapping("payments", {**columns, "TX_AMOUNT": made}, "by ana")
    with pytest.raises(ColumnsUnclear, match=words):
        screened(with_amount(names, cells), said=said)
    fits = with_amount(("Umsatz", "Seite"), word("D", "C"))
    np.testing.assert_array_equal(screened(fits, said=said).probability, plain(table(ROWS)))


BAD: dict[str, tuple[Sequence[str], Callable[[float], Sequence[str]], str, str]] = {
    "both filled": (("Debit", "Credit"), pair(""), "5,7", "are both filled"),
    "neither": (("Debit", "Credit"), pair(""), ",", "are both blank"),
    "an unknown word": (("Amount", "D/C"), word("D", "C"), "5,X", "no word for debit or credit"),
    "a minus beside a word": (("Amount", "D/C"), word("D", "C"), "-5,D", "it can mean two things"),
}


@pytest.mark.parametrize("form", BAD)
def test_parts_that_make_nothing_are_named_with_their_row(screened: Screen, form: str) -> None:
    names, amount, cells, words = BAD[form]
    header, *rows = with_amount(names, amount).splitlines()
    content = "\n".join([header, *3 * rows, f"2025-02-01 00:00:00,501,31,{cells}", *rows, ""])
    with pytest.raises(BadFile) as refused:
        screened(content)
    (problem,) = refused.value.problems
    assert words in problem.problem
    assert problem.row == 3 * len(rows) + 1
    found = screened(content, set_aside=True)
    assert np.isnan(found.probability).sum() == 1


def test_a_day_that_is_not_in_its_month_is_named(screened: Screen) -> None:
    header, *rows = with_time(("Year", "Month", "Day"), ("%Y", "%m", "%d"), DAYS).splitlines()
    content = "\n".join([header, *3 * rows, "501,2025,2,30,31,12.5", ""])
    with pytest.raises(BadFile) as refused:
        screened(content)
    assert "there is no day 30 in month 2 of 2025" in refused.value.problems[0].problem


NO_TABLES: dict[str, bytes] = {
    "a letter": b"Dear customer,\nthank you for your payment, which we received.\nYours, the bank, Vienna\n",
    "a log": b"2025-01-04 07:30:44 INFO started\n2025-01-04 07:30:45 INFO ready, port 80\n",
    "one column": b"notes\nfirst\nsecond\n",
    "lines of any length": b"a,b\n1,2,3,4\n1\n1,2,3,4,5\n",
}


@pytest.mark.parametrize("form", NO_TABLES)
def test_what_is_no_table_is_told_so_in_one_sentence(screened: Screen, form: str) -> None:
    with pytest.raises(BadFile, match=r"^This is no table: [^.]*\. ") as refused:
        screened(NO_TABLES[form])
    assert not isinstance(refused.value, ColumnsMissing)
    assert refused.value.problems == []


def test_the_nearest_detector_is_told_by_the_cells_where_names_tell_nothing(screened: Screen) -> None:
    header = ("when_it_was", "who_paid", "till", "how_much")
    content = written(header, lambda row: (f"{row[0]:{WHEN}}", f"C{row[1]}", f"T{row[2]}", f"{row[3]:.2f}"))
    with pytest.raises(ColumnsMissing, match="Columns TX_DATETIME, CUSTOMER_ID, TERMINAL_ID, TX_AMOUNT are"):
        screened(content)


def test_no_more_than_eight_missing_columns_are_named(screened: Screen) -> None:
    with pytest.raises(ColumnsMissing) as refused:
        screened("Time,V1,V2,V3,Class\n1,2,3,4,0\n2,2,3,4,0\n")
    assert "and 18 more are missing" in refused.value.what
    assert len(refused.value.problems) == 8
