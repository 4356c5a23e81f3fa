"""Collect the record of a detector: its card, what monitoring and ledger know, and who approved it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from screening.detectors.detector import Detector
from screening.detectors.promotions import PromotionRow, Promotions
from screening.detectors.states import DetectorStanding
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.ledger.filters import DecisionFilter
from screening.ledger.queries.questions import Questions
from screening.monitoring import findings
from screening.monitoring.findings import DetectorFindings
from screening.scoring.applied_thresholds import AppliedThresholds
from screening.scoring.thresholds import Thresholds
from screening.settings import Settings

EVENTS = (
    "training_done", "detector_approved", "detector_retired", "detector_deleted", "shadow_started", "shadow_stopped",
    "detector_promoted", "promotion_taken_back",
)  # fmt: skip
"""Lines of the audit log that are about detectors."""
MOST_EVENTS = 200
NAMES = ("name", "detector", "first", "shadow", "replaced", "promoted")
"""Fields of such a line that name one."""
_COUNTS = (
    "SELECT count(*) AS rows, count(*) FILTER (WHERE flagged) AS flagged, count(*) FILTER (WHERE known = 1) AS fraud, "
    "count(*) FILTER (WHERE known IS NOT NULL) AS labelled, count(*) FILTER (WHERE flagged AND known = 1) AS caught, "
    "count(*) FILTER (WHERE flagged AND known IS NOT NULL) AS flagged_labelled, "
    "min(decided_at) AS first, max(decided_at) AS last FROM chosen"
)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """All that is known of one detector."""

    detector: Detector
    standing: DetectorStanding
    found: DetectorFindings | None
    """Latest findings of monitoring about this fingerprint; ``None`` where it hasn't."""
    limit: float | None
    """The operator's limit of drift; ``None`` where it isn't watched."""
    decisions: Mapping[str, Any]
    """Of this fingerprint, from the ledger: rows, flagged, fraud, labelled, caught, flagged_labelled, first, last."""
    promotions: Sequence[PromotionRow]
    """In which it took part, the latest first."""
    events: Sequence[Mapping[str, Any]]
    """Lines of the audit log about it, the latest first, at most :data:`MOST_EVENTS`."""
    limits: Thresholds
    """At which this installation flags, and stops without a look."""


def record_of(
    detector: Detector,
    standing: DetectorStanding,
    *,
    settings: Settings,
    database: Database,
    questions: Questions,
) -> ModelRecord:
    """Read what is on record.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    found = findings.of(database, detector.name)
    chosen = DecisionFilter(detector=detector.name, fingerprint=detector.fingerprint)
    rows = questions.ask(_COUNTS, chosen).rows
    return ModelRecord(
        detector=detector,
        standing=standing,
        found=found if found is not None and found.fingerprint == detector.fingerprint else None,
        limit=settings.alerts.get("drift"),
        decisions=rows[0] if rows else {},
        promotions=[
            row for row in Promotions(database).history() if detector.name in (row.promoted, row.replaced)
        ],
        events=events_of(AuditLog(settings.instance), detector.name),
        limits=AppliedThresholds(database, settings.threshold).of(detector.name),
    )


def events_of(audit: AuditLog, name: str) -> list[dict[str, Any]]:
    """Read the audit log from its end, a month at a time."""
    found: list[dict[str, Any]] = []
    for file in reversed(audit.files()):
        with file.open(encoding="utf-8", errors="replace") as lines:
            of_file = [
                line
                for line in lines
                if f'"{name}"' in line and any(f'"{event}"' in line for event in EVENTS)
            ]
        for line in reversed(of_file):
            try:
                told = json.loads(line)
            except ValueError:  # cut off by a full disk
                continue
            if told.get("event") in EVENTS and any(told.get(field) == name for field in NAMES):
                found.append(told)
        if len(found) >= MOST_EVENTS:
            break
    return found[:MOST_EVENTS]
