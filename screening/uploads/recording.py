"""Enters a screening into the ledger once its page has been answered: a job of its own, which may be repeated.

The ledger's rows are made of what the screening left on the disk. A crash at any moment leaves the job, or a screening
that :meth:`Recordings.add_missing` finds.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.errors import ScreeningError
from screening.features.countries.addresses import AddressCountries
from screening.infra.database import Base
from screening.infra.job_queue import FAILED, Job, Jobs, now
from screening.infra.job_runner import Handled, Lease
from screening.ledger.identity import new_origin
from screening.ledger.ledger import Ledger
from screening.ledger.rows import DecisionBatch, fact_type, table_of
from screening.ledger.tables import FILE, FileCounts
from screening.rules.facts import KnownFacts
from screening.rules.file_table import columns_of, numbers_of
from screening.rules.row_texts import row_texts
from screening.scoring.places import AddressTables
from screening.settings import Settings
from screening.transactions.schema import ColumnContract
from screening.uploads.results import ScreeningOutcome
from screening.uploads.screenings import DONE, Screening, Screenings
from screening.uploads.upload_folder import UploadFolder

log = logging.getLogger("screening.worker.recording")
QUEUED, RUNNING = "queued", "running"


class NotRecorded(ScreeningError):
    """A screening that can't be entered into the ledger."""

    status = 500
    title = "This screening isn't in the ledger"


class Recording(Job, Base):
    """A screening that is to be entered into the ledger, by its id; the row goes when it is."""

    __tablename__ = "recordings"


class Recordings(Jobs[Recording]):
    """Queue of screenings to be entered into the ledger."""

    table = Recording
    waiting = QUEUED
    claimable = (QUEUED, RUNNING)

    def add(self, screening: Screening) -> None:
        """Have a screening entered, unless that is known already."""
        with self._database.write() as session:
            if session.get(Recording, screening.id) is None:
                session.add(
                    Recording(
                        id=screening.id,
                        owner=screening.owner,
                        filename=screening.filename,
                        kind=FILE,
                        state=QUEUED,
                        created=now(),
                    )
                )
        self.tell_waiting()

    def add_missing(self, recorded: set[str], since: datetime | None = None) -> int:
        """Have every screening entered that is done and isn't in the ledger; return how many there are.

        After a crash that is the one that was in hand; after an upgrade of an instance that had no ledger, all of them.

        Args:
            recorded: the ids of those that are in the ledger.
            since: those that ended before had been there and are kept no longer.
        """
        with self._database.read() as session:
            known = set(session.scalars(select(Recording.id)))
            wanted = select(Screening).where(Screening.state == DONE)
            if since is not None:
                wanted = wanted.where(Screening.finished >= since)
            done = session.scalars(wanted).all()
        missing = [each for each in done if each.id not in recorded and each.id not in known]
        for screening in missing:
            self.add(screening)
        return len(missing)

    def try_again(self) -> int:
        """Have those entered that failed, perhaps because the disk was full; return how many there are."""
        failed = update(Recording).where(Recording.state == FAILED)
        with self._database.write() as session:
            done = session.execute(failed.values(state=QUEUED, attempts=0, error=None, finished=None))
            count = done.rowcount if isinstance(done, CursorResult) else 0
        if count:
            self.tell_waiting()
        return count

    def _hopeless(self) -> ScreeningError:
        return NotRecorded(
            "The worker stopped again and again while it entered this screening into the ledger."
        )


class RecordingJob:
    """Enters screenings into the ledger: see :class:`screening.infra.job_runner.Handler`."""

    doing = "a screening was entered into the ledger"

    def __init__(
        self,
        settings: Settings,
        recordings: Recordings,
        screenings: Screenings,
        detectors: Detectors,
        ledger: Ledger,
    ) -> None:
        self.queue = recordings
        self._settings, self._screenings, self._detectors, self._ledger = (
            settings,
            screenings,
            detectors,
            ledger,
        )
        self._places = AddressTables(settings.ip_countries)

    def claim(self, holder: str) -> Recording | None:
        """Claim the oldest one."""
        return self.queue.claim(holder)

    def run(self, job: Recording, _lease: Lease) -> dict[str, Any]:
        """Write the segment.

        Raises:
            Handled: always, unless it goes wrong: the row goes.
        """
        screening = self._screenings.get(job.id)
        if screening is not None and screening.state == DONE:
            self._record(screening)
            # deleted in this moment: whoever deletes it removes its row before its segment
            if self._screenings.state(job.id) is None:
                self._ledger.segments.forget(job.id)
        self.queue.remove(job.id)
        raise Handled

    def closing(self, _seconds: float) -> dict[str, Any]:
        """Note nothing."""
        return {}

    def ended(self, job: Recording, outcome: dict[str, Any]) -> None:
        """Tell the operator of one that failed: the row stays, for nothing may be missing without a word."""
        if outcome["state"] == FAILED:
            log.error("screening %s can't be entered into the ledger: %s", job.id, outcome["error"]["what"])

    def discard(self, job: Recording) -> None:
        """Take out what was written for a screening that somebody deleted."""
        if self._screenings.state(job.id) is None:
            self._ledger.segments.forget(job.id)

    def tidy(self) -> None:
        """Give up what is hopeless."""
        self.queue.give_up()

    def _record(self, screening: Screening) -> None:
        folder = UploadFolder.kept(self._settings.instance, screening.id)
        found = ScreeningOutcome(folder, screening.threshold)
        if not found.there:
            log.error("the files of screening %s are gone; it can't be entered into the ledger", screening.id)
            return
        detector = self._detector(screening)
        decisions = decisions_of(
            screening,
            found,
            None if detector is None else detector.contract,
            self._places.of(detector),
            None if detector is None else KnownFacts.of(detector),
        )
        if len(decisions.numbers):
            noted = counts_of(screening, found, len(decisions.numbers))

            def note(session: Session) -> bool:
                if noted is not None:
                    session.merge(noted)
                return True

            self._ledger.segments.add(screening.id, FILE, table_of(decisions), note)

    def _detector(self, screening: Screening) -> Detector | None:
        """Return the detector that scored it, if that one is still here."""
        known: dict[str, Detector] = {each.name: each for each in self._detectors.all()}
        detector = known.get(str(screening.detector))
        return detector if detector and detector.fingerprint == screening.fingerprint else None


