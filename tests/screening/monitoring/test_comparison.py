"""What the ledger tells of a detector: drift by window, with how many rows, and never a figure of too few."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from screening.detectors.detector import Detector
from screening.detectors.model_card import ModelCard
from screening.errors import ScreeningError
from screening.ledger.identity import TransactionId, new_origin
from screening.ledger.labels import LaterLabel
from screening.ledger.ledger import Ledger
from screening.ledger.rows import SCHEMA
from screening.ledger.tables import API, FILE, FileCounts
from screening.monitoring import conditions, findings
from screening.monitoring.comparison import DetectorComparison, compare
from screening.monitoring.findings import DetectorFindings
from screening.monitoring.tables import Findings
from screening.scoring import drift
from screening.scoring.bins import SCORE_EDGES
from screening.settings import Settings
from tests.screening.ledger.ledger_rows import table

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
NORMAL = {
    "min": -5.0, "q01": -2.326, "q05": -1.645, "q25": -0.674, "q50": 0.0, "q75": 0.674, "q95": 1.645, "q99": 2.326,
    "max": 5.0,
}  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path, f"sqlite:///{tmp_path / 'app.sqlite3'}")


@pytest.fixture
def detector(tiny: Detector) -> Detector:
    columns = dict.fromkeys(tiny.contract.columns, NORMAL)
    card = ModelCard.from_json({"columns": columns, "training_data": {"rows": 50_000}})
    return replace(tiny, card=card)


@pytest.fixture
def decide(ledger: Ledger, detector: Detector) -> Callable[..., TransactionId]:
    """Enter decisions of the API: ``moved`` is added to V1; return the first one's id."""

    def enter(count: int, *, days: float, seed: int = 0, moved: float = 0.0, **more: Any) -> TransactionId:
        chance = np.random.default_rng(seed)
        values = chance.standard_normal((count, len(detector.contract.columns)))
        values[:, 1] += moved
        decided = NOW - timedelta(days=days)
        origin = new_origin(int(decided.timestamp() * 1000))
        given = {
            "origin": origin,
            "source": API,
            "screening": None,
            "decided_at": decided,
            "detector": detector.name,
            "fingerprint": detector.fingerprint,
            "probability": chance.beta(0.3, 3, count).astype(np.float32),
            **more,
        }
        made = table(count, **given)
        texts = [
            json.dumps(dict(zip(detector.contract.columns, row, strict=True))) for row in values.tolist()
        ]
        if given["source"] == API:
            made = made.set_column(SCHEMA.get_field_index("values"), "values", pa.array(texts, pa.string()))
        ledger.segments.add(f"{given['source']}-{origin.hex()}", given["source"], made)
        if given["source"] == FILE:
            counts = drift.count(detector, values)
            with ledger.tables.write() as session:
                session.add(
                    FileCounts(
                        screening=given["screening"],
                        detector=detector.name,
                        fingerprint=given["fingerprint"],
                        decided_at=decided,
                        rows=count,
                        counts=json.dumps(counts.as_dict),
                    )
                )
        return TransactionId(origin, 1)

    return enter


@pytest.fixture
def found(ledger: Ledger, detector: Detector, settings: Settings) -> Callable[..., DetectorFindings]:
    def find(**changes: Any) -> DetectorFindings:
        return compare(detector, ledger.observed, replace(settings, **changes), NOW)

    return find


def test_a_column_that_moved_is_the_worst_and_the_others_havent(
    decide: Callable[..., TransactionId], found: Callable[..., DetectorFindings], detector: Detector
) -> None:
    decide(3_000, days=0.5, moved=1.0)
    day, week = found().windows
    first = "V1"
    for window in (day, week):
        assert window.rows == {API: 3_000}
        assert (window.covered, window.looked_at) == (3_000, 3_000)
        assert window.columns[0].name == first
        assert window.columns[0].psi is not None
        assert window.columns[0].psi > 0.5
        assert window.columns[0].ks == pytest.approx(0.38, abs=0.03)  # 2 Phi(1/2) - 1
        assert max(each.psi or 0 for each in window.columns[1:]) < 0.02
    assert found().columns_from == findings.QUANTILES
    assert found().training_rows == 50_000


