"""The entry of the job process, ``python -m screening.work``: the worker, and the trainer beside it.

The server starts it; it may also run alone.
"""

from __future__ import annotations

import sys

from screening import parent
from screening.database import Database
from screening.detector import Detectors
from screening.errors import ScreeningError
from screening.history import History
from screening.logs import begin_logging
from screening.settings import Settings, make_instance
from screening.trainer import Trainer
from screening.trainings import Trainings
from screening.worker import Worker


def main() -> int:
    """Work until told to stop. Returns the exit status."""
    begin_logging()
    try:
        settings = Settings.from_environ()
        make_instance(settings)
        database = Database(settings.database_url)
        database.create_tables()
        worker = Worker(settings, History(database), Detectors(settings))
        trainer = Trainer(settings, Trainings(database))
        parent.when_server_gone(worker.stop)  # two workers of one slot must not run at once
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
