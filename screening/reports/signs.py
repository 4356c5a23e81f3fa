"""Signs that the fonts of documents have, read from the font itself (the table ``cmap`` of a TrueType file)."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

FONT = Path(__file__).parent / "fonts" / "IBMPlexSans-Regular.ttf"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
SEGMENTS = 4
"""The form of the table that has ranges of signs of the basic plane; every TrueType font of text has it."""


def printable(text: object) -> str:
    """Return a text with � in place of each sign that the fonts haven't."""
    signs = _signs()
    return "".join(
        sign if ord(sign) in signs else UNKNOWN for sign in str(text).replace("\t", " ").replace("\n", " ")
    )


@cache
def _signs() -> frozenset[int]:
    font = FONT.read_bytes()
    (tables,) = struct.unpack_from(">H", font, 4)
    records = (struct.unpack_from(">4sLLL", font, 12 + 16 * place) for place in range(tables))
    at = next(offset for tag, _, offset, _ in records if tag == b"cmap")
    (count,) = struct.unpack_from(">H", font, at + 2)
    found: set[int] = set()
    for place in range(count):
        (offset,) = struct.unpack_from(">L", font, at + 4 + 8 * place + 4)
        if struct.unpack_from(">H", font, at + offset)[0] == SEGMENTS:
            found |= signs_in_segments(font, at + offset)
    return frozenset(found)


def signs_in_segments(font: bytes, at: int) -> set[int]:
    """Return the signs of a table of ranges; those that lead to no glyph, as the last range does, aren't among them."""
    (double,) = struct.unpack_from(">H", font, at + 6)
    count = double // 2

    def column(offset: int, kind: str) -> tuple[int, ...]:
        return struct.unpack_from(f">{count}{kind}", font, at + offset)

    ends, starts = column(14, "H"), column(16 + double, "H")
    deltas, ranges = column(16 + 2 * double, "h"), column(16 + 3 * double, "H")
    found = set()
    for place, (start, end, delta, shift) in enumerate(zip(starts, ends, deltas, ranges, strict=True)):
        for sign in range(start, end + 1):
            glyph = sign + delta
            if shift:
                here = at + 16 + 3 * double + 2 * place + shift + 2 * (sign - start)
                (glyph,) = struct.unpack_from(">H", font, here)
            if glyph & 0xFFFF:
                found.add(sign)
    return found
