"""How far a file is from the training data, by hand and by the detectors that are shipped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from screening.detectors.detector import Detector
from screening.detectors.model_card import ModelCard
from screening.scoring.drift import MUCH, SOME, measure
from screening.scoring.stability import psi
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

CONTRACT = ColumnContract.of(
    [
        Column("when", Role.TIME),
        Column("amount", Role.AMOUNT),
        Column("size", Role.NUMBER, optional=True),
        Column("shop", Role.CATEGORY, CellKind.TEXT),
    ]
)
NORMAL = dict(
    zip(
        ("q01", "q05", "q25", "q50", "q75", "q95", "q99"),
        (-2.326, -1.645, -0.674, 0.0, 0.674, 1.645, 2.326),
        strict=True,
    )
)


@pytest.fixture
def detector(tiny: Detector) -> Detector:
    columns = {
        "when": NORMAL,
        "amount": NORMAL,
        "size": {**NORMAL, "missing": 0.2},
        "shop": {"levels": [[1.0, 0.5], [2.0, 0.3]], "other": 0.2, "missing": 0.0},
    }
    return replace(tiny, contract=CONTRACT, card=ModelCard.from_json({"columns": columns}))


def rows(seed: int = 0, count: int = 20_000) -> np.ndarray:
    generator = np.random.default_rng(seed)
    made = generator.standard_normal((count, 4))
    made[:, 2] = np.where(generator.random(count) < 0.2, np.nan, made[:, 2])
    made[:, 3] = generator.choice([1.0, 2.0, 7.0, 8.0], count, p=(0.5, 0.3, 0.1, 0.1))
    return made


def test_the_index_by_hand() -> None:
    assert psi(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0
    assert psi(np.array([0.5, 0.5]), np.array([0.25, 0.75])) == pytest.approx(
        -0.25 * np.log(0.5) + 0.25 * np.log(1.5)
    )
    assert np.isfinite(psi(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


def test_the_same_population_shows_no_change_and_time_is_not_compared(detector: Detector) -> None:
    found = measure(detector, rows())
    assert {one["column"] for one in found} == {"amount", "size", "shop"}
    assert all(one["index"] < 0.01 for one in found)


def test_a_moved_number_other_texts_and_more_blanks_show(detector: Detector) -> None:
    moved = rows(1)
    moved[:, 1] += 0.5
    assert measure(detector, moved)[0]["column"] == "amount"
    assert measure(detector, moved)[0]["index"] > SOME
    texts = rows(2)
    texts[:, 3] = 9.0
    assert measure(detector, texts)[0]["index"] > MUCH
    blanks = rows(3)
    blanks[::2, 2] = np.nan
    (size,) = (one for one in measure(detector, blanks) if one["column"] == "size")
    assert size["index"] > SOME
    assert size["missing_now"] == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("place", [2, 3])
def test_a_column_that_is_blank_throughout_has_changed_most_of_all(detector: Detector, place: int) -> None:
    blank = rows()
    blank[:, place] = np.nan
    first = measure(detector, blank)[0]
    assert first["column"] == CONTRACT.columns[place]
    assert first["index"] > MUCH
    assert first["missing_now"] == 1


def test_a_column_that_was_blank_throughout_and_is_filled_now_has_changed(detector: Detector) -> None:
    assert detector.card is not None
    columns = {
        **detector.card.raw["columns"],
        "size": {"missing": 1.0},
        "shop": {"levels": [], "missing": 1.0},
    }
    then = replace(detector, card=ModelCard.from_json({"columns": columns}))
    found = {one["column"]: one["index"] for one in measure(then, rows())}
    assert min(found["size"], found["shop"]) > MUCH
    still = rows()
    still[:, 2:] = np.nan
    found = {one["column"]: one["index"] for one in measure(then, still)}
    assert max(found["size"], found["shop"]) < 0.01


def test_few_rows_or_no_card_say_nothing(detector: Detector) -> None:
    assert measure(detector, rows(count=50)) == []
    assert measure(replace(detector, card=None), rows()) == []


def test_quantiles_that_are_one_number_are_one_border(detector: Detector) -> None:
    same = dict.fromkeys(NORMAL, 0.0) | {"q95": 1.0, "q99": 5.0}
    piled = replace(detector, card=ModelCard.from_json({"columns": {"amount": same}}))
    made = np.zeros((1000, 4))
    made[:200, 1] = np.r_[np.full(150, 0.7), np.full(40, 3.0), np.full(10, 9.0)]
    (found,) = measure(piled, made)
    assert found["index"] < 0.02
