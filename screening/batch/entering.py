"""Enter the decisions of a job in the ledger once its output is complete: all of them in one commit, and once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from screening.batch.folders import InputFolder, quoted
from screening.batch.ledger_rows import PREPARED, VALUES, About, Prepare, Values, unpacked
from screening.batch.observing import Observations
from screening.batch.scoring import REJECTED, RESULT
from screening.batch.settling import SettledForms
from screening.detectors.detector import Detector
from screening.features import Past
from screening.features.countries.addresses import AddressCountries
from screening.infra.job_queue import now
from screening.intake.text.parse import Layout
from screening.ledger.history import MOST_ROWS, DetectorHistory
from screening.ledger.ledger import Ledger
from screening.ledger.tables import BatchJob
from screening.transactions.schema import Matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Entering:
    """Account and ledger that decisions are entered for.

    Args:
        ledger: the instance's.
        owner: the account's name.
        counts_for_all: whether their rows are the past of everybody's files, as a manager's are.
        countries: of which country addresses are.
        memory: what the detector remembers of earlier rows, if it looks back.
        record: is told of a job that was entered: its id, and the numbers of rows and of flags.
    """

    ledger: Ledger
    owner: str
    counts_for_all: bool
    countries: AddressCountries | None = None
    memory: DetectorHistory | None = None
    record: Callable[[str, int, int], None] = lambda _job, _rows, _flagged: None


def job_of(detector: Detector, told: Observations) -> str:
    """Return the identity of a job: the same rows, read by the same detector, are the same job."""
    text = f"{detector.name} {detector.fingerprint} {told.rows} {told.digest}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEntry:
    """A job that is to be entered.

    Args:
        entering: whose it is, and where it goes.
        detector: what decided.
        threshold: from which probability on a row was flagged.
        source: the folder, as the operator calls it.
        settled: how its rows are read.
    """

    entering: Entering
    detector: Detector
    threshold: float
    source: str
    settled: SettledForms

    @property
    def job(self) -> str:
        """The identity of the job."""
        return job_of(self.detector, self.settled.told)

    def enter(self, spark: Any, target: str, rows: int, flagged: int) -> list[str]:
        """Enter what a job wrote, and return notes.

        Args:
            spark: the session.
            target: the output, which is complete.
            rows: number of its rows that were scored.
            flagged: number of those that were flagged.

        Raises:
            Conflict: something else was read than was written. Nothing was entered.
        """
        entering, detector = self.entering, self.detector
        about = About(
            job=self.job,
            owner=entering.owner,
            decided_at=now(),
            detector=detector.name,
            fingerprint=detector.fingerprint,
            threshold=self.threshold,
        )
        made = BatchJob(
            id=self.job,
            owner=entering.owner,
            counts_for_all=entering.counts_for_all,
            detector=detector.name,
            fingerprint=detector.fingerprint,
            folder=self.source,
            rows=rows,
            flagged=flagged,
        )
        prepare = Prepare(about, self.settled.layout, entering.countries)
        scored = spark.read.parquet(target).where(f"{RESULT} <> '{REJECTED}'")
        prepared = scored.mapInArrow(prepare.__call__, PREPARED)
        ledger = entering.ledger
        if ledger.jobs.find(self.job) is not None or not ledger.jobs.enter(
            made, ledger.segments, map(unpacked, streamed(prepared))
        ):
            return [self.known_note()]
        entering.record(self.job, rows, flagged)
        return [f"{rows:,} decisions were entered in the ledger as {entering.owner}'s, by job {self.job}."]

    def known_note(self) -> str:
        """Say that the rows appear in the ledger already."""
        known = self.entering.ledger.jobs.find(self.job)
        when = "" if known is None else f" on {known.entered:%Y-%m-%d %H:%M} UTC, from {known.folder}"
        return f"These rows were entered in the ledger before{when}: they stand there once."

    def remember(self, folder: InputFolder) -> None:
        """Have later screenings look back on the rows, the latest ones if they are very many.

        It may be repeated: what is remembered under the job's name is replaced.
        """
        memory, layout = self.entering.memory, self.settled.layout
        if memory is None or memory.has(self.job):
            return
        needed = [name for name in folder.table.columns if name in layout.header or name not in folder.names]
        table = folder.table.select(*map(quoted, needed)).mapInArrow(Values(layout).__call__, VALUES)
        rows = latest(map(past_of(len(layout.contract.columns)), table.toLocalIterator()), layout)
        memory.remember(self.job, rows.values, rows.labels)


def streamed(prepared: Any) -> Iterator[bytes]:
    """Yield the cells of a table of one column, which all executors make before the first is taken."""
    from pyspark import StorageLevel

    # one partition after the other is taken: without this each would be made only then
    kept = prepared.persist(StorageLevel.DISK_ONLY)
    try:
        kept.count()
        for row in kept.toLocalIterator():
            yield bytes(row[0])
    finally:
        kept.unpersist()


def past_of(columns: int) -> Callable[[Any], Past]:
    """Return what reads a row of :class:`Values`."""

    def read(row: Any) -> Past:
        values: Matrix = np.frombuffer(bytes(row[0]), np.float64).reshape(-1, columns)
        return Past(values, np.frombuffer(bytes(row[1]), np.int8))

    return read


def latest(parts: Iterator[Past], layout: Layout) -> Past:
    """Return the rows of all parts, or the latest ``MOST_ROWS`` of them."""
    place = layout.contract.columns.index(str(layout.contract.time))
    kept: list[Past] = []
    count = 0
    for part in parts:
        kept.append(part)
        count += len(part)
        if count > 2 * MOST_ROWS:
            kept = [newest(kept, place)]
            count = len(kept[0])
    return newest(kept, place)


def newest(parts: list[Past], place: int) -> Past:
    """Return the latest ``MOST_ROWS`` rows of some parts, by the column of a place."""
    values = np.concatenate([part.values for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    if len(values) <= MOST_ROWS:
        return Past(values, labels)
    times = np.nan_to_num(values[:, place], nan=-np.inf)
    chosen = np.sort(np.argpartition(times, len(times) - MOST_ROWS)[-MOST_ROWS:])
    return Past(values[chosen], labels[chosen])
