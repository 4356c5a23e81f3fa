"""Removes compiled nets that nobody wants any more: each change of a net or of the compiler leaves one.

One that belongs to a detector that is here stays. Another one may be wanted by a server of another version that shares
the cache, or by the version that an operator goes back to, so it stays too until nobody has used it for long: every
server notes each day which ones it wants. What is removed too early costs its next user a compilation, no more.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from screening.detectors.compilation.cache import DAY, DRAFT, SECONDS, key_of, lock_of, note_use

UNUSED_SECONDS = 30 * DAY
PRUNED = "pruned-"
KEY = re.compile(r"[0-9a-f]{64}")


def prune(cache: Path, wanted: Collection[str]) -> list[str]:
    """Remove compiled nets, lock files and drafts that nobody needs; gives the names of the nets.

    Args:
        cache: the folder of compiled nets, which others may be using.
        wanted: the SHA-256 of every net that a detector here has.

    Raises:
        OSError: the cache can't be written.
    """
    if not cache.is_dir():
        return []
    # drafts that a killed compiler or pruner left; a compilation that lasts so long was ended
    for left in (*cache.glob(f"{DRAFT}*"), *cache.glob(f"{PRUNED}*")):
        if time.time() - left.stat().st_mtime > 2 * SECONDS:
            shutil.rmtree(left)
    kept = {key_of(sha256) for sha256 in wanted}
    for key in kept:
        if (cache / key).is_dir():
            note_use(cache / key)
    return [key for key in sorted(set(keys_in(cache)) - kept) if remove_unused(cache, key)]


def keys_in(cache: Path) -> Iterator[str]:
    """Yield the names of nets, also of those of which only the lock file is left."""
    for path in cache.iterdir():
        key = path.name.removesuffix(".lock")
        if KEY.fullmatch(key):
            yield key


def remove_unused(cache: Path, key: str) -> bool:
    """Remove a net and its lock file unless it was used lately or is being made; whether there was one."""
    folder, lock = cache / key, lock_of(cache, key)
    if not _unused(folder, lock):
        return False
    # not waited for: whoever has it makes the net, and so wants it
    with suppress(Timeout), FileLock(lock, blocking=False):
        if not _unused(folder, lock):  # somebody came first
            return False
        was_there = folder.is_dir()
        if was_there:
            gone = cache / f"{PRUNED}{secrets.token_hex(6)}"
            # as a whole: no reader finds a part
            folder.rename(gone)
            shutil.rmtree(gone)
        # Windows removes no open file: there it goes when its lock is let go of
        with suppress(PermissionError):
            lock.unlink(missing_ok=True)
        return was_there
    return False


def _unused(folder: Path, lock: Path) -> bool:
    path = folder if folder.is_dir() else lock
    return path.exists() and time.time() - path.stat().st_mtime > UNUSED_SECONDS
