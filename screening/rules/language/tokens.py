"""Cuts the text of a rule into words, numbers, texts and signs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from screening.rules.language.problems import excerpt, problem

MOST_CHARACTERS = 2_000
"""Of one rule."""
# Beyond this a float64 leaves whole numbers out, so a rule can't name them.
LARGEST = 1e15
UNITS = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
"""Seconds, as in ``15min``; a number without a unit is as it stands."""
WORDS = frozenset({"and", "or", "not", "in", "is", "missing", "list", "true", "false"})
"""Names that mean something by themselves; a column of such a name is written in backquotes."""


class TokenKind(Enum):
    """Kinds of tokens."""

    NAME = "a name"
    WORD = "a word"
    NUMBER = "a number"
    TEXT = "a text"
    SIGN = "a sign"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a rule."""

    kind: TokenKind
    text: str
    """As it is compared: words in small letters, names and texts without their quotes."""
    at: int
    """Place of its first character, from 0."""
    number: float = 0.0
    """Of a number; seconds where it has a unit."""
    unit: str = ""

    @property
    def said(self) -> str:
        """Name of the token in messages."""
        return "the end of the rule" if self.kind is TokenKind.END else f"“{excerpt(self.text)}”"


# Each branch begins with other characters than the rest, and none can match in two ways, so matching takes
# linear time.
PATTERN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+ | \#[^\n]*)
  | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)(?P<unit>[A-Za-z_]\w*)?
  | (?P<name>[^\W\d]\w*)
  | `(?P<quoted>[^`\n]*)`
  | "(?P<text>(?:[^"\\\n]|\\["\\])*)"
  | (?P<sign><=|>=|!=|<>|==|[=<>+\-*/(),\[\]])
    """,
    re.VERBOSE,
)
SAME = {"=": "==", "<>": "!="}


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a rule, the end as the last one.

    Raises:
        BadRule: it is too long, or has something that is no token.
    """
    if len(text) > MOST_CHARACTERS:
        raise problem(
            text,
            MOST_CHARACTERS,
            f"The rule has {len(text):,} characters, and may have {MOST_CHARACTERS:,}.",
            "Split it into several rules, or put its values into a list.",
        )
    at = 0
    while at < len(text):
        found = PATTERN.match(text, at)
        if found is None:
            raise _strange(text, at)
        if found["space"] is None:
            yield _token(text, at, found)
        at = found.end()
    yield Token(TokenKind.END, "", len(text))


def _token(text: str, at: int, found: re.Match[str]) -> Token:
    if found["number"] is not None:
        return _number(text, at, found["number"], found["unit"] or "")
    if found["name"] is not None:
        word = found["name"].casefold()
        return Token(TokenKind.WORD, word, at) if word in WORDS else Token(TokenKind.NAME, found["name"], at)
    if found["quoted"] is not None:
        return Token(TokenKind.NAME, found["quoted"], at)
    if found["text"] is not None:
        return Token(TokenKind.TEXT, re.sub(r'\\(["\\])', r"\1", found["text"]), at)
    return Token(TokenKind.SIGN, SAME.get(found["sign"], found["sign"]), at)


def _number(text: str, at: int, digits: str, unit: str) -> Token:
    if not digits.isascii():
        raise problem(text, at, f"“{excerpt(digits)}” isn't written in the digits 0 to 9.")
    if unit and unit.casefold() not in UNITS:
        raise problem(
            text,
            at + len(digits),
            f"“{excerpt(unit)}” is no unit of time.",
            f"Write {', '.join(UNITS)} as in 15min; or nothing, as in 1000.",
        )
    value = float(digits) * UNITS.get(unit.casefold(), 1.0)
    if not math.isfinite(value) or value > LARGEST:
        raise problem(text, at, f"“{excerpt(digits + unit)}” is too large.", "Numbers go up to 1e15.")
    return Token(TokenKind.NUMBER, digits + unit, at, value, unit.casefold())


def _strange(text: str, at: int) -> Exception:
    sign = text[at]
    if sign == '"':
        return problem(text, at, "A text isn't closed.", 'Put a " at its end, on the same line.')
    if sign == "`":
        return problem(text, at, "A name isn't closed.", "Put a ` at its end, on the same line.")
    if sign in "'“”‘’„":
        return problem(text, at, f'A text is written in ", not in {sign}.', 'Write "DE".')
    remedy = {
        "&": "Write and.",
        "|": "Write or.",
        "!": "Write not, or !=.",
        "≥": "Write >=.",
        "≤": "Write <=.",
    }
    shown = sign if sign.isprintable() else f"U+{ord(sign):04X}"
    return problem(text, at, f"“{shown}” means nothing here.", remedy.get(sign))
