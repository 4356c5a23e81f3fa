"""Sessions, kept on the server: a cookie is worth nothing once its row is gone.

The cookie carries 256 random bits, the table only their SHA-256: who reads the table can't log in with it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import CursorResult, Float, String, Text, bindparam, delete, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from screening.accounts.users_text import Account
from screening.infra.database import Base, Database

LONGEST_SECONDS = 12 * 3600.0
# A time may lie so far ahead: the clocks of web processes on several machines differ a little.
SKEW_SECONDS = 60.0
MOST_SESSIONS = 20
# Precision of the last use, so that not every page view needs a write.
TOUCH_SECONDS = 20.0


class SessionRow(Base):
    """One session of one account."""

    __tablename__ = "sessions"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    username: Mapped[str] = mapped_column(String(64), index=True)
    proof: Mapped[str] = mapped_column(String(64))
    """:func:`proof_of` the account at login: when it differs, password or role has changed and the session is over."""
    created: Mapped[float] = mapped_column(Float, index=True)
    """Seconds since 1970, UTC."""
    last_seen: Mapped[float] = mapped_column(Float)
    data: Mapped[str] = mapped_column(Text, default="{}")


# Made once, and for columns: each page asks it, and an object of the ORM takes longer.
FIND = select(
    SessionRow.username, SessionRow.proof, SessionRow.created, SessionRow.last_seen, SessionRow.data
).where(SessionRow.digest == bindparam("digest"))


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session that is neither idle nor too old."""

    username: str
    proof: str
    last_seen: float
    must_change: bool
    """The password was handed over: the session is good for choosing another only."""


def proof_of(account: Account) -> str:
    """Return a digest of what a session was granted for: password hash and role."""
    return hashlib.sha256(f"{account.password_hash}\0{account.role}".encode()).hexdigest()


class SessionStore:
    """Begins, finds and ends sessions.

    Args:
        database: where they are kept, so that all workers see them and a restart keeps them.
        idle_seconds: a session that isn't used for so long is over; none lasts longer than 12 hours.
        clock: seconds since 1970.
        most: so many sessions an account may have; another one ends the one that was idle longest.
    """

    def __init__(
        self,
        database: Database,
        idle_seconds: float,
        clock: Callable[[], float] = time.time,
        *,
        most: int = MOST_SESSIONS,
    ) -> None:
        self._most = most
        self._database = database
        self._idle = idle_seconds
        self._clock = clock

    def begin(self, account: Account, *, must_change: bool = False) -> str:
        """Keep a new session; returns its token, for the cookie."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        with self._database.write() as session:
            session.execute(delete(SessionRow).where(SessionRow.created < now - LONGEST_SECONDS))
            session.add(
                SessionRow(
                    # whoever reads the database, or a backup of it, gets no token to log in with
                    digest=digest_of(token),
                    username=account.username,
                    proof=proof_of(account),
                    created=now,
                    last_seen=now,
                    data=json.dumps({"must_change": must_change}),
                )
            )
            # the new session must be among those that are counted
            session.flush()
            mine = select(SessionRow.digest).where(SessionRow.username == account.username)
            last_used = mine.order_by(SessionRow.last_seen.desc(), SessionRow.created.desc())
            over = session.scalars(last_used.offset(self._most)).all()
            session.execute(delete(SessionRow).where(SessionRow.digest.in_(over)))
        return token

    def find(self, token: str) -> LiveSession | None:
        """Return the session of a cookie, or ``None`` when it is unknown, ended, idle or too old."""
        now = self._clock()
        with self._database.read() as session:
            row = session.execute(FIND, {"digest": digest_of(token)}).one_or_none()
        # one from the future is no session: a clock was set back, or somebody wrote the row
        if row is None or not (
            -SKEW_SECONDS <= now - row.last_seen <= self._idle
            and -SKEW_SECONDS <= now - row.created <= LONGEST_SECONDS
        ):
            return None
        must_change = bool(json.loads(row.data).get("must_change"))
        return LiveSession(row.username, row.proof, row.last_seen, must_change)

    def touch(self, token: str, found: LiveSession) -> None:
        """Note that a session is used now; never revives an ended one."""
        now = self._clock()
        if now - found.last_seen < TOUCH_SECONDS:
            return
        with self._database.write() as session:
            used = update(SessionRow).where(SessionRow.digest == digest_of(token)).values(last_seen=now)
            session.execute(used)

    def end(self, token: str) -> None:
        """End one session."""
        with self._database.write() as session:
            session.execute(delete(SessionRow).where(SessionRow.digest == digest_of(token)))

    def end_all(self, username: str) -> int:
        """End every session of an account; returns how many there were."""
        with self._database.write() as session:
            theirs = func.lower(SessionRow.username) == username.casefold()  # case plays no part in names
            done = session.execute(delete(SessionRow).where(theirs))
            return done.rowcount if isinstance(done, CursorResult) else 0


def digest_of(token: str) -> str:
    """Return the hash under which a session's token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()
