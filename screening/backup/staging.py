"""The files of an instance, kept where they are by a second name (a hard link) while a backup is made.

Files are taken twice: before the databases are held still, so that what is deleted from then on is there, and after,
so that what was made until then is. A folder that belongs together (a screening, a detector) is kept as the second time
found it, or as the first did if it is gone by then: never as a mixture of both.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from screening.backup.archive import DATABASES, INSTANCE, USERS
from screening.bucket.claiming import NOTE
from screening.bucket.faults import DamagedObject
from screening.bucket.kept_list import list_of
from screening.bucket.storage import DOCUMENT, DOCUMENTS, KEPT, SCREENINGS, WHOLE, Storage
from screening.errors import NotReady
from screening.infra.audit.chain import HEAD
from screening.infra.audit.log import AuditLog

log = logging.getLogger("screening.backup")
PREFIX = "backup-"
"""Beginning of the folder below the instance; what a killed command left there is removed by the next one."""
LEFT_OUT = frozenset({"compiled", "metrics", "signals", "reserve", "restoring", NOTE})
"""What is made again, or belongs to a command that runs; a restored instance may have another bucket."""
SCRATCH = ("screen-", "training-", PREFIX, "restore-")
ENDINGS = (".lock", ".turn", ".part", ".tmp", "-wal", "-shm", "-journal", "server.log")
TOGETHER = ("screenings", "trainings", "documents", "detectors")
"""Folders of folders that belong together, each."""
BEING_MADE = {"trainings": ("scratch",), "documents": ("scratch", "part")}
LOG, LEDGER = "log", "ledger"
# The disk can't, or the folder is on another one.
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)


class Staging:
    """The files that a backup will have.

    Args:
        instance: the folder of the instance.
        folder: a new folder, best on the same disk.
        databases: files that are saved as databases.
    """

    def __init__(self, instance: Path, folder: Path, databases: Collection[Path]) -> None:
        self._instance = instance
        self._left_out = LEFT_OUT | {path.name for path in databases if path.parent == instance}
        self.folder = folder
        self.databases = folder / DATABASES
        self.files = folder / INSTANCE
        self._gone: dict[Path, set[Path]] = {}
        self._log_sizes: dict[Path, int] = {}
        for each in (self.databases, self.files):
            each.mkdir(mode=0o700)

    def take(self) -> None:
        """Keep all that is there now.

        Raises:
            NotReady: there is something that is neither a file nor a folder.
            OSError: it can't be kept.
        """
        self._gone.clear()
        for unit in units_of(self._instance, self._left_out):
            if unit.parts[0] != LOG:
                self._take_unit(unit)
        self._take_log()

    def finish(self, segments: Collection[str], arriving: Collection[str]) -> None:
        """Drop what isn't to be saved.

        Args:
            segments: names of the ledger's files that count.
            arriving: ids of uploads that weren't whole: their senders never got an answer.
        """
        for unit, names in self._gone.items():
            if (self._instance / unit).exists():
                for name in names:
                    (self.files / name).unlink(missing_ok=True)
        for path in (self.files / LEDGER).glob("*"):
            if path.stem not in segments:
                path.unlink()
        for kind in TOGETHER[:2]:
            for one in arriving:
                shutil.rmtree(self.files / kind / one, ignore_errors=True)

    def fetch_segments(self, storage: Storage, segments: Mapping[str, str]) -> None:
        """Get those files of the ledger out of the bucket that the disk doesn't have, as far as it has them whole.

        Args:
            storage: of the instance.
            segments: SHA-256 by name.

        Raises:
            BucketUnavailable, StorageFull, OSError: they can't be got.
        """
        missing = {
            self._instance / LEDGER / f"{name}.parquet": digest
            for name, digest in segments.items()
            if not self.has_segment(name)
        }
        stored = storage.sizes(LEDGER) if missing else {}
        for path, digest in missing.items():
            if path in stored:
                fetch(storage, path, self.files / LEDGER / path.name, stored[path], digest)

    def fetch_screenings(self, storage: Storage, screenings: Collection[str]) -> list[str]:
        """Get those files of screenings out of the bucket that the disk doesn't have.

        Returns:
            the names of those that it hasn't, or not as they were put.

        Raises:
            BucketUnavailable, StorageFull, OSError: they can't be got.
        """
        lost = []
        for one in sorted(screenings) if storage.remote else ():
            unit = Path(SCREENINGS) / one
            source, kept = self._instance / unit, self.files / unit
            if source.exists() and not (source / KEPT).exists():
                continue  # all that there is of it is on the disk
            listed = list_of(storage, source)
            for name, each in listed.items():
                self._gone.get(unit, set()).discard(unit / name)
                if not (kept / name).exists() and not fetch(
                    storage, source / name, kept / name, each.size, each.sha256
                ):
                    lost.append((unit / name).as_posix())
            if listed:
                (kept / WHOLE).touch()
        return lost

    def fetch_documents(self, storage: Storage, documents: Mapping[str, tuple[int, str]]) -> list[str]:
        """Get those documents out of the bucket that the disk doesn't have.

        Args:
            storage: of the instance.
            documents: size in bytes and SHA-256 by id.

        Returns:
            the names of those that it hasn't, or not as they were put.

        Raises:
            BucketUnavailable, StorageFull, OSError: they can't be got.
        """
        lost = []
        for one, (size, digest) in sorted(documents.items()) if storage.remote else ():
            name = Path(DOCUMENTS) / one / DOCUMENT
            self._gone.get(name.parent, set()).discard(name)
            if not (self.files / name).exists() and not fetch(
                storage, self._instance / name, self.files / name, size, digest
            ):
                lost.append(name.as_posix())
        return lost

    def has_segment(self, name: str) -> bool:
        """Return whether a file of the ledger was kept."""
        return (self.files / LEDGER / f"{name}.parquet").exists()

    def has_screening(self, screening_id: str) -> bool:
        """Return whether the folder of a screening was kept."""
        return (self.files / TOGETHER[0] / screening_id).exists()

    def all(self) -> Iterator[tuple[str, Path, int]]:
        """Yield name in the archive, path and size of each file, ascending by the parts of their names."""
        users = self.folder / USERS
        for path in chain(sorted_files(self.databases), sorted_files(self.files), [users]):
            known = self._log_sizes.get(path)
            yield (
                path.relative_to(self.folder).as_posix(),
                path,
                path.stat().st_size if known is None else known,
            )

    def _take_unit(self, unit: Path) -> None:
        source = self._instance / unit
        if not source.is_dir():
            self._keep(unit)
            return
        there = set()
        with suppress(FileNotFoundError):  # it is being deleted
            for path in files_below(source, BEING_MADE.get(unit.parts[0], ())):
                name = path.relative_to(self._instance)
                there.add(name)
                self._keep(name)
        kept = self.files / unit
        if kept.exists():
            before = {path.relative_to(self.files) for path in kept.rglob("*") if path.is_file()}
            self._gone[unit] = before - there

    def _take_log(self) -> None:
        """Keep the audit log up to its last whole entry; its writers wait for a moment."""
        log = AuditLog(self._instance)
        if not log.files():
            return
        with log.chain.locked():
            for path in files_below(self._instance / LOG, ()):
                name = path.relative_to(self._instance)
                if path.name == HEAD:
                    # it is written in place
                    (self.files / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    (self.files / name).write_bytes(path.read_bytes())
                else:
                    self._keep(name)
                self._log_sizes[self.files / name] = path.stat().st_size

    def _keep(self, name: Path) -> None:
        source, kept = self._instance / name, self.files / name
        try:
            status = source.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise NotReady(
                    f"INSTANCE_PATH has {name.as_posix()}, which is neither a file nor a folder.",
                    where=str(source),
                    remedy="Move it away, and run it again. (Folders directly below INSTANCE_PATH may be links.)",
                )
            with suppress(FileNotFoundError):
                there = kept.lstat()
                if _same(there, status):
                    return
                kept.unlink()
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                os.link(source, kept)
            except OSError as problem:
                if problem.errno not in NO_LINKS:
                    raise
                shutil.copy2(source, kept)
        except FileNotFoundError:
            # deleted in this moment
            return


def fetch(storage: Storage, path: Path, kept: Path, size: int, sha256: str) -> bool:
    """Get a file out of the bucket for a backup; ``False`` where the bucket hasn't it, or not as it was put.

    Args:
        storage: of the instance.
        path: of the file in the instance.
        kept: where it goes.
        size: in bytes.
        sha256: of the file.

    Raises:
        BucketUnavailable, StorageFull, OSError: it can't be got.
    """
    try:
        storage.bucket.get(storage.key(path), kept, size, sha256)
    except (DamagedObject, FileNotFoundError) as problem:
        log.warning("%s isn't in the backup: %s", storage.key(path), problem)
        return False
    return True


def _same(kept: os.stat_result, live: os.stat_result) -> bool:
    """Return whether a file is what was kept: the same one, or a copy that is as old and as long."""
    if (kept.st_dev, kept.st_ino) == (live.st_dev, live.st_ino):
        return True
    return kept.st_nlink == 1 and (kept.st_mtime_ns, kept.st_size) == (live.st_mtime_ns, live.st_size)


def units_of(instance: Path, left_out: Collection[str]) -> Iterator[Path]:
    """Yield what is kept as a whole: a folder of those that belong together, any other file by itself."""
    for top in sorted(instance.iterdir()):
        if top.name in left_out or top.name.startswith(SCRATCH) or top.name.endswith(ENDINGS):
            continue
        if not top.is_dir():
            yield top.relative_to(instance)
        elif top.name in TOGETHER:
            yield from (each.relative_to(instance) for each in sorted(top.iterdir()))
        else:
            yield from (each.relative_to(instance) for each in files_below(top, ()))


def files_below(folder: Path, left_out: Collection[str]) -> Iterator[Path]:
    """Yield the files below a folder that belong to an instance for good; ``left_out`` are names of others."""
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        # a list of what a bucket has is that bucket's, which a restored instance may not have
        if entry.name.endswith(ENDINGS) or entry.name in left_out or entry.name == KEPT:
            continue
        if entry.is_dir(follow_symlinks=False):
            with suppress(FileNotFoundError):  # deleted in this moment
                yield from files_below(Path(entry.path), left_out)
        else:
            yield Path(entry.path)


def sorted_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, ascending by the parts of their names."""
    for path in sorted(folder.iterdir(), key=lambda each: each.name):
        if path.is_dir():
            yield from sorted_files(path)
        else:
            yield path
