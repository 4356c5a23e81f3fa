"""A worker: the runners of one process, what it does before the first job, and what it tidies between two."""

from __future__ import annotations

import io
import logging
import signal
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from screening.bucket.storage import Storage
from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.errors import BadArtefact
from screening.infra.audit.log import AuditLog
from screening.infra.host_locks import DUTIES, Hold
from screening.infra.job_queue import Jobs
from screening.infra.job_runner import Runner
from screening.infra.wake_signal import Signals
from screening.intake import FileKind, open_transactions
from screening.ledger.ledger import Ledger
from screening.monitoring.comparison import DetectorComparison
from screening.reports.document_job import DocumentJob
from screening.reports.documents import Documents
from screening.reports.schedules import Schedules
from screening.scoring.score import Probabilities, own_probabilities
from screening.settings import Settings
from screening.shadow.step import ShadowStep
from screening.training.trainer_process import WORKSHOP
from screening.training.training_job import TrainingJob
from screening.training.trainings import Trainings
from screening.uploads.recording import RecordingJob, Recordings
from screening.uploads.screening_job import ScreeningJob
from screening.uploads.screenings import Screenings
from screening.worker.notices import JobNotices
from screening.worker.review import ReviewStep
from screening.worker.upkeep import Upkeep
from screening.worker.watch import AlertWatch

log = logging.getLogger("screening.worker")
# Seconds after the start: by then the first page has been answered.
AHEAD_SECONDS = 5.0
WARM_ROWS = 600
# How long a message may still be on its way when the worker stops; otherwise it is sent again.
LAST_SECONDS = 5.0
# Switch interval of the interpreter. Parsing and scoring take turns often, and Python's 5 ms would leave the
# other core idle each time.
SWITCH_SECONDS = 0.0005


