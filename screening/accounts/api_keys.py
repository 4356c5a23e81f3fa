"""API keys: what is kept of them, and how they are made and revoked.

A key acts as its owner, an account of ``users.txt``, within its scopes and within what the owner's role allows. Its
text is shown once; the table holds the SHA-256. Who checks keys of requests: :mod:`screening.accounts.key_ring`.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Float, Integer, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from screening.accounts import key_text
from screening.accounts.roles import allows
from screening.accounts.user_store import UserStore
from screening.accounts.users_text import Account
from screening.errors import Conflict, NotFound, ScreeningError
from screening.infra.audit.log import API_KEY
from screening.infra.database import Base, Database

DAY = 86_400.0
DEFAULT_DAYS = 365
MOST_DAYS = 3_650
DEFAULT_PER_MINUTE = 6_000
MOST_PER_MINUTE = 10_000_000
DEFAULT_BURST = 200
MOST_BURST = 1_000_000
MOST_NAME = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """Permissions of an API key."""

    permission: str
    """Permission that the owner's role must have (:mod:`screening.accounts.roles`), now and whenever the key is
    used."""
    what: str


SCOPES: Mapping[str, Scope] = {
    "score": Scope("screen", "score transactions and send files"),
    "read": Scope("see", "read the owner's screenings and their results"),
    "label": Scope("review", "say which transactions were fraud"),
    "metrics": Scope("see", "read the server's metrics"),
}

ANY_SCOPE = "any"
"""Scope of a route that every key opens."""


class BadKeyRequest(ScreeningError):
    """A key can't be made of what was given."""

    title = "This key can't be made"


class ApiKeyRow(Base):
    """One key. Rows stay when a key is revoked: the list shows what there was."""

    __tablename__ = "api_keys"

    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    """Counts up; the place of the key's bucket (:mod:`screening.accounts.key_rates`)."""
    id: Mapped[str] = mapped_column(String(16), unique=True, index=True)
    digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the whole key, hexadecimal."""
    name: Mapped[str] = mapped_column(String(64))
    owner: Mapped[str] = mapped_column(String(64))
    """In small letters: case plays no part in names."""
    scopes: Mapped[str] = mapped_column(String(255))
    """Separated by spaces."""
    per_minute: Mapped[int] = mapped_column(Integer)
    burst: Mapped[int] = mapped_column(Integer)
    created: Mapped[float] = mapped_column(Float)
    """Seconds since 1970, UTC, as all times here."""
    created_by: Mapped[str] = mapped_column(String(128))
    expires: Mapped[float | None] = mapped_column(Float)
    last_used: Mapped[float | None] = mapped_column(Float)
    """To a minute."""
    revoked: Mapped[float | None] = mapped_column(Float)
    revoked_by: Mapped[str | None] = mapped_column(String(128))
    revision: Mapped[int] = mapped_column(Integer, default=1, index=True)
    """Counts the changes that matter to whoever checks keys. The sum over all rows grows by every change, also by two
    that are made at once, and never shrinks: processes see by it that they must read the table again.
    """


class ApiKeyNetwork(Base):
    """A network from which a key was used: the first use from another one is written to the audit log."""

    __tablename__ = "api_key_networks"

    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    network: Mapped[str] = mapped_column(String(64), primary_key=True)
    first_used: Mapped[float] = mapped_column(Float)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key as lists show it: nothing in it opens anything."""

    id: str
    name: str
    owner: str
    scopes: tuple[str, ...]
    per_minute: int
    burst: int
    created: datetime
    created_by: str
    expires: datetime | None
    last_used: datetime | None
    revoked: datetime | None
    revoked_by: str | None

    def state(self, owner: Account | None, now: datetime | None = None) -> str:
        """Return ``active``, or in words why the key opens nothing. ``owner``: the account as it is now."""
        if self.revoked is not None:
            return "revoked"
        if self.expires is not None and self.expires <= (now or datetime.now(UTC)):
            return "expired"
        if owner is None:
            return "owner is gone"
        return "active" if owner.active else "owner is disabled"

    def withheld(self, owner: Account | None) -> list[str]:
        """Return the scopes that the owner's present role doesn't allow."""
        role = owner.role if owner is not None else ""
        return [scope for scope in self.scopes if not may_have(scope, role)]


