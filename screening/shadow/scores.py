"""Keep the scores and the progress of detectors in the shadow, in the ledger's tables, apart from what was
decided.

Scores are kept as arrays, many rows in one of a table: 20 bytes a row before they are packed. A file's count once its
last row is there; the API's in the transaction that takes their request out of those that wait.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, or_, select, text, update

from screening.infra.database import Database, DriverWrite
from screening.infra.job_queue import now
from screening.ledger.tables import ShadowCount, ShadowFile, ShadowScores, ShadowWaiting, TailRow
from screening.ledger.velocity.entries import VelocityEntry
from screening.ledger.velocity.state import Velocity

if TYPE_CHECKING:
    import pyarrow as pa

SCORE = np.dtype([("key", "V12"), ("number", "<u4"), ("probability", "<f4")])
# Rows per transaction: no payment waits long for its lock.
BLOCK_ROWS = 65_536
FEW_ROWS, MANY_PARTS = 512, 64
"""So many parts of so few rows are put together."""
LONGEST_PROBLEM = 300
FLAG = text(
    "UPDATE ledger_tail SET shadowed = :done WHERE seq = :seq AND written = :written AND shadowed = :open"
)
TAKE = text("DELETE FROM ledger_shadow_waiting WHERE seq = :seq")
COUNT = text(
    "UPDATE ledger_shadow_counts SET scored = scored + :scored, unreadable = unreadable + :unreadable, "
    "failed = failed + :failed, problem = COALESCE(:problem, problem) WHERE run = :run"
)


class SealedMeanwhile(Exception):
    """The scored entry has been sealed meanwhile: it waits elsewhere, and comes again."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that no detector in the shadow has looked at."""

    seq: int
    payload: bytes
    written: float | None
    """``None`` where it was sealed already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOutcome:
    """Result for some requests."""

    scores: NDArray[Any] | None = None
    """:data:`SCORE` (rows,)."""
    unreadable: int = 0
    failed: int = 0
    problem: str | None = None


class ShadowStore:
    """Reads and writes the tables.

    Args:
        tables: the ledger's.
        velocity: gets the rows that a detector in the shadow has seen.
    """

    def __init__(self, tables: Database, velocity: Velocity) -> None:
        self._tables, self._velocity = tables, velocity

    def begin(self, run: str) -> None:
        """Let a run begin: what appears in the tail by now is before its start."""
        count = ShadowCount(
            run=run, runs=True, seeded=False, scored=0, unreadable=0, failed=0, dropped=0, trying=0
        )
        with self._tables.write() as session:
            if session.scalar(select(ShadowCount.run).where(ShadowCount.runs).limit(1)) is None:
                session.execute(update(TailRow).values(shadowed=True))
            session.add(count)

    def end(self, run: str) -> None:
        """Let a run end; what it said stays. What waits for nobody goes."""
        with self._tables.write() as session:
            session.execute(update(ShadowCount).where(ShadowCount.run == run).values(runs=False))
            if session.scalar(select(ShadowCount.run).where(ShadowCount.runs).limit(1)) is None:
                session.execute(delete(ShadowWaiting))
        self._velocity.forget(f"shadow:{run}")

    def drop(self, run: str) -> None:
        """Forget a run that never began, or all that it said."""
        with self._tables.write() as session:
            for table in (ShadowCount, ShadowScores, ShadowFile):
                session.execute(delete(table).where(table.run == run))

    def going_on(self) -> Sequence[ShadowCount]:
        """Return how far those are that go on."""
        with self._tables.read() as session:
            return session.scalars(select(ShadowCount).where(ShadowCount.runs)).all()

    def count(self, run: str) -> ShadowCount | None:
        """Return how far a run is."""
        with self._tables.read() as session:
            return session.get(ShadowCount, run)

    def note(self, run: str, **values: Any) -> None:
        """Write down how far a run is."""
        with self._tables.write() as session:
            session.execute(update(ShadowCount).where(ShadowCount.run == run).values(**values))

    def pending(self, limit: int) -> list[Pending]:
        """Return the requests that were kept first of those that wait: what was sealed goes before the tail."""
        with self._tables.read() as session:
            sealed = session.scalars(select(ShadowWaiting).order_by(ShadowWaiting.seq).limit(limit)).all()
            if sealed:
                return [Pending(row.seq, bytes(row.payload), None) for row in sealed]
            waits = TailRow.shadowed.is_(False)
            tail = session.scalars(select(TailRow).where(waits).order_by(TailRow.seq).limit(limit)).all()
            return [Pending(row.seq, bytes(row.payload), row.written) for row in tail]

    def waiting(self) -> int:
        """Return how many rows of the API wait."""
        with self._tables.read() as session:
            sealed = session.scalar(select(func.sum(ShadowWaiting.rows))) or 0
            tail = session.scalar(select(func.sum(TailRow.rows)).where(TailRow.shadowed.is_(False))) or 0
        return sealed + tail

    def payloads(self) -> Sequence[bytes]:
        """Return all requests that wait."""
        with self._tables.read() as session:
            sealed = session.scalars(select(ShadowWaiting.payload))
            tail = session.scalars(select(TailRow.payload).where(TailRow.shadowed.is_(False)))
            return [*map(bytes, sealed), *map(bytes, tail)]

    def finish(
        self,
        run: str | None,
        done: Sequence[Pending],
        outcome: ShadowOutcome,
        seen: VelocityEntry | None = None,
    ) -> None:
        """Keep what became of some requests, which wait no longer; all or nothing.

        Args:
            run: whose scores they are; ``None`` for requests that no run is about.
            done: the requests.
            outcome: what was found.
            seen: what later ones look back on.

        Raises:
            Moved: one of them was sealed meanwhile; nothing was kept.
        """
        entries = [] if seen is None else [seen]
        try:
            with self._tables.driver_write() as write:
                if entries:
                    self._velocity.begin(write)
                stale = entries and self._velocity.add(write, entries)
                if stale or not all(_is_taken(write, each) for each in done):
                    raise SealedMeanwhile  # noqa: TRY301 -- it ends the transaction
                if run is not None:
                    _add(write, run, outcome)
        except BaseException:
            self._velocity.take_back(entries)
            raise
        self._velocity.settled(entries)

    def put_together(self, run: str) -> None:
        """Make one part of many small ones."""
        small = [ShadowScores.run == run, ShadowScores.screening.is_(None), ShadowScores.rows < FEW_ROWS]
        with self._tables.read() as session:
            if (
                session.scalar(select(func.count()).select_from(ShadowScores).where(*small)) or 0
            ) < MANY_PARTS:
                return
        with self._tables.write() as session:
            parts = session.scalars(select(ShadowScores).where(*small).limit(BLOCK_ROWS // FEW_ROWS)).all()
            whole = np.concatenate([unpacked(part.payload) for part in parts])
            session.add(
                ShadowScores(
                    run=run, screening=None, rows=len(whole), payload=packed(whole), written=parts[-1].written
                )
            )
            for part in parts:
                session.delete(part)

    def files_done(self, run: str) -> set[str]:
        """Return the screenings that a run is done with."""
        with self._tables.read() as session:
            return set(session.scalars(select(ShadowFile.screening).where(ShadowFile.run == run)))

    def problems(self, run: str) -> Sequence[ShadowFile]:
        """Return the screenings whose rows couldn't be scored."""
        with self._tables.read() as session:
            query = select(ShadowFile).where(ShadowFile.run == run, ShadowFile.problem.is_not(None))
            return session.scalars(query).all()

    def add_file(self, run: str, screening: str, scores: NDArray[Any]) -> None:
        """Keep what was said of a file's rows; what was begun before is replaced."""
        mine = [ShadowScores.run == run, ShadowScores.screening == screening]
        with self._tables.write() as session:
            session.execute(delete(ShadowScores).where(*mine))
        for start in range(0, len(scores), BLOCK_ROWS):
            part = scores[start : start + BLOCK_ROWS]
            payload = packed(part)
            with self._tables.write() as session:
                session.add(
                    ShadowScores(run=run, screening=screening, rows=len(part), payload=payload, written=now())
                )
        self._file_done(run, screening, len(scores), None)

    def refuse_file(self, run: str, screening: str, problem: str) -> None:
        """Note why a file's rows can't be scored."""
        self._file_done(run, screening, 0, problem[:LONGEST_PROBLEM])

    def _file_done(self, run: str, screening: str, rows: int, problem: str | None) -> None:
        with self._tables.write() as session:
            session.merge(ShadowFile(run=run, screening=screening, problem=problem))
            counted = update(ShadowCount).where(ShadowCount.run == run)
            session.execute(counted.values(scored=ShadowCount.scored + rows))

    def forget_file(self, screening: str) -> None:
        """Forget what was said of a screening that somebody deleted."""
        with self._tables.write() as session:
            for table in (ShadowScores, ShadowFile):
                session.execute(delete(table).where(table.screening == screening))

    def table(self, run: str) -> pa.Table:
        """Return all that a run has said, as :meth:`screening.ledger.queries.questions.Questions.beside` takes it."""
        # web processes do without it until somebody compares
        import pyarrow as pa

        whole = select(ShadowFile.screening).where(ShadowFile.run == run)
        query = select(ShadowScores.payload).where(
            ShadowScores.run == run,
            or_(ShadowScores.screening.is_(None), ShadowScores.screening.in_(whole)),
        )
        with self._tables.read() as session:
            parts = [unpacked(payload) for payload in session.scalars(query)]
        found = np.concatenate(parts) if parts else np.empty(0, SCORE)
        keys = pa.Array.from_buffers(
            pa.binary(12), len(found), [None, pa.py_buffer(np.ascontiguousarray(found["key"]).tobytes())]
        )
        return pa.table(
            {
                "key": keys,
                "number": pa.array(np.ascontiguousarray(found["number"])),
                "probability": pa.array(np.ascontiguousarray(found["probability"])),
            }
        )


