"""Count decisions by the hour: what a share of flags is compared with, and when a feed fell silent."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, text

from screening.infra.database import Database
from screening.ledger.totals import Totals
from screening.monitoring.tables import Hour

HOUR_SECONDS = 3600
KEPT_HOURS = 24 * 60
NOTE = text(
    "INSERT INTO decisions_by_hour (hour, detector, source, rows, flagged) "
    "VALUES (:hour, :detector, :source, :rows, :flagged) "
    "ON CONFLICT (hour, detector, source) DO UPDATE SET rows = excluded.rows, flagged = excluded.flagged"
)


@dataclass(frozen=True, slots=True)
class Feed:
    """One detector and source: the totals at the end of some hours, the earliest first."""

    hours: Sequence[int]
    rows: Sequence[int]
    flagged: Sequence[int]

    def between(self, start: int, end: int) -> tuple[int, int]:
        """Return how many rows were decided, and how many of them flagged, in the hours after ``start`` to ``end``."""
        if not self.hours:
            return 0, 0
        # before the first hour nothing is known: what was decided until then belongs to no time
        low, high = (max(bisect_right(self.hours, hour) - 1, 0) for hour in (start, end))
        return self.rows[high] - self.rows[low], self.flagged[high] - self.flagged[low]

    def busy(self, start: int, end: int) -> list[int]:
        """Return the hours after ``start`` to ``end`` in which rows came."""
        return [
            hour
            for before, now, hour in zip(self.rows, self.rows[1:], self.hours[1:], strict=False)
            if start < hour <= end and now > before
        ]


def note(database: Database, found: Sequence[Totals], now: float, *, watched: bool) -> None:
    """Keep the totals as those of the present hour.

    Args:
        database: of the app.
        found: the totals.
        now: seconds since 1970.
        watched: whether they were noted a moment ago, too: a feed that is seen first then had no row until the hour
            before, and else nothing is known of how old its rows are.
    """
    hour = int(now // HOUR_SECONDS)
    with database.write() as session:
        known = {
            (name, source) for name, source in session.execute(select(Hour.detector, Hour.source).distinct())
        }
        for each in found:
            given = {"detector": each.detector, "source": each.source}
            if watched and (each.detector, each.source) not in known:
                session.execute(NOTE, {**given, "hour": hour - 1, "rows": 0, "flagged": 0})
            session.execute(NOTE, {**given, "hour": hour, "rows": each.count, "flagged": each.flagged})
        session.execute(delete(Hour).where(Hour.hour < hour - KEPT_HOURS))


def feeds(database: Database) -> Mapping[tuple[str, str], Feed]:
    """Return what is known, by detector and source."""
    found: dict[tuple[str, str], list[tuple[int, int, int]]] = defaultdict(list)
    with database.read() as session:
        for row in session.scalars(select(Hour).order_by(Hour.hour)):
            found[row.detector, row.source].append((row.hour, row.rows, row.flagged))
    return {key: Feed(*(list(column) for column in zip(*hours, strict=True))) for key, hours in found.items()}
