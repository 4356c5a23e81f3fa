"""The list of what the bucket has of a folder: an object beside the files, and a file of the folder on the disk."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from screening.bucket.storage import KEPT, PART, Storage
from screening.errors import NotReady


class Listed(msgspec.Struct, frozen=True):
    """A file of the list."""

    size: int
    sha256: str


List = Mapping[str, Listed]
NOTHING: List = MappingProxyType({})
_decode = msgspec.json.Decoder(dict[str, Listed]).decode


def read_list(told: bytes) -> List:
    """Return the list that is kept as JSON.

    Raises:
        msgspec.DecodeError: it is damaged, or names what isn't a file of the folder itself.
    """
    found = _decode(told)
    for name in found:
        if name in {"", ".", ".."} or "/" in name or "\\" in name:
            raise msgspec.ValidationError(f"{name!r} is no name of a file")
    return found


def noted(storage: Storage, folder: Path) -> List | None:
    """Return the list that a folder on the disk has; ``None`` where it has none. A damaged one is got again.

    Raises:
        BucketUnavailable: it is damaged, and can't be got.
        NotReady: that of the bucket is damaged, too.
    """
    note = folder / KEPT
    try:
        return read_list(note.read_bytes())
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        told = storage.bucket.read(storage.key(note))
        if told is None:
            note.unlink(missing_ok=True)
            return None
        found = stored_list(storage, folder, told)
        write_note(folder, told)
        return found


def list_of(storage: Storage, folder: Path) -> List:
    """Return the files of a folder that the bucket has, by the list on the disk or else that of the bucket.

    Raises:
        BucketUnavailable: it can't be read.
        NotReady: that of the bucket is damaged.
    """
    here = noted(storage, folder)
    if here is not None:
        return here
    told = storage.bucket.read(storage.key(folder / KEPT))
    return NOTHING if told is None else stored_list(storage, folder, told)


def stored_list(storage: Storage, folder: Path, told: bytes) -> List:
    """Return the list of a folder that the bucket has.

    Raises:
        NotReady: it is damaged.
    """
    try:
        return read_list(told)
    except msgspec.DecodeError as problem:
        raise NotReady(
            "The list of a screening's files in the bucket is damaged.",
            where=f"{storage.key(folder / KEPT)}: {problem}",
            remedy="The operator restores that object from a backup or from an older version.",
        ) from problem


def kept_bytes(folder: Path) -> int:
    """Return the bytes of the files of a folder that was kept, on the disk or not; 0 for any other."""
    try:
        return sum(one.size for one in read_list((folder / KEPT).read_bytes()).values())
    except (FileNotFoundError, msgspec.DecodeError):
        return 0


def write_note(folder: Path, told: bytes, moment: int | None = None) -> None:
    """Write the list into the folder, as a whole.

    Args:
        folder: of the files.
        told: the list, in JSON.
        moment: until when what was written is in it, in nanoseconds since 1970; ``None`` for now.
    """
    # of its own: two hosts may keep a folder of a shared disk at once
    part = folder / f"{KEPT}.{secrets.token_hex(4)}{PART}"
    try:
        with part.open("xb") as out:
            out.write(told)
            out.flush()
            os.fsync(out.fileno())
        if moment is not None:
            os.utime(part, ns=(time.time_ns(), moment))
        part.replace(folder / KEPT)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
