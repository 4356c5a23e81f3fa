"""A worker that trains and compiles and does nothing else: a process or an image of its own, beside a server that has
not the training parts, or whose memory trainings shall not share.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from types import FrameType

from screening.detectors.registry import Detectors
from screening.infra.database import Database
from screening.infra.job_runner import Runner
from screening.infra.wake_signal import Signals
from screening.settings import Settings
from screening.training.trainer_process import WORKSHOP, require_training_parts
from screening.training.training_job import TrainingJob
from screening.training.trainings import Trainings
from screening.worker.loop import prepare_all
from screening.worker.notices import JobNotices

# Seconds between two looks for nets that were put there by hand.
LOOK_SECONDS = 30.0


class Trainer:
    """The trainings of an instance, one at a time, and the nets of its detectors that aren't compiled yet.

    It holds trainings under the host's name (``HOST_NAME``), so that several hosts may have one each.
    """

    def __init__(
        self, settings: Settings, database: Database, detectors: Detectors, module: str = WORKSHOP
    ) -> None:
        """``module`` is what the child process of a training runs.

        Raises:
            NotReady: the training parts aren't installed.
        """
        require_training_parts()
        self._detectors = detectors
        self._stop = threading.Event()
        self._signals = Signals.of(settings.instance, database)
        self._next = 0.0
        self._runner = Runner(
            [TrainingJob(settings, Trainings(database, self._signals), module)],
            f"trainer@{settings.host_name}",
            self._signals.waiting,
            self._stop,
            self._compile,
            ended=JobNotices(database).ended,
        )

    def run(self) -> None:
        """Work until told to stop (SIGTERM, SIGINT)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.loop()

    def loop(self) -> None:
        """Train and compile until :meth:`stop` is called."""
        self._runner.loop()

    def stop(self) -> None:
        """Stop; a training that isn't finished goes back to those that wait."""
        self._stop.set()
        # else it wakes by itself within a second
        with suppress(OSError):
            self._signals.waiting.ring()

    def _compile(self) -> None:
        if time.monotonic() >= self._next:
            prepare_all(self._detectors, self._stop)
            self._next = time.monotonic() + LOOK_SECONDS

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop()
