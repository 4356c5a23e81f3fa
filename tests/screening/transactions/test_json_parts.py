"""A detector that learned a value of several columns takes them, or the value itself, from programs, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from screening.detectors.vectorizer import Inputs
from screening.errors import BadTransaction
from screening.realtime.entries import columns_of, read_mappings
from screening.scoring.score import Scored
from screening.transactions.composition import Composition
from screening.transactions.json_records import from_frame, from_mapping, from_mappings
from screening.transactions.schema import CellKind, Column, ColumnContract, Role, Transactions

CONTRACT = ColumnContract.of(
    [
        Column(
            "Date & Time", Role.TIME, CellKind.TIME, made=Composition.of({"date": "Date", "time": "Time"})
        ),
        Column("Out & In", Role.AMOUNT, made=Composition.of({"debit": "Out", "credit": "In"})),
        Column("x", Role.NUMBER),
    ]
)
WHOLE = {"Date & Time": "2025-01-04T07:30:44", "Out & In": -12.5, "x": 1}
PARTS = {"Date": "2025-01-04", "time ": "07:30:44", "Out": None, "In": 12.5, "x": 1}


def values(found: Transactions) -> list[list[float]]:
    cells: list[list[float]] = np.asarray(found.values).tolist()
    return cells


@pytest.mark.parametrize("given", [PARTS, {**PARTS, "Out": ""}, {**PARTS, "Out": 0}])
def test_parts_make_the_value(given: dict[str, Any]) -> None:
    (whole,) = values(from_mapping(WHOLE, CONTRACT))
    assert values(from_mapping(given, CONTRACT)) == [whole]
    assert values(from_mappings([WHOLE, given], CONTRACT)) == [whole, whole]
    assert values(from_frame(pd.DataFrame([given]), CONTRACT)) == [whole]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Out": 3.0}, "Out and In in row 1 are both filled"),
        ({"In": None}, "Out and In in row 1 are both blank"),
        ({"In": -1.0}, "In in row 1 can't be read"),
        ({"time ": "noon"}, "Time in row 1 can't be read"),
        ({"Date": "2025-01-04T01:00:00"}, "Date in row 1 has a time of day itself"),
    ],
)
def test_parts_that_make_nothing_are_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadTransaction, match=words):
        from_mapping({**PARTS, **change}, CONTRACT)


def test_what_is_missing_is_told_as_ever() -> None:
    with pytest.raises(BadTransaction, match="Date & Time in row 1 is missing"):
        from_mapping({key: value for key, value in PARTS.items() if key != "Date"}, CONTRACT)


def test_the_contract_is_written_and_read() -> None:
    assert ColumnContract.from_dict(CONTRACT.as_dict()) == CONTRACT


def test_the_ledger_keeps_the_parts_that_are_needed_to_score_it_again() -> None:
    rows = from_mapping(PARTS, CONTRACT)
    nobody = Scored(
        np.zeros(1, np.float32), np.zeros(1, bool), Inputs(np.empty((0, 3), np.float32)), [[]], [[]]
    )
    read = read_mappings([{**PARTS, "note": "not needed"}], CONTRACT)
    kept = columns_of([read], rows, nobody, CONTRACT)
    assert kept.values == [PARTS]  # noqa: PD011 -- no data frame
    assert kept.columns["amount"] == [-1250]
    assert values(from_mappings(kept.values, CONTRACT)) == values(rows)


@pytest.mark.parametrize(
    ("part", "word", "amount"),
    [
        ("direction-blank-in", "D", 12.5),
        ("direction-blank-in", "", -12.5),
        ("direction-blank-in", None, -12.5),
        ("direction-blank-in", "NULL", -12.5),
        ("direction-blank-out", "Haben", -12.5),
        ("direction-blank-out", " ", 12.5),
    ],
)
def test_a_blank_word_says_what_the_detector_learned(part: str, word: str | None, amount: float) -> None:
    made = Composition.of({"amount": "Sum", part: "Kind"})
    contract = ColumnContract.of([Column("Sum & Kind", Role.AMOUNT, made=made), Column("x", Role.NUMBER)])
    assert values(from_mapping({"Sum": 12.5, "Kind": word, "x": 1}, contract)) == [[amount, 1.0]]
    assert ColumnContract.from_dict(contract.as_dict()) == contract


@pytest.mark.parametrize("word", [None, "", "fee", True])
def test_a_blank_word_is_refused_where_nothing_was_said_of_blanks(word: Any) -> None:
    made = Composition.of({"amount": "Sum", "direction": "Kind"})
    contract = ColumnContract.of([Column("Sum & Kind", Role.AMOUNT, made=made), Column("x", Role.NUMBER)])
    with pytest.raises(BadTransaction, match="Kind in row 1 can't be read"):
        from_mapping({"Sum": 12.5, "Kind": word, "x": 1}, contract)
