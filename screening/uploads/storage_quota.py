"""Limit the disk space of one account's files: uploads, what was made of them, and files that wait for a training.

It is measured on the disk, since a file that unpacks, or is copied in another form, takes more than was sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from screening.bucket.kept_list import kept_bytes
from screening.errors import TooLarge
from screening.infra.job_queue import Jobs, Owned

MEGABYTE = 2**20
NAMED = 3
"""The largest files, which are named where there is no room left."""


class AccountFull(TooLarge):
    """The files of an account take as much of the disk as they may: nothing was kept of another."""

    title = "Your account has no room left"


@dataclass(frozen=True, slots=True)
class Store:
    """Files of one kind: their rows, and the folder of each by its id."""

    jobs: Jobs[Any]
    folder: Callable[[str], Path]
    kept: bool = False
    """Whether the file itself is kept for as long as its row, on the disk or not."""


class StorageQuota:
    """Limit of the space that the files of an account take together.

    Args:
        stores: where files are kept.
        most: bytes for one account.
    """

    def __init__(self, stores: Sequence[Store], most: int) -> None:
        self._stores, self._most = stores, most
        self._known: dict[Path, tuple[int, int]] = {}
        """Of files that have ended: when their folder changed last (ns), and what it takes."""

    def require(self, owner: str, coming: int = 0) -> None:
        """See to it that an account has room for so many bytes more.

        Raises:
            AccountFull: it hasn't; says what could be deleted.
        """
        files = self._files(owner)
        taken = sum(size for size, _ in files)
        if taken + coming <= self._most:
            return
        files.sort(key=lambda each: -each[0])
        largest = ", ".join(
            f"{each.filename} ({megabytes(size)} MB, of {each.created:%Y-%m-%d})"
            for size, each in files[:NAMED]
            if size
        )
        more = f", and this one has {megabytes(coming)} MB" if coming else ""
        raise AccountFull(
            f"Your files take {megabytes(taken)} of the {megabytes(self._most)} MB that one account may keep{more}; "
            "nothing was kept of it.",
            remedy="Delete files that you need no more, on the page of your screenings"
            + (f"; the largest are {largest}." if largest else "."),
        )

    def _files(self, owner: str) -> list[tuple[int, Owned]]:
        """Return each file of an account with the bytes that it takes."""
        return [
            (max(self._size(store.folder(each.id), ended=each.ended), each.size * store.kept), each)
            for store in self._stores
            for each in store.jobs.owned_by(owner)
        ]

    def _size(self, folder: Path, *, ended: bool) -> int:
        try:
            changed = folder.stat().st_mtime_ns
        except OSError:
            self._known.pop(folder, None)
            return 0
        known = self._known.get(folder)
        if ended and known is not None and known[0] == changed:
            return known[1]
        # of what has left the disk, and is in the bucket, too
        size = max(bytes_in(folder), kept_bytes(folder))
        if ended:
            self._known[folder] = changed, size
        return size


def bytes_in(folder: Path) -> int:
    """Return bytes of all files below a folder; what goes away meanwhile takes none."""
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                total += (
                    bytes_in(Path(entry.path))
                    if entry.is_dir(follow_symlinks=False)
                    else entry.stat(follow_symlinks=False).st_size
                )
    return total


def megabytes(size: int) -> str:
    """Return a size in megabytes, with a decimal below ten."""
    return f"{size / MEGABYTE:,.1f}" if size < 10 * MEGABYTE else f"{size / MEGABYTE:,.0f}"
