"""A request's body on its way: what is small is awaited without a thread, what is large is read by one as it comes."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias

from screening.errors import ScreeningError

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]

# Bytes of a body that may wait for their reader, besides one piece of the server's (up to 410 kB): more would
# let slow readers fill the memory.
HELD_BYTES = 1 << 20
# A sender who is silent for so long has left, or never meant to send.
SILENT_SECONDS = 30.0
PATIENCE_SECONDS = 20.0
# Bytes a second, averaged over the time spent waiting for the sender, once ``PATIENCE_SECONDS`` of it are
# over.
SLOWEST = 4096
# Closing a line with bytes unread resets it, and the answer is lost on its way: a sender who was refused may go on for
# as long as nginx lets one (lingering_time, lingering_timeout). Two seconds in all cut off senders on busy machines.
LINGER_SECONDS = 30.0
LINGER_SILENT_SECONDS = 5.0


class TooSlow(ScreeningError):
    """The body came too slowly: its thread is needed for others."""

    status = 408
    title = "The upload took too long"


def too_slow() -> TooSlow:
    """Return the refusal of a body that doesn't come."""
    return TooSlow(
        f"The request's body came at less than {SLOWEST // 1024} kB a second, or not at all.",
        remedy="Try a better connection, or send a packed file (.csv.gz).",
    )


class ArrivingBody:
    """The loop's side of one body."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.whole = False
        """Whether its end has come."""
        self.gone = False
        """Whether the sender left before, or sent what can't be a body."""

    def release(self) -> None:
        """Let go of the server's side, which closes a line only when nobody can ask for its body any more. The environ
        of a request refers to itself, so it would be held until the next collection of garbage.
        """
        self._receive = nothing_more
        self.gone = True

    async def piece(self) -> bytes:
        """Return the next piece, which may be empty; ``whole`` or ``gone`` is set with the last one."""
        try:
            message = await self._receive()
        except Exception:  # noqa: BLE001  the server's parser: a chunk whose length is none, a line that was cut
            self.gone = True
            return b""
        if message["type"] == "http.disconnect":
            self.gone = True
            return b""
        self.whole = not message.get("more_body", False)
        return bytes(message.get("body", b""))

    async def at_most(self, count: int) -> bytes:
        """Read all of the body, or its first bytes as soon as they are more than ``count``."""
        held = bytearray()
        while not self.whole and not self.gone and len(held) <= count:
            held += await self.piece()
        return bytes(held)

    async def discard(self) -> None:
        """Read over what still comes, so that the sender gets to read its answer before the line is cut: until nothing
        came for ``LINGER_SILENT_SECONDS``, at most ``LINGER_SECONDS`` in all.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self.whole and not self.gone:
                    async with asyncio.timeout(LINGER_SILENT_SECONDS):
                        await self.piece()


async def nothing_more() -> Message:
    """Answer as a connection that has ended."""
    return {"type": "http.disconnect"}


class BodyStream(io.RawIOBase):
    """The thread's side: ``wsgi.input`` of a body that is still arriving.

    Nothing is read from the line before the first :meth:`read`: an app that refuses by the header costs nothing.

    Args:
        arriving: the loop's side.
        begun: what was read of it already.
        loop: where it arrives.
        admit: called once, before anything more is waited for; may raise.

    Raises (from ``read``):
        TooSlow: too little came for too long.
        OSError: the sender left.
    """

    def __init__(
        self,
        arriving: ArrivingBody,
        begun: bytes,
        loop: asyncio.AbstractEventLoop,
        admit: Callable[[], None],
    ) -> None:
        self._arriving = arriving
        self._loop = loop
        self._admit: Callable[[], None] | None = admit
        self._changed = threading.Condition()
        self._pieces: deque[memoryview] = deque([memoryview(begun)] if begun else [])
        self._held = len(begun)
        self._ended = False
        self._room: asyncio.Event | None = None
        self._pump: asyncio.Task[None] | None = None
        self._waited = 0.0
        self._came = len(begun)

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Read at most ``size`` bytes, which may be fewer; all that will come if it is negative."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(HELD_BYTES), b""))
        if not size:
            return b""
        if self._admit is not None and not self._pieces:
            admit, self._admit = self._admit, None
            admit()
            self._loop.call_soon_threadsafe(self._begin)
        with self._changed:
            self._wait()
            if not self._pieces:
                return b""
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            was_full = self._held > HELD_BYTES
            self._held -= len(piece)
            resume = was_full and self._held <= HELD_BYTES
        if resume:
            self._loop.call_soon_threadsafe(self._resume)
        return bytes(piece)

    def readinto(self, buffer: Any) -> int:
        """Read as :meth:`read` does, for readers that bring their own room."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _wait(self) -> None:
        """Wait until there is a piece or the end. The lock is held."""
        began = time.monotonic()
        while not self._pieces and not self._ended:
            self._changed.wait(1.0)
            silent = time.monotonic() - began
            waited = self._waited + silent
            slow = waited > PATIENCE_SECONDS and self._came < SLOWEST * waited
            if not self._pieces and not self._ended and (slow or silent > SILENT_SECONDS):
                raise too_slow()
        self._waited += time.monotonic() - began
        if not self._pieces and self._arriving.gone:
            raise ConnectionError("the sender left before the body was whole")

    def _begin(self) -> None:
        self._room = asyncio.Event()
        self._room.set()
        self._pump = self._loop.create_task(self._fill())

    def _resume(self) -> None:
        if self._room is not None:
            self._room.set()

    async def _fill(self) -> None:
        assert self._room is not None
        try:
            while not self._arriving.whole and not self._arriving.gone:
                piece = await self._arriving.piece()
                with self._changed:
                    if piece:
                        self._pieces.append(memoryview(piece))
                        self._held += len(piece)
                        self._came += len(piece)
                    if self._held > HELD_BYTES:
                        self._room.clear()
                    self._changed.notify()
                await self._room.wait()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

    async def stop(self) -> None:
        """Leave the line to whoever discards the rest: nobody reads any more."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
