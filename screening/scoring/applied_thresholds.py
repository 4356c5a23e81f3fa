"""Set the thresholds of a detector: a manager's word, kept with its history. Without one the operator's holds for all.

With two, what reaches the first is flagged, as ever, and what reaches the second is to be stopped without a look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from sqlalchemy import Double, Index, Integer, String, select
from sqlalchemy.orm import Mapped, mapped_column

from screening.errors import ScreeningError
from screening.infra.database import Base, Database, UntilChanged
from screening.infra.job_queue import UtcDateTime, now
from screening.scoring.thresholds import Thresholds, flag

MOST_REASON = 500


class BadThreshold(ScreeningError):
    """Thresholds that a detector can't have; nothing was changed."""

    status = 422
    title = "These thresholds can't be applied"


class ThresholdRow(Base):
    """An entry in the history of one detector's thresholds; the latest of them holds."""

    __tablename__ = "detector_thresholds"
    __table_args__ = (Index("detector_thresholds_by_detector", "detector", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    detector: Mapped[str] = mapped_column(String(64))
    review: Mapped[float | None] = mapped_column(Double)
    """From which on a row is flagged; ``None`` for the operator's."""
    block: Mapped[float | None] = mapped_column(Double)
    """From which on it is to be stopped without a look; ``None`` where none is."""
    reason: Mapped[str] = mapped_column(String(MOST_REASON))
    said_by: Mapped[str] = mapped_column(String(128))
    said: Mapped[datetime] = mapped_column(UtcDateTime)


@dataclass(frozen=True, slots=True)
class BlockChange:
    """Since when a detector has which second threshold; ``None`` for none."""

    detector: str
    since: datetime
    block: float | None


class AppliedThresholds:
    """The rows, each change one short transaction.

    Args:
        database: of the app.
        usual: the operator's threshold (``FRAUD_THRESHOLD``).
    """

    def __init__(self, database: Database, usual: float) -> None:
        self._database, self.usual = database, usual
        self._kept: UntilChanged[None, Mapping[str, Thresholds]] = UntilChanged(database)
        self._changes: UntilChanged[None, Sequence[BlockChange]] = UntilChanged(database)

    def of(self, detector: str) -> Thresholds:
        """Return the thresholds of a detector, by its name."""
        return self._kept.get(None, self._read).get(detector) or Thresholds(self.usual)

    def _read(self) -> Mapping[str, Thresholds]:
        with self._database.read() as session:
            rows = session.scalars(select(ThresholdRow).order_by(ThresholdRow.id)).all()
        return {
            row.detector: Thresholds(self.usual if row.review is None else row.review, row.block)
            for row in rows
        }

    def blocks(self) -> Sequence[BlockChange]:
        """Return since when which second threshold holds, of all detectors, the earliest first; empty where none ever
        did.
        """
        return self._changes.get(None, self._read_changes)

    def _read_changes(self) -> Sequence[BlockChange]:
        with self._database.read() as session:
            rows = session.scalars(select(ThresholdRow).order_by(ThresholdRow.id)).all()
        found = [BlockChange(row.detector, row.said, row.block) for row in rows]
        return found if any(each.block is not None for each in found) else []

    def action(
        self, detector: str, decided: datetime, probability: float, *, flagged: bool
    ) -> Literal["block", "review"] | None:
        """Return what a flagged row is to be, by the second threshold that held when it was decided on.

        Args:
            detector: its name.
            decided: when, UTC.
            probability: the detector's.
            flagged: what came of it.

        Returns:
            ``None`` of a row that isn't flagged, or where there was no second threshold.
        """
        if not flagged:
            return None
        mine = [each.block for each in self.blocks() if each.detector == detector and each.since <= decided]
        if not mine or mine[-1] is None:
            return None
        return "block" if flag(np.array([probability], np.float32), mine[-1])[0] else "review"

    def history(self, detector: str) -> Sequence[ThresholdRow]:
        """Return what was said of a detector's thresholds, the latest first."""
        query = select(ThresholdRow).where(ThresholdRow.detector == detector).order_by(ThresholdRow.id.desc())
        with self._database.read() as session:
            return session.scalars(query).all()

    def apply(
        self, detector: str, review: float | None, block: float | None, *, by: str, reason: str = ""
    ) -> Thresholds:
        """Give a detector other thresholds, for what is decided from now on, and return them.

        Args:
            detector: its name.
            review: from which on a row is flagged; ``None`` for the operator's.
            block: from which on it is to be stopped; ``None`` for none.
            by: who says so.
            reason: why.

        Raises:
            BadThreshold: they can't be.
        """
        limits = self.check(review, block, reason)
        row = ThresholdRow(
            detector=detector, review=review, block=block, reason=reason.strip(), said_by=by, said=now()
        )
        with self._database.write() as session:
            session.add(row)
        return limits

    def check(self, review: float | None, block: float | None, reason: str) -> Thresholds:
        """Return thresholds as they would hold.

        Raises:
            BadThreshold: they can't be.
        """
        limits = Thresholds(self.usual if review is None else review, block)
        if not 0 < limits.review <= 1:
            raise BadThreshold("The threshold isn't above 0 and at most 1.", "review", "Write it as 0.8.")
        if block is not None and not limits.review <= block <= 1:
            raise BadThreshold(
                "The block threshold isn't between the threshold and 1.",
                "block",
                "It can't be lower than the other one; leave it blank for none.",
            )
        if len(reason) > MOST_REASON:
            raise BadThreshold(f"The reason has more than {MOST_REASON} characters.", "reason", "Shorten it.")
        return limits
