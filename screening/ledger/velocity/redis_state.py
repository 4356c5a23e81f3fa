"""The velocity state in Redis (``STATE_URL``): for several machines, whose processes share one Redis and one database.

Decisions are kept in SQL and rows here, which no transaction spans. Rows are added first, in one ``MULTI`` that only
holds if nobody added any meanwhile, and taken back when the decisions can't be kept. A process that is killed, or a
host that is cut off, between the two leaves rows without a decision, which nobody was answered. So rows are noted as
open until it is known that their decision was kept, which goes with the next rows that are added; the worker looks up
those that stay open (:class:`screening.ledger.rebuilding.Settling`).

Redis may lose its last second when it is started again, without a word. So a state is what the ledger says only as
long as that Redis runs which was there when it was made: then the worker makes it again.

Keys begin with ``fraud:<ledger>:<subject>:``. ``state`` is a hash of what the subject's row is in SQL, ``rows`` one of
row numbers to rows, ``ids`` one of transactions to row numbers, ``open`` the set of those that are open, ``times`` a
sorted set of row numbers by time, and ``e:<place>:<cell>`` one for each entity.
"""

from __future__ import annotations

import math
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, ResponseError, WatchError

from screening.errors import BadSetting, NotReady
from screening.features import Past, PastRange
from screening.infra.database import Database, DriverWrite
from screening.ledger.identity import first_id
from screening.ledger.tables import OWNER_LENGTH
from screening.ledger.velocity import state
from screening.ledger.velocity.entries import TrainedSubject, VelocityEntry, Viewer
from screening.ledger.velocity.state import (
    Kept,
    NumberedRows,
    Velocity,
    VelocityExtent,
    past_of,
    sorted_out,
    unknown_of,
)

SECONDS = 5.0
"""So long an answer of Redis is waited for."""
BLOCK_ROWS = 10_000
MOST_LOOKED_AT = 1_000
# Rows that are looked at where the numbers of those that came meanwhile aren't known.
MOST_RECENT = 1_000
MOST_SETTLED = 10_000
"""Ids that wait to be told with the next rows; what is forgotten of them is looked up in the ledger."""


class Row(msgspec.Struct, array_like=True):
    """A row as it is kept."""

    id: str
    owner: str
    shared: bool
    time: float
    label: int
    cells: bytes


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Row)
decode_numbers = msgspec.json.Decoder(list[int]).decode


def decode_row(data: Any) -> Row:
    """Decode a row as Redis has it: bytes, though its client's types allow text, too."""
    return _decoder.decode(data)


def grouped(pairs: Iterable[tuple[int, str]]) -> dict[int, list[str]]:
    """Return ids by their subject's number."""
    found: dict[int, list[str]] = defaultdict(list)
    for number, row_id in pairs:
        found[number].append(row_id)
    return found


class StateUnavailable(NotReady):
    """Redis doesn't answer."""

    @classmethod
    def of(cls, problem: Exception) -> StateUnavailable:
        """Return what is told of it."""
        return cls(
            f"The velocity state can't be reached: {type(problem).__name__}.",
            where="STATE_URL",
            remedy="Send it again once Redis answers; nothing was kept.",
        )


@contextmanager
def reached() -> Iterator[None]:
    """Say that Redis can't be reached, whatever its client raises for that."""
    try:
        yield
    except WatchError:
        raise
    except RedisError as problem:
        raise StateUnavailable.of(problem) from problem


def _check_number(url: str) -> None:
    """See that the path of an address is a database's number: the client takes anything else for 0, without a word."""
    parts = urlsplit(url)
    number = parts.path.removeprefix("/")
    if parts.scheme != "unix" and number and not number.isdecimal():
        raise ValueError(f"/{number[:20]} is no database's number")


