"""Labels that come after a decision: what a transaction turned out to be. They are joined to the rows when read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger.identity import TransactionId
from screening.ledger.tables import Label
from screening.ledger.velocity.state import Velocity

FEED = "feed"
"""The source of labels that programs send: chargebacks, and decisions made elsewhere."""


@dataclass(frozen=True, slots=True)
class LaterLabel:
    """What one transaction turned out to be."""

    id: TransactionId
    label: int
    """1 for fraud, 0 for legitimate."""
    at: datetime | None = None
    """When that became known; ``None`` is now."""
    fraud_type: str | None = None


class Labels:
    """The later labels of one instance."""

    def __init__(self, tables: Database, velocity: Velocity) -> None:
        self._tables, self._velocity = tables, velocity

    def say(self, said: Sequence[LaterLabel], by: str, source: str = FEED) -> None:
        """Keep labels, all or none; the last one of a transaction counts, also for what looks back on it."""
        moment = now()
        with self._tables.write() as session:
            for each in said:
                session.merge(
                    Label(
                        id=str(each.id),
                        label=each.label,
                        fraud_type=each.fraud_type,
                        at=each.at or moment,
                        source=source,
                        by=by,
                        written=moment,
                    )
                )
        self._velocity.relabel([(str(each.id), each.label) for each in said])
