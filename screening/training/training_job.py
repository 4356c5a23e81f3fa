"""The job that makes a detector of a labelled file, by the trainer's process."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from screening.detectors.detector import load_detector
from screening.detectors.model_card import read_card
from screening.detectors.registry import cache_of
from screening.detectors.states import DetectorState, DetectorStates
from screening.errors import Conflict
from screening.infra.audit.log import AuditLog
from screening.infra.child_work import Killed
from screening.infra.job_queue import FAILED, now
from screening.infra.job_runner import AttemptFailed, Lease
from screening.settings import Settings
from screening.training.trainer_process import WORKSHOP, Workshop
from screening.training.trainings import CANCELLED, DONE, PARTS, Training, TrainingFolder, Trainings
from screening.uploads.instance_check import belong_together

log = logging.getLogger(__name__)
# Between two looks at the process: progress is written down, and a cancellation noticed, so late at most.
TICK_SECONDS = 1.0
YOUNG_SECONDS = 60
PASSED_ON = (
    "label",
    "fraud_values",
    "tokens",
    "answers",
    "columns",
    "label_delay",
    "keep_leaks",
    "quick",
    "description",
    "seed",
)
"""The options that the trainer's process is told of."""


class TrainingJob:
    """Does trainings: see :class:`screening.infra.job_runner.Handler`."""

    doing = "the detector was made"

    def __init__(self, settings: Settings, trainings: Trainings, module: str = WORKSHOP) -> None:
        """``module`` is what the child process runs."""
        self.queue = trainings
        self._settings = settings
        self._module = module
        self._states = DetectorStates(trainings.database)

    def claim(self, holder: str) -> Training | None:
        """Claim the oldest training that waits."""
        return self.queue.claim(holder)

    def run(self, job: Training, lease: Lease) -> dict[str, Any]:
        """Make the detector and put it into its place.

        Raises:
            ScreeningError: no detector can be made of this file, or its name was taken meanwhile.
            AttemptFailed: the trainer's process was ended from outside.
            LeaseLost, ShutdownRequested: it is no longer wanted; the trainer's process is gone.
        """
        folder = TrainingFolder(self._settings.instance, job.id)
        self._make(job, folder, lease)
        # from here on a repeated attempt has only the last step to do
        folder.moving.touch()
        target = detectors_of(self._settings.instance) / job.name
        # else an earlier attempt has moved it, and was ended before it could say so
        if folder.made.is_dir():
            put_into_place(folder.made, target)
        begin_trial(self._states, target, job.owner)
        return {"state": DONE}

    def closing(self, _seconds: float) -> dict[str, Any]:
        """Return no stage: none is left at the end."""
        return {"stage": ""}

    def ended(self, job: Training, outcome: dict[str, Any]) -> None:
        """Remove the file of a training that is done; one that failed keeps it for another choice of columns."""
        folder = TrainingFolder(self._settings.instance, job.id)
        if outcome["state"] == FAILED:
            folder.clear()
            self._record("training_failed", job, reason=outcome["error"]["what"])
        else:
            folder.remove()
            self._record("training_done", job)

    def discard(self, job: Training) -> None:
        """Remove all of a training that was cancelled or removed while it ran."""
        if self.queue.state(job.id) in (None, CANCELLED):
            TrainingFolder(self._settings.instance, job.id).remove()

    def tidy(self) -> None:
        """Give up what is hopeless; remove the folders of trainings that need none any more."""
        self.queue.give_up()
        kept = self._settings.instance / PARTS
        if not kept.exists() or not belong_together(self._settings.instance, self.queue.database):
            return
        needed = self.queue.with_files()
        for path in kept.iterdir():
            # a younger one may not have its row yet
            old = time.time() - path.stat().st_mtime > YOUNG_SECONDS
            if path.name not in needed and old:
                TrainingFolder(self._settings.instance, path.name).remove()

    def _make(self, job: Training, folder: TrainingFolder, lease: Lease) -> None:
        """Run the trainer's process, unless an earlier attempt had all done but the last step."""
        if folder.moving.exists():
            return
        lease.note(started=now(), progress=0.0, stage="Starting")
        with Workshop(folder, order_of(job, folder, self._settings.instance), self._module) as workshop:
            while workshop.working:
                lease.note(**workshop.hear(TICK_SECONDS))
            try:
                workshop.result()
            except Killed:
                log.error("training %s was ended from outside", job.id)  # nothing of ours failed
                raise AttemptFailed from None
        lease.note(progress=0.99, stage="Compiling the net")
        check(folder.made, job.name, self._settings.instance)
        lease.note()

    def _record(self, event: str, training: Training, **more: Any) -> None:
        AuditLog(self._settings.instance).record(
            event,
            user=training.owner,
            training=training.id,
            name=training.name,
            sha256=training.sha256,
            **more,
        )


def order_of(training: Training, folder: TrainingFolder, instance: Path) -> dict[str, Any]:
    """Return what the trainer's process is told, as ``model/data/order.py`` reads it."""
    options: Mapping[str, Any] = training.options
    order = {
        "file": str(folder.input),
        "filename": f"{Path(training.filename).stem}.csv" if folder.tokens.exists() else training.filename,
        "name": training.name,
        **{name: options[name] for name in PASSED_ON if options.get(name) is not None},
    }
    return {**order, "instance": str(instance)} if options.get("remember") else order


def detectors_of(instance: Path) -> Path:
    """Return the folder of the detectors that users trained."""
    return instance / "detectors"


def check(made: Path, name: str, instance: Path) -> None:
    """Load a new detector once: it is whole, and its first file needn't wait for the net to be compiled.

    Raises:
        BadArtefact: it can't be loaded, or its net gives other probabilities than Keras.
    """
    files = made / "model.h5", made / "vectorizer.pkl", made / "card.json"
    load_detector(name, *files, cache_of(instance)).prepare()


def begin_trial(states: DetectorStates, target: Path, owner: str) -> None:
    """Note whose a new detector is. It is on trial until a manager approves it, and was so before this was noted."""
    states.say(
        target.name, str(read_card(target / "card.json").fingerprint), DetectorState.TRIAL, owner, owner
    )


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
