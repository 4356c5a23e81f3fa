"""Features in both ways: of many rows at once, and of few rows one by one. They have to be the same, bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from screening.features.computation import few_rows


@contextmanager
def one_by_one(always: bool) -> Iterator[None]:
    """Tell of any rows one by one, or of none."""
    before, few_rows.ROWS = few_rows.ROWS, 10**9 if always else -1
    try:
        yield
    finally:
        few_rows.ROWS = before


def both_ways(names: tuple[str, ...], features: Callable[[], np.ndarray]) -> np.ndarray:
    """What a call gives in both ways."""
    with one_by_one(False):
        many = features()
    with one_by_one(True):
        few = features()
    assert few.shape == many.shape
    assert few.dtype == many.dtype == np.float32
    differ = np.argwhere(few.view(np.uint32) != many.view(np.uint32))  # a minus zero is another one
    said = [(names[place], int(row), few[row, place], many[row, place]) for row, place in differ[:5].tolist()]
    assert not len(differ), said
    return few
