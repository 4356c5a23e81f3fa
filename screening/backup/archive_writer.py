"""Write the file of a backup (:mod:`screening.backup.archive`)."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, cast

from screening.backup.archive import (
    ABOUT,
    CONTENTS,
    LEVEL,
    PACKED,
    Advance,
    BackupFacts,
    HashedFile,
    contents_line,
    forget_members,
)
from screening.errors import NotReady, StorageFull
from screening.infra.atomic_file import FULL, sync_folder


class ArchiveWriter:
    """Writes the files of a backup, in ascending order of their names."""

    def __init__(self, tar: tarfile.TarFile, contents: BinaryIO, advance: Advance) -> None:
        self._tar, self._contents, self._advance = tar, contents, advance
        self.sha256, self.size = "", 0
        """Of the whole file, once it is written."""

    def add(self, name: str, path: Path, size: int | None = None) -> str:
        """Add a file, and return its SHA-256.

        Args:
            name: in the archive, its parts separated by slashes.
            path: of the file.
            size: so many bytes from its beginning; by default all that it has now.

        Raises:
            NotReady: it became shorter meanwhile.
        """
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            info = tarfile.TarInfo(name)
            info.size = status.st_size if size is None else size
            info.mtime, info.mode = int(status.st_mtime), 0o600
            source = HashedFile(file, self._advance)
            try:
                self._tar.addfile(info, cast("Any", source))
            except tarfile.ReadError:
                raise NotReady(
                    f"{path.name} became shorter while it was saved.", where=name, remedy="Try again."
                ) from None
        forget_members(self._tar)
        digest = source.digest.hexdigest()
        self._contents.write(contents_line(name, info.size, digest))
        return digest


@contextmanager
def written(target: Path, about: BackupFacts, scratch: Path, advance: Advance) -> Iterator[ArchiveWriter]:
    """Write a backup, which has its name once it is whole and on the disk; mode 0600.

    Args:
        target: where; nothing is there yet. A name that ends with .gz or .tgz is packed.
        about: what is written first.
        scratch: a folder for what must wait until the end.
        advance: is told of the bytes.

    Raises:
        StorageFull, NotReady: there is no room, or it can't be written; nothing is left of it.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with ExitStack() as stack:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            out = stack.enter_context(os.fdopen(handle, "wb"))
            stream: Any = _Hashed(out)
            hashed = stream
            with ExitStack() as packing:
                if target.name.endswith(PACKED):
                    packed = gzip.GzipFile("", "wb", compresslevel=LEVEL, fileobj=stream, mtime=0)
                    stream = packing.enter_context(packed)
                tar = packing.enter_context(
                    tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT)
                )
                _add_text(tar, ABOUT, json.dumps(asdict(about), indent=1).encode())
                contents = stack.enter_context((scratch / CONTENTS).open("w+b"))
                writer = ArchiveWriter(tar, contents, advance)
                yield writer
                info = tarfile.TarInfo(CONTENTS)
                info.size, info.mode = contents.tell(), 0o600
                contents.seek(0)
                tar.addfile(info, contents)
            out.flush()
            os.fsync(out.fileno())
            writer.sha256, writer.size = hashed.digest.hexdigest(), out.tell()
        name_file(part, target)
        sync_folder(target.parent)
    except OSError as problem:
        if problem.errno in FULL:
            raise StorageFull(
                "There is no room for the backup; nothing of it was kept.",
                where=str(target.parent),
                remedy="Make room, or write it to another disk. A name that ends with .tar.gz makes it smaller.",
            ) from problem
        raise NotReady(
            f"The backup can't be written: {problem.strerror}.",
            where=problem.filename if isinstance(problem.filename, str) else str(target),
            remedy="Name a file in a folder that you may write.",
        ) from problem
    finally:
        part.unlink(missing_ok=True)


class _Hashed:
    """A file that is written once, with its SHA-256 so far."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._out.write(data)

    def flush(self) -> None:
        self._out.flush()


def name_file(part: Path, target: Path) -> None:
    """Give a file its name, unless another one has got it meanwhile."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        part.rename(target)


def _add_text(tar: tarfile.TarFile, name: str, text: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(text), 0o600
    tar.addfile(info, io.BytesIO(text))
