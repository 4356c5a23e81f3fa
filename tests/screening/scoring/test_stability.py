"""PSI and Kolmogorov-Smirnov over bins: by hand, by their laws, and against numpy and scipy on drawn data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from screening.scoring.stability import LEAST_SHARE, ks, psi, rows_needed

COUNTS = st.lists(st.integers(0, 10_000), min_size=2, max_size=30).filter(any)
PAIRS = st.integers(2, 30).flatmap(
    lambda size: st.tuples(
        *[st.lists(st.integers(0, 10_000), min_size=size, max_size=size).filter(any) for _ in range(2)]
    )
)


@given(COUNTS, st.integers(1, 50))
def test_equal_distributions_are_not_apart_however_many_rows_they_are(counts: list[int], times: int) -> None:
    more = [count * times for count in counts]
    assert psi(counts, more) == pytest.approx(0, abs=1e-9)
    assert ks(counts, more) == pytest.approx(0, abs=1e-9)


@given(PAIRS)
def test_both_are_symmetric_and_bounded(pair: tuple[list[int], list[int]]) -> None:
    then, now = pair
    assert psi(then, now) == pytest.approx(psi(now, then), rel=1e-9, abs=1e-12)
    assert ks(then, now) == pytest.approx(ks(now, then), rel=1e-9, abs=1e-12)
    assert 0 <= psi(then, now) <= 2 * -math.log(LEAST_SHARE)
    assert 0 <= ks(then, now) <= 1


@given(PAIRS)
def test_ks_is_that_of_scipy_where_all_values_are_those_of_the_bins(
    pair: tuple[list[int], list[int]],
) -> None:
    small = [[count % 97 for count in counts] for counts in pair]
    if not all(map(any, small)):
        return
    then, now = (np.repeat(np.arange(len(counts)), counts) for counts in small)
    assert ks(*small) == pytest.approx(ks_2samp(then, now, method="asymp").statistic, abs=1e-12)


@given(PAIRS, st.integers(0, 28))
def test_bins_that_are_put_together_are_never_further_apart(
    pair: tuple[list[int], list[int]], place: int
) -> None:
    then, now = pair
    at = place % (len(then) - 1)
    merged = [[*each[:at], each[at] + each[at + 1], *each[at + 2 :]] for each in pair]
    assert ks(*merged) <= ks(then, now) + 1e-12
    if min(*then, *now) > 0 and min(min(then) / sum(then), min(now) / sum(now)) > LEAST_SHARE:
        assert psi(*merged) <= psi(then, now) + 1e-9


@pytest.mark.parametrize("moved", [0.0, 0.1, 0.5, 2.0])
def test_drawn_data_give_what_numpy_and_scipy_give(moved: float) -> None:
    chance = np.random.default_rng(1)
    then, now = chance.standard_normal(50_000), chance.standard_normal(40_000) + moved
    edges = np.quantile(then, np.arange(1, 20) / 20)
    borders = np.r_[-np.inf, edges, np.inf]
    counted = [np.bincount(np.searchsorted(edges, each, side="left"), minlength=20) for each in (then, now)]
    # numpy's own histogram closes its bins at the other end, which no drawn value meets
    assert [each.tolist() for each in counted] == [
        np.histogram(each, borders)[0].tolist() for each in (then, now)
    ]
    p, q = (np.maximum(each / each.sum(), LEAST_SHARE) for each in counted)
    assert psi(*counted) == pytest.approx(float(np.sum((p - q) * np.log(p / q))))
    at_edges = max(abs((then <= edge).mean() - (now <= edge).mean()) for edge in edges)
    assert ks(*counted) == pytest.approx(at_edges)
    whole = ks_2samp(then, now).statistic
    assert ks(*counted) <= whole + 1e-12
    assert whole - ks(*counted) < 0.02


def test_what_is_no_distribution_is_refused() -> None:
    for then, now in (([1, 2], [1, 2, 3]), ([0, 0], [1, 1]), ([1, 1], [0, 0]), ([], [])):
        with pytest.raises(ValueError, match=r"."):
            psi(then, now)
        with pytest.raises(ValueError, match=r"."):
            ks(then, now)


@pytest.mark.parametrize(("bins", "reference"), [(9, None), (22, None), (22, 5_000)])
def test_of_the_rows_that_are_needed_chance_stays_below_the_limit(bins: int, reference: int | None) -> None:
    chance = np.random.default_rng(2)
    rows = math.ceil(rows_needed(bins, reference))
    shares = np.full(bins, 1 / bins)
    found = [
        psi(
            shares if reference is None else chance.multinomial(reference, shares),
            chance.multinomial(rows, shares),
        )
        for _ in range(2_000)
    ]
    assert (
        np.mean(np.array(found) > 0.1) < 0.008
    )  # chi-squared with 8 degrees of freedom is beyond it 2 times in 1,000
    # the mean that the rule goes by
    each = 1 / rows + (0 if reference is None else 1 / reference)
    assert np.mean(found) == pytest.approx((bins - 1) * each, rel=0.1)


def test_training_data_that_are_too_few_allow_no_figure() -> None:
    assert math.isinf(rows_needed(22, 300))
    assert rows_needed(1) == 1
