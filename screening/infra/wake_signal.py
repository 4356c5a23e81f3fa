"""Wake threads and processes that wait for something, without a broker and without asking the database.

A signal is rung by whoever changed something and heard by everybody who listens, in any process. A listener that rings
are meant for looks at the database once, then waits; no ring between the two is lost. The signals of one instance are
files (:class:`FileSignal`); those of one whose database is PostgreSQL go through that
(:mod:`screening.infra.postgres_signal`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from screening.infra.database import Database

# Seconds between looks of a listener that was made or woken lately. A look takes some 2 µs, and the sleep
# before it ten times as much.
LOOK_SECONDS = 0.003
# Seconds between looks of one that has heard nothing for long: an idle process must cost next to nothing.
SLOWEST_LOOK_SECONDS = 0.01
EAGER_SECONDS = 2.0
LONGEST = 1 << 20
"""Bytes after which a signal's file begins again."""


class Listener(Protocol):
    """One who listens to a signal, from the moment it was made."""

    def wait(self, seconds: float) -> bool:
        """Return ``True`` when it rang since the last call, or ``False`` after ``seconds``."""


class WakeSignal(Protocol):
    """Something that is rung and listened to, across processes."""

    def ring(self) -> None:
        """Wake all who listen."""

    def listen(self) -> Listener:
        """Return a listener. Look at what you wait for after this and before you wait."""


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals of an installation."""

    waiting: WakeSignal
    """A job waits for a worker."""
    ended: WakeSignal
    """A job ended, or was removed."""

    @classmethod
    def of(cls, instance: Path, database: Database | None = None) -> Signals:
        """Return the signals of an instance.

        Args:
            instance: its folder, which must be there.
            database: the app's. What isn't SQLite tells processes on other machines, too.
        """
        folder = instance / "signals"
        folder.mkdir(mode=0o700, exist_ok=True)
        if database is not None and not database.is_sqlite:
            from screening.infra.postgres_signal import Bell

            return cls(Bell(database.engine, "fraud_waiting"), Bell(database.engine, "fraud_ended"))
        return cls(FileSignal(folder / "waiting"), FileSignal(folder / "ended"))


class FileSignal:
    """A file that grows by one byte for each ring.

    Times of change won't do: they have a resolution of some milliseconds, in which a second ring would be lost.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        file.touch(mode=0o600)

    def ring(self) -> None:
        """Wake all who listen.

        Raises:
            OSError: the file can't be written. Those who listen look by themselves after a while.
        """
        # appended to, so that two that ring at once make two bytes
        handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.fstat(handle).st_size >= LONGEST:
                # listeners hear any other size, a smaller one too
                os.ftruncate(handle, 0)
            os.write(handle, b".")
        finally:
            os.close(handle)

    def listen(self) -> Listener:
        """Return a listener that hears what is rung from now on."""
        return _FileListener(self._size)

    def _size(self) -> int:
        try:
            return self._file.stat().st_size
        except FileNotFoundError:  # somebody tidied the folder: the next ring makes it again
            return 0


class _FileListener:
    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._heard = size()
        self._eager_until = time.monotonic() + EAGER_SECONDS

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (size := self._size()) == self._heard:
            now = time.monotonic()
            if now >= deadline:
                return False
            pause = LOOK_SECONDS if now < self._eager_until else SLOWEST_LOOK_SECONDS
            time.sleep(min(pause, deadline - now))
        self._heard = size
        self._eager_until = time.monotonic() + EAGER_SECONDS
        return True