def test_windows_hold_the_rows_of_their_days(
    decide: Callable[..., TransactionId], found: Callable[..., DetectorFindings]
) -> None:
    decide(1_000, days=0.5)
    decide(2_000, days=3, seed=1, moved=3.0)
    decide(4_000, days=20, seed=2)
    day, week = found().windows
    assert (day.rows[API], week.rows[API]) == (1_000, 3_000)
    assert (day.columns[0].psi or 0) < 0.05
    assert (week.columns[0].psi or 0) > 0.5
    # without scores on its card the detector is compared with what it gave before
    assert (found().scores_from, found().score_rows) == (findings.EARLIER, 4_000)
    assert day.score is not None
    assert (day.score.psi or 1) < 0.05
    assert [each.days for each in found(drift_windows=(2, 30)).windows] == [2, 30]


def test_too_few_rows_have_no_figure_and_say_how_many_it_takes(
    decide: Callable[..., TransactionId], found: Callable[..., DetectorFindings], detector: Detector,
    settings: Settings, ledger: Ledger,
) -> None:  # fmt: skip
    decide(100, days=0.5, moved=5.0)
    window = found().windows[0]
    assert {each.psi for each in window.columns} == {each.ks for each in window.columns} == {None}
    assert all(each.needed is not None and each.needed >= 200 for each in window.columns)
    assert window.score is None  # nothing to compare it with
    assert list(conditions.drift([found()], 0.2)) == []
    assert detector.card is not None
    few = ModelCard.from_json({**dict(detector.card.raw), "training_data": {"rows": 60}})
    decide(5_000, days=0.1, seed=3)
    told = compare(replace(detector, card=few), ledger.observed, settings, NOW).windows[0]
    assert {(each.psi, each.needed) for each in told.columns} == {(None, None)}


def test_files_count_by_what_was_counted_when_they_were_screened(
    decide: Callable[..., TransactionId], found: Callable[..., DetectorFindings], detector: Detector
) -> None:
    decide(3_000, days=0.5, source=FILE, screening="b" * 32, moved=1.0)
    decide(1_000, days=0.4, seed=1)
    window = found().windows[0]
    assert window.rows == {API: 1_000, FILE: 3_000}
    assert window.covered == 4_000
    assert window.columns[0].name == "V1"
    assert 0.2 < (window.columns[0].psi or 0) < 0.8  # a quarter hasn't moved


def test_rows_of_a_file_that_left_no_counts_are_in_the_score_alone(
    decide: Callable[..., TransactionId], found: Callable[..., DetectorFindings], ledger: Ledger
) -> None:
    decide(3_000, days=0.5, source=FILE, screening="b" * 32)
    with ledger.tables.write() as session:
        session.query(FileCounts).delete()
    decide(2_000, days=12, seed=1)
    window = found().windows[0]
    assert (window.rows[FILE], window.covered, window.columns) == (3_000, 0, [])
    assert window.score is not None
    assert window.score.psi is not None


def test_counts_of_other_bins_and_other_detectors_of_the_name_dont_count(
    decide: Callable[..., TransactionId], found: Callable[..., DetectorFindings], ledger: Ledger
) -> None:
    decide(3_000, days=0.5, source=FILE, screening="b" * 32)
    with ledger.tables.write() as session:
        row = session.query(FileCounts).one()
        row.counts = json.dumps({**json.loads(row.counts), "shape": "0" * 16})
    decide(2_000, days=0.5, seed=1, fingerprint="0" * 64)
    window = found().windows[0]
    assert (window.rows, window.covered) == ({FILE: 3_000}, 0)


