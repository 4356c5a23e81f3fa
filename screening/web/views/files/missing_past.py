"""Warn on pages where little is known of the past of those that a file is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class MissingPastColumn:
    """A column that says whom a row is about: its name in the file, how many it names, how many have no past."""

    column: str
    all: int
    new: int


@dataclass(frozen=True, slots=True)
class MissingPastView:
    """Missing past of a file, its consequences by the file's own labels, and the transactions that would help.

    ``caught``: for rows ``lacking`` a past and for the others (``known``) how many frauds were flagged, of how many;
    ``None`` without labels. ``since`` and ``begins``: from when to when transactions would count; ``None`` where the
    data have no calendar.
    """

    kinds: Sequence[MissingPastColumn]
    caught: Mapping[str, Sequence[int]] | None
    since: datetime | None
    begins: datetime | None

    @classmethod
    def of(cls, told: Mapping[str, Any] | None, called: Mapping[str, str]) -> Self | None:
        """Return the view of what the screening kept; ``None`` where little is missing, and of earlier versions.

        Args:
            told: see :meth:`screening.uploads.line.missing_past.MissingPast.told`.
            called: for columns of the detector their names in the file, where these are others.
        """
        if told is None:
            return None
        kinds = [
            MissingPastColumn(called.get(name, name), count, new) for name, count, new in told["kinds"] if new
        ]
        begins = None if told["begins"] is None else datetime.fromtimestamp(told["begins"], UTC)
        since = None if begins is None or not told["days"] else begins - timedelta(days=told["days"])
        caught = told["caught"] if told["caught"] and told["caught"]["lacking"][1] else None
        return cls(kinds, caught, since, begins)