ADD = text(
    "INSERT INTO ledger_shadow_scores (run, rows, payload, written) VALUES (:run, :rows, :payload, :written)"
)


def _is_taken(write: DriverWrite, pending: Pending) -> bool:
    """Take a request out of those that wait; ``False`` if it isn't there any more."""
    if pending.written is None:
        return bool(write.one(TAKE, {"seq": pending.seq}).rowcount == 1)
    given = {"done": True, "open": False, "seq": pending.seq, "written": pending.written}
    return bool(write.one(FLAG, given).rowcount == 1)


def _add(write: DriverWrite, run: str, outcome: ShadowOutcome) -> None:
    scores = outcome.scores
    counted = {
        "run": run,
        "scored": 0 if scores is None else len(scores),
        "unreadable": outcome.unreadable,
        "failed": outcome.failed,
        "problem": outcome.problem and outcome.problem[:LONGEST_PROBLEM],
    }
    write.one(COUNT, counted)
    if scores is not None and len(scores):
        written = now().replace(tzinfo=None).isoformat(" ", "microseconds")
        write.one(ADD, {"run": run, "rows": len(scores), "payload": packed(scores), "written": written})


def scores_of(
    keys: Sequence[bytes], numbers: Sequence[int], probabilities: NDArray[np.float32]
) -> NDArray[Any]:
    """Return rows as they are kept, :data:`SCORE` (rows,)."""
    found = np.empty(len(numbers), SCORE)
    found["key"] = np.frombuffer(b"".join(keys), "V12")
    found["number"], found["probability"] = numbers, probabilities
    return found


