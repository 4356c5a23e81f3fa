"""Compares what detectors decided lately with what they were trained on, now and then, in the worker.

Scores are counted over all rows of the ledger. The values of rows of the API and of streams appear in the
ledger, and some thousand of them are drawn; the values of files were counted when they were screened. Decisions never
wait for any of it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.errors import ScreeningError
from screening.infra.database import Database
from screening.ledger import totals
from screening.ledger.ledger import Ledger
from screening.ledger.queries.observed import Observed
from screening.ledger.tables import LIVE
from screening.monitoring import findings
from screening.monitoring.findings import ComparedColumn, DetectorFindings, DriftWindow
from screening.scoring import bins, drift
from screening.scoring.bins import SCORE_EDGES, Bins
from screening.scoring.stability import ks, psi, rows_needed
from screening.settings import Settings
from screening.transactions.json_records import from_mappings

log = logging.getLogger("screening.monitoring")
EVERY_SECONDS = 300.0
# Even if nothing is decided the windows move on, so they are compared again after this time.
IDLE_SECONDS = 3600.0
# Wait so many times longer than the comparison took: then it never uses more than a hundredth of a core.
SHARE = 100
QUALITY_DAYS = 182
# At this sample size the index of pure chance is 0.002; more rows would tell nothing more.
READ_ROWS = 10_000
BLOCK = 1_000
# Card holders mostly notice a fraud within this time; used until labels tell their own delay.
USUAL_DELAY = timedelta(days=30)
LEAST_LABELS = 50


@dataclass(frozen=True, slots=True)
class _Values:
    """Distribution of the values of some rows."""

    rows: int
    """That they stand for."""
    counts: drift.BinCounts


class DetectorComparison:
    """Finds out how detectors do.

    Args:
        settings: windows and labels.
        database: of the app: what is found is kept there.
        ledger: what was decided.
        detectors: of the installation.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        ledger: Ledger,
        detectors: Detectors,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._database, self._ledger, self._detectors = settings, database, ledger, detectors
        self._clock = clock
        self._due = self._idle_until = -math.inf
        self._seen: Mapping[str, int] = {}

    def step(self) -> None:
        """Find out what is due. A detector that can't be looked at keeps its old figures, and the log says so."""
        now = self._clock()
        if now < self._due:
            return
        decided: dict[str, int] = {}
        for each in totals.read(self._ledger.tables):
            decided[each.detector] = decided.get(each.detector, 0) + each.count
        if decided == self._seen and now < self._idle_until:
            return
        began = time.thread_time()
        told = [each.name for each in self._detectors.all() if self._one(each)]
        findings.forget_others(self._database, told)
        self._seen = decided
        self._due = now + max(EVERY_SECONDS, SHARE * (time.thread_time() - began))
        self._idle_until = now + IDLE_SECONDS

    def _one(self, detector: Detector) -> bool:
        """Find out about one detector; return ``False`` if it decided nothing that is known of."""
        try:
            found = compare(
                detector, self._ledger.observed, self._settings, datetime.fromtimestamp(self._clock(), UTC)
            )
        except (ScreeningError, OSError) as problem:
            log.error("detector %s can't be compared with its training data: %s", detector.name, problem)
            return True
        if not found.days and not any(each.rows for each in found.windows):
            return False
        findings.keep(self._database, found)
        return True