class RedisVelocity(Velocity):
    """The state in one Redis.

    Args:
        tables: the ledger's.
        url: ``redis://``, ``rediss://`` or ``unix://``.
        instance: a name that no other instance has.

    Raises:
        BadSetting: it is no such address.
    """

    def __init__(self, tables: Database, url: str, instance: str) -> None:
        super().__init__(tables)
        try:
            _check_number(url)
            self._redis = Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
        except ValueError as problem:
            raise BadSetting(
                f"STATE_URL can't be used: {problem}.", remedy="Example: redis://localhost"
            ) from None
        self._prefix = f"fraud:{instance}:"
        self._settled: deque[tuple[int, str]] = deque(maxlen=MOST_SETTLED)

    def key(self, subject: int, name: str) -> str:
        """Return a key of a subject."""
        return f"{self._prefix}{subject}:{name}"

    def entity(self, subject: int, place: int, cell: float) -> str:
        """Return the key of an entity's rows."""
        return self.key(subject, f"e:{place}:{(cell + 0.0).hex()}")  # no minus zero

    def require_ready(self) -> None:
        """See that Redis answers."""
        with reached():
            self._redis.ping()

    @contextmanager
    def reading(self) -> Iterator[_Reader]:
        """Give what reads for one question."""
        with reached():
            yield _Reader(self, self._redis)

    def span(self, subject: TrainedSubject, viewer: Viewer, since: float, until: float) -> Past:
        """Return all rows that count for somebody, from a time to before another."""
        with reached():
            # the bracket is Redis' sign for a bound that is left out
            numbers = self._redis.zrangebyscore(self.key(subject.number, "times"), since, f"({until!r}")
            cells: list[bytes] = []
            labels: list[int] = []
            for start in range(0, len(numbers), BLOCK_ROWS):
                rows = self.rows_of(subject.number, numbers[start : start + BLOCK_ROWS])
                seen = [row for row in rows if viewer.sees(row.owner, shared=row.shared)]
                cells.append(b"".join([row.cells for row in seen]))
                labels += [row.label for row in seen]
        return past_of(b"".join(cells), labels, subject.columns)

    def rows_of(self, subject: int, numbers: Sequence[Any]) -> list[Row]:
        """Return rows by their numbers; those that left meanwhile aren't there."""
        if not numbers:
            return []
        found = cast("list[bytes | None]", self._redis.hmget(self.key(subject, "rows"), list(numbers)))
        return [decode_row(each) for each in found if each is not None]

    def begin(self, write: DriverWrite) -> None:
        """Do nothing: Redis refuses what somebody else overtook."""

    def add(self, write: DriverWrite, entries: Sequence[VelocityEntry]) -> set[object]:  # noqa: ARG002 -- for SQL
        """Add rows, but for those of companies that were stale, and return these."""
        watched = sorted({self.key(entry.subject.number, "state") for entry in entries})
        while True:
            with reached(), self._redis.pipeline() as pipe:
                # if anybody adds rows between here and the end, nothing is executed, and all is read again
                pipe.watch(*watched)  # type: ignore[no-untyped-call]
                kept, again = sorted_out(entries, self._since)
                changed = self._changes(kept)
                done = list(self._settled)
                pipe.multi()
                changed.apply(pipe)
                self._open(pipe, kept, done)
                try:
                    pipe.execute()
                except WatchError:  # what was added meanwhile is looked at
                    continue
                for _ in done:
                    self._settled.popleft()
                return again

    def _open(
        self, pipe: Pipeline, entries: Sequence[VelocityEntry], done: Sequence[tuple[int, str]]
    ) -> None:
        """Queue the commands that note rows as open, and earlier ones as settled."""
        for number, some in grouped(done).items():
            pipe.srem(self.key(number, "open"), *some)
        for entry in entries:
            pipe.sadd(self.key(entry.subject.number, "open"), *entry.ids)

    def settled(self, entries: Sequence[VelocityEntry]) -> None:
        """Note that the transaction in which rows were added was committed: it is told with the next rows."""
        self._settled.extend((entry.subject.number, row_id) for entry in entries for row_id in entry.ids)

    def unsettled(self) -> dict[int, frozenset[str]]:
        """Return, by number of a subject, the ids of rows of which it isn't noted that they have a decision."""
        with reached():
            every = [number for number, _ in self._subjects()]
            found = {
                number: cast("set[bytes]", self._redis.smembers(self.key(number, "open"))) for number in every
            }
        return {number: frozenset(key.decode() for key in some) for number, some in found.items() if some}

    def settle(self, subject: int, kept: Sequence[str], lost: Sequence[str]) -> None:
        """Note of unsettled rows which have a decision, and remove those that have none."""
        with reached():
            if kept:
                self._redis.srem(self.key(subject, "open"), *kept)
            found = self._redis.hmget(self.key(subject, "ids"), list(lost)) if lost else []
        self._remove(subject, (), [number for number in found if number is not None])
        if lost:
            with reached():
                self._redis.srem(self.key(subject, "open"), *lost)

    def _since(self, entry: VelocityEntry) -> list[Kept]:
        """Return what was added since an entry was scored."""
        number = entry.subject.number
        last = int(self._redis.hget(self.key(number, "state"), "last") or 0)
        # fewer than there were: Redis was started again meanwhile, and has lost some
        since = entry.read_at if entry.read_at <= last else max(last - MOST_RECENT, 0)
        rows = self.rows_of(number, range(since + 1, last + 1))
        return [(row.owner, row.shared, row.cells) for row in rows]

    def _changes(self, entries: Sequence[VelocityEntry]) -> _Changes:
        changes = _Changes(self)
        by_subject: dict[int, list[VelocityEntry]] = defaultdict(list)
        for entry in entries:
            by_subject[entry.subject.number].append(entry)
        for number, some in by_subject.items():
            kept = self._redis.hmget(self.key(number, "state"), ["last", "newest"])
            changes.add(number, some, int(kept[0] or 0), float(kept[1] or -np.inf))
        return changes

    def take_back(self, entries: Sequence[VelocityEntry]) -> None:
        """Remove what was added, for a transaction that failed."""
        for entry in entries:
            with reached():
                found = self._redis.hmget(self.key(entry.subject.number, "ids"), list(entry.ids))
            numbers = [number for number in found if number is not None]
            self._remove(entry.subject.number, entry.subject.tracked, numbers)

    def _remove(self, subject: int, tracked: Sequence[int], numbers: Iterable[Any]) -> int:
        numbers = list(numbers)
        for start in range(0, len(numbers), BLOCK_ROWS):
            some = numbers[start : start + BLOCK_ROWS]
            with reached(), self._redis.pipeline() as pipe:
                found = self._redis.hmget(self.key(subject, "rows"), some)
                for number, data in zip(some, found, strict=True):
                    if data is None:
                        continue
                    row = decode_row(data)
                    cells = np.frombuffer(row.cells)
                    for place in tracked or range(len(cells)):
                        pipe.zrem(self.entity(subject, place, float(cells[place])), number)
                    pipe.hdel(self.key(subject, "ids"), row.id)
                    pipe.srem(self.key(subject, "open"), row.id)
                pipe.hdel(self.key(subject, "rows"), *some)
                pipe.zrem(self.key(subject, "times"), *some)
                pipe.execute()
        return len(numbers)

    def relabel(self, labels: Sequence[tuple[str, int]]) -> None:
        """Note what transactions turned out to be, by id."""
        for number, _ in self._subjects():
            with reached():
                found = self._redis.hmget(self.key(number, "ids"), [row_id for row_id, _ in labels])
                known = {seq: label for seq, (_, label) in zip(found, labels, strict=True) if seq is not None}
                self._label(number, known)

    def _label(self, subject: int, labels: dict[Any, int]) -> None:
        """Change labels by row number; nobody else changes a row."""
        key = self.key(subject, "rows")
        if not labels:
            return
        found = self._redis.hmget(key, list(labels))
        changed = {
            seq: _encode(msgspec.structs.replace(decode_row(data), label=label))
            for (seq, label), data in zip(labels.items(), found, strict=True)
            if data is not None
        }
        if changed:
            self._redis.hset(key, mapping=changed)

    def prune(self, decided_before: float | None = None) -> int:
        """Remove rows that are too old to count for anything, and return how many."""
        gone = 0
        for number, horizon in self._subjects():
            with reached():
                times = self.key(number, "times")
                stray = state.strays(self._redis.zcard(times))
                newest = self._redis.zrange(times, stray, stray, desc=True, withscores=True)
                since = float(newest[0][1]) - horizon - 1.0 if newest else -np.inf
                old = set(self._redis.zrangebyscore(times, "-inf", f"({since!r}")) if newest else set()
                if decided_before is not None:
                    limit = first_id(int(decided_before * 1000)).encode()
                    old |= {
                        seq
                        for row_id, seq in self._redis.hscan_iter(self.key(number, "ids"))
                        if row_id < limit
                    }
            gone += self._remove(number, (), old)
        return gone

    def forget(self, detector: str) -> None:
        """Drop the rows of a detector of this name, whatever its fingerprint."""
        for number, _ in self._subjects(detector):
            with reached():
                last = self._redis.hget(self.key(number, "state"), "last") or 0
                for key in self._redis.scan_iter(self.key(number, "*"), count=BLOCK_ROWS):
                    self._redis.unlink(key)
                # numbers aren't given twice: another process may still know rows by theirs
                self._redis.hset(self.key(number, "state"), "last", last)

    def detach_owner(self, owner: str) -> None:
        """Give the rows of an owner to nobody; those that count for all go on doing so."""
        for number, _ in self._subjects():
            key = self.key(number, "rows")
            with reached():
                for seq, data in self._redis.hscan_iter(key, count=BLOCK_ROWS):
                    row = decode_row(data)
                    if row.owner == owner:
                        former = msgspec.structs.replace(row, owner=f"~{owner}"[:OWNER_LENGTH])
                        self._redis.hset(key, seq, _encode(former))

    def _ids(self, subject: TrainedSubject) -> Iterator[tuple[bytes, bytes]]:
        return self._redis.hscan_iter(self.key(subject.number, "ids"), count=BLOCK_ROWS)

    def complete(self, entries: Sequence[VelocityEntry]) -> int:
        """Add those rows that aren't there, each an entry of its own, and return how many; labels are those given."""
        if not entries:
            return 0
        number = entries[0].subject.number
        while True:
            with reached(), self._redis.pipeline() as pipe:
                pipe.watch(self.key(number, "state"))  # type: ignore[no-untyped-call]
                found = self._redis.hmget(self.key(number, "ids"), [entry.ids[0] for entry in entries])
                pairs = list(zip(entries, found, strict=True))
                missing = [entry for entry, seq in pairs if seq is None]
                changes = self._changes(missing)
                pipe.multi()
                changes.apply(pipe)
                try:
                    pipe.execute()
                except WatchError:
                    continue
                self._label(number, {seq: int(entry.labels[0]) for entry, seq in pairs if seq is not None})
                return len(missing)

    def keep_only(self, subject: TrainedSubject, ids: Sequence[str], until: int) -> int:
        """Remove rows of other ids than these, up to the row ``until``, and return how many."""
        known = {row_id.encode() for row_id in ids}
        with reached():
            gone = [seq for key, seq in self._ids(subject) if key not in known and int(seq) <= until]
        return self._remove(subject.number, subject.tracked, gone)

    def begin_building(self, subject: TrainedSubject) -> str:
        """Return what :meth:`is_built` is told, so that it sees whether the state was lost once more meanwhile."""
        with reached():
            begun = f"{self._run()} {secrets.token_hex(8)}"
            self._redis.hset(self.key(subject.number, "state"), "begun", begun)
        return begun

    def is_built(self, subject: TrainedSubject, begun: str | None = None) -> None:
        """Note that the state of a detector is what the ledger says, unless it was lost since it was begun."""
        key = self.key(subject.number, "state")
        with reached():
            run = self._run()
            there = cast("bytes | None", self._redis.hget(key, "begun"))
            if begun is None or ((there or b"").decode() == begun and begun.split(" ")[0] == run):
                self._redis.hset(key, mapping={"built": repr(time.time()), "run": run})

    def _run(self) -> str:
        """Return what no other start of Redis has; the same for all where its user may not ask."""
        try:
            return str(self._redis.info("server")["run_id"])
        except (ResponseError, KeyError):
            return ""

    def unbuilt(self) -> frozenset[int]:
        """Return the numbers of the subjects whose state isn't what the ledger says, or may not be."""
        found = set()
        with reached():
            run = self._run()
            for number, _ in self._subjects():
                key = self.key(number, "state")
                built, of = cast("list[bytes | None]", self._redis.hmget(key, ["built", "run"]))
                if built is not None and (of or b"").decode() == run:
                    continue
                # so that answers say that something may be missing
                self._redis.hdel(key, "built")
                found.add(number)
        return frozenset(found)

    def standing(self, subject: TrainedSubject) -> VelocityExtent:
        """Return what a detector's state has seen."""
        with reached():
            kept = self._redis.hgetall(self.key(subject.number, "state"))
            rows = self._redis.zcard(self.key(subject.number, "times"))
        last, late, repeated = (int(kept.get(name, 0)) for name in (b"last", b"late", b"repeated"))
        newest, built = (None if name not in kept else float(kept[name]) for name in (b"newest", b"built"))
        return VelocityExtent(subject, rows, last, late, repeated, newest, built)


