"""Folders of files that belong together, as those of a screening: kept in the bucket as a whole, and brought from it.

Beside its files the bucket has a list of them, with sizes and hashes: what the list doesn't name isn't there yet. The
folder on the disk has the same list once the bucket has all of it, and loses it as soon as somebody writes there.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import msgspec

from screening.bucket.bucket import DamagedObject
from screening.bucket.storage import KEPT, SCREENINGS, Storage, is_later, note_use
from screening.errors import NotReady
from screening.infra.file_hash import sha256_of

WHOLE = "whole"
"""Says of an upload that nothing more will come. All that a bucket has is whole."""
PART = ".part"


class Listed(msgspec.Struct, frozen=True):
    """A file of the list."""

    size: int
    sha256: str


List = dict[str, Listed]
_decode = msgspec.json.Decoder(List).decode


def keep_folder(storage: Storage, folder: Path, only: Collection[str] | None = None) -> None:
    """Have the bucket keep what a folder has, and nothing else.

    Args:
        storage: of the instance.
        folder: below it.
        only: names of the files that are finished; ``None``: all are, and the folder is noted as kept.

    Raises:
        BucketUnavailable: not all of it is kept yet; do it again.
        FileNotFoundError: it was deleted meanwhile.
    """
    # of a folder that was kept files may have left the disk: what is missing here must not be deleted there
    if not storage.remote or is_kept(folder):
        return
    prefix = storage.key(folder)
    found = listed(folder, only)
    told = storage.bucket.read(f"{prefix}/{KEPT}")
    before: List = {} if told is None else _decode(told)
    same = {name: one for name, one in found.items() if before.get(name) == one}
    if before.keys() - same.keys():
        # whoever reads meanwhile must not get new bytes for what the list calls old ones
        storage.bucket.write(f"{prefix}/{KEPT}", msgspec.json.encode(same))
    for name in found.keys() - same.keys():
        storage.keep(folder / name)
    if before != found:
        storage.bucket.write(f"{prefix}/{KEPT}", msgspec.json.encode(found))
    known = {f"{prefix}/{name}" for name in (*found, KEPT)}
    storage.bucket.delete(storage.bucket.sizes(prefix).keys() - known)
    if only is None:
        write_note(folder, msgspec.json.encode(found))


def bring_folder(storage: Storage, folder: Path) -> None:
    """See that the files of a folder are on the disk, and note that they are used.

    One that somebody writes here, or that the bucket doesn't have, is left as it is.

    Raises:
        BucketUnavailable: they are in the bucket, which can't be reached.
        NotReady: the bucket has something else.
        StorageFull: there is no room for them.
    """
    if not storage.remote:
        return
    note = folder / KEPT
    if not note.exists():
        told = None if folder.exists() else storage.bucket.read(storage.key(note))
        if told is None:
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # before the files: who is killed in between has begun to bring them, not to write
        write_note(folder, told)
    with suppress(FileNotFoundError):  # deleted in this moment, here or in the bucket
        missing = {
            name: one for name, one in _decode(note.read_bytes()).items() if not (folder / name).exists()
        }
        for name, one in missing.items():
            try:
                storage.bring(folder / name, one.size, one.sha256)
            except DamagedObject as problem:
                raise NotReady(
                    "A file of this screening isn't what was put into the bucket.",
                    where=str(problem),
                    remedy="The operator restores that object from a backup or from an older version.",
                ) from problem
        if missing:
            (folder / WHOLE).touch()
            note.touch()  # none of these files is later than the list
        else:
            note_use(note)


def begin_writing(storage: Storage, folder: Path) -> None:
    """Note that the bucket may not have what a folder has from now on."""
    if storage.remote:
        (folder / KEPT).unlink(missing_ok=True)


def is_kept(folder: Path) -> bool:
    """Return whether the bucket has all that a folder has: nothing in it is later than its list."""
    try:
        return not is_later(folder.iterdir(), (folder / KEPT).stat().st_mtime_ns)
    except FileNotFoundError:
        return False


def drop_folder(storage: Storage, folder: Path) -> None:
    """Delete in the bucket what it has of a folder.

    Raises:
        BucketUnavailable: some of it may still be there.
    """
    if storage.remote:
        storage.bucket.delete(storage.bucket.sizes(storage.key(folder)).keys())


def ids_in_bucket(storage: Storage) -> set[str]:
    """Return the names of the folders of screenings of which the bucket has something.

    Raises:
        BucketUnavailable: they can't be listed.
    """
    return {path.parent.name for path in storage.sizes(SCREENINGS)}


def list_of(storage: Storage, folder: Path) -> List:
    """Return the files of a folder that the bucket has, by the list on the disk or else that of the bucket.

    Raises:
        BucketUnavailable: it can't be read.
    """
    note = folder / KEPT
    told = note.read_bytes() if note.exists() else storage.bucket.read(storage.key(note))
    return {} if told is None else _decode(told)


def kept_bytes(folder: Path) -> int:
    """Return the bytes of the files of a folder that was kept, on the disk or not; 0 for any other."""
    try:
        return sum(one.size for one in _decode((folder / KEPT).read_bytes()).values())
    except FileNotFoundError:
        return 0


def listed(folder: Path, only: Collection[str] | None) -> List:
    """Return the finished files of a folder, with sizes and hashes.

    Raises:
        FileNotFoundError: one went in this moment.
    """
    paths = [path for path in folder.iterdir() if path.is_file() and path.suffix != PART]
    return {
        path.name: Listed(path.stat().st_size, sha256_of(path))
        for path in sorted(paths)
        if path.name not in {WHOLE, KEPT} and (only is None or path.name in only)
    }


def write_note(folder: Path, told: bytes) -> None:
    """Write the list into the folder, as a whole."""
    part = folder / f"{KEPT}{PART}"
    part.write_bytes(told)
    part.replace(folder / KEPT)
