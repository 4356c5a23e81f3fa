"""Writing a small file so that no reader and no crash ever sees half of it.

A lock file *beside* the file is held across processes: a lock on the file itself is lost when ``os.replace`` puts
another file in its place, and then accounts get lost (142 of 200 in a trial).
"""

from __future__ import annotations

import errno
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import lock_descriptor

from screening.errors import NotReady, StorageFull
from screening.infra.host_locks import between_hosts

WAIT_SECONDS = 20.0
# Between two tries to get a lock: the first pause, which doubles up to the longest.
POLL_SECONDS, LONGEST_POLL = 0.0001, 0.003
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MODE = 0o600


class FileFull(StorageFull):
    """The disk is full: the file is byte for byte as before."""

    status = 503


class Locked(NotReady):
    """Another process has held the lock for too long."""


@contextmanager
def locked(path: Path, wait: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock of ``path`` against all threads and processes; the kernel frees it when a process dies.

    Where several hosts write the file, it is held in the database, too.

    Raises:
        Locked: another process holds it for longer than ``wait`` seconds.
        NotReady: the folder can't be written.
        FileFull: there is no room for the lock file.
    """
    beside = path.with_name(path.name + ".lock")
    with explaining_errors(path):
        handle = os.open(beside, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), MODE)
    try:
        with explaining_errors(path):
            mine = lock_within(handle, wait, LONGEST_POLL)
        if not mine:
            raise is_locked(path)
        with ExitStack() as held:
            try:
                mine = held.enter_context(between_hosts(path, wait=wait > 0))
            except OSError as problem:
                raise NotReady(f"{path.name} can't be locked: {problem}.", remedy="Try again.") from problem
            if not mine:
                raise is_locked(path)
            yield
    finally:
        os.close(handle)


def lock_within(handle: int, seconds: float, longest: float) -> bool:
    """Lock an open file; returns whether that was possible within some seconds.

    Args:
        handle: closing it frees the lock. After a fork the child's handle has the lock, too, until both are closed.
        seconds: 0 tries once.
        longest: seconds between two tries, at most.

    Raises:
        OSError: the file system has no locks.
    """
    deadline = time.monotonic() + seconds
    pause = POLL_SECONDS
    while not lock_descriptor(handle, blocking=False):
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, longest)
    return True


def is_locked(path: Path) -> Locked:
    """Return the error of a file that somebody else has locked."""
    return Locked(f"{path.name} is locked by another process.", remedy="Try again.")


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of ``path``: the old bytes or the new ones, never a part. Call it under the lock.

    The owner stays; the mode becomes 0600. When this returns, the new bytes are on the disk.

    Raises:
        FileFull: nothing was changed.
        NotReady: the folder or the owner doesn't allow it; nothing was changed.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with explaining_errors(path):
        try:
            _write(draft, data, path)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        # a rename is durable only once the folder is on the disk, too
        sync_folder(path.parent)


def clear_drafts(path: Path) -> int:
    """Remove what a killed writer left beside ``path``; returns how many. Call it under the lock."""
    drafts = list(path.parent.glob(f".{path.name}.*.tmp"))
    for draft in drafts:
        draft.unlink(missing_ok=True)
    return len(drafts)


def _write(draft: Path, data: bytes, like: Path) -> None:
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    try:
        if sys.platform != "win32":
            kept = like.stat()
            if (kept.st_uid, kept.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle, kept.st_uid, kept.st_gid)
            os.fchmod(handle, MODE)
        view = memoryview(data)
        while view:
            # a write may take only a part of what it is given
            view = view[os.write(handle, view) :]
        # before the rename: after a loss of power the name must not lead to an empty file
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Have the names of a folder on the disk, so that a rename outlives a loss of power; not on Windows."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explaining_errors(path: Path) -> Iterator[None]:
    """Say of an ``OSError`` what it means for the file: there is no room, or no right to write it."""
    try:
        yield
    except OSError as problem:
        if problem.errno in FULL:
            raise FileFull(
                f"There is no room to write {path.name}; nothing was changed.",
                remedy="The operator must make room on the disk; then try again.",
            ) from problem
        raise NotReady(
            f"{path.name} can't be written: {problem.strerror}.",
            where=str(path),
            remedy="The server's user must own the file and be allowed to write in its folder "
            "(in a container, mount the folder and not the single file).",
        ) from problem
