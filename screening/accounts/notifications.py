"""Notifications: what somebody should know without looking for it. Each is one person's, or all theirs who have a
permission; whoever did it isn't told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Index, Integer, String, and_, delete, exists, func, or_, select
from sqlalchemy.orm import Mapped, mapped_column

from screening.accounts.roles import PERMISSIONS
from screening.infra.database import Base, Database, UntilChanged
from screening.infra.job_queue import UtcDateTime, now

KEPT = timedelta(days=90)
MOST_WORDS = 500
MOST_COUNTED = 99


class Notification(Base):
    """One notification."""

    __tablename__ = "notifications"
    __table_args__ = (
        Index("notifications_by_user", "username", "id"),
        Index("notifications_by_permission", "permission", "id"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    username: Mapped[str | None] = mapped_column(String(128))
    """Its owner, in small letters."""
    permission: Mapped[str | None] = mapped_column(String(32))
    """Or: whoever has it may see this."""
    kind: Mapped[str] = mapped_column(String(32))
    words: Mapped[str] = mapped_column(String(MOST_WORDS))
    path: Mapped[str] = mapped_column(String(300))
    """Address that it leads to, on this server."""
    by: Mapped[str | None] = mapped_column(String(128))
    """Account that did it, in small letters."""
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReadMark(Base):
    """Somebody has read a notification."""

    __tablename__ = "notifications_read"

    username: Mapped[str] = mapped_column(String(128), primary_key=True)
    notification: Mapped[int] = mapped_column(Integer, primary_key=True)


@dataclass(frozen=True, slots=True)
class ShownNotification:
    """A notification as somebody sees it."""

    notification: Notification
    read: bool


class Notifications:
    """The rows, each change one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: UntilChanged[tuple[str, str], int] = UntilChanged(database)

    def tell(
        self,
        kind: str,
        words: str,
        path: str,
        *,
        to: str | None = None,
        permission: str | None = None,
        by: str | None = None,
    ) -> None:
        """Keep a notification, for one person or for all who have a permission; forget old ones."""
        if (to is None) == (permission is None):
            raise ValueError("a notification is one person's, or a permission's")
        if to is not None and by is not None and to.casefold() == by.casefold():
            return
        with self._database.write() as session:
            old = select(Notification.id).where(Notification.at < now() - KEPT)
            session.execute(delete(ReadMark).where(ReadMark.notification.in_(old)))
            session.execute(delete(Notification).where(Notification.at < now() - KEPT))
            session.add(
                Notification(
                    username=to and to.casefold(),
                    permission=permission,
                    kind=kind,
                    words=words[:MOST_WORDS],
                    path=path,
                    by=by and by.casefold(),
                    at=now(),
                )
            )

    def unread(self, username: str, role: str) -> int:
        """Return how many somebody hasn't read, to 99; asked again only after somebody has written."""
        return self._counts.get((username, role), lambda: self._count(username, role))

    def _count(self, username: str, role: str) -> int:
        query = (
            select(Notification.id).where(visible_to(username, role), ~read_by(username)).limit(MOST_COUNTED)
        )
        with self._database.read() as session:
            return session.scalar(select(func.count()).select_from(query.subquery())) or 0

    def page(self, username: str, role: str, *, before: int | None, most: int) -> Sequence[ShownNotification]:
        """Return somebody's notifications, the latest first; those before one of this number."""
        query = select(Notification, read_by(username)).where(visible_to(username, role))
        if before is not None:
            query = query.where(Notification.id < before)
        with self._database.read() as session:
            rows = session.execute(query.order_by(Notification.id.desc()).limit(most)).all()
        return [ShownNotification(row, bool(read)) for row, read in rows]

    def mark_read(self, username: str, role: str, number: int | None = None) -> Notification | None:
        """Note that somebody has read one notification, or all up to now; return the one, if it is theirs."""
        query = select(Notification).where(visible_to(username, role))
        if number is not None:
            query = query.where(Notification.id == number)
        with self._database.write() as session:
            one = session.scalar(query) if number is not None else None
            for found in session.scalars(
                query.where(~read_by(username)).with_only_columns(Notification.id)
            ).all():
                session.add(ReadMark(username=username.casefold(), notification=found))
        return one

    def detach_owner(self, username: str) -> None:
        """Remove the notifications of an account whose name begins again."""
        name = username.casefold()
        with self._database.write() as session:
            session.execute(delete(Notification).where(Notification.username == name))
            session.execute(delete(ReadMark).where(ReadMark.username == name))


def visible_to(username: str, role: str) -> ColumnElement[bool]:
    """Return the condition for notifications that are somebody's own, or of all with a permission of theirs."""
    name = username.casefold()
    shared = Notification.permission.in_(sorted(PERMISSIONS.get(role, ())))
    others = or_(Notification.by.is_(None), Notification.by != name)
    return or_(Notification.username == name, and_(shared, others))


def read_by(username: str) -> ColumnElement[bool]:
    """Return the condition for notifications that somebody has read."""
    return exists().where(ReadMark.username == username.casefold(), ReadMark.notification == Notification.id)
