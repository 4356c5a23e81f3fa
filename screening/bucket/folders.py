"""Folders of files that belong together, as those of a screening: kept in the bucket as a whole, and brought from it.

Beside its files the bucket has a list of them, with sizes and hashes: what the list doesn't name isn't there yet. The
folder on the disk has the same list once the bucket has all of it, and loses it as soon as somebody writes there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

import msgspec

from screening.bucket.faults import DamagedObject
from screening.bucket.kept_list import NOTHING, List, Listed, noted, read_list, stored_list, write_note
from screening.bucket.storage import (
    KEPT,
    PART,
    SCREENINGS,
    WHOLE,
    Storage,
    entries_of,
    files_kept,
    is_later,
    note_use,
    size_of,
)
from screening.errors import NotReady
from screening.infra.file_hash import sha256_of

_keeping: WeakValueDictionary[Path, Lock] = WeakValueDictionary()
"""Folders that threads of this process keep now."""
_guard = Lock()


def keep_folder(
    storage: Storage,
    folder: Path,
    only: Collection[str] | None = None,
    there: List = NOTHING,
    *,
    turn: int | None = None,
) -> bool:
    """Have the bucket keep what a folder has, and nothing else.

    Two threads that keep one folder do so in turn: the second one finds it kept. Two processes may put the same files
    twice. What :func:`writing` is at meanwhile isn't kept, and the folder isn't noted as kept then.

    Args:
        storage: of the instance.
        folder: below it.
        only: names of the files that are finished; ``None``: all are, and the folder is noted as kept.
        there: files that the bucket has already.
        turn: what :func:`turn_of` said before it was known that nobody writes there; ``None``: nobody may.

    Returns:
        whether something was kept that wasn't yet.

    Raises:
        BucketUnavailable: not all of it is kept yet; do it again.
        FileNotFoundError: it was deleted meanwhile.
    """
    if not storage.remote:
        return False
    with _guard:
        mine = _keeping.setdefault(folder, Lock())
    with mine:
        return _keep(storage, folder, only, there, turn_of(folder) if turn is None else turn)


def _keep(storage: Storage, folder: Path, only: Collection[str] | None, there: List, turn: int) -> bool:
    here = noted(storage, folder)
    # what has left the disk, or couldn't be brought to it, must not be deleted in the bucket
    if here is not None and (is_kept(folder) or not all_here(folder, here)):
        return False
    prefix = storage.key(folder)
    # before the look: what is written from here on is later than the list, and will be kept once more
    last = last_written(folder)
    found = listed(folder, only, there)
    before = NOTHING
    if told := storage.bucket.read(f"{prefix}/{KEPT}"):
        with suppress(msgspec.DecodeError):  # a damaged one is written again
            before = read_list(told)
    sizes = put_files(storage, folder, found, there, before)
    if only is None and turn_of(folder) != turn:
        return False
    if before != found:
        storage.bucket.write(f"{prefix}/{KEPT}", msgspec.json.encode(found))
    storage.bucket.delete(sizes.keys() - {f"{prefix}/{name}" for name in (*found, KEPT)})
    if only is None:
        write_note(folder, msgspec.json.encode(found), last)
        if turn_of(folder) != turn:
            # who writes has removed the list before this one was there
            (folder / KEPT).unlink(missing_ok=True)
            return False
    return True


def put_files(storage: Storage, folder: Path, found: List, there: List, before: List) -> dict[str, int]:
    """Put the files of a folder that the bucket hasn't as they are, and see that it has all of them.

    Args:
        storage: of the instance.
        folder: of the files.
        found: what it has.
        there: files that the bucket has already.
        before: the list that the bucket has. It names no file that isn't as it says from then on.

    Returns:
        the sizes of what the bucket has below the folder, by key.

    Raises:
        BucketUnavailable: it may not have all of them.
    """
    prefix = storage.key(folder)
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
    return sizes


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
        # one without files is of a process that was killed when it had just made it
        begun = any(not entry.name.endswith(PART) for entry in entries_of(folder))
        told = None if begun else storage.bucket.read(storage.key(note))
        if told is None:
            return
        files = stored_list(storage, folder, told)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # before the files: who is killed in between has begun to bring them, not to write
        write_note(folder, told)
    # before the look: what is used now doesn't leave the disk
    with suppress(FileNotFoundError):  # somebody writes there from now on
        note_use(note)
    missing = {name: one for name, one in files.items() if size_of(folder / name) != one.size}
    try:
        for name, one in missing.items():
            storage.bring(folder / name, one.size, one.sha256)
        if missing:
            if not (folder / WHOLE).exists():
                (folder / WHOLE).touch()
            note.touch()  # none of these files is later than the list
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


@contextmanager
def writing(storage: Storage, folder: Path) -> Iterator[None]:
    """Note that the bucket may not have what a folder has, from now on; and once more at the end, since somebody may
    have put meanwhile what was there in between.

    A folder whose files aren't all on the disk stays as it is: what is missing here must not go there.

    Raises:
        BucketUnavailable: its list is damaged, and can't be got.
        NotReady: that of the bucket is damaged, too.
    """
    if not storage.remote or not all_here(folder, noted(storage, folder) or NOTHING):
        yield
        return
    turn = forget_list(folder)
    try:
        yield
    finally:
        # else another one has written there since, and what was kept then may have left the disk
        if turn_of(folder) == turn:
            forget_list(folder)


def forget_list(folder: Path) -> int:
    """Remove the list that a folder has, and have none made of what was there; return the new turn."""
    with suppress(FileNotFoundError):  # it still arrives
        later = max(time.time_ns(), turn_of(folder) + 1)
        os.utime(folder / WHOLE, ns=(later, later))
    (folder / KEPT).unlink(missing_ok=True)
    return turn_of(folder)


def turn_of(folder: Path) -> int:
    """Return what no later writer of a folder has: the time of its mark of an upload that is whole; 0 without one."""
    try:
        # opened: of a file on another machine the time may be one that was asked for seconds ago
        with (folder / WHOLE).open("rb") as mark:
            return os.fstat(mark.fileno()).st_mtime_ns
    except FileNotFoundError:
        return 0


def is_kept(folder: Path) -> bool:
    """Return whether the bucket has all that a folder has: nothing in it is later than its list."""
    try:
        note = (folder / KEPT).stat().st_mtime_ns
        return not is_later([folder / WHOLE, *files_kept(folder)], note)
    except FileNotFoundError:
        return False


def all_here(folder: Path, files: List) -> bool:
    """Return whether a folder has all files of a list."""
    return all((folder / name).exists() for name in files)


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
