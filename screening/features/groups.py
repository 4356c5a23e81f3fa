"""Rows sorted by who they belong to and then by time, so that a window of one entity is a range of places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.features.timeline import Places, Scene

SHIFT = np.int64(32)
PLACE = np.int64(2**32 - 1)


def codes_of(cells: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.int64]:
    """A number from 0 for each different cell, -1 for a blank; (m,)."""
    _, codes = np.unique(cells, return_inverse=True)
    if cells.dtype.kind == "f":
        codes[np.isnan(cells)] = -1
    return codes.astype(np.int64, copy=False)


def together(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each different pair of two codes, -1 where one is blank; (m,)."""
    pair = np.where((one < 0) | (other < 0), -1, one * (other.max(initial=0) + 1) + other)
    found = codes_of(pair)
    return found - 1 if (pair < 0).any() else found


class Groups:
    """The rows of a scene that have a code, in the order of code and time.

    ``rows`` (r,) are their places in the scene. ``asked`` (p,) are those among ``scene.asked`` that have a code, in
    this order: their places in ``scene.asked``.
    """

    def __init__(self, scene: Scene, codes: NDArray[np.int64]) -> None:
        self._scene = scene
        present = np.flatnonzero(codes >= 0)
        self._keys = np.sort((codes[present] << SHIFT) | present)
        self.rows = self._keys & PLACE
        self.codes = self._keys >> SHIFT
        number = np.full(len(codes), -1, np.int64)
        number[scene.asked] = np.arange(len(scene.asked))
        asked = number[self.rows]
        here = np.flatnonzero(asked >= 0)
        self.asked = asked[here]
        self.targets = scene.targets[self.asked]
        self._base = self.codes[here] << SHIFT

    def __len__(self) -> int:
        return len(self.rows)

    def places(self, edges: Places) -> Places:
        """The first place here of each asked row's group at or after an edge of the scene, (p,)."""
        return np.searchsorted(self._keys, self._base | edges[self.asked]).astype(np.int64)

    def starts(self) -> Places:
        """Where each row's group begins, (r,)."""
        first = np.flatnonzero(np.diff(self.codes, prepend=-1))
        sizes = np.diff(np.append(first, len(self.codes)))
        return np.repeat(first, sizes)

    def after(self, rows: Places) -> Places:
        """The first place whose row is later than that of each of some places, of the same group or the next."""
        time = self._scene.time
        edges = np.searchsorted(time, time[self.rows[rows]], side="right")
        return np.searchsorted(self._keys, (self.codes[rows] << SHIFT) | edges).astype(np.int64)

    def last_before(self, places: Places) -> tuple[Places, NDArray[np.bool_]]:
        """The scene's place of the row before each of ``places``, and whether it is of the same group; (p,)."""
        before = np.maximum(places - 1, 0)
        same = (places > 0) & (self.codes[before] == self._base >> SHIFT)
        return self.rows[before], same


def running(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of all before each place, (n + 1,): whole numbers, which wrap and so differ exactly."""
    found = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(numbers, out=found[1:])
    return found
