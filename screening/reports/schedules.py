"""Reports of a period that are made again and again: the schedules, and what asks for the reports that are due."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from screening.errors import Conflict, NotFound, ScreeningError
from screening.infra.audit.log import AuditLog
from screening.infra.database import Base, Database
from screening.infra.job_queue import OWNER_LENGTH, UtcDateTime, new_id, now
from screening.infra.wake_signal import Signals
from screening.reports.documents import DocumentSubject, new_document

LOOK_SECONDS = 20.0
"""Seconds between two looks whether a report is due."""
MOST = 20
"""Schedules of an instance."""
BY_SCHEDULE = "schedule"


class BadSchedule(ScreeningError):
    """A schedule that can't be kept."""

    status = 400
    title = "This schedule can't be kept"


class ReportInterval(StrEnum):
    """Intervals between reports."""

    DAY = "day"
    WEEK = "week"
    """From Monday to Sunday."""
    MONTH = "month"

    def begin(self, moment: datetime) -> datetime:
        """Return when the period of a moment began, in UTC."""
        day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is ReportInterval.DAY:
            return day
        return day - timedelta(days=day.weekday()) if self is ReportInterval.WEEK else day.replace(day=1)

    def next(self, begin: datetime) -> datetime:
        """Return when the period after the one that began then begins."""
        return self.begin(begin + timedelta(days={"day": 1, "week": 7, "month": 31}[self.value]))


class Schedule(Base):
    """One report that is made again and again, of everybody's decisions."""

    __tablename__ = "report_schedules"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    every: Mapped[str] = mapped_column(String(8))
    kind: Mapped[str] = mapped_column(String(16))
    owner: Mapped[str] = mapped_column(String(OWNER_LENGTH))
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    reported: Mapped[datetime] = mapped_column(UtcDateTime)
    """Until when reports were asked for; the next one begins here."""


@dataclass(frozen=True, slots=True)
class DueReport:
    """A schedule with the moment from which its next report can be made."""

    schedule: Schedule
    at: datetime


class Schedules:
    """The schedules of an instance.

    Args:
        database: where they are kept.
        hour: of the day, UTC, from which on reports of what ended at midnight are made.
        signals: rung when a report is asked for.
        audit: is told of each report that is asked for.
        clock: gives the present time.
    """

    def __init__(
        self,
        database: Database,
        hour: int,
        signals: Signals | None = None,
        audit: AuditLog | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._database, self._signals, self._audit, self._clock = database, signals, audit, clock
        self._after = timedelta(hours=hour)
        self._look_at = 0.0

    def all(self) -> Sequence[DueReport]:
        """Return every schedule, the oldest first."""
        with self._database.read() as session:
            found = session.scalars(select(Schedule).order_by(Schedule.created)).all()
        return [
            DueReport(each, ReportInterval(each.every).next(each.reported) + self._after) for each in found
        ]

    def add(self, every: str, kind: str, owner: str) -> str:
        """Have a report made from now on, the first one of the present period; returns the schedule's id.

        Raises:
            BadSchedule: that is no period or no kind of file.
            Conflict: there is the same one already, or there are too many.
        """
        if every not in set(ReportInterval) or kind not in {"pdf", "xlsx"}:
            raise BadSchedule(
                "A schedule takes a period (day, week, month) and a kind of file (pdf, xlsx).",
                remedy="Choose them from the lists.",
            )
        present = self._clock()
        schedule = Schedule(
            id=new_id(),
            every=every,
            kind=kind,
            owner=owner,
            created=present,
            reported=ReportInterval(every).begin(present),
        )
        with self._database.write() as session:
            known = session.scalars(select(Schedule)).all()
            if any((each.every, each.kind) == (every, kind) for each in known):
                raise Conflict(
                    "There is such a schedule already.", remedy="Remove it first, or choose another."
                )
            if len(known) >= MOST:
                raise Conflict(f"There are {MOST} schedules already.", remedy="Remove one first.")
            session.add(schedule)
            made: str = schedule.id
        return made

    def remove(self, schedule_id: str) -> Schedule:
        """Have no further report made. Those that were made stay for as long as they are kept.

        Raises:
            NotFound: there is no such schedule.
        """
        with self._database.write() as session:
            schedule = session.get(Schedule, schedule_id)
            if schedule is None:
                raise NotFound("There is no such schedule.", remedy="Look for it in the list of schedules.")
            session.execute(delete(Schedule).where(Schedule.id == schedule_id))
        return schedule

    def step(self) -> None:
        """Ask for the reports that are due; looks a few times a minute, however often it is called."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self.ask()

    def ask(self) -> list[str]:
        """Ask for the reports that are due now; returns the ids of the documents.

        What was missed while no worker ran is caught up by one report, from the end of the last one to the end of the
        last period that is over. The document and the word that it was asked for are written in one transaction: a
        worker that is killed has done both or neither.
        """
        present = self._clock()
        if all(each.at > present for each in self.all()):
            return []
        made = []
        with self._database.write() as session:
            for schedule in session.scalars(select(Schedule).with_for_update()):
                every, start = ReportInterval(schedule.every), schedule.reported
                end = every.begin(present - self._after)
                if end <= start:
                    continue
                last = end - timedelta(days=1)
                days = f"{start:%Y-%m-%d}" + (f"-to-{last:%Y-%m-%d}" if last > start else "")
                document = new_document(
                    DocumentSubject.PERIOD,
                    schedule.kind,
                    owner=schedule.owner,
                    created=present,
                    author=f"schedule of {schedule.owner}",
                    filename=f"decisions-{days}.{schedule.kind}",
                    start=start,
                    end=end,
                    schedule=schedule.id,
                )
                session.add(document)
                schedule.reported = end
                made.append((document.id, schedule.id, f"{start:%Y-%m-%d}", f"{last:%Y-%m-%d}"))
        for document_id, schedule_id, first, day in made:
            if self._audit is not None:
                self._audit.record(
                    "report_ordered",
                    user=BY_SCHEDULE,
                    document=document_id,
                    schedule=schedule_id,
                    start=first,
                    end=day,
                )
        if made and self._signals is not None:
            self._signals.waiting.ring()
        return [document_id for document_id, *_ in made]
