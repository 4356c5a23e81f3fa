"""Features stand for what a person reads, to six digits, the same in bulk and for one row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.features.definitions.feature import Feature, Shape
from screening.rules.facts import Quantities, clock, rounded


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_rounded_number_is_the_nearest_of_six_digits(value: float) -> None:
    found = float(rounded(np.array([value]))[0])
    if 1e-100 < abs(value) < 1e100:
        assert found == pytest.approx(value, rel=5.0001e-6)
        assert math.isclose(found, float(f"{value:.5e}"), rel_tol=1e-5)
        if 1e-10 < abs(value) < 1e10:
            assert float(f"{found:.5e}") == found
    else:
        assert found == value


def feature(shape: Shape, **more: object) -> Feature:
    return Feature("f", ("c",), "words", shape, ("count", "c", "86400.0"), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "value", "more", "wanted"),
    [
        (Shape.COUNT, np.log1p(np.float32(3)), {}, 3.0),
        (Shape.COUNT, np.log1p(np.float32(123_456)), {}, 123_456.0),
        (Shape.DURATION, np.log1p(np.float32(60)), {}, 60.0),
        (Shape.DURATION, -np.log1p(np.float32(3600)), {}, -3600.0),
        (Shape.AMOUNT, np.log1p(np.float32(123.45 / 8)), {"scale": 8.0}, 123.45),
        (Shape.RATIO, np.float32(math.log(6.7)), {}, 6.7),
        (Shape.FLAG, np.float32(1), {}, 1.0),
        (Shape.SHARE, np.float32(0.25), {}, 0.25),
    ],
)
def test_a_feature_is_what_it_was_made_of(
    shape: Shape, value: np.float32, more: dict[str, object], wanted: float
) -> None:
    assert Quantities([feature(shape, **more)]).of(np.array([[np.float32(value)]]))[0, 0] == wanted


def test_what_was_never_seen_is_missing() -> None:
    since = feature(Shape.DURATION, never="never", memory=7_776_000.0)
    values = np.log1p(np.array([[7_776_000.0], [7_000_000.0], [60.0]], np.float32))
    found = Quantities([since]).of(values)[:, 0].tolist()
    assert math.isnan(found[0])
    assert found[1:] == [7_000_000.0, 60.0]


def test_many_rows_and_features_are_what_each_is_alone() -> None:
    shapes = [Shape.COUNT, Shape.DURATION, Shape.AMOUNT, Shape.RATIO, Shape.SHARE, Shape.FLAG]
    features = [feature(shape, scale=0.25) for shape in shapes]
    values = np.random.default_rng(0).normal(2, 3, (500, len(features))).astype(np.float32)
    together = Quantities(features).of(values)
    for row in range(0, 500, 7):
        for place, each in enumerate(features):
            alone = Quantities([each]).of(values[row : row + 1, place : place + 1])[0, 0]
            assert alone == together[row, place]


def test_hours_and_weekdays_are_those_of_the_calendar() -> None:
    assert clock(None) == (None, None)
    assert clock(0) == (0.0, 4.0)  # a Thursday
    assert clock(1_772_366_399_999_999) == (11.0, 7.0)  # 2026-03-01 11:59:59, a Sunday
    assert clock(-1) == (23.0, 3.0)
