"""Notify the owner of a job that has ended: a file that took its time, a training, a document, and whatever failed."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from screening.accounts.notifications import Notifications
from screening.infra.database import Database
from screening.infra.job_queue import FAILED, Job

log = logging.getLogger("screening.worker")
# A file that takes less time gets no notice: its sender is still looking at the page.
LONG_SECONDS = 20.0
PLACES = {
    "screenings": ("Screening of {name}", "/results/{id}"),
    "trainings": ("Training of {name}", "/trainings/{id}"),
    "documents": ("Document {name}", "/reports/documents/{id}"),
}


class JobNotices:
    """Tells owners of jobs; a database that can't take it keeps nothing else from going on.

    Args:
        database: of the app.
    """

    def __init__(self, database: Database) -> None:
        self._notifications = Notifications(database)

    def ended(self, job: Job, outcome: dict[str, Any], seconds: float) -> None:
        """Tell the owner of a job how it ended."""
        told: Any = job
        place = PLACES.get(told.__tablename__)
        failed = outcome["state"] == FAILED
        quick = told.__tablename__ == "screenings" and seconds < LONG_SECONDS
        if place is None or (quick and not failed):
            return
        name = getattr(told, "name", None) or getattr(told, "filename", None) or job.id
        words = place[0].format(name=name) + (": failed" if failed else ": ready")
        try:
            self._notifications.tell("job", words, place[1].format(id=job.id), to=told.owner)
        except SQLAlchemyError as problem:
            log.error("the owner of job %s wasn't notified: %s", job.id, type(problem).__name__)
