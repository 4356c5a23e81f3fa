"""The detectors of this installation: the list, their sample files, and the removal of one that was trained here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, send_file, url_for

from screening.detectors.detector import Detector
from screening.errors import BadArtefact, Conflict, NotFound
from screening.infra.job_queue import new_id
from screening.ledger.history import drop
from screening.training.training_job import detectors_of
from screening.training.trainings import TrainingFolder
from screening.web.http import request_audit
from screening.web.http.sessions import may, require
from screening.web.services import services
from screening.web.views.detector_access import is_own, is_shown, sample_of

blueprint = Blueprint("detectors", __name__, url_prefix="/detectors")

SHOWN_TRAININGS = 50


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list; ``detector`` is ``None`` where it can't be loaded, and ``problem`` says why."""

    name: str
    detector: Detector | None
    own: bool
    problem: str = ""


@blueprint.get("")
def index() -> str:
    """All detectors with their key figures; administrators see the trainings too."""
    return render_template(
        "detectors.html",
        detectors=[_listed(name) for name in services().detectors.names() if is_shown(name)],
        trainings=services().trainings.recent(SHOWN_TRAININGS) if may("train") else (),
    )


@blueprint.get("/<name>/sample.csv")
def sample(name: str) -> Response:
    """A generated file in the detector's own columns."""
    file = sample_of(name) if name in services().detectors.names() else None
    if file is None:
        raise NotFound("There is no sample file for this detector.", remedy="See its page for its columns.")
    return send_file(file, mimetype="text/csv", as_attachment=True, download_name=f"{name}-sample.csv")


@blueprint.post("/<name>/delete")
@require("train")
def delete(name: str) -> Any:
    """Remove a detector that was trained here, with the rows that it remembers. What it screened stays."""
    if name not in services().detectors.names():
        raise NotFound(f"There is no detector {name[:60]!r}.", remedy="Look for it in the list of detectors.")
    if not is_own(name):
        raise Conflict(
            f"The detector {name} belongs to the product.", remedy="Only those trained here can be removed."
        )
    instance = services().settings.instance
    doomed = TrainingFolder(instance, new_id()).path  # cleared by the trainer too, should the server die now
    doomed.parent.mkdir(mode=0o700, exist_ok=True)
    (detectors_of(instance) / name).rename(doomed)  # gone as a whole
    shutil.rmtree(doomed, ignore_errors=True)
    drop(instance, name)
    request_audit.record("detector_deleted", name=name)
    flash(f"The detector {name} was removed.")
    return redirect(url_for("detectors.index"), HTTPStatus.SEE_OTHER)


def _listed(name: str) -> Listed:
    try:
        return Listed(name, services().detectors.get(name), is_own(name))
    except BadArtefact as problem:
        said = (
            f"{problem.what} {problem.remedy or ''}"  # the page is open to all: not where it lies on the disk
        )
        return Listed(name, None, is_own(name), said)