def compare(detector: Detector, observed: Observed, settings: Settings, now: datetime) -> DetectorFindings:
    """Return what the ledger tells of a detector.

    Raises:
        ScreeningError: the ledger can't answer, as when a question takes too long.
    """
    began = time.thread_time()
    since = [now - timedelta(days=days) for days in settings.drift_windows]
    base = now - timedelta(days=settings.drift_windows[-1] + findings.BASE_DAYS)
    name, mark = detector.name, detector.fingerprint
    ages = observed.scores(name, mark, [*since, base], SCORE_EDGES)
    periods = [
        {source: counts for (age, source), counts in ages.items() if age == place}
        for place in range(len(since) + 1)
    ]
    scores = score_reference(detector, sum(periods[-1].values(), np.zeros(len(SCORE_EDGES) + 1, np.int64)))
    known = bins.of_detector(detector)
    windows = []
    for place, start in enumerate(since):
        by_source: dict[str, NDArray[np.int64]] = {}
        for period in periods[: place + 1]:
            for source, counts in period.items():
                by_source[source] = by_source.get(source, np.zeros_like(counts)) + counts
        window = compare_window(detector, observed, known, start, by_source)
        window.days = settings.drift_windows[place]
        window.score = compare_scores(scores, by_source)
        windows.append(window)
    delay, delay_from, labels = label_delay(name, observed, settings, now)
    oldest = (now - timedelta(days=QUALITY_DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    exact = all(each.exact or each.texts for each in known.values())
    return DetectorFindings(
        detector=name,
        fingerprint=mark,
        computed=now.timestamp(),
        seconds=round(time.thread_time() - began, 3),
        columns_from=(findings.COUNTED if exact else findings.QUANTILES) if known else findings.NOTHING,
        training_rows=training_rows(detector),
        scores_from=scores.origin,
        score_rows=scores.rows,
        windows=windows,
        days=observed.days(name, oldest),
        delay=delay.total_seconds(),
        delay_from=delay_from,
        delay_labels=labels,
    )


@dataclass(frozen=True, slots=True)
class _Reference:
    """Reference that scores are compared with."""

    origin: str
    shares: Sequence[float]
    rows: int


def score_reference(detector: Detector, earlier: NDArray[np.int64]) -> _Reference:
    """Return the card's scores of rows that it wasn't trained on, or the detector's decisions before the windows."""
    told = None if detector.card is None else detector.card.metrics.scores
    if told is not None and told.edges == SCORE_EDGES and told.rows:
        return _Reference(findings.TEST, told.shares, told.rows)
    count = int(earlier.sum())
    return _Reference(findings.EARLIER if count else findings.NOTHING, earlier.tolist(), count)


def compare_scores(
    reference: _Reference, by_source: Mapping[str, NDArray[np.int64]]
) -> ComparedColumn | None:
    """Compare the scores of a window with those of the reference; ``None`` of no rows."""
    if not reference.rows or not by_source:
        return None
    counts = np.sum(list(by_source.values()), axis=0)
    then = np.array(reference.shares, np.float64)
    return compared(
        findings.SCORE, SCORE_EDGES, then, counts, rows=float(counts.sum()), reference=reference.rows
    )


def training_rows(detector: Detector) -> int | None:
    """Return how many rows a detector learned from, where its card says so."""
    return None if detector.card is None else detector.card.training_data.rows


def compare_window(
    detector: Detector,
    observed: Observed,
    known: Mapping[str, Bins],
    start: datetime,
    by_source: Mapping[str, NDArray[np.int64]],
) -> DriftWindow:
    """Compare the rows of a window with the card's."""
    rows = {source: int(counts.sum()) for source, counts in sorted(by_source.items())}
    found = DriftWindow(days=0, rows=rows, covered=0, looked_at=0)
    if not known or not rows:
        return found
    values = values_of_files(detector, observed, bins.shape(known), start)
    of_api, found.unreadable = values_of_live(
        detector, observed, start, sum(rows.get(each, 0) for each in LIVE)
    )
    values += of_api
    found.covered = sum(each.rows for each in values)
    found.looked_at = sum(each.counts.rows for each in values)
    if not found.looked_at:
        return found
    effective = found.covered**2 / sum(each.rows**2 / each.counts.rows for each in values)
    training = training_rows(detector)
    for name, then in known.items():
        now = sum(
            (each.rows / each.counts.rows * each.counts.columns[name] for each in values),
            np.zeros(len(then.shares)),
        )
        edges = () if then.texts else then.edges
        shares = then.nearest(now)
        found.columns.append(
            compared(name, edges, shares, now, rows=effective, reference=training, ordered=not then.texts)
        )
    found.columns.sort(key=lambda each: (each.psi is None, -(each.psi or 0.0), each.name))
    return found


def compared(
    name: str,
    edges: Sequence[float],
    then: NDArray[np.float64],
    now: NDArray[Any],
    *,
    rows: float,
    reference: int | None,
    ordered: bool = True,
) -> ComparedColumn:
    """Return one comparison; without figures where chance alone could make them.

    Args:
        name: of the column.
        edges: of its bins.
        then: weights of the reference, (bins,).
        now: weights of the window, (bins,).
        rows: how many independent rows the window has.
        reference: how many rows the reference has, if that is known.
        ordered: whether the bins that aren't blanks are in order.
    """
    needed = rows_needed(int(np.count_nonzero(then + now)), reference, drift.SOME)
    least = max(drift.FEWEST_ROWS, needed)
    found = ComparedColumn(
        name=name,
        edges=list(edges),
        then=_rounded(then),
        now=_rounded(now),
        rows=int(rows),
        needed=None if math.isinf(least) else math.ceil(least),
    )
    if rows >= least:
        found.psi = round(psi(then, now), 4)
        # blanks have no place in the order; the score has none
        filled = slice(None) if len(then) == len(edges) + 1 else slice(-1)
        if ordered and then[filled].sum() > 0 and now[filled].sum() > 0:
            found.ks = round(ks(then[filled], now[filled]), 4)
    return found


def _rounded(weights: NDArray[Any]) -> list[float]:
    total = float(weights.sum())
    return [round(float(each) / total, 6) for each in weights] if total else [0.0] * len(weights)


def values_of_files(detector: Detector, observed: Observed, shape: str, start: datetime) -> list[_Values]:
    """Return how the values of files lay that were counted in the bins of the detector's present card."""
    found = []
    for each in observed.file_counts(detector.name, detector.fingerprint, start):
        given = msgspec.json.decode(each.counts)
        if given["shape"] == shape and given["rows"]:
            columns = {name: np.array(counts, np.int64) for name, counts in given["columns"].items()}
            found.append(_Values(each.rows, drift.BinCounts(shape, given["rows"], columns)))
    return found


def values_of_live(
    detector: Detector, observed: Observed, start: datetime, rows: int
) -> tuple[list[_Values], int]:
    """Return how values of the API and of streams lay, of some rows that are drawn; and how many can't be read."""
    if not rows:
        return [], 0
    drawn = observed.transactions(
        detector.name,
        detector.fingerprint,
        start,
        one_of=max(rows // READ_ROWS, 1),
        most=2 * READ_ROWS,
    )
    parts, unreadable = [], 0
    for place in range(0, len(drawn), BLOCK):
        values, left_out = read_rows(
            [msgspec.json.decode(text) for text in drawn[place : place + BLOCK]], detector
        )
        parts.append(values)
        unreadable += left_out
        # somebody's file is screened by the same process
        time.sleep(0)
    matrix = np.concatenate(parts) if parts else np.empty((0, len(detector.contract.columns)))
    counts = drift.count(detector, matrix)
    return ([_Values(rows, counts)] if len(matrix) else []), unreadable


def read_rows(given: Sequence[Any], detector: Detector) -> tuple[NDArray[np.float64], int]:
    """Return transactions as rows; one that can't be read is left out, and counted."""
    try:
        return from_mappings(given, detector.contract).values, 0
    except ScreeningError:
        if len(given) == 1:
            return np.empty((0, len(detector.contract.columns))), 1
    half = len(given) // 2
    (first, some), (second, others) = read_rows(given[:half], detector), read_rows(given[half:], detector)
    return np.concatenate([first, second]), some + others


def label_delay(
    name: str, observed: Observed, settings: Settings, now: datetime
) -> tuple[timedelta, str, int]:
    """Return after how long labels have come, how that is known, and how many came later."""
    found = observed.delays(name, now - timedelta(days=QUALITY_DAYS), now - USUAL_DELAY)
    labels = 0 if found is None else found.labels
    if settings.label_delay_days is not None:
        return timedelta(days=settings.label_delay_days), "set", labels
    if found is not None and labels >= LEAST_LABELS:
        measured = timedelta(seconds=found.seconds)
        # what takes longer than there have been decisions can't have come yet, and mustn't make the delay look short
        if now - found.oldest >= 2 * measured:
            return measured, "measured", labels
    return USUAL_DELAY, "assumed", labels
