"""Starts and stops detectors in the shadow, and says how far they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from screening.detectors.registry import Detectors
from screening.detectors.shadow_runs import ShadowRun
from screening.infra.job_queue import now
from screening.ledger.history import drop_apart
from screening.ledger.ledger import Ledger
from screening.ledger.tables import ShadowCount
from screening.shadow.scores import ShadowStore
from screening.uploads.screenings import DONE, Screening, Screenings

# After its end a run still takes screenings for so long: the clocks of machines differ.
LATE = timedelta(hours=1)
# A younger run may still be on its way into the ledger's tables.
YOUNG = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Progress of a run."""

    run: ShadowRun
    count: ShadowCount | None
    waiting_rows: int
    """Of the API; of all runs that go on."""
    waiting_files: int


class ShadowDesk:
    """The runs of one instance.

    Args:
        detectors: of the installation.
        ledger: where scores stand.
        history: the screenings.
    """

    def __init__(self, detectors: Detectors, ledger: Ledger, screenings: Screenings) -> None:
        self._detectors, self._screenings, self._instance = detectors, screenings, ledger.instance
        self._looked: dict[str, datetime] = {}
        """Until when no file waits for a run."""
        self.store = ShadowStore(ledger.tables, ledger.velocity)

    def start(self, first: str, name: str, by: str) -> ShadowRun:
        """Let a detector score, from now on, what another one decides on.

        Raises:
            NotFound, BadArtefact, Conflict: as :meth:`screening.detectors.registry.Detectors.shadow`.
        """
        run = self._detectors.shadow(first, name, by)
        self.store.begin(run.id)
        return run

    def stop(self, run: str, by: str | None, reason: str | None = None) -> ShadowRun:
        """Let it score no more; what it said stays.

        Raises:
            NotFound: there is none.
        """
        stopped = self._detectors.shadows.stop(run, by, reason)
        self._end(run)
        return stopped

    def _end(self, run: str) -> None:
        """Let a run end in the ledger's tables, and forget the past that it was told of."""
        self.store.end(run)
        drop_apart(self._instance, run)

    def files(self, run: ShadowRun, limit: int | None = None) -> Sequence[Screening]:
        """Return the screenings that a run isn't done with, the oldest first."""
        done = self.store.files_done(run.id)
        begun = now()
        query = (
            select(Screening.id)
            .where(
                Screening.state == DONE,
                Screening.fingerprint == run.first_fingerprint,
                Screening.finished >= self._looked.get(run.id, run.started),
            )
            .order_by(Screening.finished, Screening.id)
        )
        with self._screenings.database.read() as session:
            waiting = [each for each in session.scalars(query) if each not in done][:limit]
            if not waiting:
                self._looked[run.id] = max(run.started, begun - LATE)
            found = [session.get(Screening, each) for each in waiting]
        return [each for each in found if each is not None]

    def standing(self, run: ShadowRun) -> RunProgress:
        """Return how far a run is."""
        waiting, files = (self.store.waiting(), len(self.files(run))) if run.runs else (0, 0)
        return RunProgress(run, self.store.count(run.id), waiting, files)

    def settle(self) -> list[ShadowRun]:
        """Let the ledger's tables follow the runs, and return those that go on and have begun."""
        running = self._detectors.shadows.running()
        known = {count.run for count in self.store.going_on()} if running or self._maybe else set()
        self._maybe = bool(running)
        ids = {run.id for run in running.values()}
        for gone in known - ids:
            self._end(gone)
        for run in running.values():
            if run.id not in known and now() - run.started > YOUNG:  # whoever started it was killed
                self.store.begin(run.id)
                known.add(run.id)
        return [run for run in running.values() if run.id in known]

    _maybe = True
    """Whether a run may go on in the ledger's tables that was stopped."""
