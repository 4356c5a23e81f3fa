"""Read the file of a backup (:mod:`screening.backup.archive`), and believe nothing of it."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from screening.backup.archive import (
    ABOUT,
    CONTENTS,
    DATABASES,
    GZIP,
    INSTANCE,
    MOST_ABOUT,
    PIECE,
    UNREADABLE,
    USERS,
    Advance,
    BackupFacts,
    HashedFile,
    contents_line,
    damaged,
    forget_members,
)
from screening.errors import NotReady, StorageFull
from screening.infra.atomic_file import FULL


class ArchiveReader:
    """Reads a backup from its beginning to its end, once.

    Args:
        file: of the backup.

    Raises:
        BadBackup: it is none, or of a later format.
        NotReady: it can't be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        with _explained(file), _opened(file) as tar:
            member = tar.next()
            if member is None or member.name != ABOUT or member.size > MOST_ABOUT:
                raise damaged(f"it doesn't begin with {ABOUT}")
            self.about = BackupFacts.of(_content(tar, member).read())

    def extract(self, folder: Path, advance: Advance) -> None:
        """Write all files below a new folder, and compare each with the contents.

        Raises:
            BadBackup: a file isn't as it was written, isn't in the contents or is missing; or a name leads elsewhere.
        """
        seen = folder / CONTENTS
        with _explained(self._file), _opened(self._file) as tar, seen.open("w+b") as lines:
            tar.next()
            last: tuple[str, ...] = ()
            left, count = self.about.size, 0
            while True:
                member = tar.next()
                if member is None:
                    raise damaged(f"it has no {CONTENTS}: it was cut off")
                if member.name == CONTENTS:
                    break
                parts = parts_of(member)
                if parts <= last:
                    raise damaged(f"“{member.name}” is twice in it, or out of order")
                left -= member.size
                if left < 0:
                    raise damaged("it holds more than it says")
                digest = _extract(tar, member, folder.joinpath(*parts), advance)
                lines.write(contents_line(member.name, member.size, digest))
                last, count = parts, count + 1
                forget_members(tar)
            lines.seek(0)
            self._compare(_content(tar, member), lines)
            if tar.next() is not None or count != self.about.files or left:
                raise damaged("it holds something else than it says")

    @staticmethod
    def _compare(said: BinaryIO, found: BinaryIO) -> None:
        while True:
            theirs, ours = said.readline(PIECE), found.readline(PIECE)
            if theirs != ours:
                name = json.loads(ours or theirs)["name"]
                raise damaged(f"“{name}” isn't what was saved")
            if not ours:
                return


def parts_of(member: tarfile.TarInfo) -> tuple[str, ...]:
    """Return the parts of a name.

    Raises:
        BadBackup: it leads out of an instance, or isn't a plain file's.
    """
    parts = tuple(member.name.split("/"))
    odd = any(part in {"", ".", ".."} or set(part) & {"\\", "\0", ":"} for part in parts)
    inside = parts == (USERS,) or (parts[0] in {DATABASES, INSTANCE} and len(parts) > 1)
    if odd or not inside or member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or member.issparse():
        raise damaged(f"“{member.name}” is nothing that a backup has")
    return parts


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, advance: Advance) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = HashedFile(_content(tar, member), advance)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(handle, "wb") as out:
        while data := source.read(PIECE):
            out.write(data)
    os.utime(path, (member.mtime, member.mtime))
    return source.digest.hexdigest()


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    found = tar.extractfile(member)
    if found is None:
        raise damaged(f"“{member.name}” is no file")
    return cast("BinaryIO", found)


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    with file.open("rb") as stream:
        packed = stream.read(2) == GZIP
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r|gz" if packed else "r|") as tar:
            yield tar


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as problem:
        raise damaged(f"it is damaged or cut off ({problem})") from problem
    except OSError as problem:
        if problem.errno in FULL:
            raise StorageFull(
                "There is no room for what is in the backup; nothing was changed.",
                remedy="Make room below INSTANCE_PATH, and run it again.",
            ) from problem
        raise NotReady(f"The backup can't be read: {problem.strerror}.", where=str(file)) from problem
