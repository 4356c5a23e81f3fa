"""Order and scaling: names decide, and a scaler that can't be right is refused or told of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from screening.detectors.vectorizer import Vectorizer, open_vectorizer
from screening.errors import BadArtefact, BadFile, BadTransaction
from screening.transactions.schema import CARD, Transactions
from tests.artifact_factory import CENTRE, SCALE, WIDTH, fitted_scaler, random_rows, write_vectorizer


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Vectorizer]:
    def write_and_open(**content: Any) -> Vectorizer:
        return open_vectorizer(write_vectorizer(tmp_path / "v.pkl", **content).read_bytes(), "v.pkl")

    return write_and_open


def test_it_scales_exactly_as_scikit_learn_does(tmp_path: Path) -> None:
    rows = random_rows(500)
    from sklearn.preprocessing import RobustScaler

    scaler = RobustScaler().fit(rows)
    joblib.dump({"robust_scaler": scaler, "columns": list(CARD.columns)}, tmp_path / "v.pkl")
    vectorizer = open_vectorizer((tmp_path / "v.pkl").read_bytes(), "v.pkl")
    made = vectorizer.matrix(Transactions(CARD.columns, rows))
    np.testing.assert_array_equal(made, scaler.transform(rows).astype(np.float32))
    assert vectorizer.warnings == ()
    assert vectorizer.contract == CARD


def test_the_old_dict_means_time_first_and_amount_last_and_says_so(opened: Callable[..., Vectorizer]) -> None:
    vectorizer = opened(written_by="1.2.2")
    assert vectorizer.contract == CARD
    assumed, version = vectorizer.warnings
    assert "Time, V1 to V28, Amount were assumed" in assumed
    assert "scikit-learn 1.2.2" in version
    assert "InconsistentVersionWarning" in version


def test_a_scaler_that_was_fitted_on_a_frame_knows_its_columns(opened: Callable[..., Vectorizer]) -> None:
    served = (*CARD.columns[1:], "Time")
    vectorizer = opened(scaler=fitted_scaler(names=served))
    assert vectorizer.contract.columns == served
    assert (vectorizer.contract.time, vectorizer.contract.amount) == ("Time", "Amount")


def test_a_file_may_name_its_own_columns_and_parts(opened: Callable[..., Vectorizer]) -> None:
    vectorizer = opened(scaler=fitted_scaler(2), columns=["a", "b"], label="fraud", amount="b")
    assert vectorizer.contract.as_dict() == {
        "columns": ["a", "b"],
        "label": "fraud",
        "time": None,
        "amount": "b",
    }


def test_a_scaler_without_centring_or_scaling_counts_as_zero_and_one(
    opened: Callable[..., Vectorizer],
) -> None:
    scaler = fitted_scaler()
    scaler.center_ = None
    vectorizer = opened(scaler=scaler, columns=list(CARD.columns))
    assert not vectorizer.centre.any()
    assert vectorizer.warnings == ()


def test_an_identity_scaler_is_told_of_loudly(opened: Callable[..., Vectorizer]) -> None:
    vectorizer = opened(scaler=fitted_scaler(centre=np.zeros(WIDTH), scale=np.ones(WIDTH)))
    assert any("can't be trusted" in warning for warning in vectorizer.warnings)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"scaler": fitted_scaler(scale=np.where(np.arange(WIDTH) == 4, 0.0, SCALE))}, "scale for V4 is 0"),
        ({"scaler": fitted_scaler(scale=-SCALE)}, "scale for Time is -0.5"),
        ({"scaler": fitted_scaler(scale=np.full(WIDTH, np.nan))}, "scale_ isn't 30 finite"),
        ({"scaler": fitted_scaler(centre=np.full(WIDTH, np.inf))}, "center_ isn't 30 finite"),
        ({"scaler": fitted_scaler(centre=np.zeros(29))}, "center_ isn't 30 finite"),
        ({"scaler": fitted_scaler(29)}, "doesn't name its columns, and its scaler has 29"),
        ({"columns": list(CARD.columns[:29])}, "names 29 columns, but its scaler has 30"),
        ({"columns": ["V1"] * 30}, "one of them twice"),
        ({"columns": []}, "names no columns"),
        ({"columns": list(CARD.columns), "scaler": fitted_scaler(names=CARD.columns[::-1])}, "another order"),
        ({"scaler": {"center_": [0] * 30}}, "no RobustScaler"),
    ],
)
def test_a_vectorizer_that_cannot_be_right_is_refused(
    content: dict[str, object], said: str, opened: Callable[..., Vectorizer]
) -> None:
    with pytest.raises(BadArtefact, match=said):
        opened(**content)


def test_columns_are_taken_by_name_whatever_their_order_case_and_company() -> None:
    vectorizer = Vectorizer(CARD, CENTRE, SCALE)
    rows = random_rows(20)
    shuffled = np.random.default_rng(1).permutation(WIDTH)
    names = tuple(f" {CARD.columns[place].upper()} " for place in shuffled)
    given = Transactions(("note", *names), np.column_stack([np.full(20, np.nan), rows[:, shuffled]]))
    np.testing.assert_array_equal(
        vectorizer.matrix(given), vectorizer.matrix(Transactions(CARD.columns, rows))
    )


def test_a_missing_column_is_named() -> None:
    with pytest.raises(BadFile, match="Column V7 is missing"):
        Vectorizer(CARD, CENTRE, SCALE).matrix(
            Transactions(tuple(name for name in CARD.columns if name != "V7"), np.zeros((1, 29)))
        )


@pytest.mark.security(27)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39, -1e39, 1e308, 3.4e38])
@pytest.mark.parametrize("row", [0, 8191, 8192, 9999])
def test_a_value_that_float32_cannot_hold_is_refused_by_row_and_column(value: float, row: int) -> None:
    rows = random_rows(10_000)
    rows[row, 3] = value
    vectorizer = Vectorizer(CARD, CENTRE, np.full(WIDTH, 0.5))
    with pytest.raises(BadTransaction, match=f"V3 in row {row + 1} ") as caught:
        vectorizer.matrix(Transactions(CARD.columns, rows))
    assert [(problem.row, problem.column) for problem in caught.value.problems] == [(row + 1, "V3")]


@pytest.mark.security(27)
def test_a_large_value_is_refused_even_where_scaling_would_make_it_small() -> None:
    rows = random_rows(1)
    rows[0, 29] = 1e39
    with pytest.raises(BadTransaction, match="Amount in row 1 is too large"):
        Vectorizer(CARD, CENTRE, np.full(WIDTH, 1e6)).matrix(Transactions(CARD.columns, rows))


def test_no_rows_make_an_empty_matrix() -> None:
    assert Vectorizer(CARD, CENTRE, SCALE).matrix(Transactions(CARD.columns, np.empty((0, 30)))).shape == (
        0,
        30,
    )
