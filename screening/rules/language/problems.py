"""Problems in the text of a rule, and their places."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from screening.errors import ScreeningError

SHOWN = 40
"""Characters of a text that are repeated in a message."""


class BadRule(ScreeningError):
    """A rule that can't be understood, or that asks for what there isn't."""

    title = "This rule can't be used"


def problem(text: str, at: int, what: str, remedy: str | None = None) -> BadRule:
    """Return an error that names the line and the character, both from 1.

    Args:
        text: of the whole rule.
        at: where in it, from 0.
        what: is wrong, as a sentence.
        remedy: what to do.
    """
    before = text[:at]
    line, character = before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
    return BadRule(what, f"line {line}, character {character}", remedy)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return the advice for a misspelt name; ``None`` where no known name is like it."""
    names = {each.casefold(): each for each in known}
    swapped = [each for each in names if sorted(each) == sorted(name.casefold())][:1]
    close = swapped or get_close_matches(name.casefold()[:SHOWN], list(names), n=2, cutoff=0.6)
    return f"Did you mean {' or '.join(names[each] for each in close)}?" if close else None


def excerpt(text: str) -> str:
    """Return a short piece of a text for a message."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
