"""get_probabilities takes what callers have, and only numbers are numbers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from screening.detectors.detector import Detector
from screening.errors import BadTransaction
from screening.transactions.schema import CARD, Transactions
from tests.artifact_factory import random_rows, tiny_detector
from tests.shared import run_folder
from utils import get_probabilities


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return tiny_detector(run_folder(tmp_path_factory))


@pytest.fixture
def row() -> dict[str, float]:
    return dict(zip(CARD.columns, random_rows(1, seed=9)[0].tolist(), strict=True))


@pytest.fixture
def expected(row: dict[str, float], tiny: Detector) -> float:
    return float(get_probabilities(Transactions(CARD.columns, np.array([list(row.values())])), tiny)[0])


def test_one_mapping_is_one_transaction(row: dict[str, float], tiny: Detector, expected: float) -> None:
    found = get_probabilities(row, tiny)
    assert found.dtype == np.float32
    assert found.tolist() == [expected]


def test_names_may_have_any_case_order_and_spaces_and_company(
    row: dict[str, float], tiny: Detector, expected: float
) -> None:
    given = {"Class": 1, "note": "a note", **{f" {name.lower()} ": row[name] for name in reversed(row)}}
    assert get_probabilities(given, tiny).tolist() == [expected]


def test_mappings_may_each_have_their_own_order(
    row: dict[str, float], tiny: Detector, expected: float
) -> None:
    other = {name: row[name] for name in reversed(row)}
    assert get_probabilities([row, other, {**row, "x": None}], tiny) == pytest.approx(
        [expected] * 3, abs=1e-7
    )
    assert get_probabilities([], tiny).shape == (0,)


@pytest.mark.parametrize("kind", [int, np.float64, np.float32, np.int32, Decimal])
def test_numbers_of_every_kind_are_numbers(
    kind: Callable[[int], float], row: dict[str, float], tiny: Detector
) -> None:
    whole = {name: float(round(value)) for name, value in row.items()}
    given = {name: kind(int(value)) for name, value in whole.items()}
    assert get_probabilities(given, tiny).tolist() == get_probabilities(whole, tiny).tolist()


@pytest.mark.security(27, 36)
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "is missing"),
        (True, "true or false"),
        (np.True_, "not a number"),
        ("1.5", "text, not a number"),
        ("abc", r"'abc'"),
        ("٣", "text"),
        ("4111 1111 1111 1111", "digits hidden"),
        ([1], "a list"),
        ({}, "an object"),
        (1j, "not a number"),
        (float("nan"), "is not a number"),
        (float("inf"), "too large"),
        (float("-inf"), "too large"),
        (1e39, "too large"),
        pytest.param(10**5000, "too large", id="5,000 digits"),
        (Decimal("NaN"), "is not a number"),
        (Decimal("1e400"), "too large"),
        (Decimal("sNaN"), "too large"),
    ],
)
def test_what_is_no_finite_number_is_refused_by_name_and_row(
    value: object, told: str, row: dict[str, float], tiny: Detector
) -> None:
    with pytest.raises(BadTransaction, match=told) as one:
        get_probabilities({**row, "V3": value}, tiny)
    assert [(problem.row, problem.column) for problem in one.value.problems] == [(1, "V3")]
    assert "4111" not in str(one.value)
    with pytest.raises(BadTransaction, match=told) as second:
        get_probabilities([row, {**row, "V3": value}], tiny)
    assert [(problem.row, problem.column) for problem in second.value.problems] == [(2, "V3")]


def test_every_bad_cell_of_a_transaction_is_named(row: dict[str, float], tiny: Detector) -> None:
    with pytest.raises(BadTransaction) as caught:
        get_probabilities({**row, "V3": "x", "Amount": None}, tiny)
    assert [problem.column for problem in caught.value.problems] == ["V3", "Amount"]


@pytest.mark.parametrize("missing", [("V3",), ("Time", "Amount")])
def test_missing_columns_are_named(missing: tuple[str, ...], row: dict[str, float], tiny: Detector) -> None:
    for name in missing:
        del row[name]
    with pytest.raises(BadTransaction, match=", ".join(missing)) as caught:
        get_probabilities([row], tiny)
    assert caught.value.status == 422
    assert [problem.column for problem in caught.value.problems] == list(missing)


def test_a_column_that_stands_twice_is_not_guessed(row: dict[str, float], tiny: Detector) -> None:
    with pytest.raises(BadTransaction, match="Amount in row 1 appears more than once"):
        get_probabilities({**row, "amount": 1.0}, tiny)


@pytest.mark.parametrize("given", [None, 3, "text", [1, 2], [None], {}, [{}], b"x"])
def test_what_holds_no_transactions_is_refused(given: Any, tiny: Detector) -> None:
    with pytest.raises(BadTransaction):
        get_probabilities(given, tiny)


def test_a_frame_is_read_by_name(row: dict[str, float], tiny: Detector, expected: float) -> None:
    pd = pytest.importorskip("pandas", reason="needs requirements.txt: run `make .venv/.run`")
    frame = pd.DataFrame([row, row], index=[7, 7])[list(reversed(row))].assign(Class=0, note="x")
    assert get_probabilities(frame, tiny).tolist() == [expected] * 2
    nullable = frame.convert_dtypes()
    assert get_probabilities(nullable, tiny).tolist() == [expected] * 2


@pytest.mark.parametrize("value", ["abc", True, None, float("nan"), 1e39])
def test_a_frames_bad_cell_is_refused_by_name_and_row(
    value: object, row: dict[str, float], tiny: Detector
) -> None:
    pd = pytest.importorskip("pandas", reason="needs requirements.txt: run `make .venv/.run`")
    frame = pd.DataFrame([row, row]).astype({"V3": object})
    frame.iloc[1, 3] = value
    with pytest.raises(BadTransaction) as caught:
        get_probabilities(frame, tiny)
    assert [(problem.row, problem.column) for problem in caught.value.problems] == [(2, "V3")]


def test_a_frames_column_of_truths_is_refused(row: dict[str, float], tiny: Detector) -> None:
    pd = pytest.importorskip("pandas", reason="needs requirements.txt: run `make .venv/.run`")
    with pytest.raises(BadTransaction, match="V3 in row 1"):
        get_probabilities(pd.DataFrame([row]).assign(V3=True), tiny)
