"""Cursor of a page of decisions, as a text that brings the next one: opaque, and the same in the API and on pages."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any

from screening.ledger import identity
from screening.ledger.filters import Cursor
from screening.ledger.moments import EPOCH
from screening.web.http.operations import TextKind

MOMENT_BYTES = 8
# 24 bytes in base64. The first byte is below 3, since the microseconds must make a date.
PATTERN = "A[A-Za-v][A-Za-z0-9_-]{30}"


def after(row: Mapping[str, Any]) -> str:
    """Return the text for the page that begins after a row of the ledger."""
    microseconds = (row["decided_at"] - EPOCH) // timedelta(microseconds=1)
    packed = microseconds.to_bytes(MOMENT_BYTES, "big") + row["origin"] + row["number"].to_bytes(4, "big")
    return base64.urlsafe_b64encode(packed).decode()


def read(raw: str) -> Cursor:
    """Return the place that a text means.

    Raises:
        ValueError: it isn't one of those that :func:`after` made.
    """
    if not re.fullmatch(PATTERN, raw):
        raise ValueError("the “next” of the page before")
    packed = base64.urlsafe_b64decode(raw)
    decided = EPOCH + timedelta(microseconds=int.from_bytes(packed[:MOMENT_BYTES], "big"))
    rest = packed[MOMENT_BYTES:]
    origin, number = rest[: identity.ORIGIN_BYTES], int.from_bytes(rest[identity.ORIGIN_BYTES :], "big")
    return Cursor(decided.replace(tzinfo=UTC), identity.TransactionId(origin, number))


KIND = TextKind(read, {"type": "string", "pattern": f"^{PATTERN}$"})
