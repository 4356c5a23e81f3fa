"""Texts and addresses as the numbers that stand for them: one meaning for files, JSON and training.

Standard library and NumPy only: a web process that scores one transaction pays for nothing else.
"""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from screening.transactions.guards import bare
from screening.transactions.missing import missing

# As many as a float64 holds exactly. Of 180 files with ten million different texts each, one has a pair that
# shares a code.
CODE_BITS = 53
WHOLE = re.compile(r"([+-]?(?:0|[1-9]\d{0,17}))\.0+", re.ASCII)
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
Floats = NDArray[np.float64]
# Longer cells name nobody, so they aren't kept as an identity.
MOST_CHARACTERS = 200


def text_code(text: str) -> float:
    """Return the number of a text: equal for texts that differ by case, surrounding spaces, Unicode form, or by a
    ``.0``.

    Case plays no part, as in headers: "Visa" and "VISA" are one scheme, and identifiers that differ by case alone are
    rarer than exports that change it. Nor does what guards a text from a spreadsheet. Leading zeros do: account 007
    isn't account 7.
    """
    plain = bare(text)
    if not plain.isascii():
        plain = unicodedata.normalize("NFC", plain)
    whole = WHOLE.fullmatch(plain)
    key = whole[1] if whole else plain.casefold()
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return float(int.from_bytes(digest, "big") >> (64 - CODE_BITS))


def text_length(text: str) -> float:
    """Return the number of characters of a text, without spaces around it and what guards it from a spreadsheet."""
    return float(len(bare(text)))


def domain_code(text: str) -> float:
    """Return the code of what follows the ``@`` of an e-mail address, and of all of a text without one."""
    return text_code(bare(text).rpartition("@")[2] or text)


def plain_text(cell: str) -> str | None:
    """Return a cell as an identity, ``None`` for nothing.

    It is what :func:`text_code` makes a code of, but for the case, which is kept for
    people to read.
    """
    if missing(cell):
        return None
    text = bare(cell)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    whole = WHOLE.fullmatch(text)
    return (whole[1] if whole else text)[:MOST_CHARACTERS]


def address_code(text: str) -> float | None:
    """Return an IP address: IPv4, dotted or as a number (its fraction is dropped), from 0; IPv6 as a negative code.

    ``None`` for a text that is none.
    """
    plain = bare(text)
    if NUMBER.fullmatch(plain):
        # 1e999 is a number too, and an infinite one
        value = float(plain)
        return float(math.floor(value)) if 0 <= value < 2**32 else None
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return float(int(mapped)) if mapped else -1.0 - text_code(address.compressed)
    return float(int(address))


def codes(texts: Sequence[str], read: Callable[[str], float | None]) -> Floats:
    """Return the number that ``read`` makes of each text, float64 (len(texts),), NaN for ``None``; equal texts are read
    once.
    """
    known: dict[str, float] = {}
    found = np.empty(len(texts))
    for place, text in enumerate(texts):
        value = known.get(text)
        if value is None:
            made = read(text)
            value = known[text] = math.nan if made is None else made
        found[place] = value
    return found