class Worker:
    """One process of several that do jobs. All of them screen files.

    The first one (number 0) also trains, in a thread beside its screenings: training is the work of a child process, of
    which one at a time is enough for the machine, and nobody's file waits for it. So it makes documents; it tidies and
    watches, too, on one of several hosts (:data:`screening.infra.host_locks.DUTIES`).
    """

    def __init__(
        self,
        settings: Settings,
        screenings: Screenings,
        detectors: Detectors,
        *,
        number: int = 0,
        probabilities: Probabilities = own_probabilities,
    ) -> None:
        """Make a worker.

        Args:
            settings: of the installation.
            screenings: of the installation.
            detectors: of the installation.
            number: counts from 0 and is the same after a restart: what a dead predecessor held is freed at once.
            probabilities: who is asked for the probabilities of some rows.
        """
        self._settings = settings
        self._detectors = detectors
        self._number = number
        # a host that is back frees what it held, and nothing of the others
        self._suffix = f"{number}@{settings.host_name}" if settings.several else f"{number}"
        self._duties = Hold(screenings.database.engine, [DUTIES]) if settings.several else None
        self._stop = threading.Event()
        self._signals = Signals.of(settings.instance, screenings.database)
        ledger = Ledger.open(
            settings.instance,
            settings.database_url,
            state_url=settings.state_url,
            storage=Storage.of(settings),
        )
        recordings = Recordings(screenings.database, self._signals)
        self._upkeep = Upkeep(settings, screenings, detectors, ledger) if number == 0 else None
        self._shadow = (
            ShadowStep(settings, detectors, screenings, ledger, probabilities=probabilities)
            if number == 0
            else None
        )
        self._review = ReviewStep(settings, screenings.database, ledger) if number == 0 else None
        queues: dict[str, Jobs[Any]] = {
            "screenings": screenings,
            "trainings": Trainings(screenings.database),
            "ledger": recordings,
            "documents": Documents(screenings.database),
        }
        self._notices = JobNotices(screenings.database)
        self._watch: AlertWatch | None = None
        if number == 0:
            comparison = DetectorComparison(settings, screenings.database, ledger, detectors)
            self._watch = AlertWatch(
                settings, screenings.database, ledger, queues, comparison, on_duty=self.on_duty
            )
        self._documents = self._document_runner(screenings) if number == 0 else None
        self._files = Runner(
            [
                ScreeningJob(
                    settings,
                    screenings,
                    detectors,
                    self._signals,
                    ledger=ledger,
                    probabilities=probabilities,
                ),
                RecordingJob(settings, recordings, screenings, detectors, ledger),  # when no file waits
            ],
            f"worker-{self._suffix}",
            self._signals.waiting,
            self._stop,
            self._tidy,
            ended=self._notices.ended,
            several=settings.several,
        )

    def run(self) -> None:
        """Work until told to stop (SIGTERM, SIGINT)."""
        sys.setswitchinterval(SWITCH_SECONDS)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.loop()

    def loop(self) -> None:
        """Screen files until :meth:`stop` is called."""
        # before the first job is taken, which would pay for it otherwise
        warm_up(self._detectors.default)
        ahead = threading.Timer(AHEAD_SECONDS, self.prepare_others)
        ahead.daemon = True
        beside: list[threading.Thread] = []
        if self._watch is not None:
            ahead.start()
            beside.append(
                threading.Thread(target=self._watch.loop, args=(self._stop,), name="watch", daemon=True)
            )
        if self._documents is not None:
            beside.append(threading.Thread(target=self._documents.loop, name="documents", daemon=True))
        for thread in beside:
            thread.start()
        self._files.loop()
        ahead.cancel()
        for thread in beside:
            # they are daemons: one that hangs must not keep the process from ending
            thread.join(LAST_SECONDS)

    def work_once(self) -> bool:
        """Do one screening; return ``False`` when none waits."""
        return self._files.run_next()

    def trainer(self, trainings: Trainings, module: str = WORKSHOP) -> threading.Thread:
        """Return the thread that trains until :meth:`stop` is called. ``module`` is what its child process runs."""
        job = TrainingJob(self._settings, trainings, module)
        told = self._notices.ended
        several = self._settings.several
        runner = Runner(
            [job], f"trainer-{self._suffix}", self._signals.waiting, self._stop, ended=told, several=several
        )
        return threading.Thread(target=runner.loop, name="trainer", daemon=True)

    def _document_runner(self, screenings: Screenings) -> Runner:
        """Return what makes documents, each in a child process of low priority, and asks for those that are due."""
        settings, database = self._settings, screenings.database
        documents = Documents(database, self._signals)
        schedules = Schedules(database, settings.reports_hour, self._signals, AuditLog(settings.instance))
        job = DocumentJob(settings, documents)
        return Runner(
            [job],
            f"documents-{self._suffix}",
            self._signals.waiting,
            self._stop,
            lambda: schedules.step() if self.on_duty() else None,
            ended=self._notices.ended,
            several=settings.several,
        )

    def prepare_others(self) -> None:
        """Compile the nets that aren't yet, beside the work: else whoever asks such a detector first waits for it."""
        prepare_all(self._detectors, self._stop)

    def on_duty(self) -> bool:
        """Return whether this worker is the one of all hosts that tidies, watches and opens cases."""
        if self._duties is None:
            return True
        try:
            return self._duties.held()
        except OSError as problem:
            log.warning("it isn't known which host tidies: %s", problem)
            return False

    def _tidy(self) -> bool:
        """Do what nobody waits for; whether there is more of it."""
        more = False
        if self._upkeep is None or not self.on_duty():
            return more
        # before the upkeep seals what it has to score
        if self._shadow is not None:
            more = self._shadow.step()
        self._upkeep.step()
        if self._review is not None:  # after it has sealed
            more = self._review.step() or more
        return more

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop after the batch in hand; what isn't finished goes back to those that wait."""
        self._stop.set()
        # else it wakes by itself within a second
        with suppress(OSError):
            self._signals.waiting.ring()


def prepare_all(detectors: Detectors, stop: threading.Event) -> None:
    """Run the golden rows of all detectors, and compile the nets that aren't yet; until the stop is set."""
    for detector in detectors.all():
        if stop.is_set():
            return
        try:
            detector.prepare()
        except BadArtefact as problem:
            # whoever asks it is told, too; the others' nets are no worse for it
            log.error("Detector %s can't be used: %s", detector.name, problem)


def warm_up(detector: Detector) -> None:
    """Screen a few rows of nothing, so that the first file of the day doesn't pay for imports and interpreters."""
    header = ",".join(detector.contract.columns)
    row = ",".join(repr(sum(detector.typical[name]) / 2) for name in detector.contract.columns)
    stream = io.BytesIO("\n".join([header, *[row] * WARM_ROWS]).encode())
    with tempfile.TemporaryDirectory() as folder:
        canonical = Path(folder) / "canonical.csv"
        for batch in open_transactions(
            stream, FileKind.CSV, lambda _header: detector.contract, canonical=canonical
        ):
            detector.probabilities(batch.transactions)
