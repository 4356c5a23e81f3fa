"""Receives one upload as a stream: form fields in order, then the file straight to the disk.

The usual form parsing would first write the whole body to a temporary file; here the worker reads the file while it
arrives, and a caller without a token is refused before the first byte of the file is kept.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from flask import Request
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from screening.spool import Folder

READ_BYTES = 1 << 18
MOST_FIELD_BYTES = 16_384
MOST_PARTS = 20
ALIVE_SECONDS = 10.0


class Body:
    """The events of a multipart body, with its length checked at both ends.

    Raises (while iterating):
        RequestEntityTooLarge: more than ``limit`` bytes came, or are announced.
        ClientDisconnected: it ended before the closing boundary or the announced length.
    """

    def __init__(self, request: Request, limit: int) -> None:
        self._stream = request.environ["wsgi.input"]
        self._announced = request.content_length
        self._limit = limit
        kind, options = parse_options_header(request.headers.get("Content-Type"))
        if kind != "multipart/form-data" or not options.get("boundary"):
            raise BadRequest("The form must be sent as multipart/form-data.")
        if self._announced is not None and self._announced > limit:
            raise RequestEntityTooLarge
        self._decoder = MultipartDecoder(options["boundary"].encode(), max_parts=MOST_PARTS)
        self._count = 0

    def __iter__(self) -> Iterator[Event]:
        while True:
            try:
                event = self._decoder.next_event()
            except ValueError:  # the decoder's word for a body that isn't what its header says
                raise BadRequest("The form's body is damaged.") from None
            if isinstance(event, NeedData):
                self._feed()
            elif isinstance(event, Epilogue):
                return
            else:
                yield event

    def _feed(self) -> None:
        left = READ_BYTES if self._announced is None else min(READ_BYTES, self._announced - self._count)
        try:
            chunk = self._stream.read(left) if left > 0 else b""
        except OSError as problem:
            raise ClientDisconnected from problem
        if not chunk:
            if self._announced is not None and self._count < self._announced:
                raise ClientDisconnected
            try:
                self._decoder.receive_data(None)
            except ValueError:
                raise ClientDisconnected from None
            return
        self._count += len(chunk)
        if self._count > self._limit:
            raise RequestEntityTooLarge
        self._decoder.receive_data(chunk)


@dataclass(slots=True)
class Form:
    """Fields that came before the file, and the file's own name once it has begun."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None


def read_fields(events: Iterator[Event]) -> Form:
    """Read up to the beginning of the part named ``file``; without one, ``filename`` stays ``None``."""
    form = Form()
    name: str | None = None
    value = bytearray()
    for event in events:
        if isinstance(event, File):
            if event.name == "file":
                form.filename = event.filename
                return form
            name = None
        elif isinstance(event, Field):
            name, value = event.name, bytearray()
        elif isinstance(event, Data) and name is not None:
            value += event.data
            if len(value) > MOST_FIELD_BYTES:
                raise RequestEntityTooLarge
            if not event.more_data:
                form.fields[name] = value.decode("utf-8", "replace")
    return form


def first_bytes(events: Iterator[Event], count: int) -> tuple[bytes, bool]:
    """At least ``count`` bytes of the file (fewer when it is shorter), and whether more follows."""
    head = bytearray()
    for event in events:
        if isinstance(event, Data):
            head += event.data
            if not event.more_data:
                return bytes(head), False
            if len(head) >= count:
                break
    return bytes(head), True


def store(
    head: bytes, events: Iterator[Event] | None, folder: Folder, alive: Callable[[], None]
) -> tuple[int, str]:
    """Write the file as it arrives; returns its size in bytes and its SHA-256.

    ``alive`` is called every few seconds while it arrives.
    """
    digest = hashlib.sha256(head)
    size = len(head)
    due = time.monotonic() + ALIVE_SECONDS
    with folder.input.open("wb", buffering=0) as out:
        out.write(head)
        for event in events or ():
            if not isinstance(event, Data):
                break
            out.write(event.data)
            digest.update(event.data)
            size += len(event.data)
            if time.monotonic() >= due:
                alive()
                due = time.monotonic() + ALIVE_SECONDS
        for _ in events or ():
            pass  # the closing boundary must be seen: a body that stops here was cut off
    return size, digest.hexdigest()
