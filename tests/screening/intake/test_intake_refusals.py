"""Text tables that are refused, or whose rows are set aside: by row, line and column, with the reason."""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Callable

import numpy as np
import pytest

from screening.errors import BadFile, CardNumbersFound, TooLarge, UnsupportedKind
from screening.intake import ReadLimits, identify
from screening.intake.numbers import explain, number
from tests.screening.intake.conftest import Read, Refused
from tests.screening.intake.intake_tables import NAMES, lines, numbers, text

AT = NAMES.index("V7")


def spoiled(cells: list[list[str]], value: str, row: int = 5, column: int = AT) -> str:
    """The table with one cell replaced; quoted where it must be."""
    cells[row][column] = f'"{value}"' if any(mark in value for mark in ',"\n') else value
    return text(cells)


@pytest.mark.security(18)
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no bytes"),
        (b"  \r\n \n", "white space"),
        (b"\xef\xbb\xbf", "white space"),
        (text([NAMES]), "header but no rows"),
        (text([NAMES]).strip(), "header but no rows"),
        (text(lines(numbers(3))[1:]), "no header"),
        (text([["V1", "V2"], ["1", "2"]]), "missing"),
        ("# made by a tool\n" + text(lines(numbers(2))), "comment"),
        ("\n" + text(lines(numbers(2))), "first line is empty"),
        ("sep=~\n" + text(lines(numbers(2)), "~"), "delimiter"),
        (text(lines(numbers(2)), "~"), "missing"),
        (text([NAMES]) + "\n\n", "header but no rows"),
        (text([["", ""], ["1", "2"]]), "names no column"),
        ('"Time,V1\n1,2\n', "can't be read"),
    ],
)
def test_a_file_without_a_table_is_refused(refused: Refused, data: bytes | str, words: str) -> None:
    assert words in refused(data).what


@pytest.mark.security(18)
def test_a_missing_and_a_double_column_are_named(refused: Refused, cells: list[list[str]]) -> None:
    at = NAMES.index("V9")
    error = refused(text([row[:at] + row[at + 1 :] for row in cells]))
    assert [problem.column for problem in error.problems] == ["V9"]
    error = refused(text([[*row, row[at]] for row in cells]))
    assert [problem.column for problem in error.problems] == ["V9"]
    assert "more than once" in error.what


@pytest.mark.security(18)
def test_a_card_number_where_the_names_should_be_is_not_shown(
    refused: Refused, cells: list[list[str]]
) -> None:
    error = refused("4111111111111111,shop\n4111111111111111,a\n")
    assert "4111" not in str(error)


@pytest.mark.security(20)
@pytest.mark.parametrize("block", [64, 4096])
def test_a_trailing_comma_on_every_row_is_refused_and_shifts_nothing(
    refused: Refused, cells: list[list[str]], block: int
) -> None:
    error = refused(text([cells[0], *[[*row, ""] for row in cells[1:]]]), limits=ReadLimits(block=block))
    assert error.problem_count == 12
    assert [problem.row for problem in error.problems] == list(range(1, 13))
    assert error.problems[0].problem == "has 32 cells, the header has 31 (it ends in a delimiter)"


@pytest.mark.security(20)
@pytest.mark.parametrize("set_aside", [False, True])
def test_a_row_too_long_or_too_short_refuses_the_file_by_its_number(
    refused: Refused, cells: list[list[str]], set_aside: bool
) -> None:
    cells[3].append("7")
    cells[8].pop()
    error = refused(text(cells), set_aside=set_aside)
    assert [(problem.row, problem.line, problem.problem) for problem in error.problems] == [
        (3, 4, "has 32 cells, the header has 31"),
        (8, 9, "has 30 cells, the header has 31"),
    ]


def test_an_empty_line_between_rows_is_refused(refused: Refused, cells: list[list[str]]) -> None:
    error = refused(text(cells[:4]) + "\n" + text(cells[4:]))
    assert [(problem.row, problem.line, problem.problem) for problem in error.problems] == [
        (4, 5, "is an empty line")
    ]


def test_a_file_cut_in_mid_row_is_refused(refused: Refused, cells: list[list[str]]) -> None:
    error = refused(text(cells)[:-60], limits=ReadLimits(block=1000))
    assert error.problems[0].row == 12
    assert "cut off" in error.problems[0].problem


