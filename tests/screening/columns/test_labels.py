"""What the values of a label mean."""

from __future__ import annotations

import pytest

from screening.columns.labels import CountedLabels, read_label
from screening.errors import BadFile


def test_several_values_beside_one_that_says_legitimate_are_types_of_fraud() -> None:
    found = read_label("y", {"none": 900, "stolen": 30, " Phished ": 40, "": 30})
    assert found.types == (("Phished", 40), ("stolen", 30))
    assert (found.rows, found.frauds, found.unlabelled, found.assumed) == (1000, 70, 30, "none")
    assert CountedLabels.from_dict(found.as_dict()) == found
    assert read_label("y", {"0": 900, "1": 20, "2": 30, "3": 10}).types == (("2", 30), ("1", 20), ("3", 10))


def test_values_that_were_named_are_the_types() -> None:
    found = read_label("y", {"A": 900, "B": 30, "C": 20, "D": 5}, ("c", "b"))
    assert found.types == (("c", 20), ("b", 30))
    assert (found.frauds, found.assumed) == (50, "")
    assert read_label("y", {"A": 900, "B": 30}, ("B",)).types == ()


@pytest.mark.parametrize(
    "counts",
    [
        {"normal": 900, "abnormal": 30},
        {"A": 900, "B": 30, "C": 20},
        {"0": 10, "1": 30, "2": 900},
        {"-1": 900, "1": 30},
        {"1": 900, "2": 30},
        {"0": 900} | {str(value): 1 for value in range(1, 60)},
    ],
)
def test_what_isnt_clear_is_asked(counts: dict[str, int]) -> None:
    with pytest.raises(BadFile, match="doesn't say whether a row was fraud") as asked:
        read_label("y", counts)
    assert "--fraud-value" in str(asked.value.remedy)


def test_a_word_for_not_known_yet_is_a_row_without_a_label() -> None:
    found = read_label("y", {"0": 692, "unknown": 472, "1": 36})
    assert (found.frauds, found.unlabelled, found.fraud_values) == (36, 472, ())
    assert read_label("y", {"ok": 692, "Unknown": 472, "bad one": 36}, ("bad one",)).unlabelled == 472


def test_blanks_are_legitimate_where_nothing_else_can_be() -> None:
    found = read_label("y", {"": 1140, "x": 60}, ("x",))
    assert (found.frauds, found.unlabelled, found.assumed, found.fraud_values) == (60, 0, "blank", ("x", ""))


def test_a_value_that_never_stands_there_is_told() -> None:
    with pytest.raises(BadFile, match=r"No row of y says fraude. It says: 0 \(9\), 1 \(3\)"):
        read_label("y", {"0": 9, "1": 3}, ("fraude",))
