"""The detectors of this installation: the list, their sample files, and the removal of one that was trained here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, send_file, url_for

from screening.context import drop
from screening.detector import DEFAULT, Detector
from screening.errors import BadArtefact, Conflict, NotFound
from screening.jobs import new_id
from screening.settings import ROOT
from screening.trainer import detectors_of
from screening.trainings import TrainingFolder
from screening.web import audit
from screening.web.services import services
from screening.web.sessions import may, require

blueprint = Blueprint("detectors", __name__, url_prefix="/detectors")

SHIPPED = ROOT / "model" / "detectors"
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
    audit.record("detector_deleted", name=name)
    flash(f"The detector {name} was removed.")
    return redirect(url_for("detectors.index"), HTTPStatus.SEE_OTHER)


def is_shown(name: str) -> bool:
    """Whether this visitor may see a detector's card: one that was trained here tells of the bank's own files (their
    columns, how many rows were fraud), and that is no business of somebody without an account.
    """
    return may("see") or name == DEFAULT or name in {path.name for path in SHIPPED.iterdir()}


def shown() -> list[Detector]:
    """The detectors that this visitor may see and that can be loaded."""
    return [detector for detector in services().detectors.all() if is_shown(detector.name)]


def is_own(name: str) -> bool:
    """Whether a detector was trained here, and so may be removed."""
    shipped = name == DEFAULT or (SHIPPED / name).is_dir()
    return not shipped and (detectors_of(services().settings.instance) / name).is_dir()


def sample_of(name: str) -> Path | None:
    """The generated file that ships with a detector."""
    file = ROOT / "transactions_data.csv" if name == DEFAULT else SHIPPED / name / "sample.csv"
    return file if file.is_file() else None


def samples() -> list[str]:
    """The names of the detectors that have a sample file."""
    return [name for name in services().detectors.names() if sample_of(name)]


def _listed(name: str) -> Listed:
    try:
        return Listed(name, services().detectors.get(name), is_own(name))
    except BadArtefact as problem:
        said = (
            f"{problem.what} {problem.remedy or ''}"  # the page is open to all: not where it lies on the disk
        )
        return Listed(name, None, is_own(name), said)
