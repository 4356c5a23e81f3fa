"""The tail: rows of the API that appear in no segment yet. A request is answered when its rows are here, durably.

One row of the table has all rows of a request, or of several that were decided together, as JSON; requests that wait at
a time share a transaction. The worker seals them: it writes a segment, and in the one transaction that enters it in the
manifest the rows leave the tail.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import msgspec
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from screening.errors import ScreeningError
from screening.infra.database import Database, DriverWrite
from screening.ledger.group_commit import GroupCommit
from screening.ledger.tables import IdempotentAnswer, TailRow
from screening.ledger.velocity.entries import StaleRead, VelocityEntry
from screening.ledger.velocity.state import Velocity

log = logging.getLogger("screening.ledger")
SEAL_ROWS, SEAL_SECONDS = 2_000, 30.0
"""The tail is sealed when it has so many rows, or when one is so old."""
KEEP_ANSWERS_SECONDS = 24 * 3600.0
"""So long a request may be sent again under its ``Idempotency-Key``."""
ROW = ("owner", "rows", "written", "payload")
ADD_ROW = text(
    "INSERT INTO ledger_tail (owner, rows, written, payload) VALUES (:owner, :rows, :written, :payload)"
)
# A request sent twice is kept once: the second insert waits for the other process, and then does nothing.
NOTE = text(
    "INSERT INTO ledger_requests (owner, key, body, answer, written) VALUES (:owner, :key, :body, :answer, :written) "
    "ON CONFLICT (owner, key) DO NOTHING"
)
UNNOTE = text("DELETE FROM ledger_requests WHERE owner = :owner AND key = :key")
LOOK = text("SELECT body, answer FROM ledger_requests WHERE owner = :owner AND key = :key")
_encode = msgspec.json.Encoder().encode


class OtherRequest(ScreeningError):
    """A key under which another request was answered."""

    status = 422
    title = "This Idempotency-Key was used for another request"


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A request with an ``Idempotency-Key``: its sender, the key, and the body."""

    owner: str
    key: str
    body: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the body."""
        return hashlib.sha256(self.body).digest()


class Kept(msgspec.Struct):
    """The rows of a request as the tail has them: column by column, as a segment has them, too."""

    rows: int
    same: dict[str, Any]
    """Values that all rows have in common, by the names of :data:`screening.ledger.rows.SCHEMA`."""
    columns: dict[str, list[Any]]
    """Values that differ, (rows,) each; what is in neither is null. Bytes are in hexadecimal, times in microseconds
    since 1970."""
    values: list[Any]
    """The transactions as JSON objects, (rows,)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Entry of one request in the tail, or of several requests of one owner that were decided together."""

    owner: str
    rows: int
    payload: bytes
    answer: bytes
    """Answer to the request; of several each is told by who asks."""
    request: Repeatable | None = None
    """With which key it came, if with one."""
    velocity: VelocityEntry | None = None
    """Rows that later transactions look back on, for a detector that does."""
    requests: int = 1
    """Number of requests that share it; one that may be repeated has an entry of its own."""

    def row(self, written: float) -> tuple[str, int, float, bytes]:
        """Return it as :data:`ROW` of the table."""
        return self.owner, self.rows, written, self.payload

    @classmethod
    def of(
        cls,
        owner: str,
        kept: Kept,
        answer: bytes,
        request: Repeatable | None = None,
        velocity: VelocityEntry | None = None,
        *,
        requests: int = 1,
    ) -> Self:
        """Return an entry of these rows, written as JSON before anybody's lock is held."""
        return cls(owner, kept.rows, _encode(kept), answer, request, velocity, requests)


