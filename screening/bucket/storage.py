"""The home of an instance's finished files: its folder, or a bucket of which the folder is then a cache.

A file is finished once nobody writes it any more. With a bucket it is put there before anything names it, comes back
when somebody needs it, and leaves the disk when there is no room for all: those go first that nobody used for longest.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from screening.bucket.bucket import FETCHED, Bucket
from screening.bucket.faults import BucketUnavailable
from screening.settings import Settings

log = logging.getLogger("screening.bucket")
MOST_BYTES = 20_480 << 20
# Whoever has just asked for a file may not have opened it yet.
YOUNG_SECONDS = 600.0
# Seconds after which the time of the last use is written once more.
COARSE_SECONDS = 60.0
# A file that is being got takes no longer.
LEFT_SECONDS = 2 * 3600.0
MOST_ALONE = 100
"""Screenings that leave the disk with a list of their own; more at a time are compared with one of all."""
# In nanoseconds: file systems count in steps of up to two seconds.
RECENT = 2_000_000_000
LEDGER, SCREENINGS, DOCUMENTS = "ledger", "screenings", "documents"
DOCUMENT = "document"
"""Name of the one file that the folder of a document keeps."""
PART = ".part"
"""Ending of a file that is being written."""
KEPT = "kept.json"
"""In the folder of a screening: its files that the bucket has. It stays when they leave the disk."""
WHOLE = "whole"
"""Says of an upload that nothing more will come. All that a bucket has is whole."""


@dataclass(frozen=True, slots=True)
class StoredUnit:
    """Files that come and go together."""

    used: float
    """Time of the last use, in seconds since 1970."""
    place: Path
    """A segment, a document, or the folder of a screening."""
    size: int
    alone: bool
    """Whether it is one file, and not a folder."""


class Storage:
    """Keeps the finished files of one instance.

    Args:
        instance: its folder.
        url: of the bucket; ``None`` where there is none: then a file is kept where it is, and there is nothing to do.
        most: bytes that the cache may take on the disk.
    """

    def __init__(self, instance: Path, url: str | None = None, most: int = MOST_BYTES) -> None:
        self.instance, self.url, self.most = instance, url, most
        self._fetched = 0
        self._seen: dict[str, tuple[int, int | None]] = {}
        """Of folders of screenings: when they changed last (ns), and bytes on the disk that the bucket has, too."""

    @staticmethod
    def of(settings: Settings) -> Storage:
        """Return the one of an installation: all of a process share it."""
        found = _known.get(settings.instance)
        if found is None or (found.url, found.most) != (settings.storage_url, settings.storage_cache):
            found = _known[settings.instance] = Storage(
                settings.instance, settings.storage_url, settings.storage_cache
            )
        return found

    @staticmethod
    def at(instance: Path) -> Storage:
        """Return the one of the instance in a folder, as this process has opened it; else the folder itself."""
        return _known.get(instance) or Storage(instance)

    @property
    def remote(self) -> bool:
        """Return whether there is a bucket."""
        return self.url is not None

    @cached_property
    def bucket(self) -> Bucket:
        """The bucket.

        Raises:
            ValueError: there is none.
        """
        if self.url is None:
            raise ValueError("no bucket is set")
        return Bucket(self.url)

    def key(self, path: Path) -> str:
        """Return the key of a file: its name below the instance."""
        return path.relative_to(self.instance).as_posix()

    def keep(self, path: Path) -> None:
        """Keep a file that is finished; when this returns, a loss of this disk doesn't matter to it.

        Raises:
            BucketUnavailable: it isn't kept yet.
        """
        if self.remote:
            size = path.stat().st_size
            self.bucket.put(path, self.key(path))
            self.bucket.require_size(self.key(path), size)

    def bring(self, path: Path, size: int, sha256: str) -> bool:
        """See that a file of this size is on the disk, and note that it is used; return whether it had to be got.

        Raises:
            BucketUnavailable: it is in the bucket, which can't be reached.
            FileNotFoundError: it is nowhere.
            DamagedObject: the bucket has something else.
            StorageFull: there is no room for it.
        """
        if not self.remote:
            return False
        with suppress(FileNotFoundError):
            note_use(path)
            if path.stat().st_size == size:
                return False
        self.bucket.get(self.key(path), path, size, sha256)
        self._fetched += size
        if self._fetched > self.most // 16:
            self.trim()
        return True

    def renew(self, path: Path, size: int, sha256: str) -> bool:
        """Get a damaged file again; ``False`` where the bucket has no better one.

        Raises:
            BucketUnavailable: it can't be reached.
        """
        if not self.remote:
            return False
        try:
            self.bucket.get(self.key(path), path, size, sha256)
        except OSError:
            return False
        log.warning("%s was damaged on the disk, and was got from the bucket", self.key(path))
        return True

    def drop(self, paths: Collection[Path]) -> None:
        """Delete files, on the disk and in the bucket.

        Raises:
            BucketUnavailable: they may still be in the bucket.
        """
        for path in paths:
            path.unlink(missing_ok=True)
        if self.remote:
            self.bucket.delete([self.key(path) for path in paths])

    def sizes(self, folder: str) -> dict[Path, int]:
        """Return the files of a folder that the bucket has, with their sizes in bytes; none without a bucket.

        Raises:
            BucketUnavailable: it can't be reached.
        """
        if not self.remote:
            return {}
        return {self.instance / key: size for key, size in self.bucket.sizes(folder).items()}

    def cached(self) -> list[StoredUnit]:
        """Return what is on the disk and may be in the bucket, too; what nobody used for longest comes first."""
        found = []
        for entry in entries_of(self.instance / LEDGER):
            if entry.name.endswith(".parquet"):
                with suppress(FileNotFoundError):  # deleted in this moment
                    status = entry.stat()
                    found.append(StoredUnit(status.st_atime, Path(entry.path), status.st_size, alone=True))
        for entry in entries_of(self.instance / DOCUMENTS):
            made = Path(entry.path) / DOCUMENT
            with suppress(FileNotFoundError, NotADirectoryError):  # it has left the disk, or isn't made yet
                status = made.stat()
                found.append(StoredUnit(status.st_atime, made, status.st_size, alone=True))
        there = set()
        for entry in entries_of(self.instance / SCREENINGS):
            there.add(entry.name)
            with suppress(FileNotFoundError, NotADirectoryError):  # deleted in this moment, or it has no list
                folder = Path(entry.path)
                size = self._copied(folder, entry.stat().st_mtime_ns)
                if size:
                    used = (folder / KEPT).stat().st_atime
                    found.append(StoredUnit(used, folder, size, alone=False))
        for name in self._seen.keys() - there:
            self._seen.pop(name, None)
        return sorted(found, key=lambda each: each.used)

    def has_all_of(self, folder: Path) -> bool:
        """Return whether the bucket has all that the folder of a screening has; looked for again when it changes."""
        try:
            return self._copied(folder, folder.stat().st_mtime_ns) is not None
        except FileNotFoundError:
            return False

    def _copied(self, folder: Path, changed: int) -> int | None:
        """Return :func:`copied_bytes` of a folder, known again as long as it doesn't change.

        A file comes and goes by its name, and the list goes before anybody writes, so the folder's time tells. That of
        one that was changed just now doesn't yet tell it from what it will be in a moment.
        """
        known = self._seen.get(folder.name)
        if known is None or known[0] != changed:
            known = changed, copied_bytes(folder)
            if time.time_ns() - changed > RECENT:
                self._seen[folder.name] = known
        return known[1]

    def trim(self) -> int:
        """Take files off the disk that the bucket has, until the others have room; return how many bytes went.

        Files stay that somebody used a moment ago, or that aren't in the bucket yet.
        """
        if not self.remote:
            return 0
        self._fetched = 0
        units = self.cached()
        over, gone = sum(each.size for each in units) - self.most, 0
        listed: dict[str, dict[Path, int]] = {}
        """What the bucket has, below a prefix."""
        try:
            for count, each in enumerate(units):
                if gone >= over or time.time() - each.used < YOUNG_SECONDS:
                    break
                # a list of one screening is a request, and one of all has a thousand files in each
                key = self.key(each.place)
                prefix = key.partition("/")[0] if each.alone or count >= MOST_ALONE else key
                if prefix not in listed:
                    listed[prefix] = self.sizes(prefix)
                with suppress(
                    FileNotFoundError
                ):  # deleted, or being written again, since they were looked at
                    used = (each.place if each.alone else each.place / KEPT).stat().st_atime
                    if time.time() - used < YOUNG_SECONDS:
                        continue  # somebody came for it while the bucket was asked
                    if each.alone:
                        gone += drop_copies([each.place], listed[prefix])
                    elif copied_bytes(each.place):
                        gone += drop_copies(files_kept(each.place), listed[prefix])
        except BucketUnavailable as problem:
            log.warning("the cache can't be trimmed: %s", problem.what)
        return gone

    def clear_left(self) -> None:
        """Remove what processes left that were killed while they got or wrote a file."""
        for folder, ending in ((LEDGER, FETCHED), (SCREENINGS, PART)):
            for path in (self.instance / folder).rglob(f"*{ending}"):
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > LEFT_SECONDS:
                        path.unlink()


_known: dict[Path, Storage] = {}


def note_use(path: Path) -> None:
    """Write that a file is used now.

    Raises:
        FileNotFoundError: it isn't there.
    """
    status = path.stat()
    now = time.time()
    if now - status.st_atime > COARSE_SECONDS:
        os.utime(path, ns=(int(now * 1e9), status.st_mtime_ns))


def entries_of(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what a folder has; nothing where there is none. There may be ten thousands: no list of paths is made."""
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        yield from found


