"""The first worker's watch: rules are evaluated on the real instance, and one that fails harms no other."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete

from screening.infra.job_queue import Jobs, now
from screening.ledger.ledger import Ledger
from screening.monitoring import activity, stream_lag
from screening.monitoring.comparison import DetectorComparison
from screening.monitoring.stream_lag import PartitionProgress
from screening.monitoring.tables import Hour
from screening.setting_values import ALERTS
from screening.settings import Settings
from screening.uploads.screenings import Screenings
from screening.web.services import Services
from screening.web.views.monitoring import feeds
from screening.worker.watch import AlertWatch
from tests.conftest import Person
from tests.web.test_data_api import sent


def watch(settings: Settings, services: Services, ledger: Ledger | None = None) -> AlertWatch:
    queues: dict[str, Jobs[Any]] = {"screenings": services.screenings, "trainings": services.trainings}
    known = ledger or services.ledger
    comparison = DetectorComparison(settings, services.database, known, services.detectors)
    return AlertWatch(settings, services.database, known, queues, comparison)


def going_on(made: AlertWatch) -> list[tuple[str, str]]:
    made.step()
    return [(alert.rule, alert.subject) for alert in made.alerts.going_on()]


def test_a_new_instance_has_no_alert(settings: Settings, services: Services) -> None:
    assert set(settings.alerts) == set(ALERTS)
    assert going_on(watch(replace(settings, alerts={**ALERTS, "disk": 1e-6}), services)) == []


def test_a_stream_that_falls_behind_is_an_alert_until_it_is_forgotten(
    settings: Settings, services: Services
) -> None:
    made = watch(replace(settings, alerts={"stream": 10}), services)
    stream_lag.write(services.database, "bank", [PartitionProgress("payments", 0, position=5, end=20)])
    assert going_on(made) == [("stream", "payments, bank")]
    assert stream_lag.forget(services.database, "bank", "payments") == 1
    assert list(stream_lag.standing(services.database)) == []


def test_what_one_host_counts_is_watched_whatever_is_wrong_with_another(
    settings: Settings, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    made = watch(replace(settings, hosts="several", host_name="b"), services)
    for name in "abcd":
        (settings.instance / "hosts" / name / "metrics").mkdir(parents=True)
    for name in "bd":
        (settings.instance / "hosts" / name / "metrics" / "counter_1.db").write_bytes(b"?")
    made.step()
    assert {name for name, each in made._requests.items() if each._seen} == {"a", "c"}
    assert "requests of b can't be watched" in caplog.text
    assert "requests of d can't be watched" in caplog.text


def test_a_full_disk_and_a_file_that_waits_are_alerts(settings: Settings, services: Services) -> None:
    made = watch(replace(settings, alerts={"disk": 1e9, "backlog": 1e-9}), services)
    assert isinstance(services.screenings, Screenings)
    with services.database.write() as session:
        session.add(
            services.screenings.table(
                id="a" * 32, owner="ana", filename="a.csv", kind="csv", state=services.screenings.waiting,
                created=now(), threshold=0.8, set_aside_bad=False,
            )
        )  # fmt: skip
    assert sorted(rule for rule, _ in going_on(made)) == ["backlog", "disk"]


def test_a_ledger_that_cant_be_read_leaves_the_other_rules(settings: Settings, services: Services) -> None:
    with services.ledger.tables.write() as session:
        session.connection().exec_driver_sql("DROP TABLE ledger_totals")
    made = watch(replace(settings, alerts={**ALERTS, "disk": 1e9}), services)
    assert [rule for rule, _ in going_on(made)] == ["disk"]


@pytest.mark.usefixtures("worker")
def test_the_first_rows_of_a_feed_count_in_its_first_hour(
    settings: Settings, services: Services, analyst: Person, sample: bytes
) -> None:
    def seen() -> list[int]:
        return [feed.rows for feed in feeds(activity.feeds(services.database), time.time())]

    made = watch(settings, services)
    made.step()
    sent(analyst, services, sample)
    watch(settings, services).step()
    assert seen() == [0], "when rows came that were there before anybody watched isn't known"
    with services.database.write() as session:
        session.execute(delete(Hour))
    made.step()
    assert seen() == [sample.count(b"\n") - 1]


def test_the_last_rows_of_a_feed_are_told_by_the_hour() -> None:
    """They came some time in it: neither when it began nor a moment ago."""
    known = {("card", "api"): activity.Feed([10, 11], [0, 5], [0, 1])}
    (present,) = feeds(known, 11.5 * 3600)
    assert present.in_this_hour
    (later,) = feeds(known, 13.5 * 3600)
    assert not later.in_this_hour
    assert later.last == datetime.fromtimestamp(12 * 3600, UTC)
