"""Keep the files of a screening in a folder that one process reads while another writes it.

``<instance>/screenings/<id>/input`` grows while the upload arrives; the empty file ``whole`` beside it says that
nothing more will come. (A rename would say the same, but Windows refuses to rename a file that somebody reads.)

A file is read once where its cells have one meaning, and looked over as a whole first where they don't.
"""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from screening.bucket.arriving import ArrivingObject
from screening.bucket.folders import bring_folder, keep_folder
from screening.bucket.kept_list import Listed
from screening.bucket.storage import SCREENINGS, WHOLE, Storage
from screening.errors import Conflict
from screening.infra.atomic_file import sync_folder
from screening.intake import NOTHING_SAID, Answers, FileKind, Forms, TableHead, look_over, settled
from screening.transactions.schema import ColumnContract

POLL_SECONDS = 0.004
# so long, all in all, a sender may be waited for before anybody asks whether to go on
PATIENCE_SECONDS = 1.0
# an upload that sends nothing for so long has been left
SILENCE_SECONDS = 120.0


Taken = TypeVar("Taken", bytes, int)
Outcome = TypeVar("Outcome")


# not an error: the sender left, so there is nothing to screen
class UploadAbandoned(Exception):
    """The sender left before the file was whole."""


class UploadFolder:
    """The files of one screening."""

    def __init__(self, instance: Path, screening_id: str) -> None:
        self._lay_out(instance / SCREENINGS / screening_id)
        self._storage = Storage.at(instance)
        self.on_wait: Callable[[], None] = lambda: None
        """Called again and again while a slow sender is waited for; it may raise to leave."""

    @classmethod
    def kept(cls, instance: Path, screening_id: str) -> Self:
        """Return the files of a screening whose upload was whole; they are got out of the bucket if they must be.

        Raises:
            BucketUnavailable: they are in the bucket, which can't be reached.
            NotReady: the bucket has something else.
            StorageFull: there is no room for them on the disk.
        """
        folder = cls(instance, screening_id)
        bring_folder(folder._storage, folder.path)
        return folder

    def _lay_out(self, path: Path) -> None:
        self.path = path
        self.arriving = path / "input"
        self.whole = path / WHOLE
        self.canonical = path / "canonical.csv"
        self.tokens = path / "tokens.csv"
        """The upload with tokens in place of card numbers: it takes the place of ``arriving``, which is gone then."""
        self.replaced = path / "tokens.json"
        """In which columns."""

    @property
    def input(self) -> Path:
        """The file to read: the upload, or what took its place."""
        return self.tokens if self.tokens.exists() else self.arriving

    def kind(self, uploaded: str) -> FileKind:
        """Return the kind of :attr:`input`; ``uploaded`` is what the upload was.

        Raises:
            Conflict: that is no kind of file: what was kept of it is damaged.
        """
        if not self.tokens.exists() and uploaded not in set(FileKind):
            raise Conflict(
                "What was kept of this file is damaged.", remedy="Delete it, and send it once more."
            )
        return FileKind.CSV if self.tokens.exists() else FileKind(uploaded)

    @property
    def readable(self) -> Path:
        """The upload itself, or its copy in UTF-8 with commas where one had to be made."""
        return self.canonical if self.canonical.exists() else self.input

    def create(self) -> None:
        """Make the folder with an empty file that begins to grow, for the app's own user only."""
        self.path.mkdir(mode=0o700, parents=True)
        self.arriving.touch(mode=0o600)

    def complete(self) -> None:
        """Mark the upload as whole."""
        self.whole.touch()

    def keep(self) -> None:
        """Have the upload on the disk, with its names, so that other hosts find it when this one has gone."""
        with self.input.open("rb", buffering=0) as file:
            os.fsync(file.fileno())
        for folder in (self.path, self.path.parent):
            sync_folder(folder)

    def arriving_object(self) -> ArrivingObject:
        """Return what puts the upload into the bucket while it arrives, where there is one."""
        return ArrivingObject(self._storage, self.input)

    def keep_upload(self, there: Listed | None = None) -> None:
        """Have the upload in the bucket, where there is one: only then may its sender be told that it is here.

        A worker may read it already, and write beside it: that is kept once it is finished.

        Args:
            there: the file itself, where the bucket has it already.

        Raises:
            BucketUnavailable: it isn't there.
        """
        uploaded = {each.name for each in (self.arriving, self.tokens, self.replaced)}
        keep_folder(self._storage, self.path, uploaded, {} if there is None else {self.input.name: there})

    def drop_replaced(self) -> None:
        """Remove the upload, and any copy of it, where tokens have taken its place: who put them there may have been
        killed before that.
        """
        if self.tokens.exists():
            for path in (self.arriving, self.canonical):
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete all of it. Gone already is as good.

        A worker may read an upload that never became whole, and hold what it takes on the disk: it is emptied first.
        """
        if not self.whole.exists():
            with suppress(OSError):
                os.truncate(self.input, 0)
        shutil.rmtree(self.path, ignore_errors=True)

    def settle(self) -> None:
        """Have the file on the disk, and its pages out of memory: the next upload can have them.

        Nobody reads it whole again, and memory that was never used costs a virtual machine ten times the write.
        """
        if not hasattr(os, "posix_fadvise"):
            return
        with suppress(FileNotFoundError), self.input.open("rb", buffering=0) as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def wait_until_whole(self) -> None:
        """Wait for an upload that is still arriving.

        Raises:
            Abandoned: it never became whole.
        """
        with self.open() as stream:
            stream.seek_end()

    def open(self) -> GrowingFile:
        """Return a stream that ends where the upload ends, not where it is at the moment.

        Raises:
            Abandoned: the sender left.
        """
        try:
            return GrowingFile(self, self.input.open("rb", buffering=0))
        except FileNotFoundError:
            raise UploadAbandoned from None


class GrowingFile(io.RawIOBase):
    """Reads a file that another process is still writing; ``read`` waits for more until it is whole."""

    def __init__(self, folder: UploadFolder, stream: io.FileIO) -> None:
        self._folder = folder
        self._stream = stream
        self.taken = 0
        """Number of bytes that were read so far."""
        self._waited = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        count = self._next(lambda: self._stream.readinto(buffer))
        self.taken += count
        return count

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes, which may be fewer; all that will come if it is negative.

        The inherited one reads into zeros that it makes first, and copies them.
        """
        if size < 0:
            return self.readall()
        data = self._next(lambda: self._stream.read(size))
        self.taken += len(data)
        return data

    def _next(self, take: Callable[[], Taken]) -> Taken:
        """Return the next result of ``take``, once there is one, or nothing at the end."""
        deadline = time.monotonic() + SILENCE_SECONDS
        touched = os.fstat(self._stream.fileno()).st_mtime_ns
        while True:
            # looked at before reading: what is read after that is all
            whole = self._folder.whole.exists()
            taken = take()
            if taken or whole:
                return taken
            # a handle on a removed file can still be read, but nothing more will come
            if not self._folder.input.exists():
                raise UploadAbandoned
            if time.monotonic() > deadline:
                # whoever receives it waits for the bucket, and says so
                if touched == (touched := os.fstat(self._stream.fileno()).st_mtime_ns):
                    raise UploadAbandoned
                deadline = time.monotonic() + SILENCE_SECONDS
            time.sleep(POLL_SECONDS)
            self._waited += POLL_SECONDS
            if self._waited >= PATIENCE_SECONDS:
                self._waited -= PATIENCE_SECONDS / 4
                self._folder.on_wait()

    def seek_end(self) -> None:
        """Wait until the file is whole."""
        scrap = bytearray(1 << 20)
        while self.readinto(scrap):
            pass

    def close(self) -> None:
        self._stream.close()
        super().close()


@dataclass(frozen=True, slots=True)
class FileReader:
    """Reader of the file of a folder."""

    folder: UploadFolder
    kind: FileKind
    choose: Callable[[], Callable[[TableHead], ColumnContract]]
    """Makes what picks the contract by the header."""
    answers: Answers = NOTHING_SAID
    waiting: Callable[[], None] = lambda: None

    def settled(self, read: Callable[[Forms | None], Outcome]) -> Outcome:
        """Have a file read, once more where the first try finds that it must be looked at as a whole.

        Raises:
            BadFile: it can't be read, or whoever sent it must be asked.
        """
        at_once = self.answers == NOTHING_SAID or not self.kind.streams
        return settled(read, self._looked_over, at_once=at_once)

    def _looked_over(self) -> Forms:
        self.folder.wait_until_whole()
        return look_over(
            self.folder.input, self.kind, self.choose(), answers=self.answers, waiting=self.waiting
        )