def test_the_counts_of_a_file_go_with_its_rows(decide: Callable[..., TransactionId], ledger: Ledger) -> None:
    decide(300, days=0.5, source=FILE, screening="b" * 32)
    decide(300, days=40, source=FILE, screening="c" * 32)
    ledger.segments.expire(NOW - timedelta(days=30))
    with ledger.tables.read() as session:
        assert [row.screening for row in session.query(FileCounts)] == ["b" * 32]
    ledger.segments.forget("b" * 32)
    with ledger.tables.read() as session:
        assert session.query(FileCounts).count() == 0


def test_scores_of_the_card_are_the_reference_where_it_has_them(
    decide: Callable[..., TransactionId], detector: Detector, ledger: Ledger, settings: Settings
) -> None:
    chance = np.random.default_rng(9).beta(0.3, 3, 50_000)
    place = np.searchsorted(SCORE_EDGES, chance.astype(np.float32).astype(float), side="left")
    shares = (np.bincount(place, minlength=len(SCORE_EDGES) + 1) / 50_000).tolist()
    scores = {"edges": list(SCORE_EDGES), "shares": shares, "rows": 50_000}
    assert detector.card is not None
    card = ModelCard.from_json({**dict(detector.card.raw), "metrics": {"validation": {"scores": scores}}})
    decide(3_000, days=0.5)
    told = compare(replace(detector, card=card), ledger.observed, settings, NOW)
    assert (told.scores_from, told.score_rows) == (findings.TEST, 50_000)
    score = told.windows[0].score
    assert score is not None
    assert (score.psi or 1) < 0.05
    assert sum(score.now) == pytest.approx(1, abs=1e-4)
    decide(9_000, days=0.2, seed=4, probability=np.random.default_rng(4).beta(1, 1, 9_000).astype(np.float32))
    score = compare(replace(detector, card=card), ledger.observed, settings, NOW).windows[0].score
    assert score is not None
    assert (score.psi or 0) > 0.5


def test_many_rows_are_drawn_and_one_that_cant_be_read_is_counted(
    decide: Callable[..., TransactionId], found: Callable[..., DetectorFindings], monkeypatch: pytest.MonkeyPatch,
    ledger: Ledger, detector: Detector,
) -> None:  # fmt: skip
    monkeypatch.setattr("screening.monitoring.comparison.READ_ROWS", 1_000)
    decide(8_000, days=0.5, moved=1.0)
    window = found().windows[0]
    assert window.rows == {API: 8_000}
    assert window.covered == 8_000
    assert 800 < window.looked_at < 1_300
    assert window.unreadable == 0
    bad = table(
        5, source=API, screening=None, decided_at=NOW - timedelta(hours=1), detector=detector.name,
        fingerprint=detector.fingerprint, origin=new_origin(1),
    )  # fmt: skip
    bad = bad.set_column(SCHEMA.get_field_index("values"), "values", pa.array(["{}"] * 5, pa.string()))
    ledger.segments.add("api-bad", API, bad)
    monkeypatch.setattr("screening.monitoring.comparison.READ_ROWS", 10_000)
    assert found().windows[0].unreadable == 5


def test_an_alert_is_of_the_longest_window_and_names_the_worst(
    decide: Callable[..., TransactionId], found: Callable[..., DetectorFindings], detector: Detector
) -> None:
    decide(3_000, days=3, moved=1.0)
    (breach,) = conditions.drift([found()], 0.2)
    assert (breach.rule, breach.subject) == ("drift", detector.name)
    assert breach.value > 0.5
    assert "V1" in breach.text
    assert "3,000 rows of the last 7 days" in breach.text
    assert list(conditions.drift([found()], 5.0)) == []


