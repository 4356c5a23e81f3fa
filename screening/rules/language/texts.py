"""Texts as rules compare them: as the ledger keeps them, and whatever their case."""

from __future__ import annotations

from screening.transactions.encoding import plain_text


def plain(text: str) -> str | None:
    """Return a text of a rule or a list as it is compared; ``None`` for what counts as missing in a cell."""
    found = plain_text(text)
    return None if found is None else fold(found)


def fold(text: str) -> str:
    """Return a text in small letters, letter by letter, as SQL's ``lower`` in DuckDB does.

    ``str.lower`` alone would look at the letters beside a Σ, and make two characters of an İ.
    """
    return text.lower() if text.isascii() else "".join([sign.lower()[0] for sign in text])
