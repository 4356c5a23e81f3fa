from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.errors import BadFile
from screening.transactions.schema import CARD, CellKind, Column, ColumnContract, Role


@given(st.permutations([*CARD.columns, "Class", "note"]))
def test_names_decide_whatever_the_order_case_and_spaces(header: list[str]) -> None:
    dressed = [f"  {name.swapcase()} " for name in header]
    assert CARD.match(dressed) == {name: header.index(name) for name in [*CARD.columns, "Class"]}


def test_the_card_columns_stand_in_the_order_of_training() -> None:
    assert CARD.columns[:2] == ("Time", "V1")
    assert CARD.columns[-2:] == ("V28", "Amount")
    assert len(CARD.columns) == 30


def test_every_missing_column_is_named() -> None:
    with pytest.raises(BadFile) as caught:
        CARD.match([name for name in CARD.columns if name not in ("V7", "Amount")])
    assert [problem.column for problem in caught.value.problems] == ["V7", "Amount"]


def test_a_column_that_stands_twice_is_refused_not_guessed() -> None:
    with pytest.raises(BadFile, match="more than once") as caught:
        CARD.match([*CARD.columns, " v7"])
    assert caught.value.problems[0].column == "V7"


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    assert ColumnContract(("a",)).match(["\ufeffA"]) == {"a": 0}


def test_an_extra_column_may_stand_twice() -> None:
    assert ColumnContract(("a",)).match(["note", "a", "note"]) == {"a": 1}


ORDERS = (
    Column("order", Role.CARRY, CellKind.TEXT),
    Column("when", Role.TIME, CellKind.TIME),
    Column("value", Role.AMOUNT),
    Column("device", Role.ENTITY, CellKind.TEXT, optional=True),
    Column("fraud", Role.LABEL),
)


def test_a_contract_of_roles_needs_only_the_columns_that_play_a_part() -> None:
    contract = ColumnContract.of(ORDERS)
    assert contract.columns == ("when", "value", "device")
    assert (contract.time, contract.amount, contract.label) == ("when", "value", "fraud")
    assert contract.optional == ("device",)
    assert not contract.plain
    assert contract.parts() == ORDERS[1:4]


def test_a_contract_survives_the_way_through_json() -> None:
    for contract in (ColumnContract.of(ORDERS), CARD):
        assert ColumnContract.from_dict(json.loads(json.dumps(contract.as_dict()))) == contract


def test_kinds_that_do_not_go_along_the_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ColumnContract.from_dict({**CARD.as_dict(), "roles": ["number"]})


def test_the_card_columns_are_plain_numbers_with_a_time_and_an_amount() -> None:
    assert CARD.plain
    roles = {column.name: column.role for column in CARD.parts()}
    assert (roles["Time"], roles["Amount"], roles["V1"]) == (Role.TIME, Role.AMOUNT, Role.NUMBER)
    assert set(CARD.as_dict()) == {"columns", "label", "time", "amount"}
