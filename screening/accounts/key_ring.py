"""Checks the API keys of requests, in memory and without Flask: a few microseconds each.

A ring holds all keys of the database and the accounts of ``users.txt``, and looks every quarter of a second whether
either has changed. So a key that was revoked, or whose owner was disabled, removed or given another role, is refused in
every process within a second; an expired one at once. A keeper thread looks while keys are in use, and writes what
their use leaves behind. It isn't relied upon: a check that finds what is known too old looks by itself, and refuses
(503) if it can't.
"""

from __future__ import annotations

import hmac
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.exc import SQLAlchemyError

from screening.accounts import key_text
from screening.accounts.api_keys import ANY_SCOPE, ApiKeyRow, may_have
from screening.accounts.key_exchange import KeyExchange, exchange_until_closed
from screening.accounts.key_rates import SharedBuckets, TokenBucket
from screening.accounts.key_refusals import (
    DamagedKey,
    ExpiredKey,
    KeyInUrl,
    KeysUnavailable,
    NoKey,
    OwnerClosed,
    Refusal,
    RevokedKey,
    ScopeMissing,
    Throttled,
    UnknownKey,
    no_key,
)
from screening.accounts.key_usage import KeyUsage, KeyUse
from screening.accounts.user_store import UserStore
from screening.accounts.users_text import Account
from screening.errors import NotReady
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database

log = logging.getLogger("screening.accounts")
KEEPER_SECONDS = 0.25
"""Seconds between two looks of the keeper."""
# When the ring is older, a check looks by itself: keys weren't used for a while, or the keeper is late.
LOOK_SECONDS = 0.5
# An older ring lets nothing in: together with the time of a look this stays within a second.
OLDEST_SECONDS = 0.8
WAIT_SECONDS = 0.15
"""So long a check waits for another thread that is looking."""
# No look is repeated sooner, so that unknown keys can't make the ring read all the time.
NEW_SECONDS = 0.01
# All is read again so often, for changes that don't count up revisions: a hand in the database, a restored
# backup.
REREAD_SECONDS = 10.0
# Asked four times a second, so without the ORM: 0.1 ms instead of 0.6.
REVISION = "SELECT coalesce(sum(revision), 0) FROM api_keys"
IDLE_SECONDS = 60.0
"""After so long without a request the keeper ends; the next request starts another."""


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Sender of a request: a key, which acts as the account that owns it."""

    key_id: str
    key_name: str
    account: Account
    scopes: frozenset[str]
    """Scopes that the key has and the owner's role allows."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key, ready to be checked."""

    digest: bytes
    name: str
    caller: KeyHolder | None
    """``None``: revoked, or the owner is disabled or gone."""
    granted: frozenset[str]
    revoked: bool
    expires: float
    bucket: TokenBucket
    use: KeyUse


