"""Bins of the training data: what falls where, and what quantiles can't tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.summary import summary
from screening.detectors.detector import Detector
from screening.detectors.model_card import ModelCard
from screening.detectors.registry import Detectors
from screening.scoring import bins, drift
from screening.scoring.stability import ks, psi
from screening.settings import Settings
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

CONTRACT = ColumnContract.of(
    [
        Column("when", Role.TIME),
        Column("amount", Role.AMOUNT),
        Column("size", Role.NUMBER, optional=True),
        Column("shop", Role.CATEGORY, CellKind.TEXT),
        Column("who", Role.ENTITY, CellKind.TEXT),
    ]
)


def rows(seed: int, count: int = 20_000) -> np.ndarray:
    """Amounts that many have, sizes that are mostly nought or blank, and more shops than are kept."""
    chance = np.random.default_rng(seed)
    size = np.where(chance.random(count) < 0.7, 0.0, chance.integers(1, 5, count)).astype(float)
    size[chance.random(count) < 0.2] = np.nan
    amount = chance.choice([1.0, 5.0, 9.99, 20.0, 99.0], count, p=(0.45, 0.3, 0.15, 0.07, 0.03))
    shop = np.minimum(chance.geometric(0.1, count), 60).astype(float)
    return np.column_stack([np.arange(count), amount, size, shop, chance.integers(0, 900, count)])


@pytest.fixture
def trained(tiny: Detector) -> Detector:
    columns = json.loads(json.dumps(summary(CONTRACT, rows(0))))
    card = ModelCard.from_json({"columns": columns, "training_data": {"rows": 20_000}})
    return replace(tiny, contract=CONTRACT, card=card)


def test_a_new_card_has_the_shares_counted_and_values_that_many_have_are_no_drift(trained: Detector) -> None:
    known = bins.of_detector(trained)
    assert list(known) == ["amount", "size", "shop"]
    for name, each in known.items():
        counts = each.count(rows(0)[:, CONTRACT.columns.index(name)])
        assert counts / counts.sum() == pytest.approx(np.array(each.shares), abs=2e-6)
        assert each.exact
    assert max(one["index"] for one in drift.measure(trained, rows(1))) < 0.005


def test_quantiles_alone_dont_make_a_drift_of_values_that_many_have(trained: Detector) -> None:
    columns = summary(CONTRACT, rows(0))
    for each in columns.values():
        each.pop("bins", None)
    then = replace(trained, card=ModelCard.from_json({"columns": columns}))
    known = bins.of_detector(then)
    assert not known["size"].exact
    found = {one["column"]: one["index"] for one in drift.measure(then, rows(1))}
    assert max(found.values()) < 0.03
    moved = rows(2)
    moved[:, 2] += 9
    assert drift.measure(then, moved)[0]["column"] == "size"


DRAWN: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "mostly nought": lambda chance, n: np.where(chance.random(n) < 0.74, 0.0, chance.integers(1, 9, n)),
    "whole amounts": lambda chance, n: np.clip(np.rint(chance.gamma(3.2, 11.5, n)), 9, 154),
    "hours": lambda chance, n: chance.integers(0, 24, n).astype(float),
    "counts": lambda chance, n: chance.poisson(3, n).astype(float),
    "days": lambda chance, n: chance.geometric(0.3, n).astype(float),
    "yes or no": lambda chance, n: (chance.random(n) < 0.3).astype(float),
    "rarely": lambda chance, n: (chance.random(n) < 0.03).astype(float),
    "prices": lambda chance, n: chance.choice([1, 5, 9.99, 10, 20, 50, 99], n, p=[0.2, 0.2, 0.2, 0.15, 0.1, 0.1, 0.05]),
    "measured": lambda chance, n: chance.standard_normal(n),
}  # fmt: skip


@pytest.mark.parametrize("deciles", [True, False])
@pytest.mark.parametrize("name", DRAWN)
def test_quantiles_make_no_drift_of_data_that_havent_changed(name: str, deciles: bool) -> None:
    then, now = (DRAWN[name](np.random.default_rng(seed), 200_000) for seed in (1, 2))
    card = summary(ColumnContract.of([Column("n", Role.NUMBER)]), then[:, None])["n"]
    card.pop("bins")
    if not deciles:
        card.pop("deciles")
    (profile,) = ModelCard.from_json({"columns": {"n": card}}).columns.values()
    known = bins.of_numbers(profile)
    assert known is not None
    counts = known.count(now)
    assert psi(known.nearest(counts), counts) < 0.001
    moved = known.count(now + 2 * now.std())
    assert psi(known.nearest(moved), moved) > 0.25


@given(
    st.lists(st.floats(0, 0.3), min_size=1, max_size=6),
    st.lists(st.integers(0, 1_000), min_size=8, max_size=8),
    st.floats(0, 0.9),
)
def test_the_nearest_shares_are_shares_and_never_further_away(
    steps: list[float], weights: list[int], blank: float
) -> None:
    least = np.minimum(np.cumsum(steps), 0.99)
    reach = tuple(np.r_[least[1:], 1.0].tolist())
    shares = (*(np.diff(np.r_[0.0, least, 1.0]) * (1 - blank)).tolist(), blank)
    each = bins.Bins(tuple(np.arange(float(len(least)))), shares, exact=False, reach=reach)
    now = np.array(weights[: len(shares)])
    found = each.nearest(now)
    assert found.sum() == pytest.approx(1)
    assert found.min() >= -1e-12
    assert found[-1] == blank
    if now[:-1].sum() and blank < 1:
        assert ks(found[:-1], now[:-1]) <= ks(shares[:-1], now[:-1]) + 1e-9


def test_each_cell_is_in_one_bin_and_the_order_of_bins_is_that_of_the_values() -> None:
    each = bins.Bins((1.0, 2.0), (0.2, 0.3, 0.4, 0.1))
    assert each.count(np.array([-9, 1, 1.5, 2, 2.1, np.nan, np.inf])).tolist() == [2, 2, 2, 1]
    texts = bins.Bins((9.0, 4.0), (0.5, 0.3, 0.2, 0.0), texts=True)
    assert texts.count(np.array([9, 9, 4, 5, 10, np.nan])).tolist() == [2, 1, 2, 1]
    assert bins.Bins((), (1.0, 0.0), texts=True).count(np.array([9, np.nan])).tolist() == [1, 1]
    assert bins.Bins((), (0.0, 1.0)).count(np.array([np.nan])).tolist() == [0, 1]


def test_counts_of_other_bins_have_another_shape(trained: Detector) -> None:
    known = dict(bins.of_detector(trained))
    assert bins.shape(known) == bins.shape(dict(reversed(list(known.items()))))
    assert bins.shape(known) != bins.shape({**known, "size": bins.Bins((1.0,), (0.5, 0.5, 0.0))})


def test_the_shipped_detectors_have_bins_whose_shares_are_all_of_their_data(settings: Settings) -> None:
    for detector in Detectors(settings).all():
        known = bins.of_detector(detector)
        assert known
        for each in known.values():
            assert sum(each.shares) == pytest.approx(1, abs=1e-3)
            assert list(each.edges) == sorted(each.edges) or each.texts
            assert len(each.shares) == len(each.edges) + 2
