"""One reader of mappings: one text for one fault, whatever the contract, and the careful way reads as the fast one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.errors import BadTransaction
from screening.transactions.json_records import from_frame, from_mapping, from_mappings
from screening.transactions.schema import CellKind, Column, ColumnContract, Role, Transactions

PLAIN = ColumnContract.of(
    [Column("age", Role.NUMBER), Column("amount", Role.AMOUNT), Column("fraud", Role.LABEL)]
)
TYPED = ColumnContract.of(
    [
        Column("age", Role.NUMBER),
        Column("amount", Role.AMOUNT),
        Column("when", Role.TIME, CellKind.TIME),
        Column("device", Role.ENTITY, CellKind.TEXT),
        Column("address", Role.ENTITY, CellKind.ADDRESS, optional=True),
        Column("fraud", Role.LABEL),
    ]
)
GOOD: dict[str, Any] = {"age": 30, "amount": 12.5, "when": "2026-01-01", "device": "d", "address": "1.2.3.4"}
BOTH = pytest.mark.parametrize("contract", [PLAIN, TYPED], ids=["plain", "typed"])


def refused(given_: dict[str, Any], contract: ColumnContract) -> BadTransaction:
    """The one error of a transaction, alone and as the second of two."""
    with pytest.raises(BadTransaction) as alone:
        from_mapping(given_, contract)
    with pytest.raises(BadTransaction) as second:
        from_mappings([GOOD, given_], contract)
    assert second.value.what == alone.value.what.replace("row 1", "row 2")
    assert second.value.remedy == alone.value.remedy
    return alone.value


@BOTH
@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "age in row 1 is missing."),
        ("30", "age in row 1 is text, not a number ('30')."),
        ("4111 1111 1111 1111", "age in row 1 is text, not a number (digits hidden)."),
        (True, "age in row 1 is true or false, not a number."),
        ([], "age in row 1 is a list, not a number."),
        ({}, "age in row 1 is an object, not a number."),
        (1j, "age in row 1 is not a number."),
        (Decimal("NaN"), "age in row 1 is not a number."),
        (10**400, "age in row 1 is too large to be scored."),
        (np.float64("inf"), "age in row 1 is too large to be scored (inf)."),
    ],
)
def test_one_fault_has_one_text_whatever_the_contract(
    value: Any, what: str, contract: ColumnContract
) -> None:
    error = refused({**GOOD, "age": value}, contract)
    assert error.what == what
    assert error.where == "row 1, column age"
    assert [(one.row, one.column) for one in error.problems] == [(1, "age")]


@BOTH
def test_a_column_that_is_left_out_is_as_missing_as_one_that_is_null(contract: ColumnContract) -> None:
    without = {name: value for name, value in GOOD.items() if name not in ("age", "amount")}
    error = refused(without, contract)
    assert error.what == "age, amount in row 1 are missing."
    assert [one.column for one in error.problems] == ["age", "amount"]
    assert error.as_dict() == refused({**without, "age": None, "amount": None}, contract).as_dict()
    assert str(error.remedy).startswith("Give each of these columns once, in any order: age, amount")
    assert "address" not in str(error.remedy)


@BOTH
def test_a_column_that_appears_twice_is_not_guessed(contract: ColumnContract) -> None:
    assert refused({**GOOD, " AGE ": 30}, contract).what == "age in row 1 appears more than once."
    assert "fraud in row 1" in refused({**GOOD, "Fraud": 0, "fraud": 0}, contract).what
    from_mapping({**GOOD, "note": 1, "Note": 2}, contract)  # plays no part


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("when", "yesterday", "is not a date and time ('yesterday')"),
        ("when", [2026], "is a list, not a date and time"),
        ("when", True, "is true or false, not a date and time"),
        ("when", -1.0, "is not a date and time (-1)"),
        ("address", "1.2.3.400", "is not an IP address ('1.2.3.400')"),
        ("address", {}, "is an object, not an IP address"),
        ("device", " ", "is empty (' ')"),
        ("device", False, "is true or false, not text"),
    ],
)
def test_what_is_no_text_time_or_address_is_named(column: str, value: Any, problem: str) -> None:
    error = refused({**GOOD, column: value}, TYPED)
    assert error.what == f"{column} in row 1 {problem}."
    assert str(error.remedy).startswith("Give addresses as ")


def test_a_blank_may_be_left_out_where_blanks_may_be() -> None:
    without = {name: value for name, value in GOOD.items() if name != "address"}
    for blank in (without, {**GOOD, "address": None}):
        assert np.isnan(from_mapping(blank, TYPED).column("address")).all()


@BOTH
def test_every_fault_is_counted_and_the_first_are_listed(contract: ColumnContract) -> None:
    rows = [{**GOOD, "age": "x", "amount": "y"}] * 30
    with pytest.raises(BadTransaction) as caught:
        from_mappings(rows, contract)
    assert caught.value.problem_count == 60
    assert len(caught.value.problems) == 10
    assert caught.value.problems[-1].row == 5


@BOTH
@pytest.mark.parametrize("given_", [[GOOD, 3], [None], ["text"]])
def test_what_is_no_mapping_is_refused(given_: list[Any], contract: ColumnContract) -> None:
    with pytest.raises(BadTransaction, match="A transaction is a mapping") as caught:
        from_mappings(given_, contract)
    assert caught.value.where == f"row {len(given_)}"


@BOTH
def test_a_frame_without_a_column_names_no_row(contract: ColumnContract) -> None:
    pd = pytest.importorskip("pandas")
    with pytest.raises(BadTransaction) as caught:
        from_frame(pd.DataFrame([GOOD] * 3).drop(columns="age"), contract)
    assert caught.value.what == "age is missing."
    assert caught.value.where is None
    twice = pd.DataFrame([[1, 2, 3]], columns=["age", "amount", "Age"])
    with pytest.raises(BadTransaction, match="age appears more than once"):
        from_frame(twice, contract)


@BOTH
def test_a_frame_reads_as_its_records(contract: ColumnContract) -> None:
    pd = pytest.importorskip("pandas")
    rows = [GOOD, {**GOOD, "age": 31, "address": None}]
    found = from_frame(pd.DataFrame(rows), contract)
    np.testing.assert_array_equal(found.values, from_mappings(rows, contract).values)


NUMBER = st.one_of(st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers(-(10**9), 10**9))


@given(st.lists(st.tuples(NUMBER, NUMBER), max_size=8), st.randoms(use_true_random=False))
def test_the_careful_way_reads_what_the_fast_way_reads(rows: list[tuple[Any, Any]], random: Any) -> None:
    columns = ["age", "amount"]
    fast: list[dict[str, Any]] = []
    for row in rows:
        cells = list(zip(columns, row, strict=True))
        random.shuffle(cells)
        fast.append(dict(cells))
    careful = [{name: np.float64(value) for name, value in row.items()} for row in fast]
    found = from_mappings(fast, PLAIN)
    np.testing.assert_array_equal(found.values, from_mappings(careful, PLAIN).values)
    for place, record in enumerate(fast):
        one: Transactions = from_mapping(record, PLAIN)
        np.testing.assert_array_equal(one.values[0], found.values[place])
