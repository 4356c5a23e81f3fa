"""What keeps a spreadsheet from taking a text for a number or a formula: it isn't part of what the cell says."""

from __future__ import annotations

import re

MARKS = "='"
"""What a guard begins with."""
_FORMULA = re.compile(r'=\s*"([^"]*)"')
_APOSTROPHE = re.compile(r"'(?=[\d=+\-@])", re.ASCII)
MOST = 2
"""Guards around each other: an export guards ``="007"`` with an apostrophe."""


def unguarded(text: str) -> str:
    """Return a cell without its guard: ``="007"`` and ``'007`` are ``007``, and ``'t Hooft`` stays what it is."""
    for _ in range(MOST):
        if not text or text[0] not in MARKS:
            break
        formula = _FORMULA.fullmatch(text.rstrip())
        text = formula[1] if formula else _APOSTROPHE.sub("", text, count=1) if text[0] == "'" else text
    return text
