"""Receives one upload as a stream: form fields in order, then the file straight to the disk.

The usual form parsing would first write the whole body to a temporary file; here the worker reads the file while it
arrives, and a caller without a token is refused before the first byte of the file is kept.
"""

from __future__ import annotations

import hashlib
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import PurePosixPath, PureWindowsPath

from flask import Request
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_options_header

from screening.bucket.arriving import ALIVE_SECONDS
from screening.cards.masking import without_card_numbers
from screening.errors import StorageFull
from screening.infra.audit.log import mask_keys
from screening.infra.disk_space import require_room
from screening.intake.kinds import with_ending
from screening.uploads.upload_folder import UploadFolder
from screening.web.http.admission import TICKET, Ticket

READ_BYTES = 1 << 18
# Bytes between two looks whether the sender may keep more, and at the end once more.
QUOTA_BYTES = 16 << 20
# Uploads wait so long for others to give up where the disk has no room for all of them.
YIELD_SECONDS, YIELD_POLL = 10.0, 0.05
MOST_FIELD_BYTES = 16_384
# RFC 2046 allows 70.
MOST_BOUNDARY_BYTES = 256
MOST_HEADER_BYTES = 16_384
# Before the first part and behind the last one.
MOST_QUIET_BYTES = 65_536
MOST_PARTS = 20
DAMAGED = "The form's body is damaged."
WISHES = ("detector", "set_aside", "may_map", "check", "tokenize", "sample", "name", "label")
"""Fields that say what shall be done with the file."""


