"""Findings of monitoring about a detector, as it is kept between two times: shares, indices and counts by day."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from screening.infra.database import Database
from screening.ledger.queries.day_counts import DayCounts
from screening.monitoring.tables import Findings

SCORE = "fraud_probability"
"""Name of the score where columns are listed."""
COUNTED, QUANTILES, TEST, EARLIER, NOTHING = "counted", "quantiles", "test", "earlier", ""

BASE_DAYS = 30
"""So many days before the longest window a detector is compared with itself, where its card has no scores."""


class ComparedColumn(msgspec.Struct, kw_only=True):
    """The score or one column, in one window, against its reference."""

    name: str
    edges: list[float]
    """The highest value of each bin but the last; of texts there are none to show."""
    then: list[float]
    """Shares of the reference, (bins,); those of a column end with the blanks."""
    now: list[float]
    """Shares of the window, (bins,)."""
    rows: int
    """Of the window, as many as independent ones tell."""
    needed: int | None
    """Rows that a figure needs; ``None``: the reference has too few rows for any."""
    psi: float | None = None
    """``None`` where there are too few rows."""
    ks: float | None = None
    """``None`` there, and where the bins have no order."""


class DriftWindow(msgspec.Struct, kw_only=True):
    """The last days."""

    days: int
    rows: dict[str, int]
    """Number of decisions, by source."""
    covered: int
    """Of how many rows the values are known: a file that was screened by an earlier version left none."""
    looked_at: int
    """Number of these that were looked at."""
    unreadable: int = 0
    """Rows that were drawn, and that the detector doesn't read now."""
    score: ComparedColumn | None = None
    """``None`` where there is nothing to compare it with."""
    columns: list[ComparedColumn] = []
    """The worst first."""

    @property
    def everything(self) -> list[ComparedColumn]:
        """The score and the columns."""
        return [*([] if self.score is None else [self.score]), *self.columns]


class DetectorFindings(msgspec.Struct, kw_only=True):
    """All that was found out of one detector."""

    detector: str
    fingerprint: str
    computed: float
    """Seconds since 1970."""
    seconds: float
    """Of processor time that it took."""
    columns_from: str
    """:data:`COUNTED` or :data:`QUANTILES` of the card, or :data:`NOTHING`."""
    training_rows: int | None
    scores_from: str
    """The card's :data:`TEST`, the detector's own :data:`EARLIER` decisions, or :data:`NOTHING`."""
    score_rows: int
    """Number of rows behind it."""
    windows: list[DriftWindow]
    """The shortest first."""
    days: list[DayCounts]
    """The earliest first."""
    delay: float
    """Seconds after which labels have come."""
    delay_from: str
    """``set``, ``measured`` or ``assumed``."""
    delay_labels: int
    """Number of labels that came later."""


_decode = msgspec.json.Decoder(DetectorFindings).decode


def keep(database: Database, found: DetectorFindings) -> None:
    """Keep what was found out, in the place of what was before."""
    text = msgspec.json.encode(found).decode()
    with database.write() as session:
        session.merge(Findings(detector=found.detector, computed=found.computed, found=text))


def read(database: Database) -> Sequence[DetectorFindings]:
    """Return what is known, by the detectors' names."""
    with database.read() as session:
        rows = session.query(Findings).order_by(Findings.detector).all()
        return [found for row in rows if (found := read_row(row)) is not None]


def of(database: Database, detector: str) -> DetectorFindings | None:
    """Return what is known of one detector."""
    with database.read() as session:
        row = session.get(Findings, detector)
        return None if row is None else read_row(row)


def read_row(row: Findings) -> DetectorFindings | None:
    """Return what a row says; ``None`` where another version wrote it: the worker soon writes it again."""
    try:
        return _decode(row.found)
    except msgspec.ValidationError:
        return None


def forget_others(database: Database, detectors: Sequence[str]) -> None:
    """Forget what was found out of detectors that are gone."""
    with database.write() as session:
        session.query(Findings).where(Findings.detector.not_in(detectors)).delete()