class _Changes:
    """Additions of one step."""

    def __init__(self, of: RedisVelocity) -> None:
        self._of = of
        self._hashes: dict[str, dict[Any, Any]] = defaultdict(dict)
        self._sets: dict[str, dict[Any, float]] = defaultdict(dict)
        self._counts: list[tuple[str, int, int]] = []

    def add(self, number: int, entries: Sequence[VelocityEntry], last: int, newest: float) -> None:
        """Add rows of a subject, whose last row and latest time are given."""
        of, late = self._of, 0
        for entry in entries:
            for place, moment in enumerate(entry.values[:, entry.subject.time].tolist()):
                if math.isnan(moment):  # without a time it comes before and after nothing
                    continue
                last += 1
                late += moment < newest
                newest = max(newest, moment)
                self._add_row(number, last, moment, entry, place)
        key = of.key(number, "state")
        self._hashes[key] = {"last": last} | ({"newest": repr(newest)} if newest > -np.inf else {})
        self._counts.append((key, late, sum(entry.repeated for entry in entries)))

    def _add_row(self, number: int, seq: int, moment: float, entry: VelocityEntry, place: int) -> None:
        of, cells, row_id = self._of, entry.values[place], entry.ids[place]
        label = int(entry.labels[place])
        row = Row(row_id, entry.viewer.owner, entry.shared, moment, label, cells.tobytes())
        self._hashes[of.key(number, "rows")][seq] = _encode(row)
        self._hashes[of.key(number, "ids")][row_id] = seq
        self._sets[of.key(number, "times")][seq] = moment
        for each in entry.subject.tracked:
            if not np.isnan(cells[each]):
                self._sets[of.entity(number, each, float(cells[each]))][seq] = moment

    def apply(self, pipe: Pipeline) -> None:
        """Queue the commands."""
        for key, fields in self._hashes.items():
            pipe.hset(key, mapping=fields)
        for key, members in self._sets.items():
            pipe.zadd(key, members)
        for key, late, repeated in self._counts:
            pipe.hincrby(key, "late", late)
            pipe.hincrby(key, "repeated", repeated)