@dataclass(slots=True)
class FormFields:
    """Fields that came before the file, and the file's own name once it has begun."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None


class PlainBody:
    """A form without a file: its fields, as :class:`MultipartBody` gives them."""

    def __init__(self, request: Request, limit: int) -> None:
        """Take a request whose body has at most ``limit`` bytes."""
        request.max_content_length = request.max_form_memory_size = limit
        self._request = request

    def fields(self) -> FormFields:
        """Read all of it.

        Raises:
            RequestEntityTooLarge: it is longer.
        """
        return FormFields(fields=self._request.form.to_dict())

    def content(self) -> Iterator[bytes]:
        """Return no content: there is no file."""
        return iter(())

    def finish(self) -> None:
        """Return: nothing follows."""


class Parts:
    """Splits a multipart body that is fed in chunks.

    An empty part may share its line break with the boundary behind it (RFC 2046; werkzeug's client sends such), which
    the parser doesn't know: it would take the next part for the value of this one. So it is fed line by line, stops at
    the end of a head, and is given the line break. A file's content it gets as it comes.
    """

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"--" + boundary
        # any byte is a character of a header in Latin-1: names_of() reads the text
        self._parser = PushMultipartParser(
            boundary,
            max_header_size=MOST_HEADER_BYTES,
            max_segment_count=MOST_PARTS,
            header_charset="latin-1",
        )
        self._held = self._begins = b""
        self._at_start = self._in_file = False
        # bytes of a preamble or an epilogue, which a sender could make endless
        self._quiet = 0

    def feed(self, chunk: bytes) -> Iterator[MultipartSegment | bytes | None]:
        """Yield what a chunk has: heads of parts, their content in pieces, and ``None`` at the end of each.

        Raises:
            MultipartError: it is no form.
            BadRequest: there is too much before the first part or behind the last one, or a part behind a file is empty
                and has no line break of its own.
        """
        data, at, self._held = self._held + chunk, 0, b""
        while at < len(data):
            if self._at_start and len(data) - at < len(self._mark):
                # too little to tell what the part begins with
                self._held = data[at:]
                return
            by_line = not self._in_file
            if self._at_start and data.startswith(self._mark, at):
                piece = b"\r\n"
            else:
                end = data.find(b"\n", at) + 1 if by_line else 0
                piece, at = data[at : end or len(data)], end or len(data)
            self._at_start = False
            self._quiet += len(piece)
            for event in self._parser.parse(piece):
                self._note(event, by_line=by_line)
                yield event
            if self._quiet > MOST_QUIET_BYTES:
                raise BadRequest(DAMAGED)

    def end(self) -> None:
        """Return if the closing boundary was there. What is still held is shorter than it.

        Raises:
            MultipartError: it wasn't.
        """
        list(self._parser.parse(b""))

    def _note(self, event: MultipartSegment | bytes | None, *, by_line: bool) -> None:
        self._quiet = 0
        if isinstance(event, MultipartSegment):
            self._begins, self._at_start = b"", by_line
            self._in_file = names_of(event)[1] is not None
        elif event is None:
            self._in_file = False
        elif len(self._begins) < len(self._mark):
            self._begins += event[: len(self._mark) - len(self._begins)]
            if self._begins == self._mark:
                raise BadRequest(
                    "A part of the form is empty and has no line break of its own: send it with one."
                )


class MultipartBody:
    """A multipart body in the order in which it comes: :meth:`fields`, then :meth:`content`, then :meth:`finish`.

    It needs a place among the bodies of its account, which is kept until the request is answered.

    Raises (from each):
        TooBusy: there is none.
        TooSlow: it comes too slowly.
        RequestEntityTooLarge: more than ``limit`` bytes came, or are announced.
        ClientDisconnected: it ended before the closing boundary or the announced length.
        BadRequest: it isn't what its header says.
    """

    def __init__(self, request: Request, limit: int, account: str | None = None) -> None:
        self._stream = request.environ["wsgi.input"]
        self._announced = request.content_length
        self._limit = limit
        self._count = 0
        kind, options = parse_options_header(request.headers.get("Content-Type"))
        boundary = options.get("boundary", "").encode()
        if (
            kind != "multipart/form-data"
            or not 1 <= len(boundary) <= MOST_BOUNDARY_BYTES
            or b"\n" in boundary
        ):
            raise BadRequest("The form must be sent as multipart/form-data.")
        # refused before anything is read of it
        if self._announced is not None and self._announced > limit:
            raise RequestEntityTooLarge
        ticket: Ticket | None = request.environ.get(TICKET)
        if ticket is not None:
            ticket.admit(account)
        self._events = self._parse(boundary)

    def fields(self) -> FormFields:
        """Read up to the part named ``file``, which begins; without one to the end, and ``filename`` stays ``None``."""
        form = FormFields()
        name: str | None = None
        value = bytearray()
        for event in self._events:
            if isinstance(event, MultipartSegment):
                name, filename = names_of(event)
                value = bytearray()
                if filename is None:
                    continue
                if name == "file":
                    form.filename = with_ending(filename, event.header("Content-Type"))
                    break
                name = None
            elif event is None:
                if name is not None:
                    form.fields[name] = value.decode("utf-8", "replace")
            elif name is not None:
                value += event
                if len(value) > MOST_FIELD_BYTES:
                    raise RequestEntityTooLarge
        return form

    def content(self) -> Iterator[bytes]:
        """Yield the content of the part that has just begun, as it comes."""
        for event in self._events:
            if not isinstance(event, bytes):
                return
            yield event

    def finish(self) -> None:
        """Read what follows: the closing boundary must be seen, since a body without it was cut off.

        The file is read by then: a wish or another file that comes after it would be passed over in silence.

        Raises:
            BadRequest: there is one.
        """
        for event in self._events:
            if not isinstance(event, MultipartSegment):
                continue
            name, filename = names_of(event)
            if filename:
                raise BadRequest("There is more than one file in the form: send them one after the other.")
            if filename is None and name in WISHES:
                # by now the file has been read without it
                raise BadRequest(f"The field {name} stands after the file: send it before.")

    def _parse(self, boundary: bytes) -> Iterator[MultipartSegment | bytes | None]:
        """Yield each part: its head, its content in pieces, and ``None``."""
        parts = Parts(boundary)
        try:
            while chunk := self._read():
                yield from parts.feed(chunk)
        except ParserLimitReached:
            raise RequestEntityTooLarge from None
        except MultipartError:
            raise BadRequest(DAMAGED) from None
        try:
            parts.end()
        except MultipartError:
            # the closing boundary didn't come
            raise ClientDisconnected from None

    def _read(self) -> bytes:
        """Return the next bytes; none at the end, which must be where it was announced."""
        left = READ_BYTES if self._announced is None else min(READ_BYTES, self._announced - self._count)
        try:
            chunk: bytes = self._stream.read(left) if left > 0 else b""
        except OSError as problem:
            raise ClientDisconnected from problem
        if left > 0 and not chunk and self._announced is not None:
            raise ClientDisconnected
        self._count += len(chunk)
        if self._count > self._limit:
            raise RequestEntityTooLarge
        return chunk


def names_of(part: MultipartSegment) -> tuple[str | None, str | None]:
    """Return the name of a part and, of a file, the file's, as ``filename`` or ``filename*`` says it.

    Text is UTF-8; what isn't has replacement characters.
    """
    header = part.header("Content-Disposition", "").encode("latin-1").decode("utf-8", "replace")
    _, options = parse_options_header(header)
    return options.get("name"), options.get("filename")


def first_bytes(content: Iterable[bytes], count: int) -> bytes:
    """Return at least ``count`` bytes of the file, or all when it is shorter."""
    head = bytearray()
    for piece in content:
        head += piece
        if len(head) >= count:
            break
    return bytes(head)


@dataclass(frozen=True, slots=True)
class FileCallbacks:
    """Callbacks for a file that arrives."""

    alive: Callable[[], None]
    """Every few seconds."""
    room: Callable[[], None]
    """Each time that some megabytes have come, and at the end: raises where its sender may keep no more."""
    grown: Callable[[int], None] = lambda _size: None
    """After each piece, with the bytes that are on the disk."""


def store(
    head: bytes, content: Iterable[bytes], folder: UploadFolder, watch: FileCallbacks
) -> tuple[int, str]:
    """Write the file as it arrives; returns its size in bytes and its SHA-256.

    Raises:
        StorageFull: so little would be left on the disk that the app couldn't work.
        AccountFull: the sender's files take as much as they may.
    """
    digest = hashlib.sha256()
    size = asked = 0
    due = time.monotonic() + ALIVE_SECONDS
    with folder.input.open("wb", buffering=0) as out:
        for piece in chain((head,), content):
            wait_for_room(folder, len(piece))
            out.write(piece)
            digest.update(piece)
            size += len(piece)
            watch.grown(size)
            if size - asked >= QUOTA_BYTES:
                watch.room()
                asked = size
            if time.monotonic() >= due:
                watch.alive()
                due = time.monotonic() + ALIVE_SECONDS
    watch.room()
    return size, digest.hexdigest()


def wait_for_room(folder: UploadFolder, size: int) -> None:
    """See to it that so many bytes can be written.

    Of several uploads for which the disk has no room together, one after the other gives up: the rest gets what it had.

    Raises:
        StorageFull: this one must.
    """
    ends = time.monotonic() + YIELD_SECONDS
    while True:
        try:
            require_room(folder.path, size)
        except StorageFull:
            if time.monotonic() >= ends or not gives_way(folder):
                raise
            time.sleep(YIELD_POLL)
        else:
            return


def gives_way(folder: UploadFolder) -> bool:
    """Return whether another upload that arrives now must give up before this one: that with the greatest id goes
    first.
    """
    for other in folder.path.parent.iterdir():
        arriving = other / folder.arriving.name
        if other.name <= folder.path.name or (other / folder.whole.name).exists():
            continue
        with suppress(OSError):
            if time.time() - arriving.stat().st_mtime < YIELD_SECONDS:
                return True
    return False


def plain_name(name: str) -> str:
    """Return a file's own name: no folders of the sender's machine, no control characters, no card number, no API key,
    at most 120 characters.

    It is only shown and logged; on the disk the file has a name of ours.
    """
    last = PurePosixPath(PureWindowsPath(name).name).name
    clean = "".join(sign for sign in last if unicodedata.category(sign)[0] != "C").strip()
    clean = without_card_numbers(mask_keys(clean))
    if len(clean) > 120:  # as said above
        stem, dot, ending = clean.rpartition(".")
        clean = f"{stem[:100]}…{dot}{ending[-15:]}"
    return clean or "unnamed"
