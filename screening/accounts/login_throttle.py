"""Guessing is stopped: an account locks after ten failures, an address is slowed down.

Counts are kept in the store, not in memory: with a count per worker, four workers let four times as many tries
through, and a restart forgets them all.
"""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Float, Integer, String, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from screening.errors import ScreeningError
from screening.infra.database import Base, Database

MOST_FAILURES = 10
LOCK_SECONDS = 30 * 60.0


class Counter(Base):
    """Number of events since a moment. Names and addresses are kept as digests only."""

    __tablename__ = "counters"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int] = mapped_column(Integer, default=0)
    until: Mapped[float] = mapped_column(Float, index=True)
    """Time at which it is forgotten, in seconds since 1970."""


class TooMany(ScreeningError):
    """An address did something too often. ``retry_after`` is in seconds."""

    status = 429
    title = "Too many requests"
    retry_after: int = 60

    def headers(self) -> dict[str, str]:
        """Return ``Retry-After``."""
        return {"Retry-After": str(self.retry_after)}


@dataclass(frozen=True, slots=True)
class LoginVerdict:
    """Outcomes of an attempt to log in."""

    allowed: bool
    locked_now: bool = False
    """This failure was the tenth: the account locks with it."""
    was_locked: bool = False


class Lockout:
    """Counts failed logins of one account name, whether there is such an account or not.

    The verdict is made in one write transaction *after* the password was checked: of many guesses sent at once, none
    that is settled after the tenth failure gets in.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def settle(self, username: str, *, fits: bool) -> LoginVerdict:
        """Decide a try whose name and password fitted or not, and count it.

        A failure is forgotten when 30 minutes pass without another one; the tenth locks for 30 minutes.
        """
        key = counter_key("account", username.strip(" ").casefold())
        now = self._clock()
        # under the write lock: of many tries at once each must see the failures of the others
        with self._database.write() as session:
            kept = row_of(session, key, now)
            failures = kept.count if kept is not None else 0
            if fits and failures < MOST_FAILURES:
                if kept is not None:
                    session.delete(kept)
                return LoginVerdict(allowed=True)
            # a try on a locked account is written down too: it must not be answered sooner than another failure
            add_one(session, key, now + LOCK_SECONDS, later=failures < MOST_FAILURES)
            return LoginVerdict(
                allowed=False,
                locked_now=failures + 1 == MOST_FAILURES,
                was_locked=failures >= MOST_FAILURES,
            )

    def unlock(self, username: str) -> None:
        """Forget the failures of an account: an administrator has given it a new password."""
        with self._database.write() as session:
            session.execute(delete(Counter).where(Counter.key == counter_key("account", username.casefold())))


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``most`` in ``seconds`` from one address."""

    what: str
    most: int
    seconds: float


SIGN_UPS = Limit("sign-ups", 60, 3600.0)
# Room for a team behind one address: the lock of the account is what stops guessing.
FAILED_LOGINS = Limit("failed logins", 1500, 900.0)


class Throttle:
    """Counts by address over all workers. The window begins with the first of its events."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def require_room(self, limit: Limit, address: str) -> None:
        """Let pass while there is room.

        Raises:
            TooMany: the address has used it up.
        """
        now = self._clock()
        with self._database.read() as session:
            kept = session.get(Counter, counter_key(limit.what, network(address)))
        if kept is not None and kept.until > now and kept.count >= limit.most:
            raise too_many(limit, kept.until - now)

    def count(self, limit: Limit, address: str) -> None:
        """Count one event.

        Raises:
            TooMany: there was no room for it.
        """
        now = self._clock()
        key = counter_key(limit.what, network(address))
        with self._database.write() as session:
            kept = row_of(session, key, now)
            if kept is not None and kept.count >= limit.most:
                raise too_many(limit, kept.until - now)
            add_one(session, key, now + limit.seconds, later=False)


def network(address: str) -> str:
    """Return the sender to count: an IPv4 address, or the /64 network that one subscriber has in IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        # the same sender must not count twice, once as IPv4 and once as IPv6
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def counter_key(kind: str, what: str) -> str:
    """Return the key of a counter: a hash, so that the table names neither accounts nor networks."""
    return hashlib.sha256(f"{kind}\0{what}".encode()).hexdigest()


def row_of(session: Session, key: str, now: float) -> Counter | None:
    """Return a counter; ``None`` for one that has run out, or that there isn't."""
    session.execute(delete(Counter).where(Counter.until <= now))
    return session.scalar(select(Counter).where(Counter.key == key).with_for_update())


def add_one(session: Session, key: str, until: float, *, later: bool) -> None:
    """Add one; of two first events at once (PostgreSQL can't lock a row that isn't there) both count.

    Args:
        session: holds the write lock.
        key: what is counted.
        until: when a new count is forgotten.
        later: whether a running count is to be remembered as long as that, too.
    """
    dialect: Any = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    fresh = dialect.insert(Counter).values(key=key, count=1, until=until)
    changes: dict[str, Any] = {"count": Counter.count + 1}
    if later:
        changes["until"] = fresh.excluded.until
    session.execute(fresh.on_conflict_do_update(index_elements=[Counter.key], set_=changes))


def too_many(limit: Limit, seconds: float) -> TooMany:
    """Return the refusal of an attempt too many; in ``seconds`` there is room again."""
    minutes = max(1, round(seconds / 60))
    problem = TooMany(
        f"There were too many {limit.what} from your network address.",
        remedy=f"Try again in {minutes} minute{'s' if minutes > 1 else ''}.",
    )
    problem.retry_after = int(seconds) + 1
    return problem
