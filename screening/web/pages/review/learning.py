"""A new detector of what is known here: shown before it starts, made by one click."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from screening.detectors.detector import Detector
from screening.errors import Conflict, NotFound, ScreeningError
from screening.infra.disk_space import require_room
from screening.infra.file_hash import sha256_of
from screening.infra.job_queue import new_id
from screening.intake import FileKind
from screening.ledger.filters import Unanswered
from screening.training.column_choices import check_name, overruled
from screening.training.from_reviews import KnownLabels, delay_of, description, free_name, known, roles_of
from screening.training.trainings import TrainingFolder
from screening.uploads.labelled_rows import LABEL, gather
from screening.web.http.sessions import require, user
from screening.web.pages.training_columns import DAY, FormValues, begin, guess
from screening.web.services import services

blueprint = Blueprint("reviewed", __name__, url_prefix="/detectors/from-reviews")
# Somebody waits for the page, so larger sets are left to the command line.
MOST_ROWS = 500_000


@blueprint.get("")
@require("train")
def index() -> tuple[str, int]:
    """Say what a new detector would learn from."""
    return _page(request.args.get("detector") or services().detectors.default.name)


@blueprint.post("")
@require("train")
def start() -> Any:
    """Put together what is known, and let the training begin."""
    detector, name = request.form.get("detector", ""), request.form.get("name", "").strip()
    try:
        training_id = _begin(_detector(detector), name)
    except ScreeningError as problem:
        return _page(detector, problem)
    return redirect(url_for("trainings.show", training_id=training_id), HTTPStatus.SEE_OTHER)


def _begin(detector: Detector, name: str) -> str:
    mine = services()
    check_name(name, mine.detectors.names())
    there = sum(each.rows for each in known(detector.name, mine.ledger))
    if there > MOST_ROWS:
        raise Conflict(
            f"Of {there:,} transactions it is known what they were, and {MOST_ROWS:,} can be put together here.",
            remedy=f"Use the command line: flask --app app train --from-reviews --detector {detector.name}",
        )
    require_room(mine.settings.instance, 0)
    training_id = new_id()
    folder = TrainingFolder(mine.settings.instance, training_id)
    try:
        folder.create()
        owner = user().username
        mine.trainings.begin(
            training_id, owner=owner, filename=f"{detector.name}-reviewed.csv", kind=FileKind.CSV, name=name
        )
        found = gather(folder.arriving, detector, mine.ledger, mine.settings.instance)
        folder.complete()
        size = folder.arriving.stat().st_size
        mine.quota.require(owner, size)
        digest = sha256_of(folder.arriving)
        mine.trainings.received(training_id, size, digest, {"label": LABEL, "fraud_values": []})
        words = description(found, detector)
        order_training(training_id, detector, name, words, delay_of(found))
    except BaseException:  # nothing may stay of what can't be learned from
        mine.trainings.remove(training_id)
        folder.remove()
        raise
    return training_id


def order_training(training_id: str, detector: Detector, name: str, words: str, delay: float | None) -> None:
    """Start the training with the roles that the detector's own columns have."""
    kept = services().trainings
    chosen = FormValues.of(guess(kept.found(training_id)))
    tokens = {} if detector.card is None else dict(detector.card.tokens)
    chosen = replace(
        chosen,
        choices=tuple(overruled(chosen.choices, roles_of(detector))),
        tokens=tokens,
        agreed=bool(tokens),
        quick="quick" in request.form,
        delay=chosen.delay if delay is None else f"{delay / DAY:.10f}",
    )
    options = {**chosen.options(), "description": words}
    begin(
        kept.found(training_id),
        {"name": name, "options": options, "learned_from": words, "card_columns": []},
    )


def _detector(name: str) -> Detector:
    mine = services().detectors
    if name not in mine.names():
        raise NotFound("There is no such detector.", remedy=f"There are: {', '.join(mine.names())}.")
    return mine.get(name)


def _page(name: str, problem: ScreeningError | None = None) -> tuple[str, int]:
    mine = services()
    found: list[KnownLabels] = []
    try:
        found = known(_detector(name).name, mine.ledger)
    except (NotFound, Unanswered) as refused:
        problem = problem or refused
    text = render_template(
        "from_reviews.html",
        names=mine.detectors.names(),
        chosen=name,
        known=found,
        rows=sum(each.rows for each in found),
        frauds=sum(each.frauds for each in found),
        name=request.form.get("name") or free_name(name, mine.detectors.names()),
        problem=None if problem is None else problem.as_dict(),
    )
    return text, 200 if problem is None else problem.status
