"""Puts a file into the bucket while it still arrives, in parts: its sender then hardly waits for the bucket.

There is no object before its last part was put and :meth:`ArrivingObject.finish` was called; whatever goes wrong
before, the parts are taken back. A small file is left alone: one request at its end is less than three.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from screening.bucket.bucket import PART_BYTES
from screening.bucket.faults import BucketUnavailable
from screening.bucket.kept_list import Listed
from screening.bucket.storage import Storage
from screening.errors import NotReady

log = logging.getLogger("screening.bucket")
ALIVE_SECONDS = 10.0
LEAVE_SECONDS = 5.0
"""So long whoever gives up waits until the parts are taken back; it goes on without him after that."""


class ArrivingLeft(Exception):
    """The file won't be whole: the library takes the parts back."""


class ArrivingObject:
    """A file that grows, and its object. Whoever leaves the ``with`` without :meth:`finish` gives it up.

    It has two parts in memory at a time, and none while it waits for its sender: the file is on the disk.

    Args:
        storage: of the instance.
        path: of the file.
    """

    def __init__(self, storage: Storage, path: Path) -> None:
        self._storage, self._path = storage, path
        self._news = threading.Condition()
        self._size = self._taken = 0
        self._whole = self._left = False
        self._digest = hashlib.sha256()
        self._problem: Exception | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None and self._thread.is_alive():
            with self._news:
                self._left = True
                self._news.notify()
            self._thread.join(LEAVE_SECONDS)

    def grown(self, size: int) -> None:
        """Note that the file has so many bytes now.

        Raises:
            BucketUnavailable: the bucket doesn't take it.
        """
        if self._problem is not None:
            raise self._problem
        if not self._storage.remote or size - self._taken <= PART_BYTES:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._put, name="arriving", daemon=True)
            self._thread.start()
        with self._news:
            self._size = size
            self._news.notify()

    def finish(self, size: int, sha256: str, alive: Callable[[], None] = lambda: None) -> Listed | None:
        """Wait until the bucket has all of it; return what it has, ``None`` where nothing was begun.

        Args:
            size: bytes that arrived.
            sha256: of these.
            alive: called every few seconds: the bucket may take longer than its sender did.

        Raises:
            BucketUnavailable: it may not have it.
            NotReady: what the disk gave back isn't what arrived.
        """
        if self._thread is None:
            return None
        with self._news:
            self._size, self._whole = size, True
            self._news.notify()
        self._thread.join(ALIVE_SECONDS)
        while self._thread.is_alive():
            with suppress(FileNotFoundError):  # deleted meanwhile
                os.utime(self._path)  # a worker that reads it sees by that that its end still comes
            alive()
            self._thread.join(ALIVE_SECONDS)
        if self._problem is not None:
            raise self._problem
        put = Listed(self._taken, self._digest.hexdigest())
        if put != Listed(size, sha256):
            raise NotReady(
                "What the disk kept of the file isn't what arrived.",
                where=f"{self._path}: {put.size:,} bytes of {size:,}",
                remedy="Send it again. The operator has the disk looked at.",
            )
        self._storage.bucket.require_size(self._storage.key(self._path), size)
        return put

    def _put(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                self._storage.bucket.put_pieces(self._pieces(file), self._storage.key(self._path))
        except ArrivingLeft:
            log.info("parts of %s were taken back: it won't be whole", self._storage.key(self._path))
        except (BucketUnavailable, OSError) as problem:
            self._problem = problem
        except Exception as problem:
            log.exception("%s couldn't be put", self._storage.key(self._path))
            self._problem = problem

    def _pieces(self, file: io.FileIO) -> Iterator[bytes]:
        while True:
            with self._news:
                self._news.wait_for(
                    lambda: self._left or self._whole or self._size - self._taken >= PART_BYTES
                )
                if self._left:
                    raise ArrivingLeft
            piece = file.read(PART_BYTES)
            if not piece:
                return
            self._digest.update(piece)
            self._taken += len(piece)
            yield piece