class _Reader:
    def __init__(self, of: RedisVelocity, redis: Redis) -> None:
        self._of, self._redis = of, redis

    def last(self, subject: TrainedSubject) -> tuple[int, bool]:
        last, built = self._redis.hmget(self._of.key(subject.number, "state"), ["last", "built"])
        return int(last or 0), built is not None

    def rows(
        self,
        subject: TrainedSubject,
        viewer: Viewer,
        wanted: Sequence[tuple[int, PastRange]],
        known: NDArray[np.int64],
    ) -> NumberedRows:
        numbers = unknown_of(self._numbers(subject, wanted), known)
        found: list[int] = []
        labels: list[int] = []
        cells: list[bytes] = []
        for start in range(0, len(numbers), BLOCK_ROWS):
            some = numbers[start : start + BLOCK_ROWS].tolist()
            for number, data in zip(
                some, self._redis.hmget(self._of.key(subject.number, "rows"), some), strict=True
            ):
                if data is None:
                    continue
                row = decode_row(data)
                if viewer.sees(row.owner, shared=row.shared):
                    found.append(number)
                    labels.append(row.label)
                    cells.append(row.cells)
        return NumberedRows(np.array(found, np.int64), past_of(b"".join(cells), labels, subject.columns))

    def _numbers(self, subject: TrainedSubject, wanted: Sequence[tuple[int, PastRange]]) -> NDArray[np.int64]:
        """Return the numbers of the wanted rows, in any order, some of them twice."""
        if not wanted:
            return np.empty(0, np.int64)
        pipe = self._redis.pipeline(transaction=False)
        for place, each in wanted:
            pipe.zrangebyscore(self._of.entity(subject.number, place, each.cell), each.since, each.until)
        listed = b",".join([seq for found in pipe.execute() for seq in found])
        return np.array(decode_numbers(b"[" + listed + b"]"), np.int64)

    def earliest(self, subject: TrainedSubject, viewer: Viewer, place: int, cell: float) -> float:
        key = self._of.entity(subject.number, place, cell)
        numbers = self._redis.zrange(key, 0, MOST_LOOKED_AT - 1)
        seen = (
            row.time
            for row in self._of.rows_of(subject.number, numbers)
            if viewer.sees(row.owner, shared=row.shared)
        )
        return next(seen, np.inf)
