"""Folders of files that belong together, as those of a screening: kept in the bucket as a whole, and brought from it.

Beside its files the bucket has a list of them, with sizes and hashes: what the list doesn't name isn't there yet. The
folder on the disk has the same list once the bucket has all of it, and loses it as soon as somebody writes there.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from weakref import WeakValueDictionary

import msgspec

from screening.bucket.faults import DamagedObject
from screening.bucket.storage import KEPT, SCREENINGS, WHOLE, Storage, is_later, note_use, size_of
from screening.errors import NotReady
from screening.infra.file_hash import sha256_of

PART = ".part"


class Listed(msgspec.Struct, frozen=True):
    """A file of the list."""

    size: int
    sha256: str


List = Mapping[str, Listed]
NOTHING: List = MappingProxyType({})
_decode = msgspec.json.Decoder(dict[str, Listed]).decode
_keeping: WeakValueDictionary[Path, Lock] = WeakValueDictionary()
"""Folders that threads of this process keep now."""
_guard = Lock()


def keep_folder(
    storage: Storage, folder: Path, only: Collection[str] | None = None, there: List = NOTHING
) -> None:
    """Have the bucket keep what a folder has, and nothing else.

    Two threads that keep one folder do so in turn: the second one finds it kept. Two hosts with one disk may put the
    same files twice.

    Args:
        storage: of the instance.
        folder: below it.
        only: names of the files that are finished; ``None``: all are, and the folder is noted as kept.
        there: files that the bucket has already.

    Raises:
        BucketUnavailable: not all of it is kept yet; do it again.
        FileNotFoundError: it was deleted meanwhile.
    """
    if not storage.remote:
        return
    with _guard:
        turn = _keeping.setdefault(folder, Lock())
    with turn:
        _keep(storage, folder, only, there)


def _keep(storage: Storage, folder: Path, only: Collection[str] | None, there: List) -> None:
    before = noted(storage, folder)
    # what has left the disk, or couldn't be brought to it, must not be deleted in the bucket
    if before is not None and (is_kept(folder) or not all_here(folder, before)):
        return
    prefix = storage.key(folder)
    # before the look: what is written from here on is later than the list, and will be kept once more
    last = last_written(folder)
    found = listed(folder, only, there)
    told = storage.bucket.read(f"{prefix}/{KEPT}")
    before = {} if told is None else _decode(told)
    same = {name: one for name, one in found.items() if before.get(name) == one}
    if before.keys() - same.keys():
        # whoever reads meanwhile must not get new bytes for what the list calls old ones
        storage.bucket.write(f"{prefix}/{KEPT}", msgspec.json.encode(same))
    for name in found.keys() - same.keys() - there.keys():
        storage.bucket.put(folder / name, f"{prefix}/{name}")
    sizes = storage.bucket.sizes(prefix)
    for name, one in found.items():
        # not every store lists at once what was put just now
        if sizes.get(f"{prefix}/{name}") != one.size:
            storage.bucket.require_size(f"{prefix}/{name}", one.size)
    if before != found:
        storage.bucket.write(f"{prefix}/{KEPT}", msgspec.json.encode(found))
    storage.bucket.delete(sizes.keys() - {f"{prefix}/{name}" for name in (*found, KEPT)})
    if only is None:
        write_note(folder, msgspec.json.encode(found), last)


def bring_folder(storage: Storage, folder: Path) -> None:
    """See that the files of a folder are on the disk, and note that they are used.

    One that somebody writes here, or that the bucket doesn't have, is left as it is. A file that is shorter or longer
    than the list says, as a loss of power may leave it, is got again.

    Raises:
        BucketUnavailable: they are in the bucket, which can't be reached.
        NotReady: the bucket has something else, or not all of it.
        StorageFull: there is no room for them.
    """
    if not storage.remote:
        return
    note = folder / KEPT
    files = noted(storage, folder)
    if files is None:
        told = None if folder.exists() else storage.bucket.read(storage.key(note))
        if told is None:
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # before the files: who is killed in between has begun to bring them, not to write
        write_note(folder, told)
        files = _decode(told)
    missing = {name: one for name, one in files.items() if size_of(folder / name) != one.size}
    try:
        for name, one in missing.items():
            storage.bring(folder / name, one.size, one.sha256)
        if missing:
            (folder / WHOLE).touch()
            note.touch()  # none of these files is later than the list
        else:
            note_use(note)
    except DamagedObject as problem:
        raise NotReady(
            "A file of this screening isn't what was put into the bucket.",
            where=str(problem),
            remedy="The operator restores that object from a backup or from an older version.",
        ) from problem
    except FileNotFoundError as problem:
        if storage.bucket.read(storage.key(note)) is not None:
            raise NotReady(
                "A file of this screening is gone from the bucket.",
                where=f"{storage.key(folder)}, of {', '.join(missing)}",
                remedy="The operator restores that object from a backup or from an older version.",
            ) from problem
        # else it was deleted in this moment: the list goes first


def begin_writing(storage: Storage, folder: Path) -> None:
    """Note that the bucket may not have what a folder has from now on.

    A folder whose files aren't all on the disk stays as it is: what is missing here must not go there.

    Raises:
        BucketUnavailable: its list is damaged, and can't be got.
    """
    if storage.remote and all_here(folder, noted(storage, folder) or NOTHING):
        (folder / KEPT).unlink(missing_ok=True)


def is_kept(folder: Path) -> bool:
    """Return whether the bucket has all that a folder has: nothing in it is later than its list."""
    try:
        return not is_later(folder.iterdir(), (folder / KEPT).stat().st_mtime_ns)
    except FileNotFoundError:
        return False


def all_here(folder: Path, files: List) -> bool:
    """Return whether a folder has all files of a list."""
    return all((folder / name).exists() for name in files)


def noted(storage: Storage, folder: Path) -> List | None:
    """Return the list that a folder on the disk has; ``None`` where it has none. A damaged one is got again.

    Raises:
        BucketUnavailable: it is damaged, and can't be got.
    """
    note = folder / KEPT
    try:
        return _decode(note.read_bytes())
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        told = storage.bucket.read(storage.key(note))
        if told is None:
            note.unlink(missing_ok=True)
            return None
        write_note(folder, told)
        return _decode(told)


def drop_folder(storage: Storage, folder: Path) -> None:
    """Delete in the bucket what it has of a folder.

    Raises:
        BucketUnavailable: some of it may still be there.
    """
    if storage.remote:
        # whoever reads meanwhile finds no list, and doesn't take the files for lost
        note = storage.key(folder / KEPT)
        storage.bucket.delete([note])
        storage.bucket.delete(storage.bucket.sizes(storage.key(folder)).keys() - {note})


def ids_in_bucket(storage: Storage) -> set[str]:
    """Return the names of the folders of screenings of which the bucket has something.

    Raises:
        BucketUnavailable: they can't be listed.
    """
    return storage.bucket.folders(SCREENINGS) if storage.remote else set()


def list_of(storage: Storage, folder: Path) -> List:
    """Return the files of a folder that the bucket has, by the list on the disk or else that of the bucket.

    Raises:
        BucketUnavailable: it can't be read.
    """
    here = noted(storage, folder)
    if here is not None:
        return here
    told = storage.bucket.read(storage.key(folder / KEPT))
    return {} if told is None else _decode(told)


def kept_bytes(folder: Path) -> int:
    """Return the bytes of the files of a folder that was kept, on the disk or not; 0 for any other."""
    try:
        return sum(one.size for one in _decode((folder / KEPT).read_bytes()).values())
    except (FileNotFoundError, msgspec.DecodeError):
        return 0


def listed(folder: Path, only: Collection[str] | None, there: List) -> List:
    """Return the finished files of a folder, with sizes and hashes; ``there`` are some that are known already.

    Raises:
        FileNotFoundError: one went in this moment.
    """
    paths = [path for path in folder.iterdir() if path.is_file() and path.suffix != PART]
    return {
        path.name: there.get(path.name) or Listed(path.stat().st_size, sha256_of(path))
        for path in sorted(paths)
        if path.name not in {WHOLE, KEPT} and (only is None or path.name in only)
    }


def last_written(folder: Path) -> int:
    """Return when the last of a folder's files was written, in nanoseconds since 1970; 0 where it has none."""
    paths = (path for path in folder.iterdir() if path.name != KEPT and path.suffix != PART)
    return max((path.stat().st_mtime_ns for path in paths), default=0)


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