class KeyRing:
    """The keys as one process knows them. Thread-safe.

    Args:
        database: where keys are kept.
        users: the accounts that own them.
        instance: the instance folder, for the audit log.
        clock: seconds since 1970, for expiry and the last use.
        of_host: the folder for limits, which processes of this machine share; by default the instance.
        host: the name of this machine among several, over which limits hold together.
    """

    def __init__(
        self,
        database: Database,
        users: UserStore,
        instance: Path,
        clock: Callable[[], float] = time.time,
        of_host: Path | None = None,
        *,
        host: str | None = None,
    ) -> None:
        self._database = database
        self._users = users
        self._clock = clock
        self._usage = KeyUsage(database, AuditLog(instance), clock)
        self._signals, self._host = (of_host or instance) / "signals", host
        self._buckets = SharedBuckets(
            self._signals / ("key_limits" if host is None else "key_counts"), counted=host is not None
        )
        self._entries: dict[str, _Entry] = {}
        self._accounts: Mapping[str, Account] | None = None
        self._revision = -1
        self._looked = self._reread = -math.inf
        self._checked = -math.inf
        self._failed = -math.inf
        self._turn = threading.Lock()
        self._keeper: threading.Thread | None = None
        self._exchanging: threading.Thread | None = None
        self._closed = threading.Event()

    def check(self, authorization: str | None, scope: str, address: str | None = None) -> KeyHolder | Refusal:
        """Return who may do what ``scope`` is for, or why nobody may. Never raises for what a client sent.

        Args:
            authorization: the value of the request's header ``Authorization``.
            scope: one of ``SCOPES``, or ``ANY_SCOPE``.
            address: the client's, for the audit log.
        """
        return self.check_all(authorization, scope, [address])[0]

    def check_all(
        self, authorization: str | None, scope: str, addresses: Sequence[str | None]
    ) -> list[KeyHolder | Refusal]:
        """Return what :meth:`check` does of each of some requests that came at a time, from these addresses."""
        self._checked = now = time.monotonic()
        found = self._entry_of(authorization, scope, now)
        if isinstance(found, NoKey):
            return [found for _ in addresses]
        if isinstance(found, Refusal):
            return [self._refused(found, address) for address in addresses]
        caller, entry, when = found
        # only now: what a wrong key sends must not use up the limit of its owner
        waits = self._buckets.take_all(entry.bucket, now, len(addresses))
        use = entry.use
        checked: list[KeyHolder | Refusal] = []
        for address, wait in zip(addresses, waits, strict=True):
            if wait:
                checked.append(self._refused(throttled(wait, caller), address))
                continue
            use.last = when
            if address is not None and address not in use.addresses:
                self._usage.meet(use, address)
            checked.append(caller)
        return checked

    def _entry_of(  # one line for each refusal, in the order in which they are told
        self, authorization: str | None, scope: str, now: float
    ) -> tuple[KeyHolder, _Entry, float] | Refusal:
        """Return whose key a header carries, which may do what ``scope`` is for; with the time."""
        if now - self._looked > LOOK_SECONDS and not self._look(now):
            return KeysUnavailable(
                "API keys can't be checked at the moment.", remedy="Try again, then tell the operator."
            )
        text = bearer(authorization)
        if text is None:
            return no_key()
        # another system's secret: nothing of it is told or logged
        if not key_text.may_be(text):
            return DamagedKey(
                f"What was sent has {len(text):,} characters and is no key: a key begins with fsk_ and has "
                f"{key_text.LENGTH}.",
                remedy="Copy the whole key, without quotes or line ends.",
            )
        entry = self._entries.get(text[key_text.ID]) or self._look_for(text, now)
        # in constant time: how much of a key is right must not show
        if entry is None or not hmac.compare_digest(entry.digest, key_text.digest_of(text)):
            return self._unknown(text)
        caller, when = entry.caller, self._clock()
        if caller is None or when >= entry.expires:
            return why_closed(entry)
        if scope != ANY_SCOPE and scope not in caller.scopes:
            return scope_missing(scope, entry, caller)
        return caller, entry, when

    def check_url(self, target: str, address: str | None = None) -> Refusal | None:
        """Return a refusal if a key, whole or not, appears in a path or a query.

        Args:
            target: path and query, percent-encoded or not.
            address: the client's, for the audit log.
        """
        found = key_text.id_in_url(target)
        if found is None:
            return None
        refusal = KeyInUrl(
            "The address of this request holds an API key. Addresses are written down by proxies, browsers and logs.",
            remedy="Revoke this key, make another, and send it in the header “Authorization: Bearer fsk_…”.",
        )
        self._keep_alive()
        return self._refused(self._named(refusal, found), address)

    def note(self, refusal: Refusal, address: str | None) -> Refusal:
        """Count a refusal that was decided elsewhere, for the audit log; returns it."""
        self._keep_alive()
        return self._refused(refusal, address)

    def close(self) -> None:
        """End the keeper and write what is pending."""
        self._closed.set()
        keeper = self._keeper
        for thread in (keeper, self._exchanging):
            if thread is not None and thread is not threading.current_thread():
                thread.join(timeout=5)
        self._usage.flush(everything=True)
        self._buckets.close()

    def _refused(self, refusal: Refusal, address: str | None) -> Refusal:
        self._usage.refuse(refusal, address)
        return refusal

    def _named(self, refusal: Refusal, key_id: str) -> Refusal:
        """Return a refusal that names a key. An id alone proves nothing: what is known of the key goes into the log
        only.
        """
        entry = self._entries.get(key_id)
        return refusal.of(key_id, entry.name if entry else None, entry.use.owner if entry else None)

    def _unknown(self, text: str) -> Refusal:
        """Return the refusal of a text as long as a key."""
        if not key_text.is_whole(text):
            return self._named(
                DamagedKey(
                    "The checksum of this key is wrong: a sign was changed or left out.",
                    remedy="Copy the whole key again from where it is kept.",
                ),
                text[key_text.ID],
            )
        refusal = UnknownKey(
            "This key isn't known here.", remedy="Use the key that was made on this installation."
        )
        return self._named(refusal, text[key_text.ID])

    def _look_for(self, text: str, now: float) -> _Entry | None:
        """Look for a key that isn't known: it may have been made just now. One with a wrong checksum wasn't."""
        if (
            now - self._looked > NEW_SECONDS
            and key_text.is_whole(text)
            and self._turn.acquire(timeout=WAIT_SECONDS)
        ):
            try:
                # a look that another thread began before may have missed it
                if self._looked < now:
                    self._reload()
            finally:
                self._turn.release()
        return self._entries.get(text[key_text.ID])

    def _look(self, now: float) -> bool:
        """See to it that what is known is young enough; returns whether it is."""
        self._keep_alive()
        if not self._turn.acquire(blocking=False):
            if now - self._looked <= OLDEST_SECONDS:
                return True  # another thread is looking
            if not self._turn.acquire(timeout=WAIT_SECONDS):
                return False
        try:
            if time.monotonic() - self._looked <= LOOK_SECONDS:
                return True
            if time.monotonic() - self._failed <= KEEPER_SECONDS:
                # don't ask a store that is down for each request
                return False
            return self._reload()
        finally:
            self._turn.release()

    def _reload(self) -> bool:
        """Read what has changed, in one's turn."""
        # what is read now is at least as young as this
        begun = time.monotonic()
        try:
            accounts = self._users.by_name()
            with self._database.engine.connect() as connection:
                revision = connection.exec_driver_sql(REVISION).scalar()
                changed = accounts is not self._accounts or revision != self._revision
                if changed or begun - self._reread > REREAD_SECONDS:
                    rows = connection.execute(select(*ApiKeyRow.__table__.columns)).all()
                    self._buckets.make_room(max((row.number for row in rows), default=0) + 1)
                    self._entries = {row.id: self._entry(row, accounts.get(row.owner)) for row in rows}
                    self._accounts, self._revision, self._reread = accounts, revision or 0, begun
        except (SQLAlchemyError, NotReady, OSError) as problem:
            self._failed = time.monotonic()
            log.error("API keys can't be checked: %s", getattr(problem, "orig", problem))
            return False
        self._looked = begun
        return True

    def _entry(self, row: Row[Any], owner: Account | None) -> _Entry:
        caller = None
        if owner is not None and owner.active and row.revoked is None:
            allowed = frozenset(scope for scope in row.scopes.split() if may_have(scope, owner.role))
            caller = KeyHolder(row.id, row.name, owner, allowed)
        return _Entry(
            digest=bytes.fromhex(row.digest),
            name=row.name,
            caller=caller,
            granted=frozenset(row.scopes.split()),
            revoked=row.revoked is not None,
            expires=math.inf if row.expires is None else row.expires,
            bucket=TokenBucket.of(row.number, row.per_minute, row.burst),
            use=self._usage.of(row.id, row.name, row.owner),
        )

    def _keep_alive(self) -> None:
        """Start the keeper if there is none. It doesn't keep the ring from being forgotten."""
        if self._keeper is not None or self._closed.is_set():
            return
        keeper = threading.Thread(
            target=tend_until_closed, args=(weakref.ref(self), self._closed), name="api-keys", daemon=True
        )
        self._keeper = keeper
        keeper.start()
        if self._host is not None and self._exchanging is None:
            exchange = KeyExchange(self._database.engine, self._buckets, self._host, self.limits)
            lock = self._signals / "key_exchange.lock"
            self._exchanging = threading.Thread(
                target=exchange_until_closed, args=(exchange, lock, self._closed), name="limits", daemon=True
            )
            self._exchanging.start()

    def limits(self) -> dict[int, TokenBucket]:
        """Return the limit of each key, by the key's number."""
        return {entry.bucket.cell: entry.bucket for entry in self._entries.values()}

    def tend(self) -> bool:
        """Look, and write what is due; returns whether there is more to do. The keeper's work, also for tests."""
        with self._turn:
            self._reload()
        self._usage.flush()
        if time.monotonic() - self._checked < IDLE_SECONDS or self._usage.is_pending():
            return True
        # so the next check looks, and starts another keeper
        self._keeper, self._looked = None, -math.inf
        return False


