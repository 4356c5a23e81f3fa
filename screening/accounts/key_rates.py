"""Limit the requests that a key may send: a token bucket for each key, shared by all processes of the instance.

A bucket is one number in a file that every process maps: the time at which the bucket will be full again ("theoretical
arrival time" of the generic cell rate algorithm, ITU-T I.371). A request is let in if that lies at most ``burst - 1``
intervals ahead, and moves it by one interval.

How exact: reading and writing the number is done under a lock of the file. So over all processes exactly ``burst``
requests pass at once and ``per_minute`` in the long run, but for one case. A process that doesn't get the lock within
some microseconds, since the holder was interrupted, goes on without it: nobody waits for anybody, and a few requests
more may pass for each such moment. Where the file can't be used, each process counts for itself and says so in its log.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
from array import array
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

log = logging.getLogger("screening.accounts")
CELL_BYTES = 8
# Cells of 8 bytes: files grow by 4 KiB.
PAGE_CELLS = 512
LOCK_TRIES = 20
# The time that a request brings may be so much older than that of others: it was interrupted meanwhile.
LATE_SECONDS = 5.0
MOST_HOSTS = 100


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """One key's limit, in seconds."""

    cell: int
    interval: float
    """Between two requests in the long run."""
    slack: float
    """Seconds that requests may run ahead of it."""

    @classmethod
    def of(cls, cell: int, per_minute: int, burst: int) -> TokenBucket:
        """Return the bucket of a limit as people say it."""
        interval = 60.0 / per_minute
        return cls(cell, interval, (burst - 1) * interval)


class SharedBuckets:
    """The buckets of an instance, or of one of its hosts.

    Args:
        path: the file; it is made when it isn't there, and may be deleted while nothing runs: all buckets are full
            then.
        counted: whether each bucket's cell is followed by one that counts the requests that were let in, for other
            hosts. In the first bucket, which no key has, lies the number of those.
    """

    def __init__(self, path: Path, *, counted: bool = False) -> None:
        self._path = path
        self._step = 2 if counted else 1
        self._turn = threading.Lock()
        self._handle: int | None = None
        self._cells: memoryview[float] | array[float] = array("d")

    def make_room(self, cells: int) -> None:
        """See to it that there are so many buckets. Must be called before they are used."""
        if cells * self._step <= len(self._cells):
            return
        wanted = -(-cells * self._step // PAGE_CELLS) * PAGE_CELLS
        with self._turn:
            try:
                size = wanted * CELL_BYTES
                if self._handle is None:
                    self._handle = os.open(
                        self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600
                    )
                reserve_blocks(self._handle, size)
                # a map goes with the last view of it
                self._cells = memoryview(mmap.mmap(self._handle, size)).cast("d")
            except OSError as problem:
                log.warning(
                    "limits of API keys count in each process alone: %s can't be used: %s",
                    self._path.name,
                    problem.strerror,
                )
                self._close()
                self._cells = array("d", bytes(CELL_BYTES * wanted))

    def take(self, bucket: TokenBucket, now: float) -> float:
        """Count one request; returns 0, or how many seconds there are until the next one is let in.

        Args:
            bucket: the key's.
            now: ``time.monotonic()``, which all processes of a machine share.
        """
        return self.take_all(bucket, now, 1)[0]

    def take_all(self, bucket: TokenBucket, now: float, count: int) -> list[float]:
        """Count some requests that came at a time, one after the other; returns of each what :meth:`take` does."""
        with self._turn:
            locked = self._handle is not None and _lock(self._handle)
            try:
                cell = bucket.cell * self._step
                full_at = self._full_at(bucket, now)
                waits = []
                for _ in range(count):
                    wait = full_at - now - bucket.slack
                    # rounding must not refuse the last one of a burst
                    if wait > 1e-9:
                        waits.append(wait)
                        continue
                    full_at += bucket.interval
                    waits.append(0.0)
                if not waits[0]:
                    self._cells[cell] = full_at
                    if self._step > 1:
                        self._cells[cell + 1] += waits.count(0.0)
                return waits
            finally:
                if locked and self._handle is not None:
                    unlock_descriptor(self._handle)

    def count_elsewhere(self, bucket: TokenBucket, now: float, count: int) -> None:
        """Count requests that other hosts have let in: they aren't refused any more, but those that follow are."""
        with self._turn:
            locked = self._handle is not None and _lock(self._handle)
            try:
                full_at = self._full_at(bucket, now) + count * bucket.interval
                self._cells[bucket.cell * self._step] = min(full_at, now + self._ahead(bucket))
            finally:
                if locked and self._handle is not None:
                    unlock_descriptor(self._handle)

    def counts(self) -> dict[int, int]:
        """Return how many requests were let in here of each key of which any were, by the key's number."""
        with self._turn:
            found = self._cells[1 :: self._step].tolist()
        return {cell: int(count) for cell, count in enumerate(found) if cell and 0 < count < 2**53}

    @property
    def others(self) -> int:
        """Number of other hosts that let in requests of the same keys."""
        found = self._cells[0] if self._step > 1 and len(self._cells) else 0.0
        return int(found) if 0 <= found <= MOST_HOSTS else 0

    @others.setter
    def others(self, number: int) -> None:
        if len(self._cells):
            self._cells[0] = float(min(number, MOST_HOSTS))

    def _full_at(self, bucket: TokenBucket, now: float) -> float:
        """Return when a bucket is full; now, if it is, or says a time that can't be: from before the machine started
        again, or of a limit that was changed.
        """
        full_at = self._cells[bucket.cell * self._step]
        return full_at if now < full_at <= now + self._ahead(bucket) + LATE_SECONDS else now

    def _ahead(self, bucket: TokenBucket) -> float:
        """Return how many seconds ahead a bucket may be full: each host may let in a burst, and goes on until it has
        heard of the others'.
        """
        whole = bucket.slack + bucket.interval
        return whole + self.others * (whole + LATE_SECONDS)

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            self._close()

    def _close(self) -> None:
        self._cells = array("d")
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def reserve_blocks(handle: int, size: int) -> None:
    """Give the file its blocks beforehand: a mapped write to a hole in it would kill the process on a full disk."""
    if os.fstat(handle).st_size >= size:
        return
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
    else:
        os.lseek(handle, size - 1, os.SEEK_SET)
        os.write(handle, b"\0")


def _lock(handle: int) -> bool:
    """Try to get the file's lock. Its holder may have been interrupted: it isn't waited for long."""
    with suppress(OSError):  # where there are no locks, requests are let in all the same
        return any(lock_descriptor(handle, blocking=False) for _ in range(LOCK_TRIES))
    return False
