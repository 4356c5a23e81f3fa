"""Moments as the ledger's tables and segments have them: in UTC, without a zone."""

from __future__ import annotations

from datetime import UTC, datetime

EPOCH = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
LATEST_SECONDS = 253_402_300_799.0
"""The end of the year 9999, which is where times end, in seconds since 1970."""


def without_zone(moment: datetime) -> datetime:
    """Return a moment as it is stored and asked for: in UTC, and without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def with_zone(moment: datetime) -> datetime:
    """Return a stored moment with its zone, which is UTC."""
    return moment.replace(tzinfo=UTC)