def test_days_count_what_is_labelled_and_nothing_else(
    decide: Callable[..., TransactionId], found: Callable[..., DetectorFindings], ledger: Ledger
) -> None:
    first = decide(4, days=2, probability=np.array([0.9, 0.9, 0.1, 0.1], np.float32))
    said = [LaterLabel(first, 1), LaterLabel(first._replace(number=3), 1)]
    ledger.labels.say(said, by="ana")
    decide(
        3, days=2, source=FILE, screening="b" * 32, probability=np.array([0.9, 0.9, 0.1], np.float32),
        label=np.array([0, -1, 0], np.int8),
    )  # fmt: skip
    api, file = found().days
    assert (api.source, api.rows, api.flagged) == (API, 4, 2)
    assert (api.caught, api.false_alarms, api.missed, api.passed) == (1, 0, 1, 0)
    assert (file.rows, file.caught, file.false_alarms, file.missed, file.passed) == (3, 0, 1, 0, 1)
    assert api.day == int((NOW - timedelta(days=2)).timestamp() // 86_400)


def test_how_long_labels_take_is_measured_once_enough_came_that_late_ones_could_have(
    decide: Callable[..., TransactionId], found: Callable[..., DetectorFindings], ledger: Ledger
) -> None:
    assert (found().delay, found().delay_from) == (30 * 86_400, "assumed")
    first = decide(100, days=60)
    decided = NOW - timedelta(days=60)
    said = [
        LaterLabel(first._replace(number=place), place % 2, at=decided + timedelta(days=place / 10))
        for place in range(1, 101)
    ]
    ledger.labels.say(said[:40], by="ana")
    assert found().delay_from == "assumed"
    ledger.labels.say(said, by="ana")
    told = found()
    assert (told.delay_from, told.delay_labels) == ("measured", 100)
    assert told.delay == pytest.approx(9 * 86_400, rel=0.02)
    assert found(label_delay_days=5).delay == 5 * 86_400
    # decisions of yesterday have quick labels alone, which make the delay no shorter
    quick = decide(500, days=1, seed=2)
    ledger.labels.say(
        [LaterLabel(quick._replace(number=place), 0, at=NOW) for place in range(1, 501)], by="ana"
    )
    assert found().delay == pytest.approx(9 * 86_400, rel=0.02)


def test_findings_are_kept_as_they_are(
    services: Any, decide: Callable[..., TransactionId], found: Callable[..., DetectorFindings]
) -> None:
    decide(3_000, days=0.5, moved=1.0)
    made = found()
    findings.keep(services.database, made)
    findings.keep(services.database, made)
    assert findings.of(services.database, made.detector) == made
    assert list(findings.read(services.database)) == [made]
    with services.database.write() as session:
        session.get(Findings, made.detector).found = '{"detector": "of another version"}'
    assert findings.of(services.database, made.detector) is None
    assert list(findings.read(services.database)) == []
    findings.keep(services.database, made)
    findings.forget_others(services.database, ["another"])
    assert findings.of(services.database, made.detector) is None


def test_the_worker_looks_when_something_was_decided_and_else_each_hour(
    services: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    moment = [NOW.timestamp()]

    def told(detector: Detector, *_: Any) -> DetectorFindings:
        asked.append(moment[0])
        raise ScreeningError(f"{detector.name} can't be asked.")

    monkeypatch.setattr("screening.monitoring.comparison.compare", told)
    made = DetectorComparison(
        settings, services.database, services.ledger, services.detectors, clock=lambda: moment[0]
    )
    made.step()
    each = len(services.detectors.all())
    assert len(asked) == each  # one that can't be asked keeps none from being asked
    moment[0] += 400
    made.step()
    assert len(asked) == each
    services.ledger.segments.add("a" * 32, FILE, table(3, detector="card"))
    made.step()
    assert len(asked) == 2 * each
    services.ledger.segments.add("b" * 32, FILE, table(3, detector="card", screening="b" * 32))
    moment[0] += 10
    made.step()
    assert len(asked) == 2 * each  # not sooner than in five minutes
    moment[0] += 3_601
    made.step()
    assert len(asked) == 3 * each


def test_a_detector_that_decided_nothing_has_no_figures(services: Any, settings: Settings) -> None:
    DetectorComparison(settings, services.database, services.ledger, services.detectors).step()
    assert list(findings.read(services.database)) == []