NOT_NUMBERS = {
    "1.234,5": "decimal comma",
    "1,5": "decimal comma",
    "12%": "percentage",
    "#DIV/0!": "error of the spreadsheet",
    "": "empty",
    "   ": "empty",
    "NA": "missing",
    "n/a": "missing",
    "NaN": "missing",
    "-nan": "not a number",
    "null": "missing",
    "inf": "infinite",
    "-Infinity": "infinite",
    "1e400": "too large",
    "1e39": "too large",
    "-3.1e38": "too large",
    "1_000": "underscore",
    "١٢": "digits other than",
    "１２": "digits other than",
    "TRUE": "yes or no",
    "false": "yes or no",
    "0x1F": "hexadecimal",
    "2024-01-31": "date",
    "31.01.2024": "date",
    "1/2/24": "date",
    "12:30": "time of day",
    "1e": "not a number",
    "--1": "not a number",
    "1 2": "not a number",
    ".": "missing",
    "abc": "not a number",
    "1d5": "not a number",
    "=1+1": "not a number",
}


@pytest.mark.security(21)
@pytest.mark.parametrize(("value", "words"), NOT_NUMBERS.items())
def test_a_text_that_is_no_number_is_named_with_its_row_and_column(
    refused: Refused,
    read: Read,
    cells: list[list[str]],
    value: str,
    words: str,
) -> None:
    data = spoiled(cells, value)
    error = refused(data)
    (problem,) = error.problems
    assert (problem.row, problem.line, problem.column) == (5, 6, "V7")
    assert words in problem.problem
    assert problem.value == value
    assert error.problem_count == 1
    assert "set" not in error.what
    assert "score the good rows" in (error.remedy or "")
    outcome = read(data, set_aside=True)
    assert outcome.bad.tolist() == [row == 5 for row in range(1, 13)]
    assert np.isnan(outcome.values[4]).all()
    assert np.isfinite(np.delete(outcome.values, 4, axis=0)).all()
    assert [(each.row, each.column) for each in outcome.problems] == [(5, "V7")]


@pytest.mark.parametrize(
    "value", [" 1 ", "+1", "1.", "1e0", "1E+0", "01", '"1"', "\t1", "1.000", "100e-2", "0.1e1"]
)
def test_the_plain_ways_to_write_a_number_are_taken(read: Read, cells: list[list[str]], value: str) -> None:
    cells[5][AT] = value
    assert read(text(cells)).values[4, AT] == 1


AS_PEOPLE_WRITE = {
    "1,234.5": 1234.5,
    "1 234.5": 1234.5,
    "1'234.5": 1234.5,
    "1,23,456": 123456,
    "$12": 12,
    "12 €": 12,
    "USD 12": 12,
    "R$ 5": 5,
    "-$5.00": -5,
    "(12)": -12,
    "−1": -1,
    "12-": -12,
    "12 DR": 12,
    "12 CR": -12,
    "\u00a012": 12,
    "12\u202f": 12,
}


@pytest.mark.parametrize(("value", "number"), AS_PEOPLE_WRITE.items())
def test_a_number_is_read_as_people_write_it(
    read: Read, cells: list[list[str]], value: str, number: float
) -> None:
    assert read(spoiled(cells, value)).values[4, AT] == number


@pytest.mark.security(21)
@pytest.mark.parametrize("value", ["1.5", "1,234.5", "1_000", "1,5,5"])
def test_a_decimal_point_among_decimal_commas_is_refused(
    refused: Refused, cells: list[list[str]], value: str
) -> None:
    rows = [[cell.replace(".", ",") for cell in row] for row in cells]
    rows[5][AT] = value
    error = refused(text(rows, ";"))
    assert [(problem.row, problem.column) for problem in error.problems] == [(5, "V7")]


def test_the_fast_and_the_exact_way_agree_on_what_a_number_is(read: Read, cells: list[list[str]]) -> None:
    for value in NOT_NUMBERS:
        assert number(value) is None
        assert explain(value)
    outcome = read(spoiled(cells, "abc"), set_aside=True)
    whole = read(spoiled(cells, "0.5"))
    np.testing.assert_array_equal(np.delete(outcome.values, 4, 0), np.delete(whole.values, 4, 0))


@pytest.mark.security(22)
@pytest.mark.parametrize("limits", [ReadLimits(), ReadLimits(block=500)])
def test_a_repeated_header_and_a_total_are_one_problem_each(
    refused: Refused, read: Read, limits: ReadLimits
) -> None:
    cells = lines(numbers(10))
    cells.insert(6, list(NAMES))
    cells.append(["Total", *[""] * 28, "1234.5", ""])
    cells.append([""] * 31)
    cells.append(["Total", *[""] * 28, "1234.5", ""])
    cells.append([""] * 31)
    error = refused(text(cells), limits=limits)
    assert [(problem.row, problem.problem) for problem in error.problems] == [
        (6, "repeats the header"),
        (12, "looks like a total, not a transaction"),
        (13, "is empty: all its cells are blank"),
        (14, "looks like a total, not a transaction"),
    ]
    assert error.problem_count == 4
    outcome = read(text(cells), set_aside=True, limits=limits)
    assert outcome.bad.sum() == 4
    assert "1 empty rows at the end of the file were left out." in outcome.notes


