"""The geometry of charts: what is drawn stands where its number says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.detectors.model_card import ReliabilityBin
from screening.web.views.charts import geometry as charts

COUNTS = st.lists(st.integers(0, 10**7), min_size=20, max_size=20)


def bins(counts: list[int], threshold: float) -> list[tuple[float, float, int, int]]:
    """Bins of equal width; those above the threshold are flagged as a whole."""
    edges = [number / len(counts) for number in range(len(counts) + 1)]
    return [
        (low, high, count, count if low >= threshold else 0)
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]


@given(COUNTS)
def test_every_bar_lies_inside_the_frame_and_a_higher_count_is_never_lower(counts: list[int]) -> None:
    chart = charts.histogram(bins(counts, 0.8), 0.8)
    for bar in chart.bars:
        assert chart.frame.left <= bar.x < bar.x + bar.width <= chart.frame.right
        assert chart.frame.top - 0.01 <= bar.y
        assert bar.y + bar.height == pytest.approx(chart.frame.bottom, abs=0.02)
    heights = [bar.height for bar in chart.bars]
    drawn = [count for count in counts if count]
    assert sorted(range(len(drawn)), key=lambda k: (drawn[k], k)) == sorted(
        range(len(drawn)), key=lambda k: (heights[k], drawn[k], k)
    )


def test_one_row_is_seen_beside_hundreds_of_thousands() -> None:
    chart = charts.histogram(bins([284_315, *[0] * 18, 1], 0.8), 0.8)
    assert chart.bars[-1].kind == "flagged"
    assert chart.bars[-1].height > 5


def test_a_bin_that_holds_the_threshold_is_drawn_as_two_bars() -> None:
    chart = charts.histogram([(0.5, 1.0, 30, 10)], 0.75)
    below, above = chart.bars
    assert (below.kind, above.kind) == ("legitimate", "flagged")
    assert below.x + below.width < chart.threshold_x < above.x
    assert "20 legitimate" in below.title
    assert "10 flagged" in above.title


def test_no_rows_at_all_give_an_empty_chart() -> None:
    assert charts.histogram(bins([0] * 20, 0.8), 0.8).bars == ()


def test_a_curve_goes_from_corner_to_corner() -> None:
    curve = charts.roc([[0, 0], [0.1, 0.9], [1, 1]])
    points = [tuple(map(float, pair)) for pair in re.findall(r"[ML]([\d.]+) ([\d.]+)", curve.path)]
    frame = curve.frame
    assert points[0] == (frame.left, frame.bottom)
    assert points[-1] == (frame.right, frame.top)


def test_said_and_seen_alike_stand_on_the_diagonal_and_intervals_hold_their_point() -> None:
    curve = charts.reliability(
        [
            ReliabilityBin(mean_probability=p, observed=p, low=p / 2, high=min(1.0, p * 2))
            for p in (0, 0.001, 0.5, 1)
        ]
    )
    for point in curve.points:
        assert point.x - curve.frame.left == pytest.approx(
            (curve.frame.bottom - point.y)
            * (curve.frame.right - curve.frame.left)
            / (curve.frame.bottom - curve.frame.top),
            abs=0.1,
        )
        assert point.high <= point.y <= point.low


@pytest.mark.parametrize(("value", "width"), [(None, 0), (float("nan"), 0), (-1, 0), (0.25, 25), (7, 100)])
def test_a_share_bar_is_never_longer_than_its_track(value: float | None, width: float) -> None:
    assert charts.share_width(value) == width
