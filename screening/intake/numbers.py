"""Which texts are numbers, and what to say about those that are not.

The grammar is narrower than Python's ``float``, which takes ``1_000``, ``١`` and ``infinity``.
"""

from __future__ import annotations

import re

NUMBER = re.compile(r"[ \t]*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[ \t]*", re.ASCII)
NUMBER_WITH_COMMA = re.compile(r"[ \t]*[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d+)?[ \t]*", re.ASCII)
LARGEST = 3e38
"""The scorer works in float32, whose largest number is 3.4e38."""
SHOWN = 40
MISSING = frozenset({"na", "n/a", "#n/a", "nan", "null", "none", "nil", "missing", "-", "--", "?", "."})
LONG_DIGITS = re.compile(r"\d(?:[ ._-]?\d){11,}")
ZERO, ONE, BLANK = 0, 1, -1
YES = frozenset(
    {"true", "yes", "y", "t", "fraud", "fraudulent", "bad", "si", "sí", "ja", "oui", "betrug", "fraude"}
)
NO = frozenset(
    {
        *("false", "no", "n", "f", "legit", "legitimate", "genuine", "good", "ok", "normal", "not fraud"),
        *("non-fraud", "nofraud", "nonfraud", "nein", "non", "legitim", "legitima", "legitime"),
    }
)

# The first that fits explains a text that is no number.
_KINDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[+-]?(?:inf|infinity|∞)", re.IGNORECASE), "is infinite"),
    (re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII), "has thousands separators; write 1234.5"),
    (
        re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+,\d+", re.ASCII),
        "has thousands separators; write 1234.5 or 1234,5",
    ),
    (
        re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", re.ASCII),
        "has a decimal comma where the file uses points",
    ),
    (
        re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?", re.ASCII),
        "has a decimal point where the file uses commas",
    ),
    (re.compile(r"[+-]?[\d_]+(?:\.[\d_]*)?", re.ASCII), "has an underscore between its digits"),
    (re.compile(r"[+-]?0[xX][0-9a-fA-F]+"), "is a hexadecimal number"),
    (re.compile(r"[+-]?[\d.,]+\s*%", re.ASCII), "is a percentage; write it as a plain number"),
    (
        re.compile(r"[+-]?\s*(?:[$€£¥₹]|[A-Z]{3})\s*[+-]?[\d.,]+"),
        "has a currency sign; write the plain number",
    ),
    (re.compile(r"[+-]?[\d.,]+\s*(?:[$€£¥₹]|[A-Z]{3})"), "has a currency sign; write the plain number"),
    (re.compile(r"\([\d.,]+\)", re.ASCII), "is in brackets; write a negative number with a minus"),
    (re.compile(r"(?:true|false|yes|no)", re.IGNORECASE), "is a yes or no, not a number"),
    (re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?", re.ASCII), "is a date, not a number"),
    (re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?", re.ASCII), "is a time of day, not a number"),
    (re.compile(r"[−–—]\s*[\d.,]+"), "has a typographic minus; write -"),
)


def number(text: str, decimal: str = ".") -> float | None:
    """The number that ``text`` is, or ``None``: plain decimal, optional sign and exponent, at most 3e38."""
    if decimal == ",":
        if not NUMBER_WITH_COMMA.fullmatch(text):
            return None
        text = text.replace(",", ".")
    elif not NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if abs(value) <= LARGEST else None


def explain(text: str, decimal: str = ".") -> str:
    """What is wrong with a text that :func:`number` refuses, in words."""
    bare = text.strip()
    if not bare or bare.casefold() in MISSING:
        return "is missing" if bare else "is empty"
    if (NUMBER_WITH_COMMA if decimal == "," else NUMBER).fullmatch(bare):
        return "is too large (beyond 3e38)"
    for kind, words in _KINDS:
        if kind.fullmatch(bare):
            return words
    if any(char.isdigit() and not char.isascii() for char in bare):
        return "has digits other than 0 to 9"
    return "is not a number"


def excerpt(text: str) -> str:
    """A short form of a cell, safe to show and log: no control characters, no run of 12 or more digits."""
    shown = masked("".join(char if char.isprintable() else "·" for char in text[: SHOWN * 4]))
    return shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"


def masked(text: str) -> str:
    """``text`` with every run of 12 or more digits (a card number, perhaps) blacked out."""
    return LONG_DIGITS.sub("••••", text)


def label(text: str) -> int | None:
    """0, 1, or -1 for a blank; ``None`` for a text that is no label."""
    bare = text.strip().casefold()
    if not bare:
        return BLANK
    if bare in YES or bare in NO:
        return int(bare in YES)
    value = number(bare.replace(",", "."))
    return int(value) if value in (ZERO, ONE) else None
