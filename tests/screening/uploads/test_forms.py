"""The same payment gets the same probability, however its file is written, or a clear refusal or question.

Each form is one that people have: reported in public as read wrongly by some program, or known from banks and
spreadsheets. The payments are made here; what is compared is the probability of the shipped detector ``payments``.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from screening.errors import BadFile, ScreeningError, Undecided
from screening.intake import NOTHING_SAID, Answers
from tests.screening.uploads.payment_forms import (
    DAYS,
    HEADER,
    SHEET_ZERO,
    WHOLE,
    Plain,
    Row,
    Screen,
    german,
    indian,
    payments,
    sheet,
    table,
)

MONTHS = ("", "Jan", "Feb", "Mär", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez")

TIMES: dict[str, Callable[[datetime], str]] = {
    "20250104073044": lambda day: f"{day:%Y%m%d%H%M%S}",
    "20250104T073044": lambda day: f"{day:%Y%m%dT%H%M%S}",
    "04.01.2025, 07:30:44": lambda day: f"{day:%d.%m.%Y, %H:%M:%S}",
    "04.01.25 07:30:44": lambda day: f"{day:%d.%m.%y %H:%M:%S}",
    "4.1.2025 7:30:44": lambda day: f"{day.day}.{day.month}.{day.year} {day.hour}:{day:%M:%S}",
    "04-Jan-2025 07:30:44": lambda day: f"{day:%d-%b-%Y %H:%M:%S}",
    "04. Jan 2025 07:30:44, in German": lambda day: f"{day.day}. {MONTHS[day.month]} {day:%Y %H:%M:%S}",
    "Jan 4, 2025 7:30:44 AM": lambda day: f"{day:%b} {day.day}, {day:%Y %I:%M:%S %p}",
    "Sat, 04 Jan 2025 07:30:44 GMT": lambda day: f"{day:%a, %d %b %Y %H:%M:%S} GMT",
    "Sat Jan 04 07:30:44 UTC 2025": lambda day: f"{day:%a %b %d %H:%M:%S} UTC {day:%Y}",
    "04-JAN-25 07.30.44.000000 AM": lambda day: f"{day:%d-%b-%y %I.%M.%S}.000000 {day:%p}".upper(),
    "2025-01-04 7:30:44": lambda day: f"{day:%Y-%m-%d} {day.hour}:{day:%M:%S}",
    "2025/01/04 07:30:44": lambda day: f"{day:%Y/%m/%d %H:%M:%S}",
    "2025-01-04 07:30:44 UTC": lambda day: f"{day:%Y-%m-%d %H:%M:%S} UTC",
    "2025-01-04 08:30:44+01:00": lambda day: f"{day + timedelta(hours=1):%Y-%m-%d %H:%M:%S}+01:00",
    "2025-01-04T07:30:44.000Z": lambda day: f"{day:%Y-%m-%dT%H:%M:%S}.000Z",
    "04/01/2025 07:30:44": lambda day: f"{day:%d/%m/%Y %H:%M:%S}",
    "01/04/2025 07:30:44 AM": lambda day: f"{day:%m/%d/%Y %I:%M:%S %p}",
    "04-01-2025 07:30:44": lambda day: f"{day:%d-%m-%Y %H:%M:%S}",
    "epoch, seconds": lambda day: f"{day.timestamp():.0f}",
    "epoch, milliseconds": lambda day: f"{day.timestamp() * 1e3:.0f}",
    "epoch, microseconds": lambda day: f"{day.timestamp():.0f}000000",
    "epoch, nanoseconds": lambda day: f"{day.timestamp():.0f}000000000",
    "a spreadsheet's number of days": sheet,
    "'2025-01-04 07:30:44": lambda day: f"'{day:%Y-%m-%d %H:%M:%S}",
    '="2025-01-04 07:30:44"': lambda day: f'="{day:%Y-%m-%d %H:%M:%S}"',
    "2025-01-04-07.30.44.000000": lambda day: f"{day:%Y-%m-%d-%H.%M.%S}.000000",
    "04JAN2025:07:30:44": lambda day: f"{day:%d%b%Y:%H:%M:%S}".upper(),
    "04/Jan/2025:07:30:44 +0000": lambda day: f"{day:%d/%b/%Y:%H:%M:%S} +0000",
    "04.01.2025 um 07:30:44 Uhr": lambda day: f"{day:%d.%m.%Y} um {day:%H:%M:%S} Uhr",
    "Jan 4, 2025 at 7:30:44 AM": lambda day: f"{day:%b} {day.day}, {day:%Y} at {day:%I:%M:%S %p}",
    "04/01/2025 07:30:44 a. m.": lambda day: (
        f"{day:%d/%m/%Y %I:%M:%S}\u00a0{'a. m.' if day.hour < 12 else 'p. m.'}"
    ),
    "2025-01-04T07:30:44Z[UTC]": lambda day: f"{day:%Y-%m-%dT%H:%M:%S}Z[UTC]",
    "2025-01-04T08:30:44+01:00[Europe/Berlin]": lambda day: (
        f"{day + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}+01:00[Europe/Berlin]"
    ),
    "2025-01-04 07:30:44,000": lambda day: f"{day:%Y-%m-%d %H:%M:%S},000",
    "no-break space": lambda day: f"{day:%Y-%m-%d}\u00a0{day:%H:%M:%S}",
}


@pytest.mark.parametrize("form", TIMES)
def test_a_time_is_the_same_however_it_is_written(screened: Screen, plain: Plain, form: str) -> None:
    expected = plain(table(payments()))
    assert (expected >= 0.8).sum() > 2
    np.testing.assert_array_equal(screened(table(payments(), when=TIMES[form])).probability, expected)


DAY_FORMS: dict[str, Callable[[datetime], str]] = {
    "20250104": lambda day: f"{day:%Y%m%d}",
    "04012025": lambda day: f"{day:%d%m%Y}",
    "01042025": lambda day: f"{day:%m%d%Y}",
    "45661": lambda day: f"{(day - SHEET_ZERO).days}",
    "04/01/25": lambda day: f"{day:%d/%m/%y}",
    "4 January 2025": lambda day: f"{day.day} {day:%B %Y}",
}


@pytest.mark.parametrize("form", DAY_FORMS)
def test_a_day_is_the_same_however_it_is_written(screened: Screen, plain: Plain, form: str) -> None:
    expected = plain(table(DAYS))
    answers = Answers(dates="dmy") if form == "04/01/25" else NOTHING_SAID  # 25 may be a day, too
    np.testing.assert_array_equal(
        screened(table(DAYS, when=DAY_FORMS[form]), answers=answers).probability, expected
    )


AMOUNTS: dict[str, Callable[[float], str]] = {
    "1,070.10": lambda value: f"{value:,.2f}",
    "1.070,10": german,
    "1070,10": lambda value: f"{value:.2f}".replace(".", ","),
    "1 070,10": lambda value: f"{value:,.2f}".replace(",", " ").replace(".", ","),
    "1 070,10, no-break": lambda value: f"{value:,.2f}".replace(",", "\u00a0").replace(".", ","),
    "1 070.10, narrow": lambda value: f"{value:,.2f}".replace(",", "\u202f"),
    "1'070.10": lambda value: f"{value:,.2f}".replace(",", "'"),
    "1’070.10": lambda value: f"{value:,.2f}".replace(",", "’"),
    "1,070.10 as in India": indian,
    "$1,070.10": lambda value: f"${value:,.2f}",
    "1.070,10 €": lambda value: f"{german(value)} €",
    "EUR 1070.10": lambda value: f"EUR {value:.2f}",
    "1070.10 DR": lambda value: f"{value:.2f} DR",
    "1070.10DR": lambda value: f"{value:.2f}DR",
    "+1070.10": lambda value: f"+{value:.2f}",
    "surrounded by no-break spaces": lambda value: f"\u00a0{value:.2f}\u00a0",
    "1 070.10, thin": lambda value: f"{value:,.2f}".replace(",", "\u2009"),
    "'1070.10": lambda value: f"'{value:.2f}",
    '="1070.10"': lambda value: f'="{value:.2f}"',
    "1'070.-": lambda value: f"{value:,.2f}".replace(".00", ".-").replace(",", "'"),
    "1.070,--": lambda value: german(value).replace(",00", ",--"),
    "CHF 1'070.–": lambda value: "CHF " + f"{value:,.2f}".replace(".00", ".–").replace(",", "'"),
    "1.070,- EUR": lambda value: german(value).replace(",00", ",-") + " EUR",
    "1.070,10 S": lambda value: f"{german(value)} S",
    "Rs. 1,070.10": lambda value: f"Rs. {indian(value)}",
    "1 070,10 Kč": lambda value: f"{value:,.2f} Kč".replace(",", "\u00a0").replace(".", ","),
    "CA$1,070.10": lambda value: f"CA${value:,.2f}",
    "accounting": lambda value: f" $ {value:,.2f} ",
    "0001070.10": lambda value: f"{value:010.2f}",
    "1.0701E+03": lambda value: f"{value:.6E}",
    "1070.1000": lambda value: f"{value:.4f}",
}


@pytest.mark.parametrize("form", AMOUNTS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_an_amount_is_the_same_however_it_is_written(
    screened: Screen, plain: Plain, form: str, delimiter: str
) -> None:
    expected = plain(table(payments()))
    written = table(payments(), amount=AMOUNTS[form], delimiter=delimiter)
    np.testing.assert_array_equal(screened(written).probability, expected)


@pytest.mark.parametrize("mark", [",", "'", " ", "\u00a0"])
def test_groups_of_three_without_other_decimals_are_thousands_and_it_is_said(
    screened: Screen, plain: Plain, mark: str
) -> None:
    expected = plain(table(WHOLE))
    found = screened(table(WHOLE, amount=lambda value: f"{value:,.0f}".replace(",", mark), delimiter=";"))
    np.testing.assert_array_equal(found.probability, expected)
    assert (", was read as 1070" in found.notes or "“1,070” was read as 1070" in found.notes) == (mark == ",")


@pytest.mark.parametrize(
    ("rows", "amount"),
    [
        (WHOLE, lambda value: german(value).removesuffix(",00")),
        ([WHOLE[0], WHOLE[3]], lambda value: f"{value:,.0f}"),
    ],
    ids=["1.070 beside 12", "a lone 1,070"],
)
def test_a_mark_that_may_be_of_decimals_or_of_thousands_is_asked_about(
    screened: Screen, plain: Plain, rows: list[Row], amount: Callable[[float], str]
) -> None:
    content = table(rows, amount=amount, delimiter=";")
    with pytest.raises(Undecided) as asked:
        screened(content)
    (question,) = asked.value.questions
    assert question.option == "decimal"
    shown = {reading.answer: dict(reading.examples) for reading in question.readings}
    cell = next(iter(shown["."]))
    assert {shown["."][cell], shown[","][cell]} == {"1070", "1.07"}
    thousands = "," if "." in cell else "."
    expected = plain(table(rows))
    np.testing.assert_array_equal(screened(content, answers=Answers(decimal=thousands)).probability, expected)


@pytest.mark.parametrize("form", ["yymmdd", "dd/mm"])
def test_days_that_may_be_two_are_asked_about(screened: Screen, plain: Plain, form: str) -> None:
    few = [row for row in DAYS if row[0].day <= 12]
    when = {"yymmdd": "%y%m%d", "dd/mm": "%d/%m/%Y"}[form]
    content = table(few, when=lambda day: f"{day:{when}}")
    with pytest.raises(Undecided, match="no row tells which") as asked:
        screened(content)
    assert len(asked.value.questions[0].readings[0].examples) <= 5
    answer = "ymd" if form == "yymmdd" else "dmy"
    expected = plain(table(few))
    np.testing.assert_array_equal(screened(content, answers=Answers(dates=answer)).probability, expected)


def test_one_row_far_below_settles_the_order_of_all(screened: Screen, plain: Plain) -> None:
    """More rows than are looked at first; few of them large, for each flagged one costs its reasons."""
    rows = [
        (day.replace(day=day.day % 12 + 1), who, where, amount if number < 40 else amount % 20)
        for number, (day, who, where, amount) in enumerate(payments(timedelta(minutes=1), 9000))
    ]
    rows[-1] = (datetime(2025, 1, 25, tzinfo=UTC), *rows[-1][1:])
    expected = plain(table(rows))
    found = screened(table(rows, when=TIMES["04/01/2025 07:30:44"]))
    np.testing.assert_array_equal(found.probability, expected)
    assert "no other order fits all rows" in found.notes


REFUSED: dict[str, tuple[str, str]] = {
    "half converted by a spreadsheet": (
        table(payments(), when=lambda day: f"{day:%Y-%d-%m %H:%M:%S}" if day.day <= 12 else f"{day:%d/%m/%Y %H:%M:%S}"),
        "written in two ways",
    ),
    "numbers of days among texts": (
        table(payments(), when=lambda day: sheet(day) if day.day <= 12 else f"{day:%d/%m/%Y %H:%M:%S}"),
        "written in two ways",
    ),
    "day first and month first in one column": (
        table([*payments(), *payments()], when=lambda day: f"{day:%d/%m/%Y}" if day.hour % 2 else f"{day:%m/%d/%Y}"),
        "day before month in some rows",
    ),
    "seconds and milliseconds": (
        table(payments(), when=lambda day: f"{day.timestamp() * (1000 if day.hour % 2 else 1):.0f}"),
        "count different things",
    ),
    "shortened times": (
        table(payments(), when=lambda day: f"{day.timestamp() * 1e3:.5E}"),
        "shortened by a spreadsheet",
    ),
    "shortened ids": (table(payments(), who=lambda who: f"{float(who + '0' * 15):.5E}"), "shortened by a spreadsheet"),
    "hours since a start": (table(payments(), when=lambda day: f"{day.hour}"), "make no date from 1990 to 2100"),
    "decimal points and commas": (
        table(payments(), amount=lambda value: f"{value:.2f}" if value > 50 else f"{value:.2f}".replace(".", ",")),
        "decimals in two ways",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
@pytest.mark.parametrize("set_aside", [False, True])
def test_what_cannot_be_read_for_certain_is_refused_with_the_cause(
    screened: Screen, form: str, set_aside: bool
) -> None:
    content, words = REFUSED[form]
    with pytest.raises(BadFile, match=words) as refused:
        screened(content, set_aside=set_aside)
    assert str(refused.value.where).startswith("column ")
    assert refused.value.remedy


@pytest.mark.parametrize(
    "word", [r"\N", "[NULL]", "(null)", "<NA>", "NaT", "NULL", "<null>", "(blank)", "n.a.", "N/A", "--"]
)
def test_words_for_nothing_are_nobody(screened: Screen, word: str) -> None:
    with pytest.raises(BadFile) as refused:
        screened(table(payments(), who=lambda who: word if who == "500" else who))
    assert refused.value.problems[0].problem == "is missing"
    assert refused.value.problems[0].column == "CUSTOMER_ID"


@pytest.mark.parametrize(
    "amount",
    [
        lambda value: f"-{value:g}",
        lambda value: f"{value:g}-",
        lambda value: f"({value:g})",
        lambda value: f"−{value:g}",
    ],
)
def test_the_banks_sign_is_asked_about_and_turned(
    screened: Screen, plain: Plain, amount: Callable[[float], str]
) -> None:
    content = table(payments(), amount=amount)
    for check in (False, True):
        with pytest.raises(Undecided, match="negative in 40 rows") as asked:
            screened(content, check=check)
    assert asked.value.questions[0].readings[0].examples[0] == ("-12.5", "12.5")
    expected = plain(table(payments()))
    found = screened(content, answers=Answers(sign="turn"))
    np.testing.assert_array_equal(found.probability, expected)
    assert "with the other sign" in found.notes
    kept = screened(content, answers=Answers(sign="keep")).probability
    assert (kept != expected).any()


@pytest.mark.parametrize("form", ["{:.0f}.-", "{:.0f}.–", "{:.0f},--", "{:.0f},- EUR"])
def test_a_dash_in_place_of_the_cents_is_no_minus(screened: Screen, plain: Plain, form: str) -> None:
    """Of a few such amounts nobody would be asked: they would be refunds, with a note."""
    rows = [(*row[:3], 240.0 if number == 5 else 12.5) for number, row in enumerate(payments())]
    half = "12,5" if "," in form else "12.5"
    content = table(rows, amount=lambda value: form.format(value) if value > 20 else half, delimiter=";")
    found = screened(content)
    assert "negative" not in found.notes
    np.testing.assert_array_equal(found.probability, plain(table(rows)))


@pytest.mark.parametrize("guard", ["'{}", '="{}"', '\'="{}"', " '{} "])
def test_what_guards_an_identifier_from_a_spreadsheet_is_no_part_of_it(
    screened: Screen, plain: Plain, guard: str
) -> None:
    expected = plain(table(payments()))
    some = iter(range(1000))
    found = screened(table(payments(), who=lambda who: guard.format(who) if next(some) % 2 else who))
    np.testing.assert_array_equal(found.probability, expected)


def test_a_few_refunds_are_noted(screened: Screen) -> None:
    rows = [(*row[:3], -row[3] if number == 7 else row[3]) for number, row in enumerate(payments())]
    assert "1 amounts are negative" in screened(table(rows)).notes


def test_three_decimals_in_every_cell_are_asked_about(screened: Screen, plain: Plain) -> None:
    rows = [row for row in payments() if row[3] < 1000]
    content = table(rows, amount=lambda value: f"{value:.3f}".replace(".", ","), delimiter=";")
    with pytest.raises(Undecided, match=r"can be 12500 or 12\.5"):
        screened(content)
    expected = plain(table(rows))
    np.testing.assert_array_equal(screened(content, answers=Answers(decimal=",")).probability, expected)


def test_whole_amounts_with_a_thousand_far_below_are_asked_about(screened: Screen) -> None:
    rows = [(*row[:3], 12.0) for row in payments(timedelta(minutes=1), 6000)]
    rows[5500] = (*rows[5500][:3], 1070.0)
    content = table(rows, amount=lambda value: f"{value:,.0f}".replace(",", "."))
    with pytest.raises(Undecided, match=r"can be 1\.07 or 1070|can be 1070 or 1\.07"):
        screened(content)


def test_rows_of_nothing_at_the_end_are_left_out_and_counted(screened: Screen, plain: Plain) -> None:
    expected = plain(table(payments()))
    found = screened(table(payments()) + ",,,\n" * 3)
    np.testing.assert_array_equal(found.probability, expected)
    assert "3 empty rows at the end" in found.notes


def test_lines_above_the_header_are_passed_over_and_counted(screened: Screen, plain: Plain) -> None:
    expected = plain(table(payments()))
    above = '"Account";"000000 / example"\n"From";"01.01.2025"\n"";""\n'
    found = screened(above + table(payments(), delimiter=";", amount=german))
    np.testing.assert_array_equal(found.probability, expected)
    assert "3 lines above the header" in found.notes


def workbook(rows: Sequence[Sequence[object]], name: str = "xlsx") -> bytes:
    import xlsxwriter

    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    page = book.add_worksheet()
    for number, row in enumerate([list(HEADER), *rows]):
        page.write_row(number, 0, row)
    book.close()
    return out.getvalue()


@pytest.mark.parametrize("ending", ["xlsx", "xlsm"])
def test_a_workbook_of_general_cells_has_its_days(screened: Screen, plain: Plain, ending: str) -> None:
    expected = plain(table(payments()))
    rows = [[float(sheet(day)), int(who), int(where), value] for day, who, where, value in payments()]
    found = screened(workbook(rows), f"a.{ending}")
    np.testing.assert_array_equal(found.probability, expected)
    assert "days as spreadsheets count them" in found.notes


def test_a_workbook_s_table_is_found_below_its_head_and_beside_empty_columns(
    screened: Screen, plain: Plain
) -> None:
    import xlsxwriter

    expected = plain(table(payments()))
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    page = book.add_worksheet()
    page.write_row(1, 2, ["Account", "000000 / example"])
    page.write_row(2, 2, ["From", "01.01.2025"])
    page.write_row(5, 2, HEADER)
    for number, (day, who, where, value) in enumerate(payments(), start=6):
        page.write_row(number, 2, [f"{day:%Y-%m-%d %H:%M:%S}", who, where, value])
    book.close()
    found = screened(out.getvalue(), "a.xlsx")
    np.testing.assert_array_equal(found.probability, expected)
    assert "5 lines above the header" in found.notes


@pytest.mark.parametrize("since_1904", [False, True])
def test_a_moment_that_a_workbook_shows_as_hours_is_the_same(
    screened: Screen, plain: Plain, since_1904: bool
) -> None:
    import xlsxwriter

    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True, "date_1904": since_1904})
    page, hours = book.add_worksheet(), book.add_format({"num_format": "[hh]:mm:ss"})
    page.write_row(0, 0, HEADER)
    for number, (day, who, where, value) in enumerate(payments(), start=1):
        page.write_datetime(number, 0, day.replace(tzinfo=None), hours)
        page.write_row(number, 1, [who, where, value])
    book.close()
    np.testing.assert_array_equal(screened(out.getvalue(), "a.xlsx").probability, plain(table(payments())))


def test_an_error_of_the_spreadsheet_is_named_as_it_is_seen(screened: Screen) -> None:
    import xlsxwriter

    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    page = book.add_worksheet()
    page.write_row(2, 1, HEADER)
    for number, (day, who, where, value) in enumerate(payments(), start=3):
        page.write_row(number, 1, [f"{day:%Y-%m-%d %H:%M:%S}", who, where, value])
    page.write_formula(5, 4, "=1/0", None, "#DIV/0!")
    page.write_formula(7, 3, "=NA()", None, "#N/A")
    book.close()
    with pytest.raises(BadFile) as refused:
        screened(out.getvalue(), "a.xlsx")
    assert [(one.row, one.column, one.value) for one in refused.value.problems] == [
        (3, "TX_AMOUNT", "#DIV/0!"),
        (5, "TERMINAL_ID", "#N/A"),
    ]
    assert refused.value.problems[0].problem == "is an error of the spreadsheet"


@pytest.mark.parametrize("ending", ["txt", "tsv", "csv.gz", "parquet"])
def test_every_ending_is_read_alike(screened: Screen, plain: Plain, ending: str, tmp_path: Path) -> None:
    expected = plain(table(payments()))
    content = table(payments(), when=TIMES["04/01/2025 07:30:44"]).encode()
    if ending == "csv.gz":
        content = gzip.compress(content)
    if ending == "parquet":
        frame = pd.read_csv(io.BytesIO(content), dtype=str)
        frame.to_parquet(tmp_path / "a.parquet")
        content = (tmp_path / "a.parquet").read_bytes()
    np.testing.assert_array_equal(screened(content, f"a.{ending}").probability, expected)


def test_what_is_missing_is_told_of_the_nearest_detector_and_shortly(screened: Screen) -> None:
    with pytest.raises(ScreeningError, match="Columns TERMINAL_ID, TX_AMOUNT are missing"):
        screened("TX_DATETIME,CUSTOMER_ID,betrag_x\n2025-01-04,1,2\n")
    with pytest.raises(ScreeningError) as far:
        screened("Time,V1,Amount,x\n1,2,3,4\n")
    assert "and 19 more are missing" in far.value.what
    assert len(far.value.problems) == 8
    assert far.value.problem_count == 27


def test_no_answer_but_those_that_are_there_is_taken() -> None:
    with pytest.raises(BadFile, match="no answer for decimal"):
        Answers.of({"decimal": ";"})
    with pytest.raises(BadFile, match="no answer for colour"):
        Answers.of({"colour": "red"})
    assert Answers.of({"dates": "dmy", "sign": None}) == Answers(dates="dmy")


def test_amounts_that_a_spreadsheet_shows_with_few_digits_are_refused(screened: Screen, plain: Plain) -> None:
    """1070.1 is 1.07E+03 in a scientific format, and that is what the CSV file has."""
    with pytest.raises(BadFile, match=r"TX_AMOUNT were shortened by a spreadsheet \(“1\.25E\+01”\)"):
        screened(table(payments(), amount=lambda value: f"{value:.2E}"))
    with pytest.raises(BadFile, match="shortened"):
        screened(table(payments(), amount=lambda value: f"{value:.2E}".replace(".", ","), delimiter=";"))
    whole = table(payments(), amount=lambda value: f"{value:.6E}")
    np.testing.assert_array_equal(screened(whole).probability, plain(table(payments())))
    rows = [(*row[:3], 0.00025 if number == 7 else row[3]) for number, row in enumerate(payments())]
    one = table(rows, amount=lambda value: f"{value:.2E}" if value < 0.01 else f"{value:g}")
    np.testing.assert_array_equal(screened(one).probability, plain(table(rows, amount=repr)))


@pytest.mark.parametrize("form", ["%Y-%m-%d %I:%M:%S", "%d.%m.%Y %I:%M:%S"])
def test_times_that_lost_their_am_and_pm_are_refused(screened: Screen, form: str) -> None:
    content = table(payments(), when=lambda day: day.strftime(form))
    for check in (False, True):
        with pytest.raises(BadFile, match="are from 1:00 to 12:59: a clock of twelve hours"):
            screened(content, check=check)
    mornings = [(day.replace(hour=8 + day.hour % 4), who, to, value) for day, who, to, value in payments()]
    screened(table(mornings))
    screened(table(payments()[:20], when=lambda day: day.strftime(form)))


def test_days_without_a_time_of_day_are_noted(screened: Screen) -> None:
    assert "TX_DATETIME has no time of day: every row was read as midnight" in screened(table(DAYS)).notes
    assert "midnight" not in screened(table(payments())).notes


@pytest.mark.parametrize("clock", ["%Y-%m-%d %I:%M:%S", "%d.%m.%Y %I:%M:%S"])
def test_times_of_which_some_lost_their_am_and_pm_are_refused(screened: Screen, clock: str) -> None:
    """Two systems in turn: one writes ``07:30:44 PM``, the other left it out."""
    odd = {day for day, *_ in payments()[::2]}
    content = table(payments(), when=lambda day: day.strftime(clock + (" %p" if day in odd else "")))
    for check in (False, True):
        with pytest.raises(
            BadFile, match=r"as “\S+ \d\d:\d\d:\d\d [AP]M”, and 20 without, .*as if theirs were lost"
        ):
            screened(content, check=check)


def test_times_with_am_and_pm_beside_times_of_24_hours_are_read_and_noted(
    screened: Screen, plain: Plain
) -> None:
    odd = {day for day, *_ in payments()[::2]}
    found = screened(
        table(
            payments(),
            when=lambda day: f"{day:%Y-%m-%d %I:%M:%S %p}" if day in odd else f"{day:%Y-%m-%d %H:%M:%S}",
        )
    )
    assert "has times with AM or PM" in found.notes
    assert "times of 24 hours, as" in found.notes
    np.testing.assert_array_equal(found.probability, plain(table(payments())))


def test_a_part_of_a_file_that_lost_its_am_and_pm_is_noted_with_its_row(screened: Screen) -> None:
    rows = payments(count=160)
    late = {day for day, *_ in rows[80:]}
    content = table(rows, when=lambda day: day.strftime(f"%Y-%m-%d {'%I' if day in late else '%H'}:%M:%S"))
    assert re.search(r"from 1:00 to 12:59 in all of 8\d rows from row (79|80|81) on", screened(content).notes)
    assert "12:59" not in screened(table(rows)).notes


def test_some_days_without_a_time_of_day_are_noted(screened: Screen) -> None:
    some = {day for day, *_ in payments()[::3]}
    content = table(payments(), when=lambda day: f"{day:%Y-%m-%d}{'' if day in some else f' {day:%H:%M:%S}'}")
    assert "TX_DATETIME is midnight in 14 of 40 rows" in screened(content).notes


def test_rows_that_are_there_twice_are_counted(screened: Screen) -> None:
    rows = payments()
    assert "40 rows repeat another one in all columns that are needed" in screened(table(rows + rows)).notes
    assert "1 row repeats another one" in screened(table([*rows, rows[3]])).notes
    assert "another one" not in screened(table(rows)).notes
