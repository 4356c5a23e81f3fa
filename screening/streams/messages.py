"""Messages of a stream: their place, the request that each of them is, and the key under which it counts once."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

import msgspec

from screening.streams.options import FIELD, KEY, StreamOptions

HEADER = "idempotency-key"
# A request of the API has one of these at its top; what has neither is a transaction by itself.
MARKS = (b'"transaction"', b'"transactions"')
PURPOSE = "stream keys"
"""Purpose of the secret that keys of messages are hashed with: they may be card numbers."""
NAMED = b'"detector"'
MOST_NUMBER = 64
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class MessagePlace:
    """Place of a message: topic, partition and offset."""

    topic: str
    partition: int
    offset: int

    @property
    def number(self) -> str:
        """The number of the request, as the ledger and the log have it: the end of it tells the message."""
        return f"{self.topic}-{self.partition}-{self.offset}"[-MOST_NUMBER:].lstrip("-._")

    @property
    def path(self) -> str:
        """The path that a problem names."""
        return f"/{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """A message as a request of the API: its body, and the key under which it counts once."""

    place: MessagePlace
    body: bytes
    idempotency_key: str
    key: bytes | None
    """Key of the message, which the answer has, too."""


class MessageReader:
    """Reads messages as requests.

    Args:
        options: of the stream.
        secret: what keys of messages are hashed with.
    """

    def __init__(self, options: StreamOptions, secret: bytes) -> None:
        self._by, self._secret = options.counts_by, secret
        named = {} if options.detector is None else {"detector": options.detector}
        self._named = _encode(named)[:-1]
        self._head = _encode({**named, "transaction": 0})[:-2]

    def read(self, message: Any) -> MessageRequest:
        """Return the request that a message of the client is.

        A message that is no JSON becomes one that isn't, too: whoever decides says what is wrong with it.
        """
        place = MessagePlace(message.topic(), message.partition(), message.offset())
        value, key = message.value() or b"", message.key()
        plain = not any(mark in value for mark in MARKS)
        given = given_key(message.headers())
        known = self._key(place, key, value, plain=plain) if given is None else given
        return MessageRequest(place, self._body(value, plain=plain), known, key)

    def _body(self, value: bytes, *, plain: bool) -> bytes:
        # what isn't an object by itself must not become one by what is put around it
        if not is_object(value):
            return value
        if plain:
            return self._head + value + b"}"
        # “{” and a detector, where there is to be one and the request names none
        return value if len(self._named) == 1 or NAMED in value else self._named + b"," + value.lstrip()[1:]

    def _key(self, place: MessagePlace, key: bytes | None, value: bytes, *, plain: bool) -> str:
        found: bytes | None = key if self._by == KEY else None
        if self._by.startswith(FIELD):
            found = field_of(value, self._by.removeprefix(FIELD), plain=plain)
        # without any, what is delivered again is known by its place
        what = f"{place.topic}/{place.partition}/{place.offset}".encode() if found is None else found
        kind = b"place " if found is None else b"key "
        return hmac.new(self._secret, kind + what, "sha256").hexdigest()


def is_object(value: bytes) -> bool:
    """Return whether bytes are one JSON object, by a reader that takes what the careful one takes, or less."""
    try:
        _decode(value)
    except (ValueError, RecursionError):
        return False
    return True


def given_key(headers: list[tuple[str, bytes | None]] | None) -> str | None:
    """Return the ``Idempotency-Key`` among a message's headers, as it is; whoever decides says whether it is one."""
    for name, value in headers or ():
        if name.lower() == HEADER:
            return (value or b"").decode("utf-8", "replace").strip(" ")
    return None


def field_of(value: bytes, name: str, *, plain: bool) -> bytes | None:
    """Return what a transaction has in a field, as bytes that tell it from any other; ``None`` where it has nothing."""
    try:
        body = _decode(value)
    except (ValueError, RecursionError):
        return None
    found = body if plain else body.get("transaction")
    said = found.get(name) if isinstance(found, dict) else None
    return None if said is None else _encode(said)
