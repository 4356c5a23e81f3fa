"""The file of a backup: a tar that any tar reads, perhaps packed by gzip.

``about.json`` comes first, so that what can't be restored here is refused before the rest is read, and
``contents.jsonl`` last: a line for each file with its size and SHA-256, in the order of the files. Their names ascend,
so that none can be there twice, and neither side has to keep them all in memory.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from screening.errors import ScreeningError, StorageFull
from screening.infra.disk_space import KEPT_BYTES, free_bytes

FORMAT = 1
ABOUT, CONTENTS = "about.json", "contents.jsonl"
DATABASES, INSTANCE, USERS = "databases", "instance", "users.txt"
PACKED = (".tar.gz", ".tgz")
# Packing takes most of the time. Of 202 MB level 1 makes 104 in 3.0 s, 3 makes 100 in 7.0 s, 6 makes 98 in 15.3 s.
LEVEL = 1
GZIP = b"\x1f\x8b"
PIECE = 1 << 20
MOST_ABOUT = 1 << 20
UNREADABLE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError)
Advance = Callable[[int], None]
"""Is told how many bytes were done since it was last called."""


KINDS = dict.fromkeys(
    ("made", "app", "database", "app_tables", "ledger_tables", "instance"), str
) | dict.fromkeys(("files", "size"), int)


class BadBackup(ScreeningError):
    """A file that can't be restored here; nothing was changed."""

    status = 409
    title = "This backup can't be restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFacts:
    """Facts about a backup."""

    format: int = FORMAT
    made: str
    """Moment of the databases, UTC, ISO 8601."""
    app: str
    """Version of the app, for whoever reads it; the tables' versions say whether it can be restored."""
    database: str
    """``sqlite`` or ``postgresql``."""
    app_tables: str
    ledger_tables: str
    instance: str
    """Id of the instance."""
    files: int
    size: int
    """Size of all files."""
    lacking: list[str]
    """Files that the databases name and that weren't on the disk."""
    secret_sha256: str | None
    """SHA-256 of ``instance_secret`` where that was left out."""

    @classmethod
    def of(cls, text: bytes) -> Self:
        """Read ``about.json``.

        Raises:
            BadBackup: it was written by a later version of this format, or says nothing of the kind.
        """
        try:
            said = json.loads(text)
            found = int(said["format"])
            if found == FORMAT and {name: type(said[name]) for name in KINDS} == KINDS:
                return cls(**said)
        except (ValueError, TypeError, KeyError):
            raise damaged(f"its {ABOUT} can't be read") from None
        if found == FORMAT:
            raise damaged(f"its {ABOUT} can't be read")
        raise BadBackup(
            f"This backup has format {found}, and this version reads format {FORMAT}.",
            remedy="Restore it with the version that made it, or a newer one.",
        )


def damaged(problem: str) -> BadBackup:
    """Return what is said of a file that isn't as it was written."""
    return BadBackup(
        f"This is no whole backup: {problem}.",
        remedy="Copy it again from where it is kept, or take another one. Nothing was changed.",
    )


def require_space(folder: Path, size: int) -> None:
    """See that so many bytes can be written, and the app still works.

    Raises:
        StorageFull: they can't; the message says how many there are.
    """
    free = free_bytes(folder)
    if free < size + KEPT_BYTES:
        raise StorageFull(
            f"There is no room: {(size + KEPT_BYTES) / 1e6:,.0f} MB are needed, and {free / 1e6:,.0f} MB are free.",
            where=str(folder),
            remedy="Make room, or name another disk; nothing was changed.",
        )


class HashedFile:
    """A file that is read once, with its SHA-256 so far."""

    def __init__(self, file: BinaryIO, advance: Advance) -> None:
        self._file, self._advance = file, advance
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return at most so many bytes."""
        data = self._file.read(size)
        self.digest.update(data)
        self._advance(len(data))
        return data


def forget_members(tar: Any) -> None:
    """Have a tar forget what it has done: it would keep something of each file."""
    tar.members = []


def contents_line(name: str, size: int, digest: str) -> bytes:
    """Return a file's line of the contents; ``digest`` is its SHA-256."""
    return json.dumps({"name": name, "size": size, "sha256": digest}).encode("ascii") + b"\n"