def of_file(screening: str, probabilities: NDArray[np.float32]) -> NDArray[Any]:
    """Return a file's rows as they are kept; those that were set aside (NaN) have none.

    Args:
        screening: its id.
        probabilities: (rows of the file,).
    """
    kept = np.flatnonzero(np.isfinite(probabilities))
    found = np.empty(len(kept), SCORE)
    found["key"] = np.frombuffer(bytes.fromhex(screening)[:12], "V12")[0]
    found["number"], found["probability"] = kept + 1, probabilities[kept]
    return found


def packed(scores: NDArray[Any]) -> bytes:
    """Return rows as they appear in a table: column by column, so that what repeats packs well."""
    columns: Mapping[str, Any] = scores.dtype.fields or {}
    return zlib.compress(b"".join(np.ascontiguousarray(scores[name]).tobytes() for name in columns), 1)


def unpacked(payload: bytes) -> NDArray[Any]:
    """Return the rows that :meth:`packed` was given."""
    raw = zlib.decompress(payload)
    rows = len(raw) // SCORE.itemsize
    found = np.empty(rows, SCORE)
    start = 0
    for name in SCORE.names or ():
        kind = SCORE[name]
        found[name] = np.frombuffer(raw, kind, rows, start)
        start += rows * kind.itemsize
    return found
