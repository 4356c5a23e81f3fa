"""The page of monitoring, from the first decision to its figures, and what a program reads of them."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flask import Flask
from sqlalchemy import text

from screening.ledger.queries.day_counts import DayCounts
from screening.ledger.tables import FileCounts
from screening.monitoring import findings, stream_lag
from screening.monitoring.alerts import Alerts, Breach
from screening.monitoring.comparison import DetectorComparison
from screening.monitoring.findings import ComparedColumn, DetectorFindings, DriftWindow
from screening.monitoring.stream_lag import PartitionProgress
from screening.scoring.bins import SCORE_EDGES
from screening.settings import Settings
from screening.web.services import Services
from screening.web.views.charts import monitoring as monitoring_charts
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.waiting import wait_until

BINS = len(SCORE_EDGES) + 1
TODAY = int(time.time() // 86_400)


def seen(person: Person, query: str = "") -> str:
    answer = person.client.get(f"/monitoring{query}")
    assert answer.status_code == 200
    text = re.sub(r"<(svg|style).*?</\1>", " ", answer.text, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))).replace("\xa0", " ")


def made(detector: str = "card", **changes: Any) -> DetectorFindings:
    shares = [1 / BINS] * BINS
    score = ComparedColumn(
        name=findings.SCORE,
        edges=list(SCORE_EDGES),
        then=shares,
        now=shares,
        rows=5_000,
        needed=400,
        psi=0.02,
        ks=0.01,
    )
    moved = ComparedColumn(
        name="V4", edges=[0.0, 1.0], then=[0.5, 0.3, 0.2, 0.0], now=[0.1, 0.1, 0.8, 0.0], rows=5_000, needed=300,
        psi=0.9, ks=0.6,
    )  # fmt: skip
    few = ComparedColumn(name="V5", edges=[], then=[1.0, 0.0], now=[1.0, 0.0], rows=120, needed=300)
    week = DriftWindow(
        days=7,
        rows={"api": 4_000, "file": 1_000},
        covered=4_000,
        looked_at=3_000,
        score=score,
        columns=[moved, few],
    )
    day = DriftWindow(days=1, rows={}, covered=0, looked_at=0)
    old = DayCounts(
        day=TODAY - 40, source="api", rows=900, flagged=50, caught=30, false_alarms=10, missed=15, passed=100
    )
    young = replace(old, day=TODAY - 1)
    given = {
        "detector": detector,
        "fingerprint": "f" * 64,
        "computed": time.time(),
        "seconds": 1.0,
        "columns_from": findings.QUANTILES,
        "training_rows": 24_542,
        "scores_from": findings.EARLIER,
        "score_rows": 41_000,
        "windows": [day, week],
        "days": [old, young],
        "delay": 30 * 86_400.0,
        "delay_from": "assumed",
        "delay_labels": 3,
    }
    return DetectorFindings(**{**given, **changes})


@pytest.fixture
def manager(login: Callable[[str], Person]) -> Person:
    return login("mia")


def test_a_new_instance_says_when_there_will_be_figures(manager: Person) -> None:
    text = seen(manager)
    assert "No figures yet" in text
    assert "within five minutes after the first decision" in text
    assert "No rule is broken." in text
    assert "No rows have come yet." in text


def test_the_link_is_there_for_those_who_may_open_the_page(login: Callable[[str], Person]) -> None:
    assert 'href="/monitoring"' in login("mia").client.get("/results").text
    for name in ("ana", "otto"):
        person = login(name)
        assert 'href="/monitoring"' not in person.client.get("/results").text
        assert person.client.get("/monitoring").status_code == 403


def test_a_file_is_counted_when_it_is_screened_and_compared_by_the_worker(
    app: Flask, worker: Worker, services: Services, settings: Settings, sample: bytes,
    login: Callable[[str], Person],
) -> None:  # fmt: skip
    header, *lines = sample.splitlines()
    place = header.decode().split(",").index("V4")
    moved = []
    for line in lines * 5:
        cells = line.decode().split(",")
        cells[place] = str(float(cells[place]) + 4)
        moved.append(",".join(cells).encode())
    login("ana").upload(b"\n".join([header, *moved]) + b"\n")
    wait_until(services.ledger.segments.all)
    with services.ledger.tables.read() as session:
        kept = session.query(FileCounts).one()
        assert (kept.detector, kept.rows) == ("card", len(moved))
    DetectorComparison(settings, services.database, services.ledger, services.detectors).step()
    text = seen(login("mia"))
    assert f"{len(moved):,} from files" in text
    assert re.search(r"V4 \d\.\d{3} a large change", text)
    assert "nothing to compare with" in text  # no scores on the card, and no earlier decisions
    assert "of 24,542 rows by the quantiles that its card has" in text
    exposed = app.test_client().get("/metrics").text
    drift = re.search(r'fraud_drift_psi\{column="V4",detector="card",window="7d"\} (\S+)', exposed)
    assert drift is not None
    assert float(drift[1]) > 0.25
    assert 'fraud_drift_ks{column="V4",detector="card",window="1d"}' in exposed
    assert 'column="Time"' not in exposed
    assert re.search(r'fraud_drift_timestamp_seconds\{detector="card"\} \d', exposed)


def test_figures_say_what_they_were_compared_with_and_what_is_missing(
    manager: Person, services: Services
) -> None:
    findings.keep(services.database, made())
    text = seen(manager)
    assert "card, the last 7 days" in text
    assert "5,000 4,000 from the API, 1,000 from files" in text
    assert "0.020 no change" in text
    assert "compared with its own 41,000 decisions of the 30 days before the longest window" in text
    assert "3,000 of 5,000 rows were looked at. Of 1,000 rows of files no values were counted." in text
    assert re.search(r"V4 0\.900 a large change 0\.600", text)
    assert "Too few rows (120) for V5. It takes 300 or more" in text
    assert "75.0 % 59.8 % to 85.8 %, of 40 flagged rows with a label" in text
    assert "66.7 % 52.1 % to 78.6 %, of 45 known frauds" in text
    assert text.count("(labels may still come)") == 1
    assert "Labels come within 30 days, as is assumed until enough have come" in text


def test_the_address_chooses_detector_window_and_periods(manager: Person, services: Services) -> None:
    findings.keep(services.database, made())
    findings.keep(services.database, made("payments", windows=[made().windows[1]]))
    assert "card, the last day" in seen(manager, "?detector=card&window=1")
    assert "payments, the last 7 days" in seen(manager, "?detector=payments&window=1d")
    assert "Flags and labels by week" in seen(manager, "?by=week")
    for odd in ("?window=x&by=x", "?window=99999999999999999999", "?window=%C2%B2"):
        assert "card, the last 7 days" in seen(manager, odd)
    text = seen(manager, "?detector=<script>&window=7")
    assert "Nothing is known of a detector “<script>”. This is card." in text
    assert "<script>&" not in manager.client.get("/monitoring?detector=<script>").text


def test_a_window_without_rows_has_no_figures(manager: Person, services: Services) -> None:
    findings.keep(services.database, made(days=[]))
    text = seen(manager, "?window=1")
    assert "nothing was decided" in text
    assert "Nothing was decided in half a year." in text
    assert "0.000" not in text


def test_only_flagged_rows_with_labels_leave_the_recall_unknown(manager: Person, services: Services) -> None:
    day = replace(made().days[0], missed=0, passed=0)
    findings.keep(services.database, made(days=[day]))
    text = seen(manager)
    assert "– only flagged rows have labels" in text
    assert "nobody knows what was missed" in text
    assert "unknown" in text


def test_alerts_that_go_on_are_shown(manager: Person, services: Services, settings: Settings) -> None:
    from screening.infra.audit.log import AuditLog

    alerts = Alerts(services.database, AuditLog(settings.instance), webhook=False)
    alerts.update([Breach(rule="drift", subject="card", value=0.9, limit=0.2, text="V4 has <moved>.")])
    text = seen(manager)
    assert "drift" in text
    assert "V4 has <moved>." in text
    assert "No rule is broken." not in text


def test_topics_that_are_read_are_shown_and_those_that_nobody_reads(
    manager: Person, services: Services
) -> None:
    assert "Streams" not in seen(manager)
    progress = [
        PartitionProgress("payments", number, position=5, end=1505, consumed=20, rejected=2)
        for number in range(2)
    ]
    stream_lag.write(services.database, "bank", progress)
    assert "payments bank 3,000 40 4 – 2 partitions, read" in seen(manager)
    with services.database.write() as session:
        session.execute(text("UPDATE stream_partitions SET seen = seen - 90 WHERE number = 1"))
    assert "nobody reads 1 of 2" in seen(manager)
    asking = manager.client.application.test_cli_runner()
    assert (
        "--group bank --topic payments"
        in asking.invoke(args=["stream", "forget", "--group", "bank", "--topic", "x"]).output
    )
    said = asking.invoke(args=["stream", "forget", "--group", "bank", "--topic", "payments"])
    assert said.output == "2 partitions of payments forgotten\n"
    assert "Streams" not in seen(manager)


def test_coverage_is_said_where_silence_counts(
    app_with: Callable[..., Flask], services: Services, team: Any
) -> None:
    app = app_with(label_coverage=frozenset({"api"}))
    findings.keep(services.database, made())
    person = Person(app, "mia")
    person.log_in()
    text = seen(person)
    assert "legitimate once labels have had their time, where they came from api" in text
    assert (
        "60.0 % 46.2 % to 72.4 %, of 50 flagged rows with a label" in text
    )  # ten flagged rows that nobody reported


def test_charts_hold_each_share_once_within_their_frame() -> None:
    given = made().windows[1].score
    assert given is not None
    chance = np.random.default_rng(0)
    for then, now in (
        (chance.dirichlet(np.ones(BINS)), chance.dirichlet(np.ones(BINS) * 0.1)),
        ([0.0] * BINS,) * 2,
    ):
        chart = monitoring_charts.scores(
            ComparedColumn(
                name="s", edges=list(SCORE_EDGES), then=list(then), now=list(now), rows=1, needed=1
            )
        )
        frame = chart.frame
        assert len(chart.bars) == sum(share > 0 for share in [*then, *now])
        assert len(chart.table) == BINS
        for bar in chart.bars:
            assert frame.left <= bar.x
            assert bar.x + bar.width <= frame.right
            assert frame.top - 0.01 <= bar.y
            assert bar.y + bar.height == pytest.approx(frame.bottom, abs=0.02)


def test_dates_stand_where_they_belong_and_open_ones_apart() -> None:
    from screening.monitoring.quality import periods

    found = made(days=[replace(made().days[0], day=TODAY - back) for back in (50, 49, 40, 1)])
    told = periods(found.days, by="day", now=time.time(), delay=30 * 86_400)
    dots = monitoring_charts.over_time(told, "precision")
    assert (len(dots.closed), len(dots.open)) == (3, 1)
    first, second, third = (point.x for point in dots.closed)
    assert (third - second) == pytest.approx(9 * (second - first), abs=0.1)
    for point in (*dots.closed, *dots.open):
        assert point.high <= point.y <= point.low
    bars = monitoring_charts.flag_rates(told).bars
    assert len(bars) == 4
    assert all(dots.frame.left <= bar.x and bar.x + bar.width <= dots.frame.right for bar in bars)
    assert monitoring_charts.flag_rates([]).bars == ()
    assert len(monitoring_charts.flag_rates(told[:1]).bars) == 1
