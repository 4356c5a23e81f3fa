"""A column that says one way only, or nothing, in a file's first rows, and the other way further down."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
import pytest

from screening.errors import BadFile, ColumnsUnclear
from screening.intake.batch import FIRST_ROWS
from screening.transactions.composition import Composition
from screening.uploads.questions.column_mappings import Mapping
from tests.screening.uploads.payment_forms import HEADER, Plain, Row, Screen, payments, table

FIRST_BACK = FIRST_ROWS + 101
"""The first row, from 1, whose money comes in."""
ROWS: list[Row] = [
    (day, who, where, -amount if number >= FIRST_BACK - 1 and number % 2 else amount)
    for number, (day, who, where, full) in enumerate(payments(timedelta(minutes=41), FIRST_BACK + 40), 0)
    for amount in [full if number < 40 or number >= FIRST_BACK - 1 else min(full, 12.5)]
]
"""Few of them are large between the first rows and the last: each flagged one costs its reasons."""
ALONE: dict[str, str | Composition] = dict(zip(HEADER, HEADER, strict=True))


def written(word: Callable[[int, float], str], name: str = "Type", amount: str = "TX_AMOUNT") -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*HEADER[:3], amount, name])
    for number, (day, who, where, value) in enumerate(ROWS, 1):
        writer.writerow([f"{day:%Y-%m-%d %H:%M:%S}", who, where, f"{abs(value):g}", word(number, value)])
    return out.getvalue()


def letters(out: str, back: str) -> Callable[[int, float], str]:
    return lambda _number, value: out if value > 0 else back


LATE: dict[str, tuple[str, str]] = {
    "a letter": (written(letters("D", "C")), "Type says “D” from row 1 on and “C” from row 602 on"),
    "a word": (written(letters("debit", "credit"), "kind of it"), "kind of it says “debit” from row 1 on"),
    "a name that says nothing": (written(letters("S", "H"), "X7"), "X7 says “S” from row 1 on and “H” from"),
    "another word among the first": (
        written(lambda number, value: "fee" if number % 25 == 4 else letters("debit", "credit")(0, value), "X7"),
        "X7 says “debit” from row 1 on, “fee” from row 4 on and “credit” from row 602 on",
    ),
    "blanks at first": (written(letters("", "CR")), "Type says nothing from row 1 on and “CR” from row 602 on"),
    "blanks at first, and no telling name": (written(letters("", "credit"), "X7"), "X7 says nothing from row 1"),
    "words after blanks": (
        written(lambda number, value: "" if number < 550 else letters("D", "C")(0, value), "D/C"),
        "D/C says nothing from row 1 on, “D” from row 550 on and “C” from row 602 on",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", LATE)
@pytest.mark.parametrize("check", [False, True])
def test_the_other_way_far_below_is_asked_about(screened: Screen, form: str, check: bool) -> None:
    content, words = LATE[form]
    with pytest.raises(ColumnsUnclear) as asked:
        screened(content, check=check)
    assert words in asked.value.what
    assert "it may belong to TX_AMOUNT" in asked.value.what
    found = asked.value.as_dict()
    name = content.splitlines()[0].rpartition(",")[2]
    assert found["row"] == FIRST_BACK + 1
    assert found["made"] == {"TX_AMOUNT": {"amount": "TX_AMOUNT", "direction": name}}


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv"])
def test_every_way_of_reading_finds_it(screened: Screen, name: str) -> None:
    content = LATE["a letter"][0]
    cents = content.replace("64.35", "64.350").replace("1070.1,", "1070.10,").encode()
    with pytest.raises(ColumnsUnclear, match="Type says"):
        screened(gzip.compress(cents) if name.endswith("gz") else cents, name)


def test_what_was_said_then_is_read_so_and_told(screened: Screen, plain: Plain) -> None:
    content = LATE["a letter"][0]
    made = Composition.of({"amount": "TX_AMOUNT", "direction": "Type"})
    expected = plain(table(ROWS))
    both = Mapping("payments", {**ALONE, "TX_AMOUNT": made}, of_this_file=True)
    np.testing.assert_array_equal(screened(content, said=both).probability, expected)
    alone = screened(content, said=Mapping("payments", dict(ALONE), of_this_file=True))
    assert "Type says “D” from row 1 on" in alone.notes
    assert "TX_AMOUNT was read without it, as was said" in alone.notes
    assert (alone.probability != expected).any()


def test_an_amount_that_was_mapped_without_it_has_a_note(screened: Screen) -> None:
    content = written(letters("D", "C"), "Kz", "Betrag")
    columns: dict[str, str | Composition] = {**ALONE, "TX_AMOUNT": "Betrag"}
    found = screened(content, said=Mapping("payments", columns, "by ana"))
    assert "Kz says “D” from row 1 on" in found.notes


OTHERS: dict[str, tuple[Callable[[int, float], str], str]] = {
    "one way throughout": (letters("D", "D"), "Type"),
    "nothing throughout": (letters("", ""), "Type"),
    "payments of many kinds": (lambda number, _: f"kind {number % 40}" if number > FIRST_ROWS else "sale", "Type"),
    "countries": (lambda number, _: "IN" if number < 510 else ("DE", "US", "IN", "AT")[number % 4], "country"),
    "one letter, and blanks": (lambda number, _: "D" if number % 3 else "", "X7"),
}  # fmt: skip


@pytest.mark.parametrize("form", OTHERS)
def test_columns_of_one_way_or_of_other_words_are_no_directions(
    screened: Screen, plain: Plain, form: str
) -> None:
    word, name = OTHERS[form]
    expected = plain(table([(*rest, abs(value)) for *rest, value in ROWS]))  # type: ignore[misc]
    np.testing.assert_array_equal(screened(written(word, name)).probability, expected)


BLANKS: dict[str, str] = {
    "nothing where money leaves": written(lambda number, _: "C" if number % 5 == 0 else ""),
    "nothing where it comes in": written(lambda number, _: "" if number % 5 == 0 else "D", "Debit"),
    "a clear word": written(lambda number, _: "Haben" if number % 5 == 0 else "", "X7"),
    "two letters and blanks": written(lambda number, _: ("C", "D", "")[number % 3], "X7"),
    "words for other things, too": written(
        lambda number, _: ("debit", "fee", "credit", "debit")[number % 4], "X7"
    ),
    "NULL": written(lambda number, _: "CR" if number % 5 == 0 else "NULL", "Art"),
}


@pytest.mark.parametrize("form", BLANKS)
def test_blanks_and_other_words_beside_words_for_a_way_are_asked_about(screened: Screen, form: str) -> None:
    with pytest.raises(ColumnsUnclear, match="may belong to TX_AMOUNT"):
        screened(BLANKS[form])


def test_blanks_are_refused_where_the_column_was_said_to_tell_the_way(screened: Screen) -> None:
    content = BLANKS["nothing where money leaves"]
    columns: dict[str, str | Composition] = dict(ALONE)
    columns["TX_AMOUNT"] = Composition.of({"amount": "TX_AMOUNT", "direction": "Type"})
    said = Mapping("payments", columns, of_this_file=True)
    with pytest.raises(BadFile) as refused:
        screened(content, said=said)
    words: Sequence[str] = [problem.problem for problem in refused.value.problems]
    assert words[0] == (
        "is blank: it doesn't say which way the money went; write a word in every row, or say what a blank means"
    )
    found = screened(content, said=said, set_aside=True)
    assert np.isnan(found.probability).mean() == pytest.approx(0.8, abs=0.01)


SAID: dict[str, tuple[Callable[[int, float], str], str]] = {
    "blank comes in": (letters("D", ""), "direction-blank-in"),
    "NULL comes in": (letters("debit", "NULL"), "direction-blank-in"),
    "blank leaves": (letters("", "Haben"), "direction-blank-out"),
    "no-break blank leaves": (letters("\u00a0", "CR"), "direction-blank-out"),
    "minus leaves": (letters("-", ""), "direction-blank-in"),
    "no blank at all": (letters("D", "C"), "direction-blank-in"),
}


@pytest.mark.parametrize("form", SAID)
def test_a_blank_is_what_it_was_said_to_be(screened: Screen, form: str) -> None:
    word, part = SAID[form]
    plain = screened(table(ROWS)).probability
    said = {**ALONE, "TX_AMOUNT": Composition.of({"amount": "TX_AMOUNT", part: "Type"})}
    found = screened(written(word), said=Mapping("payments", said, of_this_file=True))
    np.testing.assert_array_equal(found.probability, plain)
    nothing = "credit or nothing" if part.endswith("in") else "debit or nothing"
    assert f"says {nothing}" in found.notes


@pytest.mark.parametrize(("word", "part"), [("C", "direction-blank-in"), ("D", "direction-blank-out")])
def test_words_and_blanks_that_all_say_one_way_are_refused(screened: Screen, word: str, part: str) -> None:
    said = {**ALONE, "TX_AMOUNT": Composition.of({"amount": "TX_AMOUNT", part: "Type"})}
    with pytest.raises(BadFile, match="was said to mean the same"):
        screened(
            written(lambda number, _: word if number % 5 == 0 else ""),
            said=Mapping("payments", said, of_this_file=True),
        )


def test_other_words_stay_bad_rows(screened: Screen) -> None:
    said = {**ALONE, "TX_AMOUNT": Composition.of({"amount": "TX_AMOUNT", "direction-blank-in": "Type"})}
    content = written(lambda number, value: "fee" if number == 7 else letters("D", "")(number, value))
    with pytest.raises(BadFile) as refused:
        screened(content, said=Mapping("payments", said, of_this_file=True))
    assert [problem.row for problem in refused.value.problems] == [7]