def bearer(authorization: str | None) -> str | None:
    """Return what a header ``Authorization`` carries as a bearer token, or ``None`` if it is no such header."""
    if authorization is None or authorization[:7].lower() != "bearer ":
        return None
    return authorization[7:].strip(" ") or None


def tend_until_closed(of: weakref.ref[KeyRing], closed: threading.Event) -> None:
    """Tend the keys now and then, for as long as anybody has the ring."""
    while not closed.wait(KEEPER_SECONDS):
        ring = of()
        if ring is None or not ring.tend():
            return
        del ring


def why_closed(entry: _Entry) -> Refusal:
    """Return the reason why a key that is known opens nothing. Whoever has the whole key may know."""
    refusal: Refusal
    if entry.revoked:
        refusal = RevokedKey("This key was revoked.", remedy="Ask an administrator for another.")
    elif entry.caller is None:
        refusal = OwnerClosed(
            f"The account {entry.use.owner} that owns this key is disabled or gone.",
            remedy="Ask an administrator for a key of another owner.",
        )
    else:
        refusal = ExpiredKey("This key has expired.", remedy="Ask an administrator for another.")
    return refusal.of(entry.use.id, entry.name, entry.use.owner)


def scope_missing(scope: str, entry: _Entry, caller: KeyHolder) -> ScopeMissing:
    """Return the refusal of a key that may not do what is asked."""
    if scope in entry.granted:
        refusal = ScopeMissing(
            f"The key has the scope {scope}, but the role of its owner {caller.account.username}, "
            f"{caller.account.role}, doesn't allow it any more.",
            remedy="Ask an administrator for a key of another owner.",
        )
    else:
        refusal = ScopeMissing(
            f"This needs the scope {scope}; the key has {', '.join(sorted(entry.granted))}.",
            remedy=f"Ask an administrator for a key with the scope {scope}.",
        )
    refusal.scope = scope
    refusal.of(caller.key_id, caller.key_name, entry.use.owner)
    return refusal


def throttled(wait: float, caller: KeyHolder) -> Throttled:
    """Return the refusal of a key that has to wait so many seconds."""
    refusal = Throttled(
        "This key has sent more requests than it may.",
        remedy=f"Wait {max(1, math.ceil(wait))} s, or send many transactions in one request.",
    )
    refusal.wait = wait
    refusal.of(caller.key_id, caller.key_name, caller.account.username.casefold())
    return refusal
