"""The text of an API key: how it is made, recognised and checked for typing errors.

``fsk_`` + public id (10 signs) + ``_`` + secret (43 signs) + checksum (6 signs). The prefix and the checksum let secret
scanners find a leaked key without false alarms; the id may appear in lists and logs. Letters and digits only, so that a
double click selects a whole key and nothing in it has to be escaped.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from urllib.parse import unquote

from screening.infra.audit.log import API_KEY, KEY_PREFIX

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
"""Of numbers to the base 62."""
# Without characters that are mistaken for others when an id is read out or typed.
ID_SIGNS = "23456789abcdefghjkmnpqrstuvwxyz"
ID_LENGTH = 10
SECRET_BITS = 256
# As many as hold 256 bits: 62^43 > 2^256.
SECRET_LENGTH = 43
# As many as hold the 32 bits of the checksum: 62^6 > 2^32.
CHECKSUM_LENGTH = 6
ID = slice(len(KEY_PREFIX), len(KEY_PREFIX) + ID_LENGTH)
LENGTH = len(KEY_PREFIX) + ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH
WHOLE = re.compile(
    rf"{KEY_PREFIX}[{ID_SIGNS}]{{{ID_LENGTH}}}_[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}", re.ASCII
)
ID_ALONE = re.compile(rf"[{ID_SIGNS}]{{{ID_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key in the moment in which it is made: its text is kept nowhere."""

    id: str
    text: str = field(repr=False)


def make() -> NewKey:
    """Return a new key of 256 random bits."""
    public = "".join(secrets.choice(ID_SIGNS) for _ in range(ID_LENGTH))
    body = f"{KEY_PREFIX}{public}_{base62(secrets.randbits(SECRET_BITS), SECRET_LENGTH)}"
    return NewKey(public, body + checksum(body))


def digest_of(text: str) -> bytes:
    """Return the SHA-256 of a key, 32 bytes, which is all that is kept of it. ``text`` must be ASCII.

    A fast hash is right here, where it would be wrong for a password: slow hashes make up for what people choose, and
    nobody goes through 2^256 random secrets at any speed. It is computed for every request.
    """
    return hashlib.sha256(text.encode("ascii")).digest()


def may_be(text: str) -> bool:
    """Return whether a text has a key's length and beginning: where it has, the signs of its id are no secret."""
    return len(text) == LENGTH and text.startswith(KEY_PREFIX) and text.isascii()


def is_whole(text: str) -> bool:
    """Return whether a text has a key's form and its checksum fits: one wrong or missing sign is seen."""
    return WHOLE.fullmatch(text) is not None and checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]


def id_in(text: str) -> str | None:
    """Return the id that a text names: an id alone, or the one in a key, whether the rest of it is right or not."""
    text = text.strip()
    if ID_ALONE.fullmatch(text):
        return text
    found = API_KEY.search(text)
    return found[1] if found else None


def id_in_url(target: str) -> str | None:
    """Return the id of a key that appears in a path or a query, also where it is percent-encoded."""
    if "%" in target:
        # a proxy may have encoded it once more
        target = unquote(unquote(target))
    found = API_KEY.search(target)
    return found[1] if found else None


def checksum(body: str) -> str:
    """Return the checksum of a key's body, which tells a damaged key without a look into the database."""
    return base62(zlib.crc32(body.encode("ascii")), CHECKSUM_LENGTH)


def base62(number: int, length: int) -> str:
    """Return ``number`` in ``length`` digits, the most significant first."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(DIGITS))
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))
