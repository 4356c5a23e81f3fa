"""The entry of the job process, ``python app.py worker``: the worker, and the trainer beside it.

The server starts it; it may also run alone.
"""

from __future__ import annotations

import sys

from screening.detectors.registry import Detectors
from screening.errors import ScreeningError
from screening.infra import watchdog
from screening.infra.database import Database
from screening.infra.log_setup import begin_logging
from screening.scoring.score import Probabilities, own_probabilities
from screening.settings import Settings, make_instance
from screening.training.training_job import Trainer
from screening.training.trainings import Trainings
from screening.uploads.screenings import History
from screening.worker.loop import Worker


def main(probabilities: Probabilities = own_probabilities) -> int:
    """Work until told to stop, and return the exit status.

    ``probabilities`` is asked for the probabilities of some rows: ``python app.py worker`` binds the function at the
    root, ``python -m screening.worker`` takes the detectors' own.
    """
    begin_logging()
    try:
        settings = Settings.from_environ()
        make_instance(settings)
        database = Database(settings.database_url)
        database.create_tables()
        worker = Worker(settings, History(database), Detectors(settings), probabilities=probabilities)
        trainer = Trainer(settings, Trainings(database))
        watchdog.when_server_gone(worker.stop)  # two workers of one slot must not run at once
        trainer.start()
        try:
            worker.run()
        finally:
            trainer.stop()
            trainer.join()
    except ScreeningError as problem:
        print(f"the job worker can't start: {problem}", file=sys.stderr)  # noqa: T201 -- the operator reads it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
