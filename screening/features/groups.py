"""Rows sorted by who they belong to and then by time, so that a window of one entity is a range of places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.features.timeline import Places, Scene, Whole

SHIFT = np.int64(32)
PLACE = np.int64(2**32 - 1)


def codes_of(cells: NDArray[Any]) -> Places:
    """A number from 0 for each different cell, -1 for a blank; (m,)."""
    _, codes = np.unique(cells, return_inverse=True)
    if cells.dtype.kind == "f":
        codes[np.isnan(cells)] = -1
    return codes.astype(np.int32)


def together(one: Places, other: Places) -> Places:
    """A number for each different pair of two codes, -1 where one is blank; (m,)."""
    blank = (one < 0) | (other < 0)
    pair = one * (np.int64(other.max(initial=0)) + 1) + other
    codes = codes_of(pair)
    codes[blank] = -1
    return codes


@dataclass(frozen=True, slots=True)
class Window:
    """Ranges of places, ``low`` to ``high``, (p,) each, ``high`` not included."""

    low: Places
    high: Places

    def __len__(self) -> int:
        return len(self.low)

    @property
    def count(self) -> Places:
        """How many rows are in each."""
        return self.high - self.low

    def total(self, sums: Whole) -> Whole:
        """The sums over each, of running sums."""
        found: Whole = sums[self.high] - sums[self.low]
        return found


class Groups:
    """The rows of a scene that have a code, in the order of code and time.

    ``rows`` (r,) are their places in the scene, ``codes`` (r,) their codes. ``asked`` (p,) are those among
    ``scene.asked`` that have a code, in this order: their places in ``scene.asked``.
    """

    def __init__(self, scene: Scene, codes: Places) -> None:
        self._scene = scene
        present = np.flatnonzero(codes >= 0)
        self._keys = np.sort((codes[present].astype(np.int64) << SHIFT) | present)
        self.rows = (self._keys & PLACE).astype(np.int32)
        self.codes = (self._keys >> SHIFT).astype(np.int32)
        number = np.full(len(codes), -1, np.int32)
        number[scene.asked] = np.arange(len(scene.asked), dtype=np.int32)
        asked = number[self.rows]
        here = np.flatnonzero(asked >= 0)
        self.asked = asked[here]
        self._base = self._keys[here] & ~PLACE

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def targets(self) -> Places:
        """Where each asked row stands in the chunk, (p,)."""
        return self._scene.targets[self.asked]

    @property
    def now(self) -> Places:
        """The scene's place of each asked row, (p,)."""
        return self._scene.asked[self.asked]

    def places(self, edges: Places) -> Places:
        """The first place here of each asked row's group at or after an edge of the scene, (p,)."""
        return np.searchsorted(self._keys, self._base | edges[self.asked]).astype(np.int32)

    def starts(self) -> Places:
        """Where each row's group begins, (r,)."""
        first = np.flatnonzero(np.diff(self.codes, prepend=-1)).astype(np.int32)
        sizes = np.diff(np.append(first, len(self.codes)))
        return np.repeat(first, sizes)

    def after(self, places: Places) -> Places:
        """The first place whose row is later than that of each of some places, of the same group or the next."""
        time = self._scene.time
        edges = np.searchsorted(time, time[self.rows[places]], side="right")
        return np.searchsorted(self._keys, (self._keys[places] & ~PLACE) | edges).astype(np.int32)

    def since(self, places: Places) -> Whole:
        """How long before each asked row the row of a place was, (p,), in ticks."""
        time = self._scene.time
        found: Whole = time[self.now] - time[self.rows[places]]
        return found


def running(numbers: NDArray[Any]) -> Whole:
    """Sums of all before each place, (n + 1,): whole numbers, which wrap and so differ exactly."""
    found = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(numbers, out=found[1:])
    return found
