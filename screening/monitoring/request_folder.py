"""Folder in which the web processes of a server count their requests.

The server's parent imports this before any of them is started, and prometheus-client nowhere: that one looks for the
variable once, when it is imported.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("screening.monitoring")

# prometheus-client reads this variable once, when it is imported, so it must be set before.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


HAND_ON_SECONDS = 20.0
"""Between two copies; alerts are looked for each minute."""
STOP_SECONDS = 5.0


def folder_of(of_host: Path) -> Path:
    """Return where the web processes of a host count."""
    return of_host / "metrics"


# Bytes by kind, twice what all routes need. Beyond it a file would have holes, and writing into one on a full
# disk kills the process.
SIZES = {"histogram": 512 * 1024, "counter": 128 * 1024}


def reserve(folder: Path) -> bool:
    """Give this process' files their place on the disk, before prometheus-client maps them into its memory.

    It would make them with holes, and a process that writes into a hole of a full disk is killed (SIGBUS).

    Returns:
        whether there was room.
    """
    paths = {kind: folder / f"{kind}_{os.getpid()}.db" for kind in SIZES}
    try:
        for kind, path in paths.items():
            with path.open("wb") as file:
                allocate(file.fileno(), SIZES[kind])
    except OSError:
        for path in paths.values():
            path.unlink(missing_ok=True)
        return False
    return True


def allocate(file: int, size: int) -> None:
    """Give a file its blocks, so that a full disk is noticed now and not when it is written through a map."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.write(file, bytes(size))


@contextmanager
def handed_on(counting: Path, of_host: Path) -> Iterator[None]:
    """Have a thread :func:`hand_on`, which has ended at the end, before the folder goes that it copies."""
    stopped = threading.Event()
    thread = threading.Thread(target=hand_on, args=(counting, of_host, stopped), name="counted", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        # a network file system that hangs keeps no server from stopping
        thread.join(STOP_SECONDS)


def hand_on(counting: Path, of_host: Path, stopped: threading.Event) -> None:
    """Copy what the web processes of a host count to where other hosts see it, now and then, until it is stopped.

    Args:
        counting: the folder in which :func:`begin` had them count: a network file system may keep a process waiting
            that writes into a map of its files.
        of_host: as other hosts know it.
        stopped: ends it.
    """
    target = folder_of(of_host)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        try:
            there = {path.name: path for path in folder_of(counting).glob("*.db")}
            for name, path in there.items():
                draft = target / f".{name}"
                shutil.copyfile(path, draft)
                draft.replace(target / name)
            for left in target.glob("*.db"):
                if left.name not in there:
                    left.unlink(missing_ok=True)
        except OSError as problem:
            log.warning("other hosts don't see what is counted here: %s", problem)
        if stopped.wait(HAND_ON_SECONDS):
            return


def begin(of_host: Path) -> None:
    """Empty the folder, and have the processes that are started from now on count there."""
    folder = folder_of(of_host)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob("*.db"):
        left.unlink()
    os.environ[FOLDER_VARIABLE] = str(folder)
