from __future__ import annotations

import numpy as np
import pytest

from screening.uploads.sampling import EvenSample


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_any_number_of_rows_in_any_batches_leaves_a_few_that_are_evenly_spread(size: int) -> None:
    spread = EvenSample(50)
    for first in range(0, 5000, size):
        rows = np.arange(first, min(first + size, 5000))
        spread.add(rows, np.column_stack([rows, -rows]).astype(float))
    rows, values = spread.taken()
    assert 50 <= len(rows) < 100
    assert len(set(np.diff(rows))) == 1
    assert rows[0] == 0
    np.testing.assert_array_equal(values, np.column_stack([rows, -rows]))


def test_few_rows_all_stay_and_none_is_none() -> None:
    spread = EvenSample(50)
    spread.add(np.arange(0), np.zeros((0, 2)))
    assert len(spread.taken()[0]) == 0
    spread.add(np.arange(60), np.zeros((60, 2)))
    assert spread.taken()[0].tolist() == list(range(60))
