"""Labels that come after a decision: what a transaction turned out to be. They are joined to the rows when read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.ledger.identity import TransactionId
from screening.ledger.tables import Label
from screening.ledger.velocity.state import Velocity

FEED = "feed"
"""The source of labels that programs send: chargebacks, and decisions made elsewhere."""
REVIEW = "review"
"""The source of labels that people decide on the pages of cases."""
MOST_PARAMETERS = 400
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class LaterLabel:
    """A label that came for one transaction after it was scored."""

    id: TransactionId
    label: int
    """1 for fraud, 0 for legitimate."""
    at: datetime | None = None
    """Time at which that became known; ``None`` is now."""
    fraud_type: str | None = None


class Labels:
    """The later labels of one instance."""

    def __init__(self, tables: Database, velocity: Velocity) -> None:
        self._tables, self._velocity = tables, velocity

    def say(self, said: Sequence[LaterLabel], by: str, source: str = FEED) -> None:
        """Keep labels, all or none; the last one of a transaction counts, also for what looks back on it."""
        moment = now()
        last = {
            str(each.id): {
                "label": each.label,
                "fraud_type": each.fraud_type,
                "at": each.at or moment,
                "source": source,
                "by": by,
                "written": moment,
            }
            for each in said
        }
        ids = list(last)
        with self._tables.write() as session:
            for start in range(0, len(ids), MOST_PARAMETERS):
                session.execute(delete(Label).where(Label.id.in_(ids[start : start + MOST_PARAMETERS])))
            if last:
                session.execute(insert(Label), [{"id": number, **told} for number, told in last.items()])
        self._velocity.relabel([(str(each.id), each.label) for each in said])

    def standing(self, ids: Sequence[str], but: str = REVIEW) -> dict[str, dict[str, Any]]:
        """Return the later labels that some transactions have, of other sources than one, as :meth:`withdraw` takes
        them.
        """
        found: dict[str, dict[str, Any]] = {}
        with self._tables.read() as session:
            for start in range(0, len(ids), MOST_PARAMETERS):
                some = Label.id.in_(ids[start : start + MOST_PARAMETERS]), Label.source != but
                for row in session.scalars(select(Label).where(*some)):
                    found[row.id] = {
                        "label": row.label,
                        "fraud_type": row.fraud_type,
                        "at": row.at.isoformat(),
                        "source": row.source,
                        "by": row.by,
                        "written": row.written.isoformat(),
                    }
        return found

    def withdraw(self, said: Sequence[tuple[str, dict[str, Any] | None, int | None]], source: str) -> None:
        """Take back labels of a source; where somebody else has said something since, that stays.

        Args:
            said: of each transaction its id, the later label that it had before (:meth:`standing`), and the label that
                it came with.
            source: whose labels go.
        """
        relabelled: list[tuple[str, int]] = []
        with self._tables.write() as session:
            for number, earlier, own in said:
                row = session.get(Label, number)
                if row is None or row.source != source:
                    continue
                session.delete(row)
                session.flush()
                if earlier is not None:
                    at, written = (datetime.fromisoformat(earlier[name]) for name in ("at", "written"))
                    session.add(Label(id=number, **{**earlier, "at": at, "written": written}))
                relabelled.append((number, earlier["label"] if earlier else UNKNOWN if own is None else own))
        if relabelled:
            self._velocity.relabel(relabelled)
