"""Reports that are made again and again: each period once, what was missed in one, whatever is killed in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from screening.errors import Conflict, NotFound
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.reports.documents import Document
from screening.reports.schedules import BadSchedule, ReportInterval, Schedules
from screening.settings import Settings


class Calendar:
    """A clock that is set by hand."""

    def __init__(self, at: str) -> None:
        self.at = datetime.fromisoformat(at).replace(tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def set(self, at: str) -> None:
        self.at = datetime.fromisoformat(at).replace(tzinfo=UTC)


@pytest.fixture
def clock() -> Calendar:
    return Calendar("2026-03-10T12:00")


@pytest.fixture
def database(settings: Settings) -> Database:
    return Database(settings.database_url)


@pytest.fixture
def schedules(database: Database, clock: Calendar) -> Schedules:
    return Schedules(database, 6, clock=clock)


def asked(database: Database) -> list[tuple[str, str]]:
    """The first day and the last of the reports that were asked for, the earliest first."""
    with database.read() as session:
        rows = session.scalars(select(Document).order_by(Document.start)).all()
    return [
        (f"{row.start:%Y-%m-%d}", f"{row.end - timedelta(days=1):%Y-%m-%d}")
        for row in rows
        if row.start is not None and row.end is not None
    ]


def test_a_day_is_reported_on_when_it_is_over_and_the_hour_has_come(
    schedules: Schedules, database: Database, clock: Calendar
) -> None:
    schedules.add("day", "pdf", "mia")
    for at, days in (
        ("2026-03-10T23:59", []),
        ("2026-03-11T05:59", []),
        ("2026-03-11T06:00", ["2026-03-10"]),
        ("2026-03-11T18:00", ["2026-03-10"]),
        ("2026-03-12T06:30", ["2026-03-10", "2026-03-11"]),
    ):
        clock.set(at)
        schedules.ask()
        schedules.ask()
        assert asked(database) == [(day, day) for day in days], at
    (due,) = schedules.all()
    assert due.at == datetime(2026, 3, 13, 6, tzinfo=UTC)


def test_what_was_missed_is_caught_up_by_one_report_that_leaves_no_day_out(
    schedules: Schedules, database: Database, clock: Calendar
) -> None:
    schedules.add("day", "pdf", "mia")
    schedules.add("week", "pdf", "mia")
    schedules.add("month", "xlsx", "mia")
    clock.set("2026-05-06T09:00")
    assert len(schedules.ask()) == 3
    assert schedules.ask() == []
    assert sorted(asked(database)) == [
        ("2026-03-01", "2026-04-30"),
        ("2026-03-09", "2026-05-03"),
        ("2026-03-10", "2026-05-05"),
    ]
    clock.set("2026-05-07T09:00")
    schedules.ask()
    assert asked(database)[-1] == ("2026-05-06", "2026-05-06")


@pytest.mark.parametrize("every", list(ReportInterval))
def test_periods_follow_one_another_without_a_gap(every: ReportInterval) -> None:
    begin = every.begin(datetime(2023, 12, 28, 13, tzinfo=UTC))
    for _ in range(60):
        after = every.next(begin)
        assert begin < after
        assert every.begin(after - timedelta(seconds=1)) == begin
        assert every.begin(after) == after
        begin = after
    assert begin > datetime(2024, 2, 1, tzinfo=UTC)


def test_two_workers_and_one_that_was_killed_ask_for_a_report_once(
    schedules: Schedules,
    database: Database,
    clock: Calendar,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedules.add("day", "pdf", "mia")
    clock.set("2026-03-11T07:00")

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    audit = AuditLog(settings.instance)
    broken = Schedules(database, 6, audit=audit, clock=clock)
    with monkeypatch.context() as patch:  # in the middle of the transaction
        patch.setattr("screening.reports.schedules.new_document", die)
        with pytest.raises(Killed):
            broken.ask()
    assert asked(database) == []
    with monkeypatch.context() as patch:  # after it
        patch.setattr(AuditLog, "record", die)
        with pytest.raises(Killed):
            broken.ask()
    assert asked(database) == [("2026-03-10", "2026-03-10")]
    assert Schedules(database, 6, clock=clock).ask() == []


def test_what_cant_be_scheduled_is_refused(schedules: Schedules) -> None:
    for every, kind in (("hour", "pdf"), ("day", "docx"), ("", "")):
        with pytest.raises(BadSchedule):
            schedules.add(every, kind, "mia")
    made = schedules.add("day", "pdf", "mia")
    with pytest.raises(Conflict, match="already"):
        schedules.add("day", "pdf", "ada")
    schedules.remove(made)
    with pytest.raises(NotFound):
        schedules.remove(made)
    assert schedules.all() == []
