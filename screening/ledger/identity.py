"""Ids of transactions: UUIDs of version 7 (RFC 9562), whose last 32 bits count the rows of one file, or of the requests
of one caller that were decided together.

So a million rows of a file need no million random numbers on the disk, and an id alone tells where its row is.
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

ORIGIN_BYTES = 12
MOST_NUMBER = 2**32 - 1
PATTERN = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$"
"""A regular expression of the texts that :func:`parse` takes."""
# ids are written and read by the hundred thousand: uuid.UUID takes five times as long
_WRITTEN = re.compile(PATTERN.removesuffix("$"))


class TransactionId(NamedTuple):
    """The origin, 12 bytes that rows share which came in one file or were decided together, and which of them it is."""

    origin: bytes
    number: int

    def __str__(self) -> str:
        return f"{id_prefix(self.origin)}{self.number:08x}"


def new_origin(milliseconds: int) -> bytes:
    """Return the first 96 bits of a UUIDv7: the time, and 42 random bits.

    Args:
        milliseconds: since 1970.
    """
    chance = secrets.randbits(42)
    value = (
        (milliseconds & (2**48 - 1)) << 48 | 7 << 44 | (chance >> 30) << 32 | 2 << 30 | chance & (2**30 - 1)
    )
    return value.to_bytes(ORIGIN_BYTES, "big")


def id_prefix(origin: bytes) -> str:
    """Return how the ids of an origin's rows begin."""
    text = origin.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def first_id(milliseconds: int) -> str:
    """Return how ids of a moment begin: all that were given before it sort before this text."""
    time = milliseconds.to_bytes(6, "big").hex()
    return f"{time[:8]}-{time[8:]}"


def parse(text: str) -> TransactionId | None:
    """Return the parts of an id as :meth:`TransactionId.__str__` writes it; ``None`` for any other text."""
    if _WRITTEN.fullmatch(text) is None:
        return None
    found = bytes.fromhex(text.replace("-", ""))
    return TransactionId(found[:ORIGIN_BYTES], int.from_bytes(found[ORIGIN_BYTES:], "big"))
