"""What is learned from lies before what is tested, and nothing is tested on a handful."""

from __future__ import annotations

import numpy as np
import pytest

from model.evaluation.validation import check_labels, plan
from screening.errors import BadFile

DAY = 86_400.0


def labels(rows: int, every: int = 10) -> np.ndarray:
    return (np.arange(rows) % every == 0).astype(np.int8)


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


def test_a_late_part_without_frauds_falls_back_to_folds() -> None:
    label = np.zeros(1000, np.int8)
    label[:100] = 1
    assert plan(label, np.arange(1000.0), 0, seed=0).kind == "random"


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