def files_kept(folder: Path) -> list[Path]:
    """Return the files of a screening's folder that can be got again; none that is being written, or was left so."""
    return [path for path in folder.iterdir() if path.name not in {WHOLE, KEPT} and path.suffix != PART]


def copied_bytes(folder: Path) -> int | None:
    """Return the bytes on the disk of a folder that the bucket has as it is; ``None`` where somebody wrote since.

    Raises:
        FileNotFoundError: it has no list, or is being deleted.
    """
    paths = files_kept(folder)
    if is_later(paths, (folder / KEPT).stat().st_mtime_ns):
        return None  # what was written since isn't in the bucket, and what it belongs to stays with it
    return sum(max(size_of(path), 0) for path in paths)


def drop_copies(paths: Iterable[Path], kept: Mapping[Path, int]) -> int:
    """Take files off the disk that the bucket has as they are; return how many bytes went.

    Args:
        paths: of the files.
        kept: sizes of what the bucket has.
    """
    gone = 0
    for path in paths:
        size = size_of(path)
        if kept.get(path) == size:
            path.unlink(missing_ok=True)
            gone += size
    return gone


def is_later(paths: Iterable[Path], moment: int) -> bool:
    """Return whether one of some files was written after a moment, in nanoseconds since 1970."""
    return any(path.stat().st_mtime_ns > moment for path in paths)


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
