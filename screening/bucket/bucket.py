"""One bucket that speaks S3: put, get, list and delete objects, with errors that say what to do.

The library retries by itself, with growing pauses that are drawn; what is still wrong after that is told at once. Its
threads don't survive a fork, and a forked process would wait for ever: it is refused instead.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from screening.bucket.faults import NO_BUCKET, DamagedObject, code_of, reason_of, unavailable
from screening.infra.atomic_file import FULL
from screening.infra.disk_space import full, require_room

if TYPE_CHECKING:
    from obstore.store import S3Store

log = logging.getLogger("screening.bucket")
# A part of an upload; up to four of them are in memory. S3 wants 5 MiB at least, and takes 10,000 parts.
PART_BYTES, PARTS_AT_ONCE = 8 << 20, 4
PIECES_AT_ONCE = 2
"""Of a file that arrives: many may at once, and their sender is mostly slower than the bucket."""
READ_BYTES = 1 << 20
RETRIES = 3
CONNECT_SECONDS, SILENCE_SECONDS, RETRY_SECONDS = 3, 10, 15
# So long nobody asks again for what couldn't be reached just now: else each request would wait as long as the first.
PAUSE_SECONDS = 5.0
FETCHED = ".fetched.part"
"""Ending of a file that is being got."""
_forked = threading.Event()
_used = threading.Event()


def _after_fork() -> None:
    if _used.is_set():
        _forked.set()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Bucket:
    """A bucket, and the beginning of its keys.

    Args:
        url: ``s3://bucket/prefix``; address, region and credentials come from the usual ``AWS_*`` variables.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.name, self.prefix = parts.netloc, parts.path.strip("/")
        self._pause_until = 0.0

    @cached_property
    def _store(self) -> S3Store:
        from obstore.store import S3Store

        _used.set()
        client = {
            # the address is the operator's own choice, and says whether it is encrypted
            "allow_http": True,
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=SILENCE_SECONDS),
            # of a whole request: a large file may take long as long as something comes
            "timeout": timedelta(hours=1),
        }
        pauses = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2}
        retries = {
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=RETRY_SECONDS),
            "backoff": pauses,
        }
        return S3Store(
            self.name,
            prefix=self.prefix or None,
            client_options=client,  # type: ignore[arg-type]
            retry_config=retries,  # type: ignore[arg-type]
            # not everything that speaks S3 can delete several objects in one request
            disable_bulk_delete=True,
        )

    def put(self, path: Path, key: str) -> None:
        """Put a file; when this returns, the bucket has all of it.

        Raises:
            BucketUnavailable: it may not.
        """
        import obstore

        with self._telling(f"put {key}"):
            obstore.put(self._store, key, path, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

    def put_pieces(self, pieces: Iterator[bytes], key: str) -> None:
        """Put an object of pieces that may take their time; when this returns, the bucket has all of it.

        A piece of :data:`PART_BYTES` is sent while the next one is waited for. What ``pieces`` raises passes, and the
        bucket has nothing then.

        Raises:
            BucketUnavailable: it may not have it.
        """
        import obstore

        with self._telling(f"put {key}"):
            obstore.put(
                self._store,
                key,
                pieces,
                chunk_size=PART_BYTES,
                max_concurrency=PIECES_AT_ONCE,
                use_multipart=True,
            )

    def require_size(self, key: str, size: int) -> None:
        """See that an object has so many bytes.

        Raises:
            BucketUnavailable: it hasn't, or that isn't known.
        """
        import obstore

        doing = f"put {key}"
        try:
            with self._telling(doing):
                kept = obstore.head(self._store, key)["size"]
        except FileNotFoundError:
            kept = 0
        if kept != size:
            raise unavailable(self.url, doing, f"it has {kept:,} bytes of {size:,}")

    def write(self, key: str, data: bytes) -> None:
        """Put a small object, in the place of one that is there.

        Raises:
            BucketUnavailable: it may not be there.
        """
        import obstore

        with self._telling(f"put {key}"):
            obstore.put(self._store, key, data)

    def create(self, key: str, data: bytes) -> bytes:
        """Put an object unless there is one, and return what is there now.

        Raises:
            BucketUnavailable: that isn't known.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._telling(f"put {key}"):
            with suppress(AlreadyExistsError):
                obstore.put(self._store, key, data, mode="create")
            return bytes(obstore.get(self._store, key).bytes())

    def read(self, key: str) -> bytes | None:
        """Return a small object; ``None`` where there is none.

        Raises:
            BucketUnavailable: it can't be read.
        """
        import obstore

        try:
            with self._telling(f"get {key}"):
                return bytes(obstore.get(self._store, key).bytes())
        except FileNotFoundError:
            return None

    def get(self, key: str, path: Path, size: int, sha256: str) -> None:
        """Write an object to a file, which appears once it is whole and has the hash that it must have.

        Raises:
            BucketUnavailable: the bucket can't be read.
            FileNotFoundError: it has no such object.
            DamagedObject: the object isn't what was put.
            StorageFull: there is no room on the disk.
        """
        import obstore

        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_room(path.parent, size)
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{FETCHED}")
        digest, count = hashlib.sha256(), 0
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as out, self._telling(f"get {key}"):
                for piece in obstore.get(self._store, key).stream(min_chunk_size=READ_BYTES):
                    with telling_of_disk():
                        out.write(piece)
                    digest.update(piece)
                    count += len(piece)
            if (count, digest.hexdigest()) != (size, sha256):
                raise DamagedObject(
                    f"{key} has {count:,} bytes of {size:,} in the bucket, or others than were put"
                )
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes of all objects whose keys begin with ``prefix/``, by key.

        Raises:
            BucketUnavailable: they can't be listed.
        """
        import obstore

        with self._telling(f"list {prefix}"):
            return {each["path"]: each["size"] for some in obstore.list(self._store, prefix) for each in some}

    def folders(self, prefix: str) -> set[str]:
        """Return the names below ``prefix/`` that have objects below them: a request for each thousand.

        Raises:
            BucketUnavailable: they can't be listed.
        """
        import obstore

        with self._telling(f"list {prefix}"):
            found = obstore.list_with_delimiter(self._store, prefix)["common_prefixes"]
        return {each.rstrip("/").rpartition("/")[2] for each in found}

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that isn't there is as good.

        Raises:
            BucketUnavailable: some may still be there.
        """
        import obstore

        some = list(keys)
        if not some:
            return
        with self._telling(f"delete {len(some)} objects"):
            try:
                obstore.delete(self._store, some)
            except FileNotFoundError:  # some stores say so, and the others of the list are left then
                for key in some:
                    with suppress(FileNotFoundError):
                        obstore.delete(self._store, key)

    @property
    def pausing(self) -> bool:
        """Return whether it couldn't be reached just now."""
        return time.monotonic() < self._pause_until

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        """Say in our own words what the library says; ``FileNotFoundError`` of an object passes.

        Raises:
            BucketUnavailable: the bucket can't be reached, doesn't let us, or isn't there.
        """
        from obstore.exceptions import BaseError

        if _forked.is_set():
            raise RuntimeError("the bucket was used before this process was forked")
        if self.pausing:
            raise unavailable(self.url, doing, "it couldn't be reached a moment ago")
        try:
            yield
        except (BaseError, FileNotFoundError) as problem:
            told = str(problem)
            if isinstance(problem, FileNotFoundError) and NO_BUCKET not in told:
                raise
            code, why = code_of(told), reason_of(told)
            # the rest of it repeats the whole answer
            log.warning("%s can't be used (%s): %s %s", self.url, doing, told.partition("\n")[0], code)
            if why is None:
                why = "it can't be reached, or has a fault"
                self._pause_until = time.monotonic() + PAUSE_SECONDS
            raise unavailable(self.url, doing, why, code) from problem
        else:
            self._pause_until = 0.0


@contextmanager
def telling_of_disk() -> Iterator[None]:
    """Say of a disk that it is full.

    Raises:
        StorageFull: it is.
    """
    try:
        yield
    except OSError as problem:
        if problem.errno in FULL:
            raise full() from problem
        raise