class Tail:
    """The rows of the API that aren't sealed yet."""

    def __init__(self, tables: Database, velocity: Velocity) -> None:
        self._tables = tables
        self._velocity = velocity
        self._group: GroupCommit[Entry, bytes | Exception] = GroupCommit(self._add)

    def add(self, entries: Sequence[Entry]) -> list[bytes | Exception]:
        """Keep the rows of some requests, and their answers where they may be repeated; durably, when this returns.

        One transaction serves all who call this at a time.

        Returns:
            of each the answer: the first one where the same request was answered meanwhile, and nothing more was kept.
            Or why it was not kept: :class:`OtherRequest`, what the database said of this one alone, or
            :class:`~screening.ledger.velocity.entries.StaleRead`: it is to be scored again, several requests of an
            entry in the end one by one.

        Raises:
            DatabaseError: nothing was kept.
        """
        return self._group.add(entries)

    def _add(self, entries: Sequence[Entry]) -> list[bytes | Exception]:
        try:
            return self._patiently(entries)
        except (DataError, IntegrityError) as problem:
            if len(entries) == 1:
                return [StaleRead() if entries[0].requests > 1 else problem]
        # one of them can't be written, and the others mustn't suffer from it; those who saw its rows are scored again
        found: list[bytes | Exception] = []
        alone = Counter(id(entry.velocity.company) for entry in entries if entry.velocity is not None)
        for entry in entries:
            in_company = entry.velocity is not None and alone[id(entry.velocity.company)] > 1
            found += [StaleRead()] if in_company else self._add([entry])
        return found

    def _patiently(self, entries: Sequence[Entry]) -> list[bytes | Exception]:
        """Commit briefly; once more, as slowly as this machine is, where the database ended it in its middle."""
        try:
            return self._keep(entries, brief=True)
        except DBAPIError as problem:
            if not problem.connection_invalidated:
                raise
        log.warning("a commit is made once more: the database had ended that of %d requests", len(entries))
        return self._keep(entries, brief=False)

    def _keep(self, entries: Sequence[Entry], *, brief: bool) -> list[bytes | Exception]:
        # nothing to look up first: one statement is a transaction by itself
        if all(entry.request is None and entry.velocity is None for entry in entries):
            rows = [entry.row(time.time()) for entry in entries]
            self._tables.add_rows(TailRow.__tablename__, ROW, rows, brief=brief)
            return [entry.answer for entry in entries]
        return self._commit(entries, brief=brief)

    def _commit(self, entries: Sequence[Entry], *, brief: bool) -> list[bytes | Exception]:
        written = time.time()
        results: list[bytes | Exception] = [entry.answer for entry in entries]
        out: set[int] = set()
        added: list[VelocityEntry] = []
        try:
            with self._tables.driver_write(brief=brief) as write:
                looking_back = [entry.velocity for entry in entries if entry.velocity is not None]
                if looking_back:
                    self._velocity.begin(write)
                # their keys in one order in every process: two that wait for each other's would wait for ever
                repeatable = [(entry.request, place) for place, entry in enumerate(entries) if entry.request]
                for request, place in sorted(
                    repeatable, key=lambda each: (each[0].owner, each[0].key, each[1])
                ):
                    first = first_answer(write, request, entries[place].answer, written)
                    if first is not None:
                        results[place] = first
                        out.add(place)
                if looking_back:
                    # of a company of which one was answered before under its key the rows aren't added
                    # again: the others saw them
                    again = {
                        entry.velocity.company
                        for place in out
                        if (entry := entries[place]).velocity is not None
                    }
                    added = [each for each in looking_back if each.company not in again]
                    again |= self._velocity.add(write, added)
                    for place, entry in enumerate(entries):
                        if place in out or entry.velocity is None or entry.velocity.company not in again:
                            continue
                        results[place] = StaleRead()
                        out.add(place)
                        if entry.request is not None:
                            write.one(UNNOTE, {"owner": entry.request.owner, "key": entry.request.key})
                rows = [
                    dict(zip(ROW, entry.row(written), strict=True))
                    for place, entry in enumerate(entries)
                    if place not in out
                ]
                if rows:
                    write.many(ADD_ROW, rows)
        except BaseException:
            # the state may be outside of the database, whose rollback doesn't reach it then
            self._velocity.take_back(added)
            raise
        self._velocity.settled(added)
        return results

    def answered(self, request: Repeatable) -> bytes | None:
        """Return what a request was answered under its key; ``None`` for a new one.

        Raises:
            OtherRequest: another request was answered under this key.
        """
        with self._tables.driver_write(begin=False) as read:
            found = earlier_answer(read, request)
        if isinstance(found, OtherRequest):
            raise found
        return found

    def due(self) -> bool:
        """Return whether it is time to seal."""
        with self._tables.read() as session:
            rows, oldest = session.execute(select(func.sum(TailRow.rows), func.min(TailRow.written))).one()
        return bool(rows) and (rows >= SEAL_ROWS or time.time() - oldest >= SEAL_SECONDS)

    def forget_answers(self, since: float | None = None) -> None:
        """Forget the answers to requests that nobody sends again.

        Args:
            since: what was answered from then on, seconds since 1970, may be asked again and stays.
        """
        oldest = min(time.time(), since or math.inf) - KEEP_ANSWERS_SECONDS
        with self._tables.write() as session:
            session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.written < oldest))


def first_answer(
    write: DriverWrite, request: Repeatable, answer: bytes, written: float
) -> bytes | OtherRequest | None:
    """Note what a request is answered; if one was answered under its key before, return what is answered to it now."""
    noted = {
        "owner": request.owner,
        "key": request.key,
        "body": request.digest,
        "answer": answer,
        "written": written,
    }
    return None if write.one(NOTE, noted).rowcount else earlier_answer(write, request)


def earlier_answer(read: DriverWrite, request: Repeatable) -> bytes | OtherRequest | None:
    """Return what was answered under the key of a request before; :class:`OtherRequest` if to another one."""
    first = read.one(LOOK, {"owner": request.owner, "key": request.key}).fetchone()
    if first is None:
        return None
    body, answer = map(bytes, first)
    if body != request.digest:
        return OtherRequest(
            "Another request was answered under this Idempotency-Key, and nothing was scored.",
            remedy="Give each request a key of its own, and send the same body when you repeat one.",
        )
    return answer