@pytest.mark.security(22)
@pytest.mark.parametrize("set_aside", [False, True])
def test_nul_bytes_are_refused(refused: Refused, cells: list[list[str]], set_aside: bool) -> None:
    wide = text([[*row, "note"] for row in cells])
    error = refused(wide[:-3] + "\0" + wide[-2:], set_aside=set_aside)
    assert error.problems[0].row == 12
    assert "NUL" in error.problems[0].problem
    assert "NUL" in refused(b"Time\0\0,V1\n1,2\n").what


@pytest.mark.security(22)
@pytest.mark.parametrize("block", [600, 2**21])
def test_a_quote_that_is_never_closed_is_refused_by_the_row_that_opens_it(
    refused: Refused, block: int
) -> None:
    cells = lines(numbers(600))
    cells[7][AT] = '"1.5'
    error = refused(text(cells), limits=ReadLimits(block=block))
    assert error.problems[-1].row == 7
    assert error.problems[-1].line == 8
    assert "never closed" in error.problems[-1].problem


@pytest.mark.security(22)
@pytest.mark.parametrize("value", ['5" pipe', '"a"b', 'a""', ' "a"'])
def test_a_quote_in_the_middle_of_a_cell_is_refused(
    refused: Refused, cells: list[list[str]], value: str
) -> None:
    wide = [[*row, "x"] for row in cells]
    wide[4][-1] = value
    error = refused(text(wide))
    assert error.problems[0].row == 4
    assert "quotation mark" in error.problems[0].problem


@pytest.mark.security(22)
@pytest.mark.parametrize("size", [200_000, 10_000_000])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_huge_field_is_refused_by_its_row(
    refused: Refused, cells: list[list[str]], size: int, quote: str
) -> None:
    wide = [[*row, "x"] for row in cells]
    wide[3][-1] = f"{quote}{'x' * size}{quote}"
    error = refused(text(wide))
    assert error.problems[0].row == 3
    assert "longer than 128 kB" in error.problems[0].problem or "never closed" in error.problems[0].problem


def test_a_stray_carriage_return_is_refused(refused: Refused, cells: list[list[str]]) -> None:
    wide = [[*row, "x"] for row in cells]
    wide[6][-1] = "a\rb"
    assert refused(text(wide)).problems[0].row == 6


def test_all_problems_are_counted_and_the_first_twenty_shown(refused: Refused) -> None:
    cells = lines(numbers(400))
    for row in range(100, 300):
        cells[row][AT] = cells[row][AT + 1] = "x"
    error = refused(text(cells), limits=ReadLimits(block=5000))
    assert error.problem_count == 400
    assert "400 problems" in error.what
    assert len(error.problems) == 20
    assert str(error.problems[0]) == "row 100, column V7: is not a number"


def test_counting_stops_at_a_bound(refused: Refused) -> None:
    cells = lines(numbers(200))
    for row in cells[1:]:
        row[AT] = "x"
    error = refused(text(cells), limits=ReadLimits(block=5000, counted=50))
    assert "more than 50 problems" in error.what


def test_a_file_without_one_good_row_is_refused_even_when_bad_rows_are_set_aside(
    refused: Refused, cells: list[list[str]]
) -> None:
    for row in cells[1:]:
        row[AT] = ""
    assert "No row" in refused(text(cells), set_aside=True).what


@pytest.mark.security(23)
@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("x.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"),
        ("x.csv", b"PK\x03\x04rest", "an Excel workbook"),
        ("x.csv", b"\x1f\x8b\x08\0", "a gzip file"),
        ("x.csv", b"PAR1\x15\x04", "a Parquet file"),
        ("x.csv", b"<html><table>", "a web page"),
        ("x.csv", b'{"transactions": [', "JSON"),
        ("x.csv", b"%PDF-1.7", "a PDF document"),
        ("x.xlsx", b"Time,V1\n1,2\n", "a text table"),
        ("x.xls", b"<html><table>", "a web page"),
        ("x.parquet", b"Time,V1\n", "a text table"),
        ("x.csv.gz", b"Time,V1\n", "a text table"),
        ("x.xls", b"PK\x03\x04rest", "an Excel workbook (.xlsx)"),
    ],
)
def test_content_that_belies_the_name_is_refused_by_what_it_is(name: str, head: bytes, words: str) -> None:
    with pytest.raises(BadFile, match="content is") as caught:
        identify(name, head)
    assert caught.value.status == 400
    assert words in caught.value.what


