"""Rows sorted by who they belong to and then by time, so that a window of one entity is a range of places."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.timeline import Places, Stretch, Whole

SHIFT = np.int64(32)
PLACE = np.int64(2**32 - 1)
PART = 131_072
"""Rows of a part, about."""


def codes_of(cells: NDArray[Any]) -> Places:
    """Return a number from 0 for each different cell, -1 for a blank; (m,)."""
    order = np.argsort(cells)
    ordered = cells[order]
    codes = np.zeros(len(cells), np.int32)
    np.cumsum(ordered[1:] != ordered[:-1], out=codes[1:], dtype=np.int32)
    codes[np.isnan(ordered)] = -1
    found = np.empty_like(codes)
    found[order] = codes
    return found


def together(one: Places, other: Places) -> Places:
    """Return a number for each different pair of two codes, -1 where one is blank; (m,)."""
    blank = (one < 0) | (other < 0)
    pair = one * (np.int64(other.max(initial=0)) + 1) + other
    codes = codes_of(pair)
    codes[blank] = -1
    return codes


def only(codes: Places, some: Places) -> Places:
    """Return codes, -1 for those that aren't among ``some`` of them; (m,)."""
    chosen = np.zeros(codes.max(initial=-1) + 2, bool)
    chosen[some] = True
    chosen[-1] = False  # where a blank's code leads
    return np.where(chosen[codes], codes, np.int32(-1))


@dataclass(frozen=True, slots=True)
class RowRanges:
    """Ranges of places, ``low`` to ``high``, (p,) each, ``high`` not included."""

    low: Places
    high: Places

    def __len__(self) -> int:
        return len(self.low)

    @property
    def count(self) -> Places:
        """Number of rows in each window."""
        return self.high - self.low

    def total(self, sums: Whole) -> Whole:
        """Return the sums over each, of running sums."""
        found: Whole = sums[self.high] - sums[self.low]
        return found


def sorted_keys(codes: Places) -> Whole:
    """Return code and place of each row that has a code, in one number, in this order."""
    present = np.flatnonzero(codes >= 0)
    return np.sort((codes[present].astype(np.int64) << SHIFT) | present)


def parts_of(codes: Places) -> list[Whole]:
    """Return sorted keys in parts that fit into the processor's cache; no code is divided."""
    keys = sorted_keys(codes)
    wanted = keys[PART::PART] >> SHIFT << SHIFT
    cuts = np.unique(np.searchsorted(keys, wanted))
    return [part for part in np.split(keys, cuts) if len(part)]


class Groups:
    """Rows in the order of code and time.

    ``rows`` (r,) are their places in the stretch, ``codes`` (r,) their codes. ``here`` (p,) are the places of those
    that are asked about, ``asked`` (p,) theirs in ``stretch.asked``.
    """

    def __init__(self, stretch: Stretch, keys: Whole) -> None:
        self._stretch = stretch
        self._keys = keys
        self.rows = (keys & PLACE).astype(np.int32)
        self.codes = (keys >> SHIFT).astype(np.int32)
        asked = stretch.numbers[self.rows]
        self.here = np.flatnonzero(asked >= 0)
        self.asked = asked[self.here]
        self._base = keys[self.here] & ~PLACE

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def targets(self) -> Places:
        """Places of the asked rows in the chunk, (p,)."""
        return self._stretch.targets[self.asked]

    @property
    def now(self) -> Places:
        """The stretch's place of each asked row, (p,)."""
        return self._stretch.asked[self.asked]

    def places(self, edges: Places) -> Places:
        """Return the first place here of each asked row's group at or after an edge of the stretch, (p,)."""
        return np.searchsorted(self._keys, self._base | edges[self.asked]).astype(np.int32)

    @cached_property
    def starts(self) -> Places:
        """First places of the rows' groups, (r,)."""
        first = np.flatnonzero(np.diff(self.codes, prepend=-1)).astype(np.int32)
        sizes = np.diff(np.append(first, len(self.codes)))
        return np.repeat(first, sizes)

    def after(self, places: Places) -> Places:
        """Return the first place whose row is later than that of each of some places, of the same group or the next."""
        time = self._stretch.time
        edges = np.searchsorted(time, time[self.rows[places]], side="right")
        return np.searchsorted(self._keys, (self._keys[places] & ~PLACE) | edges).astype(np.int32)

    def since(self, places: Places) -> Whole:
        """Return the time from the row of a place to each asked row, (p,), in ticks."""
        time = self._stretch.time
        found: Whole = time[self.now] - time[self.rows[places]]
        return found


def running(numbers: NDArray[Any]) -> Whole:
    """Return sums of all before each place, (n + 1,): whole numbers, which wrap and so differ exactly."""
    found = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(numbers, out=found[1:])
    return found
