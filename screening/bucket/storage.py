"""The home of an instance's finished files: its folder, or a bucket of which the folder is then a cache.

A file is finished once nobody writes it any more. With a bucket it is put there before anything names it, comes back
when somebody needs it, and leaves the disk when there is no room for all: those go first that nobody used for longest.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
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
LEDGER, SCREENINGS = "ledger", "screenings"
KEPT = "kept.json"
"""In the folder of a screening: its files that the bucket has. It stays when they leave the disk."""
WHOLE = "whole"
"""Says of an upload that nothing more will come. All that a bucket has is whole."""


@dataclass(frozen=True, slots=True)
class StoredUnit:
    """Files that come and go together."""

    used: float
    """Time of the last use, in seconds since 1970."""
    paths: Sequence[Path]
    size: int


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

    def bring(self, path: Path, size: int, sha256: str) -> None:
        """See that a file of this size is on the disk, and note that it is used.

        Raises:
            BucketUnavailable: it is in the bucket, which can't be reached.
            FileNotFoundError: it is nowhere.
            DamagedObject: the bucket has something else.
            StorageFull: there is no room for it.
        """
        if not self.remote:
            return
        with suppress(FileNotFoundError):
            note_use(path)
            if path.stat().st_size == size:
                return
        self.bucket.get(self.key(path), path, size, sha256)
        self._fetched += size
        if self._fetched > self.most // 16:
            self.trim()

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
        found = [_unit([path], path) for path in (self.instance / LEDGER).glob("*.parquet")]
        for note in (self.instance / SCREENINGS).glob(f"*/{KEPT}"):
            with suppress(FileNotFoundError):  # deleted in this moment
                paths = [path for path in note.parent.iterdir() if path != note]
                # what was written since isn't in the bucket, and what it belongs to stays with it
                if not is_later(paths, note.stat().st_mtime_ns):
                    found.append(_unit(paths, note))
        return sorted((each for each in found if each.size), key=lambda each: each.used)

    def trim(self) -> int:
        """Take files off the disk that the bucket has, until the others have room; return how many bytes went.

        Files stay that somebody used a moment ago, or that aren't in the bucket yet.
        """
        if not self.remote:
            return 0
        self._fetched = 0
        for path in self._left():
            path.unlink(missing_ok=True)
        units = self.cached()
        over = sum(each.size for each in units) - self.most
        if over <= 0:
            return 0
        try:
            kept = self.sizes(LEDGER) | self.sizes(SCREENINGS)
        except BucketUnavailable as problem:
            log.warning("the cache can't be trimmed: %s", problem.what)
            return 0
        gone = 0
        for each in units:
            if gone >= over or time.time() - each.used < YOUNG_SECONDS:
                break
            for path in each.paths:
                size = size_of(path)
                if kept.get(path) == size:
                    path.unlink(missing_ok=True)
                    gone += size
        return gone

    def _left(self) -> Iterator[Path]:
        """Yield what processes left that were killed while they got a file."""
        for folder in (LEDGER, SCREENINGS):
            for path in (self.instance / folder).rglob(f"*{FETCHED}"):
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > LEFT_SECONDS:
                        yield path


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


def _unit(paths: Sequence[Path], used: Path) -> StoredUnit:
    """Return files as a unit whose last use is that of one of them."""
    some = [path for path in paths if path.name != WHOLE]
    try:
        return StoredUnit(used.stat().st_atime, some, sum(max(size_of(path), 0) for path in some))
    except FileNotFoundError:
        return StoredUnit(0.0, [], 0)


def is_later(paths: Iterable[Path], moment: int) -> bool:
    """Return whether one of some files was written after a moment, in nanoseconds since 1970."""
    return any(path.stat().st_mtime_ns > moment for path in paths)


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