@pytest.mark.security(23, 25)
@pytest.mark.parametrize(
    "name", ["x.exe", "x.pdf", "x", "", ".gz", "x.csv.exe", "a" * 300, "<script>", "x.json"]
)
def test_other_endings_are_unsupported(name: str) -> None:
    with pytest.raises(UnsupportedKind) as caught:
        identify(name, b"Time,V1\n")
    assert caught.value.status == 415


@pytest.mark.security(25)
@pytest.mark.parametrize(
    "name", ["../../x.csv", "<script>.CSV", "a" * 300 + ".csv", "C:\\x\\y.csv", " x.csv "]
)
def test_odd_names_with_a_known_ending_are_read_by_their_content_only(name: str) -> None:
    assert identify(name, b"Time,V1\n") == "csv"


def luhn(stem: str) -> str:
    """``stem`` with the check digit that makes it pass."""
    total = sum(
        sum(divmod(int(digit) * (2 if at % 2 == 0 else 1), 10)) for at, digit in enumerate(reversed(stem))
    )
    return stem + str(-total % 10)


def written(card: str, form: str) -> str:
    """A card number as a file may hold it: bare, quoted, or in groups of four."""
    return " ".join(card[at : at + 4] for at in range(0, 16, 4)) if form == "grouped" else form.format(card)


CARDS = [luhn(f"4{at:014d}") for at in range(12)]


@pytest.mark.security(25)
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "'{}",
        '"{}"',
        "grouped",
    ],
)
@pytest.mark.parametrize("set_aside", [False, True])
def test_a_column_of_card_numbers_is_refused_and_not_a_digit_shown(
    refused: Refused, cells: list[list[str]], form: str, set_aside: bool
) -> None:
    wide = [[*row, "card" if at == 0 else written(CARDS[at - 1], form)] for at, row in enumerate(cells)]
    error = refused(text(wide), set_aside=set_aside)
    assert "Column card" in error.what
    shown = str(error.as_dict())
    assert not any(card[:6] in shown or card[-4:] in shown for card in CARDS)


def in_groups(card: str, between: str) -> str:
    return between.join(card[at : at + 4] for at in range(0, 16, 4))


WRITINGS: dict[str, Callable[[str], str]] = {
    "points": lambda card: in_groups(card, "."),
    "dashes": lambda card: in_groups(card, "-"),
    "no-break spaces": lambda card: in_groups(card, "\u00a0"),
    "narrow spaces": lambda card: in_groups(card, "\u202f"),
    "expiry": lambda card: f"{card}|12|27",
    "text": lambda card: f"paid by {in_groups(card, ' ')} in May",
    "float": lambda card: f"{card}.0",
    "exponent": lambda card: f"{card[0]}.{card[1:]}E+15",
    "wide digits": lambda card: card.translate(str.maketrans("0123456789", "０１２３４５６７８９")),
    "Arabic digits": lambda card: card.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
}


@pytest.mark.security(54)
@pytest.mark.parametrize("share", [2, 5])
@pytest.mark.parametrize("writing", WRITINGS)
def test_a_file_of_card_numbers_in_any_writing_is_refused(refused: Refused, writing: str, share: int) -> None:
    """In all rows, and in two of five."""
    rows = lines(numbers(60))
    cells = [WRITINGS[writing](luhn(f"51{at:013d}")) if at % 5 < share else "none" for at in range(60)]
    wide = [[*row, "ref" if at == 0 else cells[at - 1]] for at, row in enumerate(rows)]
    error = refused(text(wide))
    assert isinstance(error, CardNumbersFound)
    assert (error.columns, error.places) == (("ref",), (len(rows[0]),))
    assert "--tokenize ref" in (error.remedy or "")


@pytest.mark.security(54)
def test_card_numbers_where_a_detector_wants_numbers_are_found(refused: Refused) -> None:
    rows = lines(numbers(60))
    for at, row in enumerate(rows[1:]):
        row[4] = luhn(f"4{at:014d}")
    error = refused(text(rows))
    assert isinstance(error, CardNumbersFound)
    assert error.columns == (rows[0][4],)
    for row in rows[1:]:
        row[4] = in_groups(row[4], "-")
    rows[1:1] = [["1", *row[1:4], "2", *row[5:]] for row in rows[1:4]]
    error = refused(text(rows), set_aside=True)
    assert isinstance(error, CardNumbersFound)
    assert error.columns == (rows[0][4],)


