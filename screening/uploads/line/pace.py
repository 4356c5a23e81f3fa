"""Measure the progress of a screening: stages weighted by the time that they take, rows, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

READING, COMPARING, SCORING, EXPLAINING = "reading", "comparing", "scoring", "explaining"
AT_ONCE = {SCORING: 0.9, EXPLAINING: 0.1}
"""Stages where rows are independent: they are scored as they are read."""
# Where rows depend on each other, the last one is read first, then the past of all is sorted. Measured with
# 285,000 payments on two busy cores: 1.7, 5, 5.5 and 4.5 s.
LOOKING_BACK = {READING: 0.1, COMPARING: 0.3, SCORING: 0.35, EXPLAINING: 0.25}
MOST = 0.99
# With less of the work done, the pace says nothing about how long the rest takes.
LEAST_SHARE = 0.03
LEAST_SECONDS = 1.0


class Pace:
    """Progress of one attempt at a file.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._begun = clock, clock()
        self._weights = AT_ONCE
        self.doing = READING
        self.rows, self.of = 0, 0
        """Rows that the present stage is through with, and how many it has; 0 where that isn't known."""
        self._part = 0.0

    def look_back(self) -> None:
        """Weigh the stages as for a detector that scores a file when its last row is there."""
        self._weights = LOOKING_BACK

    def read(self, part: float) -> None:
        """Say what part of the file is read, 0 to 1: what comes first."""
        first = next(iter(self._weights))
        if self.doing in (READING, first):
            self.doing, self._part = first, min(part, 1.0)

    def stage(self, doing: str, rows: int, of: int) -> None:
        """Say how many rows of how many a stage is through with."""
        self.doing, self.rows, self.of = doing, rows, of
        self._part = rows / of if of else 0.0

    @property
    def share(self) -> float:
        """Share of the work that is done, 0 to 0.99: what is done is said by the state."""
        before = 0.0
        for name, weight in self._weights.items():
            if name == self.doing:
                return min(before + weight * self._part, MOST)
            before += weight
        return min(before, MOST)

    @property
    def left(self) -> float | None:
        """Return the seconds that the rest will take at the pace until now; ``None`` as long as that can't be said."""
        share, seconds = self.share, self._clock() - self._begun
        if share < LEAST_SHARE or seconds < LEAST_SECONDS:
            return None
        return seconds / share * (1 - share)

    def told(self) -> dict[str, Any]:
        """Return what a page shows of it."""
        return {"doing": self.doing, "rows": self.rows, "of": self.of, "left": self.left}
