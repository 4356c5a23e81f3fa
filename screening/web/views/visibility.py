"""Limit the rows of the ledger that a page may show."""

from __future__ import annotations

from screening.web.http.sessions import may, user


def owner_seen() -> str | None:
    """Return the owner whose rows the account behind this request may see; ``None`` where it may see everybody's."""
    return None if may("see_all") else user().username.casefold()
