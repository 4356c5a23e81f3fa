"""A folder of this machine's own, for what the processes of one server share in memory and lock for each request.

With several hosts the instance's folder is on a network file system: a lock there is a round trip or more, of
milliseconds, and what is mapped into memory may not be there at all.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor

log = logging.getLogger("screening.server")

VARIABLE = "FRAUD_SCREENING_LOCAL"
"""Environment variable that the processes of a server inherit."""
PREFIX, NEW_SECONDS = "fraud-host-", 60.0


@contextmanager
def local_folder(*, wanted: bool) -> Iterator[None]:
    """Have a folder while a server runs, which nobody but its user may open; those of servers that were killed go.

    Args:
        wanted: whether the instance's own isn't of this machine.
    """
    if not wanted:
        yield
        return
    remove_left(Path(tempfile.gettempdir()))
    made = Path(tempfile.mkdtemp(prefix=PREFIX))
    (made / "signals").mkdir()
    # it says that a server is there: to the next one, and to whoever tidies by age (systemd-tmpfiles passes it over)
    with turn_of(made):
        os.environ[VARIABLE] = str(made)
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def turn_of(folder: Path) -> Iterator[bool]:
    """Lock a folder, unless somebody else has; gives whether it is locked. Forked processes keep the lock, too."""
    handle = os.open(folder, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        yield lock_descriptor(handle, blocking=False)
    finally:
        os.close(handle)


def remove_left(within: Path) -> None:
    """Remove folders of servers that were killed: nobody has them locked."""
    for left in within.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another one's, or another start removes it
            status = left.lstat()
            mine = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
            # one that is being made isn't locked yet
            if not mine or time.time() - status.st_mtime < NEW_SECONDS:
                continue
            with turn_of(left) as is_left:
                if is_left:
                    shutil.rmtree(left)
                    log.warning("%s, which a server had left that was killed, was removed", left)


def local_or(of_host: Path) -> Path:
    """Return the folder of the server that started this process, or what stands for it without one."""
    found = os.environ.get(VARIABLE)
    return of_host if found is None else Path(found)