def counts_of(screening: Screening, found: ScreeningOutcome, rows: int) -> FileCounts | None:
    """Return how the values lay; ``None`` for a file that was screened before that was counted."""
    counts = found.meta.get("counts")
    if counts is None:
        return None
    return FileCounts(
        screening=screening.id,
        detector=str(screening.detector),
        fingerprint=str(screening.fingerprint),
        decided_at=screening.finished or now(),
        rows=rows,
        counts=json.dumps(counts),
    )


def decisions_of(
    screening: Screening,
    found: ScreeningOutcome,
    contract: ColumnContract | None,
    countries: AddressCountries | None = None,
    known: KnownFacts | None = None,
) -> DecisionBatch:
    """Return the rows of a screening that were scored.

    Args:
        screening: a screening that is done.
        found: what it left on the disk.
        contract: the detector's columns; ``None`` where it is gone, and whether the times are a calendar's isn't known.
        countries: of which country addresses are, for rows that bring none.
        known: what rules can ask of its transactions; ``None`` where it is gone.
    """
    probability = np.asarray(found.probability)
    kept = np.flatnonzero(np.isfinite(probability))
    texts = row_texts(
        found.canonical,
        np.asarray(found.offsets),
        contract=contract,
        called=found.meta.get("columns", {}),
        countries=countries,
        columns={} if known is None else known.texts,
    )
    every = len(kept) == len(probability)
    columns: dict[str, pa.Array] = {
        name: column if every else column.take(pa.array(kept)) for name, column in texts.items()
    }
    columns |= number_facts(found, known, kept)
    ruled, columns = rule_facts(found, kept, columns)
    facts = {name: column for name, column in columns.items() if fact_type(name) is not None}
    return DecisionBatch(
        origin=new_origin(int((screening.finished or now()).timestamp() * 1000)),
        numbers=(kept + 1).astype(np.uint32),
        source=FILE,
        screening=screening.id,
        owner=screening.owner,
        decided_at=screening.finished or now(),
        detector=str(screening.detector),
        fingerprint=str(screening.fingerprint),
        threshold=screening.threshold,
        probability=probability[kept],
        amount=taken_of(found.amount, kept),
        seconds=taken_of(found.time, kept) if contract is not None and contract.has_calendar else None,
        label=taken_of(found.label, kept),
        fields={name: column for name, column in columns.items() if name not in facts},
        reasons=_reasons(found, kept),
        flagged=np.asarray(found.flagged)[kept],
        rules=ruled,
        facts=facts,
    )


def number_facts(
    found: ScreeningOutcome, known: KnownFacts | None, kept: NDArray[np.int64]
) -> dict[str, pa.Array]:
    """Return the facts that are numbers, as they were when the rows were decided on."""
    names = found.meta.get("facts")
    if names is None or known is None:
        return {}
    columns, inputs = found.fact_columns, found.fact_inputs
    return numbers_of(
        known, names, None if columns is None else columns[kept], None if inputs is None else inputs[kept]
    )


def rule_facts(
    found: ScreeningOutcome, kept: NDArray[np.int64], columns: dict[str, pa.Array]
) -> tuple[pa.Array | None, dict[str, pa.Array]]:
    """Return the rules that fired, and the columns with what the rules say; a file's own type of fraud stays."""
    told, hits = found.meta.get("rules"), found.rule_hits
    if told is None or hits is None:
        return None, columns
    said = columns_of(told, np.asarray(hits)[kept])
    ruled, kind = said.pop("rules", None), said.pop("fraud_type", None)
    own = columns.get("fraud_type")
    if kind is not None:
        said["fraud_type"] = kind if own is None else pc.coalesce(own.cast(pa.string()), kind)
    return ruled, {**columns, **said}


def taken_of(values: NDArray[Any] | None, kept: NDArray[np.int64]) -> NDArray[Any] | None:
    """Return the values of the rows that are kept; ``None`` where the file has no such column."""
    return None if values is None else np.asarray(values)[kept]


def _reasons(found: ScreeningOutcome, kept: NDArray[np.int64]) -> pa.Array:
    said = found.reasons
    reasons: Callable[[int], list[str] | None] = said.get
    return pa.array([reasons(row) for row in kept.tolist()], pa.list_(pa.string()))
