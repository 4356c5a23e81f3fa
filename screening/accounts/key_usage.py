"""Record the use of keys: the time of the last use, networks, and refusals, written in batches.

Nothing here is written on a request's way. The ring notes in memory, and :meth:`KeyUsage.flush`, called by its keeper
thread, writes: the last use at most once a minute for each key over all processes, a network once, refusals as one
audit line for each kind a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import CursorResult, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from screening.accounts.api_keys import ApiKeyNetwork, ApiKeyRow
from screening.accounts.key_refusals import Refusal
from screening.accounts.login_throttle import network
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database

log = logging.getLogger("screening.accounts")
# Precision of the last use, and the time between two reports of a refusal that goes on: each is a write.
EVERY_SECONDS = 60.0
MOST_ADDRESSES = 1_000
"""That a process remembers for each key."""
# Networks kept for each key. The oldest is forgotten, and counts as new when it comes back.
MOST_NETWORKS = 500
MOST_KINDS = 1_000
"""Of refusals within a minute; what goes beyond is counted together."""


@dataclass(slots=True)
class KeyUse:
    """Use of a key in this process."""

    id: str
    name: str
    owner: str
    last: float = 0.0
    """Seconds since 1970 of the last use; 0: none yet."""
    tried: float = 0.0
    """The last use that was handed to the database, and …"""
    due: float = 0.0
    """… when the next one may be."""
    addresses: set[str] = field(default_factory=set)


Kind = tuple[str, str | None, str | None]
"""Of refusals: reason, key id, network."""


@dataclass(slots=True)
class _Refused:
    count: int
    first: float
    last: float
    fields: dict[str, Any]
    told: float = 0.0
    """Time at which a line of this kind was last written."""


class KeyUsage:
    """Collects what happened to keys in this process, and writes it.

    Args:
        database: keeps last uses and networks.
        audit: gets a line for each new network, and summaries of refusals.
        clock: seconds since 1970.
    """

    def __init__(self, database: Database, audit: AuditLog, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._uses: dict[str, KeyUse] = {}
        self._met: deque[tuple[KeyUse, str]] = deque(maxlen=10_000)
        self._refused: dict[Kind, _Refused] = {}
        self._turn = threading.Lock()
        self._flushing = threading.Lock()

    def of(self, key_id: str, name: str, owner: str) -> KeyUse:
        """Return where the uses of a key are noted: the same object as long as the process lives."""
        return self._uses.setdefault(key_id, KeyUse(key_id, name, owner))

    def meet(self, use: KeyUse, address: str) -> None:
        """Note an address that this process hasn't seen with this key."""
        if len(use.addresses) >= MOST_ADDRESSES:
            # the table knows which were there before
            use.addresses.clear()
        use.addresses.add(address)
        self._met.append((use, address))

    def refuse(self, refusal: Refusal, address: str | None) -> None:
        """Count a refusal for the next summary."""
        now = self._clock()
        kind: Kind = (refusal.reason, refusal.key_id, network(address) if address else None)
        fields: dict[str, Any] = {
            "user": refusal.owner,
            "address": address,
            "key": refusal.key_id,
            "key_name": refusal.key_name,
            "reason": refusal.reason,
        }
        with self._turn:
            if kind not in self._refused and len(self._refused) >= MOST_KINDS:
                kind, fields = (refusal.reason, None, None), {"reason": refusal.reason, "others": True}
            kept = self._refused.setdefault(kind, _Refused(0, now, now, fields))
            if not kept.count:
                kept.first = now
            kept.count, kept.last = kept.count + 1, now

    def is_pending(self) -> bool:
        """Return whether something waits to be written, now or in a while."""
        return bool(self._met or self._refused or any(use.last > use.tried for use in self._uses.values()))

    def flush(self, *, everything: bool = False) -> None:
        """Write what is due; ``everything``: also what could wait. What can't be written is kept for the next time."""
        with self._flushing:
            self._tell_refusals(everything=everything)
            now = self._clock()
            used = [
                (use, use.last)
                for use in list(self._uses.values())
                if use.last > use.tried and (everything or now >= use.due)
            ]
            if not used and not self._met:
                return
            met = [self._met.popleft() for _ in range(len(self._met))]
            try:
                new = self._write(used, met, now)
            except SQLAlchemyError as problem:
                log.error("the use of API keys was not kept: %s", getattr(problem, "orig", problem))
                self._met.extendleft(reversed(met))
                for use, _ in used:
                    use.due = now + 1
                return
            for use, last in used:
                use.tried, use.due = last, now + EVERY_SECONDS
            for use, address in new:
                self._audit.record(
                    "key_new_network", user=use.owner, address=address, key=use.id, key_name=use.name
                )

    def _write(
        self, used: list[tuple[KeyUse, float]], met: list[tuple[KeyUse, str]], now: float
    ) -> list[tuple[KeyUse, str]]:
        """Write last uses and networks in one transaction; returns the networks that are new."""
        with self._database.write() as session:
            for use, last in used:
                minute_ago = ApiKeyRow.last_used <= last - EVERY_SECONDS
                row = update(ApiKeyRow).where(
                    ApiKeyRow.id == use.id, or_(ApiKeyRow.last_used.is_(None), minute_ago)
                )
                session.execute(row.values(last_used=last))
            return [
                (use, address) for use, address in met if note_network(session, use.id, network(address), now)
            ]

    def _tell_refusals(self, *, everything: bool) -> None:
        now = self._clock()
        lines = []
        with self._turn:
            for kind, kept in list(self._refused.items()):
                if now - kept.told < EVERY_SECONDS and not everything:
                    continue
                if not kept.count:
                    del self._refused[kind]
                    continue
                lines.append({**kept.fields, **span_of(kept)})
                kept.count, kept.told = 0, now
        for line in lines:
            self._audit.record("key_refused", **line)


def span_of(kept: _Refused) -> dict[str, Any]:
    """Return how many refusals were counted, and when the first and the last came, as fields of the audit log."""
    return {
        "count": kept.count,
        "first": datetime.fromtimestamp(kept.first, UTC).isoformat(timespec="milliseconds"),
        "last": datetime.fromtimestamp(kept.last, UTC).isoformat(timespec="milliseconds"),
    }


def note_network(session: Session, key_id: str, from_network: str, now: float) -> bool:
    """Note a network of a key; returns whether it wasn't known. Of two processes that see it first, one is told so."""
    dialect: Any = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    row = dialect.insert(ApiKeyNetwork).values(key_id=key_id, network=from_network[:64], first_used=now)
    done = session.execute(row.on_conflict_do_nothing())
    if not isinstance(done, CursorResult) or not done.rowcount:
        return False
    mine = ApiKeyNetwork.key_id == key_id
    if (session.scalar(select(func.count()).where(mine)) or 0) > MOST_NETWORKS:
        oldest = select(ApiKeyNetwork.network).where(mine).order_by(ApiKeyNetwork.first_used).limit(1)
        session.execute(delete(ApiKeyNetwork).where(mine, ApiKeyNetwork.network == oldest.scalar_subquery()))
    return True
