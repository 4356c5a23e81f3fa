"""Messages of a stream: their place, the request that each of them is, and the key under which it counts once."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

import msgspec

from screening.errors import BadTransaction
from screening.streams.options import FIELD, KEY, StreamOptions

HEADER = "idempotency-key"
REQUEST = frozenset({"transaction", "transactions"})
"""Fields of which a request of the API has one at its top; what has neither is a transaction by itself."""
PURPOSE = "stream keys"
"""Purpose of the secret that keys of messages are hashed with: they may be card numbers."""
MOST_NUMBER = 64
NO_VALUE = BadTransaction(
    "The message has no value, as one that removes its key from a compacted topic.",
    remedy="Send the transaction as JSON.",
)
NO_HEADERS = BadTransaction(
    "The message has a header whose name isn't UTF-8, so none of its headers can be read.",
    remedy="Name headers in UTF-8, and send it again.",
)
MessageHeader = tuple[str, bytes | None]
"""Name and value."""
JsonFields = dict[str, msgspec.Raw]
"""Object of JSON, whose values are as they came."""
_decode_fields = msgspec.json.Decoder(JsonFields).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
# Where a name isn't UTF-8 the client notes an error and returns a list all the same, with nothing in the name's place.
# A call from C sees the error; the interpreter's shortcut for methods that are often called doesn't, and crashes.
_headers = methodcaller("headers")


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
    body: bytes | BadTransaction
    """Or why the message can be no request."""
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
        value, key = message.value(), message.key()
        fields = None if value is None else fields_of(value)
        headers = headers_of(message)
        given = given_key(headers or ())
        known = self._key(place, key, fields) if given is None else given
        body = NO_HEADERS if headers is None else self._body(value, fields)
        return MessageRequest(place, body, known, key)

    def _body(self, value: bytes | None, fields: JsonFields | None) -> bytes | BadTransaction:
        if value is None:
            return NO_VALUE
        # what isn't an object by itself must not become one by what is put around it
        if fields is None:
            return value
        if not fields.keys() & REQUEST:
            return self._head + value + b"}"
        # “{” and a detector, where there is to be one and the request names none
        if len(self._named) == 1 or "detector" in fields:
            return value
        return self._named + b"," + value.lstrip()[1:]

    def _key(self, place: MessagePlace, key: bytes | None, fields: JsonFields | None) -> str:
        found = key if self._by == KEY else None
        if self._by.startswith(FIELD):
            found = field_of(fields, self._by.removeprefix(FIELD))
        # without any, what is delivered again is known by its place; senders without keys may send empty ones
        what = found or f"{place.topic}/{place.partition}/{place.offset}".encode()
        kind = b"key " if found else b"place "
        return hmac.new(self._secret, kind + what, "sha256").hexdigest()


def fields_of(value: bytes) -> JsonFields | None:
    """Return the fields of bytes that are one JSON object, by a reader that takes what the careful one takes, or less;
    ``None`` for any other bytes.
    """
    try:
        return _decode_fields(value)
    except (ValueError, RecursionError):
        return None


def headers_of(message: Any) -> list[MessageHeader] | None:
    """Return the headers of a message; ``None`` where a name isn't UTF-8, since the client tells none then."""
    try:
        return _headers(message) or []
    except (SystemError, UnicodeDecodeError):
        return None


def given_key(headers: Sequence[MessageHeader]) -> str | None:
    """Return the ``Idempotency-Key`` among a message's headers, as it is; whoever decides says whether it is one."""
    for name, value in headers:
        if name.lower() == HEADER:
            return (value or b"").decode("utf-8", "replace").strip(" ")
    return None


def field_of(fields: JsonFields | None, name: str) -> bytes | None:
    """Return what a transaction has in a field, as bytes that tell it from any other; ``None`` where it has nothing.

    Args:
        fields: of the message; ``None`` where it is no object.
        name: of the field.
    """
    if fields is None:
        return None
    inner = fields_of(fields["transaction"]) if "transaction" in fields else fields
    if inner is None or name not in inner:
        return None
    try:
        said = _decode(inner[name])
    except (ValueError, RecursionError):
        return None
    return None if said in (None, "") else _encode(said)