def may_have(scope: str, role: str) -> bool:
    """Return whether a role allows what a scope is for. An unknown scope is refused."""
    return scope in SCOPES and allows(role, SCOPES[scope].permission)


class ApiKeys:
    """Makes, lists and revokes keys. What is changed here holds in every process within a second.

    Args:
        database: where they are kept.
        users: the accounts that may own one.
        clock: seconds since 1970.
    """

    def __init__(self, database: Database, users: UserStore, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._users = users
        self._clock = clock

    def create(
        self,
        name: str,
        owner: str,
        scopes: Collection[str],
        *,
        by: str,
        days: int | None = DEFAULT_DAYS,
        per_minute: int = DEFAULT_PER_MINUTE,
        burst: int = DEFAULT_BURST,
    ) -> tuple[ApiKey, str]:
        """Make a key; returns it and its text, which can't be had again.

        Args:
            name: what it is for, 1 to 64 characters; no two active keys have the same.
            owner: the username of an active account, compared without case.
            scopes: at least one of ``SCOPES``; the owner's role must allow each.
            by: who makes it.
            days: how long it holds, 1 to 3,650; ``None``: until it is revoked.
            per_minute: how many requests a minute it may send in the long run.
            burst: how many at once.

        Raises:
            BadKeyRequest: what was given isn't taken.
            NotFound: there is no such account.
            Conflict: an active key has this name.
        """
        name = unicodedata.normalize("NFC", name.strip())
        account = self._owner(owner)
        self._check(name, account, scopes, days=days, per_minute=per_minute, burst=burst)
        made, now = key_text.make(), self._clock()
        row = ApiKeyRow(
            id=made.id,
            digest=key_text.digest_of(made.text).hex(),
            name=name,
            owner=account.username.casefold(),
            scopes=" ".join(scope for scope in SCOPES if scope in scopes),
            per_minute=per_minute,
            burst=burst,
            created=now,
            created_by=by[:128],
            expires=None if days is None else now + days * DAY,
            revision=1,
        )
        with self._database.write() as session:
            if any(key.name.casefold() == name.casefold() for key in open_keys(session, now)):
                raise Conflict(
                    f"There is an active key with the name {name}.",
                    where="name",
                    remedy="Choose another name, or revoke that key first.",
                )
            session.add(row)
            session.flush()
            return key_of(row), made.text

    def all(self) -> Sequence[ApiKey]:
        """Return all keys, the latest first."""
        with self._database.read() as session:
            return [
                key_of(row) for row in session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.number.desc()))
            ]

    def get(self, given: str) -> ApiKey:
        """Return a key by its id.

        Raises:
            NotFound: there is none.
        """
        with self._database.read() as session:
            return key_of(row_of(session, given))

    def revoke(self, given: str, *, by: str) -> tuple[ApiKey, bool]:
        """End a key; returns it, and whether it was this call that ended it.

        Args:
            given: its id; the key itself does, too, for whoever found a leaked one.
            by: who does it.

        Raises:
            NotFound: there is no such key.
        """
        with self._database.write() as session:
            row = row_of(session, given)
            now = row.revoked is None
            if now:
                end_key(row, self._clock(), by)
            return key_of(row), now

    def revoke_of(self, owner: str, *, by: str) -> Sequence[ApiKey]:
        """End every key of an owner; returns those that were ended."""
        with self._database.write() as session:
            theirs = select(ApiKeyRow).where(ApiKeyRow.owner == owner.casefold(), ApiKeyRow.revoked.is_(None))
            rows = session.scalars(theirs).all()
            for row in rows:
                end_key(row, self._clock(), by)
            return [key_of(row) for row in rows]

    def _owner(self, owner: str) -> Account:
        account = self._users.get(owner)
        if account is None:
            raise NotFound(
                f"There is no account {owner[:64]!r} that could own the key.",
                where="owner",
                remedy="Name an account of the list of accounts.",
            )
        if not account.active:
            raise BadKeyRequest(
                f"The account {account.username} is disabled: its keys open nothing.",
                where="owner",
                remedy="Enable it first, or name another account.",
            )
        return account

    @staticmethod
    def _check(
        name: str,
        owner: Account,
        scopes: Collection[str],
        *,
        days: int | None,
        per_minute: int,
        burst: int,
    ) -> None:
        if not name or len(name) > MOST_NAME or any(unicodedata.category(sign)[0] == "C" for sign in name):
            raise BadKeyRequest(
                f"A key needs a name of 1 to {MOST_NAME} characters on one line.",
                where="name",
                remedy="Say what uses the key, as in “core banking, production”.",
            )
        if API_KEY.search(name):
            raise BadKeyRequest(
                "The name holds a key.",
                where="name",
                remedy="Names are shown and logged. Revoke that key if it is in use.",
            )
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            raise BadKeyRequest(
                f"There is no scope “{unknown[0][:32]}”." if unknown else "The key has no scope.",
                where="scopes",
                remedy=f"Choose at least one of {', '.join(SCOPES)}.",
            )
        refused = [scope for scope in SCOPES if scope in scopes and not may_have(scope, owner.role)]
        if refused:
            raise BadKeyRequest(
                f"The role of {owner.username}, {owner.role}, doesn't allow the scope {refused[0]}.",
                where="scopes",
                remedy="Leave it out, or name an owner whose role allows it.",
            )
        for word, value, most in (
            ("days", days, MOST_DAYS),
            ("per_minute", per_minute, MOST_PER_MINUTE),
            ("burst", burst, MOST_BURST),
        ):
            if value is not None and not 1 <= value <= most:
                raise BadKeyRequest(
                    f"{WORDS[word]} must be a whole number from 1 to {most:,}.", where=word, remedy=None
                )


