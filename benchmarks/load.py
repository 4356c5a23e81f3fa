"""A client that keeps some connections busy, or sends at a given rate: one event loop, answers read by their length."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Acknowledges the beginning of an answer at once. A server that sends header and body apart, without TCP_NODELAY,
would else wait 40 ms for that with each request, and be measured while it idles."""


@dataclass
class Load:
    """What came of some seconds of requests."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds; with a rate from when a request was due, so that one that had to wait for its turn counts the wait."""
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def at(self, share: float) -> float:
        """The latency that this share of the requests didn't exceed, in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Return a request as it goes over the line."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def send(
    port: int, requests: Sequence[bytes], *, connections: int, seconds: float, rate: float | None = None
) -> Load:
    """Send requests in turn for some seconds; without a rate each connection sends the next at once."""
    return asyncio.run(_send(port, requests, connections, seconds, rate))


async def _send(
    port: int, requests: Sequence[bytes], connections: int, seconds: float, rate: float | None
) -> Load:
    loop, found = asyncio.get_running_loop(), Load()
    given = itertools.cycle(requests)
    begun = time.perf_counter()
    due = _due(begun, rate)
    lines = [
        (await loop.create_connection(lambda: _Line(found, given, due, begun + seconds), "127.0.0.1", port))[
            1
        ]
        for _ in range(connections)
    ]
    await asyncio.gather(*(line.done for line in lines))
    found.seconds = time.perf_counter() - begun
    return found


def _due(begun: float, rate: float | None) -> Iterator[float | None]:
    for number in itertools.count():
        yield None if rate is None else begun + number / rate


class _Line(asyncio.Protocol):
    def __init__(self, found: Load, given: Iterator[bytes], due: Iterator[float | None], end: float) -> None:
        self._found, self._given, self._due, self._end = found, given, due, end
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._began, self._held = 0.0, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._next()

    def _next(self) -> None:
        now = time.perf_counter()
        if now >= self._end:
            self._transport.close()
            return
        due = next(self._due)
        if due is not None and due > now:
            self._loop.call_later(due - now, self._write, due)
        else:
            self._write(now if due is None else due)

    def _write(self, began: float) -> None:
        self._began = began
        self._transport.write(next(self._given))

    def data_received(self, data: bytes) -> None:
        self._held += data
        if not self._take() and QUICK_ACK is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)

    def _take(self) -> bool:
        """Take the answer if it is whole, and send the next request."""
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._held[:end].lower()
        at = head.index(b"content-length:") + 15
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(self._held) < end + 4 + length:
            return False
        status = int(head[9:12])
        self._found.statuses[status] = self._found.statuses.get(status, 0) + 1
        self._found.latencies.append(time.perf_counter() - self._began)
        self._held = b""
        self._next()
        return True

    def connection_lost(self, _problem: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)
