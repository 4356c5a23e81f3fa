"""Lists that are shown a page at a time."""

from __future__ import annotations

from flask import request


def page_number() -> int:
    """Return the page that the address asks for, from 1; the first one for any other text."""
    raw = request.args.get("page", "1")
    return max(int(raw), 1) if raw.isascii() and raw.isdigit() and len(raw) < 9 else 1
