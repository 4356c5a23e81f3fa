"""Decisions of a day, counted; apart from who counts them, since pages read them without the engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DayCounts:
    """The decisions of one day (UTC) and source; rows without a label are in no figure of those that have one."""

    day: int
    """Days since 1970."""
    source: str
    rows: int
    flagged: int
    caught: int
    """Flagged, and fraud."""
    false_alarms: int
    """Flagged, and legitimate."""
    missed: int
    """Not flagged, and fraud."""
    passed: int
    """Not flagged, and legitimate."""
