"""Files with texts, times, addresses and blanks: the fast way and the exact way, and JSON, give the same numbers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from screening.errors import BadFile, Undecided
from screening.intake import Answers
from screening.intake.text import parse
from screening.transactions.encoding import address_code, text_code
from screening.transactions.json_records import from_mappings
from screening.transactions.schema import CellKind, Column, ColumnContract, Role
from screening.transactions.times import time_of
from tests.screening.intake.conftest import Read

ORDERS = ColumnContract.of(
    [
        Column("when", Role.TIME, CellKind.TIME),
        Column("value", Role.AMOUNT),
        Column("device", Role.ENTITY, CellKind.TEXT),
        Column("address", Role.ENTITY, CellKind.ADDRESS, optional=True),
        Column("age", Role.NUMBER, optional=True),
        Column("fraud", Role.LABEL),
    ]
)
HEADER = "when,value,device,address,age,fraud\n"
GOOD = HEADER + "2026-01-01 10:00:00,12.5,D1,1.2.3.4,30,no\n2026-01-01T11:00:00Z,3,d2,,,yes\n"


def test_cells_become_the_numbers_that_stand_for_them(read: Read) -> None:
    found = read(GOOD, contract=ORDERS)
    np.testing.assert_array_equal(
        found.values,
        [
            [time_of("2026-01-01 10:00"), 12.5, text_code("D1"), address_code("1.2.3.4"), 30],
            [time_of("2026-01-01 11:00"), 3, text_code("D2"), np.nan, np.nan],
        ],
    )
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1]
    assert not found.bad.any()


def test_the_exact_way_gives_the_same_as_the_fast_one(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = read(GOOD, contract=ORDERS)
    monkeypatch.setattr(parse, "fast", lambda *_: None)
    np.testing.assert_array_equal(read(GOOD, contract=ORDERS).values, fast.values)


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        ("yesterday,1,d,1.2.3.4,3,0", "when", "not a date"),
        ("2026-02-30,1,d,1.2.3.4,3,0", "when", "not a date"),
        ("2026-01-01,1,d,1.2.3.400,3,0", "address", "not an IP address"),
        ("2026-01-01,x,d,1.2.3.4,3,0", "value", "not a number"),
        ("2026-01-01,1,,1.2.3.4,3,0", "device", "is empty"),
        (",1,d,1.2.3.4,3,0", "when", "is empty"),
        ("2026-01-01,1,NULL,1.2.3.4,3,0", "device", "is missing"),
        ("2026-01-01,1,d,1.2.3.4,old,0", "age", "not a number"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(read: Read, row: str, column: str, words: str) -> None:
    with pytest.raises(BadFile) as caught:
        read(GOOD + row + "\n", contract=ORDERS)
    (problem,) = caught.value.problems
    assert (problem.column, problem.row) == (column, 3)
    assert words in problem.problem
    found = read(GOOD + row + "\n", contract=ORDERS, set_aside=True)
    assert found.bad.tolist() == [False, False, True]


@pytest.mark.parametrize("word", ["", "NA", "n/a", "null", "-", "NaN", " "])
def test_words_for_nothing_are_blanks_where_blanks_may_be(read: Read, word: str) -> None:
    found = read(HEADER + f"2026-01-01,1,d,{word},{word},0\n", contract=ORDERS)
    assert np.isnan(found.values[0, 3:]).all()


def test_days_and_months_are_told_apart_by_the_whole_file_or_asked_about(read: Read) -> None:
    told = read(HEADER + "02/01/2026,1,d,,,0\n13/01/2026,1,d,,,0\n", contract=ORDERS)
    assert told.values[:, 0].tolist() == [time_of("2026-01-02"), time_of("2026-01-13")]
    assert "day before month" in told.notes[0]
    american = read(HEADER + "02/01/2026,1,d,,,0\n01/13/2026,1,d,,,0\n", contract=ORDERS)
    assert american.values[0, 0] == time_of("2026-02-01")
    with pytest.raises(Undecided) as asked:
        read(HEADER + "02/01/2026,1,d,,,0\n", contract=ORDERS)
    (question,) = asked.value.questions
    assert [reading.answer for reading in question.readings] == ["dmy", "mdy"]
    assert [reading.examples for reading in question.readings] == [
        (("02/01/2026", "2026-01-02"),),
        (("02/01/2026", "2026-02-01"),),
    ]
    for answer, day in (("dmy", "2026-01-02"), ("mdy", "2026-02-01")):
        said = read(HEADER + "02/01/2026,1,d,,,0\n", contract=ORDERS, answers=Answers(dates=answer))
        assert said.values[0, 0] == time_of(day)
        assert "as was said" in said.notes[0]


def test_semicolons_and_decimal_commas(read: Read) -> None:
    found = read(GOOD.replace(",", ";").replace("12.5", "12,5"), contract=ORDERS)
    np.testing.assert_array_equal(found.values, read(GOOD, contract=ORDERS).values)


ROWS = st.lists(
    st.tuples(
        st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2090-01-01")),
        st.floats(-1e9, 1e9, allow_nan=False),
        st.text("abcXYZ0189 -é", max_size=8).map(lambda text: f"x{text}"),
        st.one_of(st.none(), st.ip_addresses().map(str)),
        st.one_of(st.none(), st.integers(-5, 120)),
    ),
    min_size=1,
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(ROWS)
def test_a_file_and_json_give_the_same_numbers(read: Read, rows: list[tuple[Any, ...]]) -> None:
    names = ("when", "value", "device", "address", "age")
    lines = [",".join("" if cell is None else str(cell) for cell in row) + ",0" for row in rows]
    from_file = read(HEADER + "\n".join(lines), contract=ORDERS).values
    mappings = [dict(zip(names, row, strict=True)) for row in rows]
    np.testing.assert_array_equal(from_file, from_mappings(mappings, ORDERS).values)


@pytest.mark.security(25)
def test_an_entity_of_card_numbers_is_refused_too(read: Read) -> None:
    numbers = ("4111111111111111", "5500005555555559", "4012888888881881")
    rows = [f"2026-01-01 10:00:00,12.5,{number},1.2.3.4,30,no\n" for number in numbers]
    with pytest.raises(BadFile, match="Column device holds payment card numbers") as error:
        read(HEADER + "".join(rows), contract=ORDERS)
    assert "a token, the same one for the same card" in str(error.value.remedy)
    assert not any(number[:6] in str(error.value.as_dict()) for number in numbers)
