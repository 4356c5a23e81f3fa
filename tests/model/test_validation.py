"""What is learned from lies before what is tested, and nothing is tested on a handful."""

from __future__ import annotations

import numpy as np
import pytest

from model.evaluation.validation import check_labels, grouped, plan
from screening.errors import BadFile

DAY = 86_400.0


def labels(rows: int, every: int = 10) -> np.ndarray:
    made: np.ndarray = (np.arange(rows) % every == 0).astype(np.int8)
    return made


def test_the_latest_fifth_is_tested_after_the_delay() -> None:
    time = np.random.default_rng(0).permutation(1000) * DAY / 10  # 100 days, in no order
    found = plan(labels(1000), time, 7 * DAY, seed=0)
    ((learned, tested),) = found
    assert found.kind == "time"
    assert time[learned].max() + 7 * DAY <= time[tested].min()
    assert len(tested) == 200
    assert "7 days" in found.words


def test_a_delay_longer_than_the_file_is_left_out_and_not_said() -> None:
    time = np.arange(1000.0)
    found = plan(labels(1000), time, 7 * DAY, seed=0)
    ((learned, tested),) = found
    assert time[learned].max() < time[tested].min()
    assert len(learned) + len(tested) == 1000
    assert "after the last row" not in found.words


def test_without_a_time_there_are_five_folds_with_frauds_in_each() -> None:
    label = labels(300)
    found = plan(label, None, 0, seed=0)
    assert found.kind == "random"
    assert sorted(np.concatenate([tested for _, tested in found]).tolist()) == list(range(300))
    assert all(label[tested].sum() == 6 for _, tested in found)


def test_where_the_latest_fifth_has_no_frauds_another_part_of_the_latest_rows_is_tested() -> None:
    label = labels(1000)
    label[700:] = 0
    found = plan(label, np.arange(1000.0), 0, seed=0)
    ((learned, tested),) = found
    assert found.kind == "time"
    assert (found.words, len(tested)) == ("the latest 40% of the rows", 400)
    assert max(learned) < min(tested)
    assert found.caution is None


@pytest.mark.parametrize(("frauds", "when"), [(slice(0, 100), "early"), (slice(960, 1000), "late")])
def test_frauds_that_lie_apart_in_time_are_tested_in_folds_and_the_flattery_is_said(
    frauds: slice, when: str
) -> None:
    label = np.zeros(1000, np.int8)
    label[frauds] = 1
    found = plan(label, np.arange(1000.0), 0, seed=0)
    assert found.kind == "random"
    assert found.caution is not None
    assert when in found.caution


def test_few_frauds_here_and_there_cause_no_caution() -> None:
    label = np.zeros(1000, np.int8)
    label[[*range(5, 800, 40), 900, 950]] = 1
    found = plan(label, np.arange(1000.0), 0, seed=0)
    assert (found.kind, found.caution) == ("random", None)


def test_two_waves_of_few_frauds_test_each_other() -> None:
    label = np.zeros(3000, np.int8)
    label[[*range(1000, 1012), *range(2970, 2982)]] = 1
    time = np.arange(3000.0) * DAY / 4
    found = plan(label, time, 7 * DAY, seed=0)
    assert found.kind == "stretches"
    assert found.words.startswith("2 stretches of time")
    for learned, tested in found:
        assert label[learned].sum() == label[tested].sum() == 12
        assert not set(learned) & set(tested)
    assert sorted(np.concatenate([tested for _, tested in found]).tolist()) == list(range(3000))
    assert plan(label, time, 900 * DAY, seed=0).kind == "random", "the waves are nearer than labels take"


def test_folds_part_nobody_who_comes_back() -> None:
    generator = np.random.default_rng(0)
    customer, shop = (
        generator.integers(0, 400, 2000).astype(float),
        generator.integers(0, 60, 2000).astype(float),
    )
    label = labels(2000)
    found = grouped(label, {"shop": shop, "customer": customer}, seed=0)
    assert found is not None
    assert found.kind == "grouped"
    assert "customer" in found.words
    for learned, tested in found:
        assert not set(customer[learned]) & set(customer[tested])
        assert set(label[tested].tolist()) == {0, 1}
    assert sorted(np.concatenate([tested for _, tested in found]).tolist()) == list(range(2000))


@pytest.mark.parametrize(
    "cells",
    [
        np.arange(1000.0) % 30,  # thirty shops, each of which will be there tomorrow
        np.arange(1000.0),  # nobody comes back
        np.r_[np.zeros(300), np.arange(700.0) // 2],  # a third of the rows is one customer's
        np.full(1000, np.nan),
    ],
    ids=["shops", "unique", "one large", "blank"],
)
def test_what_isnt_a_group_of_rows_parts_no_folds(cells: np.ndarray) -> None:
    assert grouped(labels(1000), {"who": cells}, seed=0) is None


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (np.zeros(100, np.int8), "legitimate"),
        (np.ones(100, np.int8), "fraud"),
        (np.r_[np.ones(19, np.int8), np.zeros(100, np.int8)], "only 19 frauds"),
    ],
)
def test_too_little_to_learn_from_is_refused_with_the_reason(label: np.ndarray, words: str) -> None:
    with pytest.raises(BadFile, match=words) as caught:
        check_labels(label)
    assert caught.value.remedy
