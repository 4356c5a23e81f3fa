"""The runner of trainings, for tests: one at a time by hand, or in a thread as the worker has it."""

from __future__ import annotations

import threading
from typing import Self

from screening.infra.job_runner import Runner
from screening.infra.wake_signal import Signals
from screening.settings import Settings
from screening.training.training_job import TrainingJob
from screening.training.trainings import Trainings

FAKE = "tests.fake_trainer"


class TrainingRunner:
    """A runner whose trainer's process is :mod:`tests.fake_trainer`; entered, it works in a thread."""

    def __init__(self, settings: Settings, trainings: Trainings, module: str = FAKE) -> None:
        self.job = TrainingJob(settings, trainings, module)
        self._stop = threading.Event()
        self._waiting = Signals.of(settings.instance).waiting
        self._runner = Runner([self.job], "trainer-0", self._waiting, self._stop)
        self._thread = threading.Thread(target=self._runner.loop)

    def work_once(self) -> bool:
        return self._runner.run_next()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._waiting.ring()
        self._thread.join()
