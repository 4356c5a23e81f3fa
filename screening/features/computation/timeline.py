"""All rows in the order of time, and the stretches of them that chunks of rows can look back on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.past import Past
from screening.features.definitions.definition import Definition
from screening.transactions.schema import Matrix

# Times are whole microseconds, so that rounding never decides whether a row lies within a window.
TICKS = 1e6
LATEST = 9e12
# Least rows per chunk; a chunk that looks back on more rows is larger, to spread their cost.
LEAST_ROWS = 262_144
# Rows looked back on per row of a chunk: each costs a tenth of a row of the chunk.
LOOKED_BACK = 3

Whole = NDArray[np.int64]
Places = NDArray[np.int32]
Number = TypeVar("Number", bound=np.generic)


def ticks(seconds: NDArray[np.float64]) -> Whole:
    """Return seconds as whole microseconds, the same shape; the far ends of time are cut off."""
    return np.rint(np.clip(seconds, -LATEST, LATEST) * TICKS).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of a timeline from the place ``low`` to ``high``, and those among them that are asked about.

    ``time`` (m,) is in ticks, ascending. ``asked`` (q,) are places from ``low`` on, ascending, ``targets`` (q,) where
    these rows appear in the chunk, and ``numbers`` (m,) says which of the asked rows each row is, -1 for the others.
    """

    low: int
    high: int
    time: Whole
    asked: Places
    targets: Places
    numbers: Places

    def edges(self, seconds: float) -> Places:
        """Return the first place whose time is that of each asked row less so many seconds, or later; (q,)."""
        back = np.int64(round(seconds * TICKS))
        return np.searchsorted(self.time, self.time[self.asked] - back).astype(np.int32)


class Timeline:
    """Past rows and the rows that are asked about, told apart only by who is asked; rows without a time aren't there.

    ``time`` (t,) is in ticks, ascending.
    """

    def __init__(
        self, definition: Definition, values: Matrix, labels: NDArray[np.int8] | None, past: Past | None
    ) -> None:
        self._columns = definition.contract.columns
        self._values = values
        self._labels = labels
        self._past = past
        self._before = 0 if past is None else len(past)
        self._horizon = np.int64(round(definition.horizon * TICKS))
        self._clock = self._all(str(definition.contract.time))
        order = np.argsort(self._clock, kind="stable")
        self._order = order[: np.count_nonzero(~np.isnan(self._clock))]  # NaN is sorted to the end
        self.time = ticks(self._clock[self._order])

    def _all(self, name: str) -> NDArray[np.float64]:
        place = self._columns.index(name)
        own = self._values[:, place]
        return own if self._past is None else np.concatenate([self._past.values[:, place], own])

    def column(self, name: str) -> NDArray[np.float64]:
        """Return the cells of one column in the order of time, (t,)."""
        return self._all(name)[self._order]

    def in_order(self, numbers: NDArray[Number]) -> NDArray[Number]:
        """Return numbers of the past rows and then of the others, (n,), in the order of time, (t,)."""
        return numbers[self._order]

    def as_given(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return numbers in the order of time, (t,), as the past rows and then the others were given, (n,).

        NaN for rows without a time.
        """
        found = np.full(len(self._clock), np.nan, np.float32)
        found[self._order] = numbers
        return found

    def labels(self) -> NDArray[np.int8]:
        """Return 1 for fraud, 0 for none, -1 where it isn't known, in the order of time, (t,)."""
        own = self._labels
        own = np.full(len(self._values), -1, np.int8) if own is None else np.asarray(own, np.int8)
        return (own if self._past is None else np.concatenate([self._past.labels, own]))[self._order]

    def places(self, start: int, stop: int) -> tuple[Whole, Whole]:
        """Return the places of the rows from ``start`` to ``stop`` in the order of time, and which of them each is;
        (q,) each.

        Rows without a time aren't there.
        """
        own = self._order - (self._before + start)
        found = np.flatnonzero((own >= 0) & (own < stop - start))
        return found, own[found]

    def whole(self, asked: NDArray[np.bool_] | None = None) -> Stretch:
        """Return all rows, those of them asked about that ``asked`` (t,) marks; by default each."""
        every = np.arange(len(self.time), dtype=np.int32)
        if asked is None:
            return Stretch(0, len(every), self.time, every, every, every)
        chosen = every[asked]
        numbers = np.full(len(every), -1, np.int32)
        numbers[chosen] = np.arange(len(chosen), dtype=np.int32)
        return Stretch(0, len(every), self.time, chosen, chosen, numbers)

    def chunks(self, start: int, stop: int) -> Iterator[tuple[int, int, Stretch]]:
        """Yield the rows from ``start`` to ``stop`` in parts, each with what it can look back on."""
        size = LEAST_ROWS
        while start < stop:
            end = min(start + size, stop)
            low, high = self._reach(start, end)
            if high - low > (LOOKED_BACK + 1) * size and end < stop:
                size = (high - low) // LOOKED_BACK
                continue
            yield start, end, self._stretch(start, end, low, high)
            start = end

    def _reach(self, start: int, end: int) -> tuple[int, int]:
        """Return the times from which and up to which rows can count for some rows."""
        clock = self._clock[self._before + start : self._before + end]
        own = ticks(clock[~np.isnan(clock)])
        if not len(own):
            return 0, 0
        low = np.searchsorted(self.time, own.min() - self._horizon)
        return int(low), int(np.searchsorted(self.time, own.max(), side="right"))

    def _stretch(self, start: int, end: int, low: int, high: int) -> Stretch:
        rows, first = self._order[low:high], self._before + start
        asked = np.flatnonzero((rows >= first) & (rows < self._before + end)).astype(np.int32)
        targets = (rows[asked] - first).astype(np.int32)
        numbers = np.full(len(rows), -1, np.int32)
        numbers[asked] = np.arange(len(asked), dtype=np.int32)
        return Stretch(low, high, self.time[low:high], asked, targets, numbers)