@pytest.mark.security(54)
def test_a_large_file_of_long_numbers_is_read(read: Read) -> None:
    """Every number a network may have given out, and one in ten passes the check."""
    rows = lines(numbers(3000))
    wide = [[*row, "ref" if at == 0 else str(4_000_000_000_000_000 + 7 * at)] for at, row in enumerate(rows)]
    found = read(text(wide), limits=ReadLimits(block=2**16))
    assert len(found.values) == 3000
    assert found.notes == []


@pytest.mark.security(25)
def test_long_numbers_that_are_no_cards_are_kept(
    read: Read, table: np.ndarray, cells: list[list[str]]
) -> None:
    rng = np.random.default_rng(3)
    wide = [[*row, "id" if at == 0 else str(rng.integers(10**15, 10**16))] for at, row in enumerate(cells)]
    assert len(read(text(wide)).values) == 12


@pytest.mark.security(25, 33)
def test_a_card_number_in_a_wrong_place_is_masked_in_the_error(
    refused: Refused, cells: list[list[str]]
) -> None:
    error = refused(spoiled(cells, f"card {CARDS[3]} stolen"))
    assert CARDS[3][:12] not in str(error.as_dict())
    assert error.problems[0].value == "card •••• stolen"
    assert "4000" not in str(refused(spoiled(cells, CARDS[3][:4] + " " + CARDS[3][4:])).as_dict())


@pytest.mark.security(24)
def test_a_gzip_bomb_is_refused_before_it_is_unpacked_to_its_end(
    refused: Refused, cells: list[list[str]]
) -> None:
    head = text([[*row, "x" * 50] for row in cells]).encode()
    bomb = gzip.compress(head + b"0," * 2_000_000)
    limits = ReadLimits(ratio_from=2**20, unpacked=2**30)
    assert "50 times its size" in refused(bomb, "x.csv.gz", limits=limits).what


@pytest.mark.security(24)
def test_a_gzip_file_that_unpacks_to_more_than_allowed_is_too_large(
    refused: Refused, cells: list[list[str]]
) -> None:
    noise = io.StringIO()
    csv.writer(noise, lineterminator="\n").writerows([[*row, os.urandom(20).hex()] for row in cells])
    error = refused(gzip.compress(noise.getvalue().encode()), "x.csv.gz", limits=ReadLimits(unpacked=4000))
    assert isinstance(error, TooLarge)
    assert error.status == 413


@pytest.mark.security(46)
def test_a_gzip_file_of_empty_parts_is_refused_and_one_of_many_parts_is_read(
    refused: Refused, read: Read, cells: list[list[str]]
) -> None:
    """Four megabytes of them took 45 s: what is left after a part was copied for each."""
    empty, records = gzip.compress(b""), text(cells).encode().splitlines(keepends=True)
    error = refused(empty * (4_000_000 // len(empty)), "x.csv.gz")
    assert "empty parts" in error.what
    mixed = b"".join(gzip.compress(record) + empty * 3 for record in records)
    assert len(read(mixed, "x.csv.gz").values) == len(cells) - 1
    padded = gzip.compress(text(cells).encode()) + bytes(30_000_000)  # as tapes and some devices leave it
    assert len(read(padded, "x.csv.gz").values) == len(cells) - 1
    assert "damaged" in refused(padded[:100_000] + b"odd", "x.csv.gz").what


@pytest.mark.parametrize("cut", [20, 200, 1000])
def test_a_truncated_or_damaged_gzip_is_refused(refused: Refused, cells: list[list[str]], cut: int) -> None:
    packed = gzip.compress(text(cells).encode())
    assert "cut off" in refused(packed[:-cut], "x.csv.gz").what
    assert "gzip" in refused(packed[:cut] + b"\xff\xff\xff" + packed[cut + 3 :], "x.csv.gz").what


@pytest.mark.security(27)
@pytest.mark.parametrize("value", ["NaN", "nan", "NAN", "nan(1)", "inf", "+Inf", "1e999"])
def test_no_value_that_is_not_finite_gets_past_the_intake(
    read: Read, cells: list[list[str]], value: str
) -> None:
    outcome = read(spoiled(cells, value), set_aside=True)
    assert outcome.bad[4]
    assert np.isfinite(outcome.values[~outcome.bad].astype(np.float32)).all()
