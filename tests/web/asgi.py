"""Calls the app as the server's event loop does, in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from screening.web.http.arriving import Message
from screening.web.http.front import Front


@dataclass(frozen=True)
class Heard:
    """An answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class Told:
    """A request."""

    body: bytes = b""
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = ()
    method: str = "POST"
    path: str = "/detect_fraud"
    query: str = ""
    scheme: str = "http"
    pieces: int = 1
    """In so many pieces the body comes."""

    def fields(self) -> list[tuple[str, str]]:
        given = self.headers.items() if isinstance(self.headers, Mapping) else self.headers
        named = {name.lower() for name, _ in given}
        host = [] if "host" in named else [("Host", "localhost")]
        length = [] if "transfer-encoding" in named else [("Content-Length", str(len(self.body)))]
        return [*host, *length, *given]


def call(front: Front, told: Told) -> Heard:
    """Send one request, and wait for its answer."""
    return call_together(front, [told])[0]


def call_together(front: Front, every: Iterable[Told]) -> list[Heard]:
    """Send some requests at once, on one event loop."""

    async def all_of_them() -> list[Heard]:
        return await asyncio.gather(*(_call(front, told) for told in every))

    return asyncio.run(all_of_them())


async def _call(front: Front, told: Told) -> Heard:
    size = max(-(-len(told.body) // told.pieces), 1)
    pieces = [told.body[at : at + size] for at in range(0, len(told.body), size)] or [b""]
    messages: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, start=1)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": told.method,
        "raw_path": told.path.encode(),
        "query_string": told.query.encode(),
        "http_version": "1.1",
        "scheme": told.scheme,
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 50_000),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in told.fields()],
    }
    await front(scope, receive, send)
    headers = [(name.decode(), value.decode("latin-1")) for name, value in sent[0]["headers"]]
    return Heard(sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:]))
