from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.errors import BadFile
from screening.schema import CARD, ColumnContract


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