WORDS = {
    "days": "The days until a key expires",
    "per_minute": "Requests a minute",
    "burst": "Requests at once",
}


def open_keys(session: Session, now: float) -> Sequence[ApiKeyRow]:
    """Return keys that are neither revoked nor expired."""
    rows = session.scalars(select(ApiKeyRow).where(ApiKeyRow.revoked.is_(None)))
    return [row for row in rows if row.expires is None or row.expires > now]


def row_of(session: Session, given: str) -> ApiKeyRow:
    """Return the row of a key by its id, as people write it. Raises :class:`NotFound` where there is none."""
    wanted = key_text.id_in(given)
    row = None if wanted is None else session.scalar(select(ApiKeyRow).where(ApiKeyRow.id == wanted))
    if row is None:
        raise NotFound(
            "There is no such key.", remedy="Name it by its id, the ten signs that the list of keys shows."
        )
    return row


def end_key(row: ApiKeyRow, now: float, by: str) -> None:
    """Revoke a key, as somebody's doing."""
    row.revoked, row.revoked_by = now, by[:128]
    row.revision += 1


def key_of(row: ApiKeyRow) -> ApiKey:
    """Return a key as its row has it."""
    return ApiKey(
        id=row.id,
        name=row.name,
        owner=row.owner,
        scopes=tuple(row.scopes.split()),
        per_minute=row.per_minute,
        burst=row.burst,
        created=datetime.fromtimestamp(row.created, UTC),
        created_by=row.created_by,
        expires=moment_of(row.expires),
        last_used=moment_of(row.last_used),
        revoked=moment_of(row.revoked),
        revoked_by=row.revoked_by,
    )


def moment_of(seconds: float | None) -> datetime | None:
    """Return a moment kept as seconds since 1970 (UTC); ``None`` for none."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
