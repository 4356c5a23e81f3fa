"""The entry of a worker process: ``python app.py worker [NUMBER | trainer]``.

The server starts ``JOB_WORKERS`` of them, numbered from 0; one may also run alone. The operator starts a trainer.
"""

from __future__ import annotations

import logging
import os
import sys
import time

from screening.detectors.registry import Detectors, adopt_detectors
from screening.detectors.states import DetectorStates
from screening.detectors.training_parts import lacking
from screening.errors import BadSetting, ScreeningError
from screening.infra import watchdog
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.infra.host_locks import share
from screening.infra.log_setup import begin_logging
from screening.infra.wake_signal import Signals
from screening.scoring.score import Probabilities, own_probabilities
from screening.settings import Settings, make_instance
from screening.training.trainings import Trainings
from screening.uploads.instance_check import claim
from screening.uploads.screenings import Screenings
from screening.worker.loop import Worker
from screening.worker.trainer import Trainer

log = logging.getLogger("screening.worker")
TRAINER = "trainer"
LAST_SECONDS = 10.0
# Seconds by which the second and further workers start later, so that the first page and the first worker
# have the cores to themselves.
LATER_SECONDS = 2.0


def main(arguments: list[str], probabilities: Probabilities = own_probabilities) -> int:
    """Work until told to stop, and return the exit status.

    Args:
        arguments: the worker's number, or nothing for 0; ``trainer`` for one that only trains and compiles.
        probabilities: who is asked for the probabilities of some rows. ``python app.py worker`` binds the function at
            the root, ``python -m screening.worker`` takes the detectors' own.
    """
    try:
        only_trains = arguments == [TRAINER]
        number = 0 if only_trains else _number(arguments)
        # the first page and the first worker have the cores for themselves
        if number:
            time.sleep(LATER_SECONDS)
        settings = Settings.from_environ()
        begin_logging(settings.log_format)
        make_instance(settings)
        database = Database(settings.database_url)
        share(settings, database.engine)
        database.create_tables()
        claim(settings.instance, database)
        detectors = Detectors(settings, DetectorStates(database))
        adopt_detectors(detectors, AuditLog(settings.instance))
        if only_trains:
            Trainer(settings, database, detectors).run()
            return 0
        signals = Signals.of(settings.instance, database)
        worker = Worker(
            settings,
            Screenings(database, signals),
            detectors,
            number=number,
            probabilities=probabilities,
        )
        # two workers of one slot must not run at once
        watchdog.when_server_gone(lambda: _end(worker))
        trainer = None
        if number == 0 and (missing := lacking()):
            log.info(
                "trainings wait for a worker that has %s: python app.py worker trainer", ", ".join(missing)
            )
        elif number == 0:
            trainer = worker.trainer(Trainings(database, signals))
        if trainer is not None:
            trainer.start()
        try:
            worker.run()
        finally:
            worker.stop()
            if trainer is not None:
                trainer.join()
    except ScreeningError as problem:
        sys.stderr.write(f"the job worker can't start: {problem}\n")
        return 1
    return 0


def _end(worker: Worker) -> None:
    """Stop in order, or after a while at once: the server that waited for the work is gone."""
    worker.stop()
    time.sleep(LAST_SECONDS)
    os._exit(1)


def _number(arguments: list[str]) -> int:
    if not arguments:
        return 0
    if len(arguments) == 1 and arguments[0].isdecimal():
        return int(arguments[0])
    raise BadSetting(f"A worker takes its number, counted from 0, or the word {TRAINER}, and nothing else.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
