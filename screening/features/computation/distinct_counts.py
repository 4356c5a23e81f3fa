"""Count the different partners of an entity in a window: accounts on a device, cards at a terminal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.groups import PLACE, SHIFT, RowRanges, running, sorted_keys
from screening.features.computation.timeline import Places, Whole

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EntityPairs:
    """Pairs of rows with the same two entities, and the time between them; (t,) each.

    ``previous`` is the place of the row before, -1 where there is none. ``later`` is the number of the first span that
    is as long as the time since it, ``earlier`` the same for the row after; the number of spans where there is none.
    """

    previous: Places
    later: NDArray[np.uint8]
    earlier: NDArray[np.uint8]

    def within(self, low: int, high: int) -> EntityPairs:
        """Return the links of the rows from ``low`` to ``high``; those to rows before ``low`` are none."""
        previous = self.previous[low:high] - np.int32(low)
        later = np.where(previous < 0, np.uint8(255), self.later[low:high])
        return EntityPairs(previous, later, self.earlier[low:high])


def link(codes: Places, time: Whole, spans: Whole) -> EntityPairs:
    """Return the links of rows in the order of time.

    Args:
        codes: a number for the two entities of each row, -1 where one is blank, (t,).
        time: when it was, (t,), ascending.
        spans: ascending, in the same unit.
    """
    previous = np.full(len(time), -1, np.int32)
    later = np.full(len(time), len(spans), np.uint8)
    earlier = later.copy()
    keys = sorted_keys(codes)
    rows = (keys & PLACE).astype(np.int32)
    follows = np.flatnonzero(np.diff(keys >> SHIFT) == 0) + 1
    before, after = rows[follows - 1], rows[follows]
    number = np.searchsorted(spans, time[after] - time[before])
    previous[after], later[after], earlier[before] = before, number, number
    return EntityPairs(previous, later, earlier)


def distinct(window: RowRanges, start: Places, present: Flags, later: Flags, earlier: Flags) -> Whole:
    """Return the number of different partners in each window, (p,).

    Of the rows of a window those are taken off whose partner was there less than the window's length before. Some of
    them were so only before the window began: these are found by their earlier rows, and added again.

    Args:
        window: the windows, all of one length.
        start: where the group of each begins, (p,).
        present: whether each row of the groups has a partner, (r,).
        later: whether its partner was there within the window's length before.
        earlier: whether its partner is there again within the window's length.
    """
    new = running(present.astype(np.int8) - later)
    gone = running(present.astype(np.int8) - earlier)
    found: Whole = (new[window.high] - new[start]) - (gone[window.low] - gone[start])
    return found
