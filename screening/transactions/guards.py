"""Strip from a cell what isn't part of its value: blanks, marks that nobody sees, and what keeps a spreadsheet from
taking a text for a number or a formula.
"""

from __future__ import annotations

import re

MARKS = "='"
"""First characters of a guard."""
_FORMULA = re.compile(r'=\s*"([^"]*)"')
_APOSTROPHE = re.compile(r"'(?=[\d=+\-@])", re.ASCII)
UNSEEN = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Byte order marks of files that were put together, and marks of the direction of text."""
_AROUND = UNSEEN + "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
# Guards can be nested: an export guards ``="007"`` with an apostrophe.
MOST = 2


def unguarded(text: str) -> str:
    """Return a cell without its guard: ``="007"`` and ``'007`` are ``007``, and ``'t Hooft`` stays what it is."""
    for _ in range(MOST):
        if not text or text[0] not in MARKS:
            break
        formula = _FORMULA.fullmatch(text.rstrip())
        text = formula[1] if formula else _APOSTROPHE.sub("", text, count=1) if text[0] == "'" else text
    return text


def bare(text: str) -> str:
    """Return what a cell says: all readers of texts, numbers, times and labels take it from here."""
    plain = text.strip()
    if not plain.isascii():
        plain = plain.strip(_AROUND)
    return unguarded(plain).strip() if plain and plain[0] in MARKS else plain
