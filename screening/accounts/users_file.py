"""``users.txt`` on the disk: read again when it changes, rewritten by one process at a time."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from screening.accounts.users_text import Account, UsersText
from screening.errors import NotReady
from screening.infra.atomic_file import MODE, clear_drafts, locked, replace_file

log = logging.getLogger("screening.accounts")
# A file changed so lately may change again within the same tick of the file system's clock, so its time
# proves nothing yet.
FRESH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class FileContent:
    """Content of the file when it was last read."""

    data: bytes
    text: UsersText
    by_name: dict[str, Account]
    stamp: tuple[int, ...]
    at: float


class UsersFile:
    """The file. An edit by hand is seen by the next :meth:`read`."""

    def __init__(self, path: Path) -> None:
        # a link is followed once: the lock and the drafts lie beside the file itself
        self.path = path.resolve()
        self._turn = threading.Lock()
        self._last: FileContent | None = None

    def read(self) -> FileContent:
        """Return the file as it is now; from memory when it hasn't changed.

        Raises:
            NotReady: it is missing or can't be read.
        """
        last = self._last
        try:
            found = self.path.stat()
        except OSError as problem:
            self._last = None
            raise unreadable(self.path, problem) from problem
        stamp = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
        if last is not None and last.stamp == stamp and last.at - found.st_mtime > FRESH_SECONDS:
            return last
        with self._turn:
            now, data = time.time(), self._bytes()
            if last is not None and last.data == data:
                self._last = replace(last, stamp=stamp, at=now)
            else:
                text = UsersText.parse(data)
                names = {account.username.casefold(): account for account in text.accounts}
                self._last = FileContent(data, text, names, stamp, now)
                for bad in text.problems:
                    log.warning("%s, %s", self.path.name, bad)
            return self._last

    def change(self, change: Callable[[UsersText], UsersText]) -> None:
        """Rewrite the file under its lock; when this returns, the change is on the disk.

        Raises:
            NotReady, FileFull: nothing was changed.
        """
        with locked(self.path):
            data = self._bytes()
            new = bytes(change(UsersText.parse(data)))
            if new != data:
                replace_file(self.path, new)

    def tidy(self) -> None:
        """Clear what a killed writer left, and hide the file from other users of the machine.

        Raises:
            NotReady: the folder can't be written.
        """
        with locked(self.path):
            clear_drafts(self.path)
            if sys.platform != "win32" and self.path.stat().st_mode & 0o077:
                try:
                    self.path.chmod(MODE)
                except PermissionError:
                    log.warning("%s can be read by other users of this machine; make it 0600", self.path.name)

    def _bytes(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as problem:
            raise unreadable(self.path, problem) from problem


def unreadable(path: Path, problem: OSError) -> NotReady:
    """Return the error of a users file that can't be read."""
    return NotReady(
        f"The accounts can't be read: {problem.strerror}.",
        where=path.name,
        remedy="The operator must put the file back, or make an empty one to begin again.",
    )
