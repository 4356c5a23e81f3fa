"""One decision: every column, the reasons, and what the same customer, card or device did before."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, url_for

from screening.errors import Conflict, NotFound, ScreeningError
from screening.explore.entities import past_of
from screening.intake import header_of, read_records
from screening.ledger import identity
from screening.ledger.fields import entities_of
from screening.ledger.filters import DecisionFilter
from screening.ledger.tables import BATCH, BatchJob
from screening.scoring.score import score
from screening.uploads.replaying import transaction_of
from screening.uploads.results import ScreeningOutcome
from screening.uploads.screenings import DONE, Screening
from screening.uploads.upload_folder import UploadFolder
from screening.web.http.sessions import require, user
from screening.web.services import services
from screening.web.views.decisions import (
    LedgerRow,
    ReasonBar,
    TimelineView,
    level_of,
    reason_bars,
    timeline,
)
from screening.web.views.visibility import owner_seen

blueprint = Blueprint("decisions", __name__)
EARLIER = 20


@blueprint.get("/decisions/<transaction_id>")
@require("see")
def show(transaction_id: str) -> Any:
    """Show a decision by its id; a row of one's own file is shown among the rows of its file."""
    parsed, mine = identity.parse(transaction_id), services()
    row = None if parsed is None else mine.ledger.questions.one(parsed, owner_seen())
    if row is None:
        raise NotFound("There is no such decision.", remedy="Take an id that the app or the API gave.")
    screening = mine.screenings.get(row["screening"]) if row["screening"] else None
    if screening is not None and screening.owner == user().username.casefold():
        target = url_for("decisions.of_file", screening_id=screening.id, number=row["number"])
        return redirect(target, HTTPStatus.SEE_OTHER)
    cells = {} if row["values"] is None else json.loads(row["values"])
    return _page(
        row,
        job=mine.ledger.jobs.find(row["request"]) if row["source"] == BATCH else None,
        cells=cells,
        reasons=reason_bars(row["reasons"] or [], effects_of(row)),
        rules=row["rules"] or [],
        flagged=row["flagged"],
    )


@blueprint.get("/results/<screening_id>/rows/<int:number>")
@require("see")
def of_file(screening_id: str, number: int) -> Any:
    """Show a row of a file, from 1, with the one before and the one after."""
    mine = services()
    screening = mine.screenings.owned(screening_id, user().username)
    if screening.state != DONE:
        raise Conflict("This screening has no result yet.", remedy="Come back when it is done.")
    found = ScreeningOutcome(UploadFolder.kept(mine.settings.instance, screening.id), screening.threshold)
    if not found.there or not 1 <= number <= len(found.probability):
        raise NotFound(
            "This file has no such row.", remedy="Rows are counted from 1, the header not counted."
        )
    header = header_of(found.canonical)
    (record,) = read_records(found.canonical, found.offsets, [number - 1])
    asked = mine.ledger.questions.ask(
        "SELECT * EXCLUDE (label), known AS label FROM chosen WHERE number = $number",
        DecisionFilter(screening=screening.id),
        {"number": number},
    )
    row = next(iter(asked.rows), None)
    probability = float(found.probability[number - 1])
    return _page(
        row,
        cells=dict(zip(header, record, strict=False)),
        reasons=reason_bars(found.reasons.get(number - 1, []), found.effects.get(number - 1, [])),
        rules=found.rules_at(number - 1),
        flagged=bool(found.flagged[number - 1]),
        screening=screening,
        number=number,
        last=len(found.probability),
        probability=None if math.isnan(probability) else probability,  # set aside
        problem=next((one for one in found.meta["set_aside"] if one["row"] == number), None),
    )


def _page(
    row: dict[str, Any] | None,
    *,
    cells: dict[str, Any],
    reasons: list[ReasonBar],
    rules: list[str],
    flagged: bool,
    screening: Screening | None = None,
    number: int = 0,
    last: int = 0,
    probability: float | None = None,
    problem: Any = None,
    job: BatchJob | None = None,
) -> str:
    shown = None if row is None else LedgerRow.of(row)
    threshold = screening.threshold if screening is not None else shown.threshold if shown else 0.0
    if screening is None and shown is not None:
        probability = shown.probability
    pasts = [] if row is None or shown is None else pasts_of(row, shown)
    return render_template(
        "decision.html",
        row=shown,
        cells=cells,
        reasons=reasons,
        rules=rules,
        screening=screening,
        number=number,
        last=last,
        probability=probability,
        threshold=threshold,
        level=level_of(probability, threshold, flagged=flagged),
        pasts=pasts,
        problem=problem,
        job=job,
    )


def effects_of(row: dict[str, Any]) -> list[float]:
    """Return the effects of a decision's reasons, worked out again by its detector; none if others come out.

    The ledger keeps the words of the reasons. A detector that looks back may find other ones: its past has grown.
    """
    mine, said = services(), row["reasons"] or []
    if not said or row["values"] is None:
        return []
    try:
        detector = mine.detectors.get(row["detector"])
        if detector.fingerprint != row["fingerprint"]:
            return []
        scored = score(
            transaction_of(row, detector, mine.settings.instance),
            detector,
            mine.policy.seen(mine.history_cache, detector, row["owner"]),
            threshold=row["threshold"],
            probabilities=mine.probabilities,
        )
    except ScreeningError:
        # the detector is gone, or what it scored then can't be read out of the ledger: tokens
        return []
    again = scored.reasons[0]
    same = [each.text for each in again] == said[: len(again)]
    return [each.effect for each in again] if same else []


def pasts_of(
    row: dict[str, Any], shown: LedgerRow
) -> list[tuple[str, str, list[LedgerRow], TimelineView | None]]:
    """Return for each that the decision is about its kind, its value, and its transactions up to this one."""
    found = []
    for kind, value in entities_of(row):
        earlier = past_of(
            services().ledger.questions,
            (kind, value),
            owner_seen(),
            before=shown.moment.replace(tzinfo=None),
            limit=EARLIER,
        )
        rows = [LedgerRow.of(each) for each in earlier]
        found.append((kind, value, rows, timeline(rows, shown.id)))
    return found
