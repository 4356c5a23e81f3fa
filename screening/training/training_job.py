"""The trainer: makes the detectors that were asked for, one at a time, beside the worker that screens files."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from screening.detectors.detector import load_detector
from screening.errors import Conflict, ScreeningError
from screening.infra.audit_log import AuditLog
from screening.infra.job_queue import now
from screening.settings import Settings
from screening.training.trainer_process import WORKSHOP, Killed, Workshop
from screening.training.trainings import CANCELLED, DONE, FAILED, PARTS, Training, TrainingFolder, Trainings

log = logging.getLogger("screening.training.training_job")
TICK_SECONDS = 1.0
"""How often progress is written down, and a cancellation noticed."""
IDLE_SECONDS = 1.0
YOUNG_SECONDS = 60
PASSED_ON = ("label", "columns", "label_delay", "keep_leaks", "seed")
"""The options that the workshop is told of."""


class Taken(Exception):  # not an error: it was cancelled or removed, or went to another trainer
    """The training isn't ours any more."""


class Stopping(Exception):  # the order to stop came in the middle of a training
    """The trainer was told to stop; the training goes back to those that wait."""


class Trainer:
    """Holds a slot: its name is the same after a restart, so what a dead predecessor held is freed at once."""

    def __init__(
        self, settings: Settings, trainings: Trainings, slot: str = "trainer-0", module: str = WORKSHOP
    ) -> None:
        self._settings = settings
        self._trainings = trainings
        self._slot = slot
        self._module = module
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.loop, name="trainer", daemon=True)

    def start(self) -> None:
        """Work in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop at once; what isn't finished begins again when somebody works next."""
        self._stop.set()

    def join(self) -> None:
        """Wait until it has stopped: its child process is gone then."""
        self._thread.join()

    def loop(self) -> None:
        """Work until :meth:`stop` is called; what a dead predecessor of this slot held is freed first."""
        self._trainings.release(self._slot)
        while not self._stop.is_set():
            try:
                if self.work_once():
                    continue
                self._tidy()
            except Exception:  # the store may be locked or gone for a while: the thread must live
                log.exception("the trainer could not look for work")
            self._stop.wait(IDLE_SECONDS)

    def work_once(self) -> bool:
        """Do one training; ``False`` when none waits."""
        training = self._trainings.claim(self._slot)
        if training is None:
            return False
        folder = TrainingFolder(self._settings.instance, training.id)
        try:
            self._make(training, folder)
            self._put_into_place(training, folder)
        except Taken:
            self._forget(training, folder)
        except Stopping:
            self._trainings.release(self._slot, in_order=True)
        except Killed:
            log.error("training %s was ended from outside", training.id)  # noqa: TRY400 -- logged where seen
            self._trainings.release(self._slot)
        except ScreeningError as problem:
            self._fail(training, problem)
        except Exception:
            log.exception("training %s failed", training.id)
            self._fail(training, _unexpected(training.id))
        return True

    def _make(self, training: Training, folder: TrainingFolder) -> None:
        """Run the workshop, unless an earlier attempt had all done but the last step."""
        if folder.moving.exists():
            return
        self._note(training, started=now(), progress=0.0, stage="Starting")
        with Workshop(folder, order_of(training, folder, self._settings.instance), self._module) as workshop:
            while workshop.working:
                news = workshop.hear(TICK_SECONDS)
                if self._stop.is_set():
                    raise Stopping
                self._note(training, **news)
            workshop.result()
        self._note(training, progress=0.99, stage="Compiling the net")
        check(folder.made, training.name, self._settings.instance)
        self._note(training)

    def _put_into_place(self, training: Training, folder: TrainingFolder) -> None:
        target = detectors_of(self._settings.instance) / training.name
        folder.moving.touch()
        if folder.made.is_dir():
            put_into_place(folder.made, target)
        if self._trainings.finish(training.id, self._slot, state=DONE, error=None, stage=""):
            folder.remove()
            self._record("training_done", training)

    def _note(self, training: Training, **news: Any) -> None:
        if not self._trainings.renew(training.id, self._slot, **news):
            raise Taken

    def _fail(self, training: Training, problem: ScreeningError) -> None:
        error = problem.as_dict()
        if self._trainings.finish(training.id, self._slot, state=FAILED, error=error, stage=""):
            TrainingFolder(self._settings.instance, training.id).clear()
            self._record("training_failed", training, reason=error["what"])

    def _forget(self, training: Training, folder: TrainingFolder) -> None:
        """It was cancelled or removed while it ran: nothing of it stays."""
        if self._trainings.state(training.id) in (None, CANCELLED):
            folder.remove()
        log.info("training %s was called off", training.id)

    def _record(self, event: str, training: Training, **more: Any) -> None:
        AuditLog(self._settings.instance).record(
            event,
            user=training.owner,
            training=training.id,
            name=training.name,
            sha256=training.sha256,
            **more,
        )

    def _tidy(self) -> None:
        """Give up what is hopeless; remove the folders of trainings that need none any more."""
        self._trainings.give_up()
        kept = self._settings.instance / PARTS
        if not kept.exists():
            return
        needed = self._trainings.with_files()
        for path in kept.iterdir():
            old = time.time() - path.stat().st_mtime > YOUNG_SECONDS  # a younger one may not have its row yet
            if path.name not in needed and old:
                TrainingFolder(self._settings.instance, path.name).remove()


def order_of(training: Training, folder: TrainingFolder, instance: Path) -> dict[str, Any]:
    """What the workshop is told, as ``model/data/order.py`` reads it."""
    options: Mapping[str, Any] = training.options
    order = {
        "file": str(folder.input),
        "filename": training.filename,
        "name": training.name,
        **{name: options[name] for name in PASSED_ON if options.get(name) is not None},
    }
    return {**order, "instance": str(instance)} if options.get("remember") else order


def detectors_of(instance: Path) -> Path:
    """Where the detectors lie that users trained."""
    return instance / "detectors"


def check(made: Path, name: str, instance: Path) -> None:
    """Load a new detector once: it is whole, and its first file needn't wait for the net to be compiled.

    Raises:
        BadArtefact: it can't be loaded, or its net gives other probabilities than Keras.
    """
    files = made / "model.h5", made / "vectorizer.pkl", made / "card.json"
    load_detector(name, *files, instance / "compiled").prepare()


def put_into_place(made: Path, target: Path) -> None:
    """Let the new detector appear under its name, as a whole.

    Raises:
        Conflict: there is one of this name by now.
    """
    target.parent.mkdir(mode=0o700, exist_ok=True)
    if target.exists():
        raise Conflict(
            f"There is a detector {target.name} by now.", where="name", remedy="Train it under another name."
        )
    made.rename(target)


def _unexpected(training_id: str) -> ScreeningError:
    return ScreeningError(
        "Something went wrong here while the detector was made; the file isn't to blame as far as is known.",
        remedy=f"Try once more. If it happens again, tell the operator this number: {training_id}.",
    )
