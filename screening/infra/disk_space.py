"""Room on the disk of the instance: asked for before it is used, and a reserve that lets a full disk be cleared.

SQLite needs room to delete a row. Without a reserve a disk that somebody has filled can't even be tidied by the app.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from screening.errors import StorageFull

log = logging.getLogger(__name__)
# Bytes that uploads must leave free, for log-ins, deletions and small files.
KEPT_BYTES = 8 * 2**20
RESERVE_BYTES = 4 * 2**20
RESERVE = "reserve"


def free_bytes(folder: Path) -> int:
    """Return how many bytes this user may still write there."""
    return shutil.disk_usage(folder).free


def require_room(folder: Path, size: int = 0) -> None:
    """See to it that so many bytes can be written and the rest of the app still works.

    Raises:
        StorageFull: they can't; nothing was written.
    """
    if free_bytes(folder) < size + KEPT_BYTES:
        raise full()


def full() -> StorageFull:
    """Return what is said of a disk without room for what was asked."""
    return StorageFull(
        "There is no room for this on the server's disk; nothing was kept.",
        remedy="Delete screenings that nobody needs, or tell the operator.",
    )


def keep_reserve(instance: Path) -> bool:
    """Make the reserve, if there is room enough and it isn't there; return whether it is."""
    path = instance / RESERVE
    with suppress(OSError):
        if path.stat().st_size == RESERVE_BYTES:
            return True
    if free_bytes(instance) < RESERVE_BYTES + KEPT_BYTES:
        return False
    draft = path.with_name(f"{RESERVE}.{secrets.token_hex(4)}.part")
    try:
        with draft.open("wb") as out:
            out.write(bytes(RESERVE_BYTES))
        draft.chmod(0o600)
        draft.replace(path)
    except OSError as problem:
        log.warning("the reserve can't be kept: %s", problem.strerror)
        draft.unlink(missing_ok=True)
        return False
    return True


def release_reserve(instance: Path) -> bool:
    """Give the reserve up, so that what deletes can write; return whether there was one."""
    try:
        (instance / RESERVE).unlink()
    except OSError:
        return False
    log.error("the disk of the instance is full: the reserve was given up so that it can be cleared")
    return True
