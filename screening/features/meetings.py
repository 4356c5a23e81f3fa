"""How many different partners an entity has in a window: accounts on a device, cards at a terminal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.features.groups import Groups, Window, running
from screening.features.timeline import Whole

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Links:
    """Which rows of a scene have the same two entities as one before, and how long it was between them; (m,) each.

    ``later`` is the number of the first span that is as long as the time since the row before, ``earlier`` the
    same for the row after; both the number of spans where there is none.
    """

    later: NDArray[np.uint8]
    earlier: NDArray[np.uint8]


def link(pairs: Groups, time: Whole, spans: Whole) -> Links:
    """The links of rows that are grouped by two entities.

    Args:
        pairs: the groups.
        time: when each row of the scene was, (m,).
        spans: ascending, in the same unit.
    """
    later = np.full(len(time), len(spans), np.uint8)
    earlier = later.copy()
    follows = np.flatnonzero(np.diff(pairs.codes) == 0) + 1
    before, after = pairs.rows[follows - 1], pairs.rows[follows]
    number = np.searchsorted(spans, time[after] - time[before])
    later[after] = number
    earlier[before] = number
    return Links(later, earlier)


def distinct(window: Window, present: Flags, later: Flags, earlier: Flags) -> Whole:
    """How many different partners are in each window, (p,).

    Of the rows of a window those are taken off whose partner was there less than the window's length before. Some of
    them were so only before the window began: these are found by their earlier rows, and added again.

    Args:
        window: the windows, all of one length.
        present: whether each row of the groups has a partner, (r,).
        later: whether its partner was there within the window's length before.
        earlier: whether its partner is there again within the window's length.
    """
    new = running(present.astype(np.int8) - later)
    gone = running(present.astype(np.int8) - earlier)
    found: Whole = new[window.high] - gone[window.low]
    return found
