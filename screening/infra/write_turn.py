"""Queue the writers of a SQLite database: writers of all processes wait for their turn beside it.

SQLite lets one write at a time, and whoever comes meanwhile sleeps and tries again, after 1 ms, 2, 5, up to 100: two
processes that commit all the time, each commit waiting for the disk, kept each other from the lock for half a second.
Here they try again every half of a millisecond, without a transaction, so that the lock is free when they begin one.
The database's own lock stays what keeps it whole: whoever gets no turn begins without one.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import unlock_descriptor

from screening.infra.atomic_file import MODE, lock_within

# Between two looks whether another process has ended its turn.
LONGEST_SECONDS = 0.0005
# A turn that was waited for in vain before is waited for only so long: its holder may have been stopped.
STUCK_SECONDS = 0.02


class WriteTurn:
    """The turns of one database.

    Args:
        path: of the database, beside which the lock file lies; ``None`` for one that nobody waits for.
        longest: seconds that somebody waits for a turn before going on without.
    """

    def __init__(self, path: Path | None, longest: float) -> None:
        self._path = None if path is None else path.with_name(f"{path.name}.turn")
        self._longest = self._patience = longest
        self._threads = threading.Lock()
        self._handle: int | None = None
        self._process = -1

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the turn; the kernel gives it back for a process that dies."""
        # the file's lock keeps processes apart, but not the threads of one, which share its handle
        if self._path is None or not self._threads.acquire(timeout=self._longest):
            yield
            return
        try:
            handle = self._opened(self._path)
            held = handle is not None and lock_within(handle, self._patience, LONGEST_SECONDS)
            self._patience = self._longest if held else STUCK_SECONDS
            try:
                yield
            finally:
                if held and handle is not None:
                    unlock_descriptor(handle)
        finally:
            self._threads.release()

    def _opened(self, path: Path) -> int | None:
        """Return the lock file, opened by this very process: a lock on a handle from before a fork is the parent's,
        too.
        """
        if self._process != os.getpid():
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), MODE)
            except OSError:  # a full disk, or none to write on: the database says so itself
                return None
            weakref.finalize(self, os.close, handle)
            self._handle, self._process = handle, os.getpid()
        return self._handle
