"""Answer the questions of monitoring about the ledger: how scores and values lay, and how flags did where labels are
known.

All of it goes by the time of the decision, not by the transaction's own: a detector is watched at its work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from screening.infra.database import Database
from screening.ledger.filters import DecisionFilter
from screening.ledger.moments import with_zone, without_zone
from screening.ledger.queries.day_counts import DayCounts
from screening.ledger.queries.questions import Questions
from screening.ledger.tables import FileCounts

DELAY_SHARE = 0.9
"""Of the labels that came later, so many had come after the delay."""


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays from a decision to its label."""

    labels: int
    seconds: float
    """:data:`DELAY_SHARE` of them had come by then."""
    oldest: datetime
    """The first decision that has one."""


class Observed:
    """Asks the ledger of one instance; for the worker, since each question may take seconds."""

    def __init__(self, tables: Database, questions: Questions) -> None:
        self._tables, self._questions = tables, questions

    def scores(
        self, detector: str, fingerprint: str, since: Sequence[datetime], edges: Sequence[float]
    ) -> Mapping[tuple[int, str], NDArray[np.int64]]:
        """Count rows by probability, by period and by source.

        Args:
            detector: whose decisions.
            fingerprint: of the detector as it is now: one of its name that was made again is another one.
            since: when the periods begin, the latest first: each ends where the one before it begins.
            edges: the highest probability of each bin but the last.

        Returns:
            by place in ``since`` and source, (edges + 1,).
        """
        ages = " + ".join(f"(decided_at < $s{place}::TIMESTAMP)::INTEGER" for place in range(len(since) - 1))
        bins = " + ".join(f"(probability::DOUBLE > {float(edge)!r}::DOUBLE)::INTEGER" for edge in edges)
        query = f"SELECT {ages or 0} AS age, source, {bins} AS bin, count(*) AS rows FROM chosen GROUP BY ALL"
        given = {f"s{place}": without_zone(moment) for place, moment in enumerate(since[:-1])}
        chosen = DecisionFilter(detector=detector, fingerprint=fingerprint, decided_from=since[-1])
        found: dict[tuple[int, str], NDArray[np.int64]] = {}
        for row in self._questions.ask(query, chosen, given).rows:
            counts = found.setdefault((row["age"], row["source"]), np.zeros(len(edges) + 1, np.int64))
            counts[row["bin"]] += row["rows"]
        return found

    def transactions(
        self, detector: str, fingerprint: str, since: datetime, *, one_of: int, most: int
    ) -> list[str]:
        """Return transactions of the API and of streams as they came, as JSON: no others have their values here.

        Args:
            detector: whose decisions.
            fingerprint: as in :meth:`scores`.
            since: the first decision.
            one_of: of so many one is drawn, by its id: the same ones each time.
            most: at most so many.
        """
        chosen = DecisionFilter(detector=detector, fingerprint=fingerprint, decided_from=since)
        drawn = "hash(origin, number) % $one_of = 0"
        query = (
            f'SELECT "values" AS given FROM chosen WHERE {drawn} AND "values" IS NOT NULL LIMIT {int(most)}'
        )
        return [row["given"] for row in self._questions.ask(query, chosen, {"one_of": one_of}).rows]

    def file_counts(self, detector: str, fingerprint: str, since: datetime) -> Sequence[FileCounts]:
        """Return how the values of files lay that were screened since a moment."""
        wanted = select(FileCounts).where(
            FileCounts.detector == detector,
            FileCounts.fingerprint == fingerprint,
            FileCounts.decided_at >= since,
        )
        with self._tables.read() as session:
            return session.scalars(wanted.order_by(FileCounts.decided_at)).all()

    def days(self, detector: str, since: datetime) -> list[DayCounts]:
        """Count by day (UTC) and source what was flagged, and what it turned out to be; the earliest first."""
        counted = {
            "rows": "true",
            "flagged": "flagged",
            "caught": "flagged AND known = 1",
            "false_alarms": "flagged AND known = 0",
            "missed": "NOT flagged AND known = 1",
            "passed": "NOT flagged AND known = 0",
        }
        counts = ", ".join(
            f"count(*) FILTER (WHERE {condition}) AS {name}" for name, condition in counted.items()
        )
        day = "date_diff('day', DATE '1970-01-01', decided_at)"
        query = f"SELECT {day} AS day, source, {counts} FROM chosen GROUP BY ALL ORDER BY ALL"
        rows = self._questions.ask(query, DecisionFilter(detector=detector, decided_from=since)).rows
        return [DayCounts(**row) for row in rows]

    def delays(self, detector: str, since: datetime, until: datetime) -> Delays | None:
        """Return how long labels took that came after the decision; ``None`` where there are none.

        Args:
            detector: whose decisions.
            since: the first decision.
            until: before which it was made: of younger ones only the quick labels have come.
        """
        seconds = f"quantile_disc(epoch(known_at - decided_at), {DELAY_SHARE})"
        query = (
            f"SELECT count(*) AS labels, {seconds} AS seconds, min(decided_at) AS oldest FROM chosen "
            "WHERE known_at > decided_at AND decided_at < $until::TIMESTAMP"
        )
        chosen = DecisionFilter(detector=detector, decided_from=since)
        rows = self._questions.ask(query, chosen, {"until": without_zone(until)}).rows
        if not rows or not rows[0]["labels"]:
            return None
        return Delays(rows[0]["labels"], float(rows[0]["seconds"]), with_zone(rows[0]["oldest"]))
