"""Looks, a little each time, whether the ledger's segments are still what was written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from screening.bucket.storage import LEDGER
from screening.ledger.segments import SegmentFault, Segments
from screening.ledger.tables import Segment

LEAST_BYTES = 32 << 20
"""So much is read each time at least, as long as there is something that wasn't read for so long."""


class Inspection:
    """Finds segments that are missing or shorter at once, and others within some hours.

    Each time all files' sizes are compared with the manifest, and the bytes of some with its hash, so that each file is
    read once within the time. Files that are damaged are read each time: whoever restores one needn't wait. Of files
    that are in the bucket alone the sizes are compared.

    Args:
        segments: of the instance.
        clock: seconds that only go forward.
    """

    def __init__(self, segments: Segments, clock: Callable[[], float] = time.monotonic) -> None:
        self._segments, self._clock = segments, clock
        self._read: dict[str, float] = {}
        """Time at which each file was last found to be whole."""
        self._last: float | None = None

    def step(self, hours: float) -> Sequence[tuple[Segment, SegmentFault]]:
        """Return the segments that are damaged, as far as is known by now.

        Args:
            hours: within which each file is read.

        Raises:
            BucketUnavailable: some files are in the bucket, which can't be reached.
        """
        now, kept = self._clock(), self._segments.all()
        passed = 0.0 if self._last is None else now - self._last
        self._last = now
        names = {each.name for each in kept}
        self._read = {name: at for name, at in self._read.items() if name in names}
        found, waiting = [], []
        here = {each.name for each in kept if self._segments.missing(each) is None}
        stored = self._segments.storage.sizes(LEDGER) if len(here) < len(kept) else {}
        for each in kept:
            fault = self._segments.missing(each, stored)
            if fault is not None:
                self._read.pop(each.name, None)
                found.append((each, fault))
            elif each.name not in here:
                # its hash is compared when it is got: fetching all of them daily would cost more than it tells
                self._read[each.name] = now
            elif now - self._read.get(each.name, -math.inf) >= hours * 3600:
                waiting.append(each)
        budget = max(LEAST_BYTES, sum(each.size for each in kept) * passed / (hours * 3600))
        for each in sorted(waiting, key=lambda one: self._read.get(one.name, -math.inf)):
            fault = self._segments.fault(each)
            if fault is None:
                self._read[each.name] = now
            else:  # it stays among those that wait, and is read again the next time
                found.append((each, fault))
            budget -= each.size
            if budget <= 0:
                break
        return found
