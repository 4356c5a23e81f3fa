"""Signs that documents can print: read from the font by the product, and by fontTools here."""

from __future__ import annotations

import pytest

from screening.reports.signs import FONT, UNKNOWN, printable

fonts = pytest.importorskip("fontTools.ttLib")


def test_every_sign_of_the_font_is_printed_and_no_other() -> None:
    there = set(fonts.TTFont(FONT).getBestCmap())
    assert len(there) > 800
    for sign in (chr(each) for each in range(0x20, 0xD800)):
        expected = sign if ord(sign) in there else UNKNOWN
        assert printable(sign) == expected, f"U+{ord(sign):04X}"
    assert printable("a\tb\nc") == "a b c"
    assert printable("\U0001f600") == UNKNOWN, "beyond the basic plane"
