"""Promote a detector to decide in the place of another: a manager's word, kept with its history, and taken back with
one.

A promotion puts one detector in another's place wherever that one would have been chosen without being named. It holds
for the very detector that was promoted: another one that is put under its name later isn't in anybody's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Index, Integer, String, select, text
from sqlalchemy.orm import Mapped, mapped_column

from screening.errors import Conflict
from screening.infra.database import Base, Database, UntilChanged
from screening.infra.job_queue import UtcDateTime, now


class PromotionRow(Base):
    """One detector put in another's place, and whether that was taken back."""

    __tablename__ = "detector_promotions"
    __table_args__ = (
        Index(
            "detector_promotions_one",
            "replaced",
            unique=True,
            sqlite_where=text("taken_back IS NULL"),
            postgresql_where=text("taken_back IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    replaced: Mapped[str] = mapped_column(String(64))
    promoted: Mapped[str] = mapped_column(String(64))
    fingerprint: Mapped[str] = mapped_column(String(64))
    """Of the one that was promoted."""
    said_by: Mapped[str] = mapped_column(String(128))
    said: Mapped[datetime] = mapped_column(UtcDateTime)
    taken_back_by: Mapped[str | None] = mapped_column(String(128))
    taken_back: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def holds(self) -> bool:
        """Return whether it wasn't taken back."""
        return self.taken_back is None


class Promotions:
    """The rows, each change one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: UntilChanged[None, Mapping[str, PromotionRow]] = UntilChanged(database)

    def holding(self) -> Mapping[str, PromotionRow]:
        """Return the promotions that hold, by the name of the detector that was replaced; nobody may change them."""
        return self._kept.get(None, self._read)

    def _read(self) -> Mapping[str, PromotionRow]:
        query = select(PromotionRow).where(PromotionRow.taken_back.is_(None)).order_by(PromotionRow.id)
        with self._database.read() as session:
            return {row.replaced: row for row in session.scalars(query)}

    def history(self) -> Sequence[PromotionRow]:
        """Return all of them, the latest first."""
        with self._database.read() as session:
            return session.scalars(select(PromotionRow).order_by(PromotionRow.id.desc())).all()

    def promote(self, replaced: str, promoted: str, fingerprint: str, by: str) -> PromotionRow:
        """Note that one detector decides in another's place.

        Raises:
            Conflict: another one is in that place already, or the two would replace each other.
        """
        with self._database.write() as session:
            query = select(PromotionRow).where(PromotionRow.taken_back.is_(None)).with_for_update()
            holding = {row.replaced: row.promoted for row in session.scalars(query)}
            if replaced in holding:
                raise Conflict(
                    f"{holding[replaced]} is in the place of {replaced} already.",
                    remedy=f"Compare with {holding[replaced]}, or take that promotion back first.",
                )
            place: str | None = promoted
            while place is not None:
                if place == replaced:
                    raise Conflict(
                        f"{replaced} is itself in the place of {promoted}.",
                        remedy="Take that promotion back instead.",
                    )
                place = holding.get(place)
            row = PromotionRow(
                replaced=replaced, promoted=promoted, fingerprint=fingerprint, said_by=by, said=now()
            )
            session.add(row)
        return row

    def take_back(self, number: int, by: str) -> PromotionRow:
        """Note that a promotion holds no longer.

        Raises:
            Conflict: there is none of this number that holds.
        """
        with self._database.write() as session:
            row = session.get(PromotionRow, number, with_for_update=True)
            if row is None or not row.holds:
                raise Conflict("This promotion doesn't hold any more.", remedy="Load the page again.")
            row.taken_back_by, row.taken_back = by, now()
        return row
