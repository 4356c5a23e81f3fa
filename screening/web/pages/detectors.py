"""The detectors of this installation: the list, their sample files, what they may do, and the removal of one's own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, send_file, url_for

from screening.detectors.detector import Detector
from screening.detectors.states import DetectorStanding
from screening.errors import BadArtefact, Conflict, NotFound
from screening.infra.job_queue import new_id
from screening.ledger.history import drop
from screening.training.training_job import detectors_of
from screening.training.trainings import TrainingFolder
from screening.web.http import request_audit
from screening.web.http.sessions import may, require
from screening.web.services import services
from screening.web.views import approvals
from screening.web.views.detectors.access import doubt_of, is_own, is_shown, sample_of, standing_of

blueprint = Blueprint("detectors", __name__, url_prefix="/detectors")

SHOWN_TRAININGS = 50


@dataclass(frozen=True, slots=True)
class DetectorLine:
    """One line of the list; ``detector`` is ``None`` where it can't be loaded, and ``problem`` says why."""

    name: str
    detector: Detector | None
    own: bool
    standing: DetectorStanding
    problem: str = ""

    @property
    def doubted(self) -> bool:
        """Return whether its test doesn't show that it is better than guessing."""
        return self.detector is not None and bool(doubt_of(self.detector))


@blueprint.get("")
def index() -> str:
    """Show all detectors with their key figures; administrators see the trainings too."""
    return render_template(
        "detectors.html",
        detectors=[list_entry(name) for name in services().detectors.names() if is_shown(name)],
        trainings=services().trainings.recent(SHOWN_TRAININGS) if may("train") else (),
    )


@blueprint.get("/<name>/sample.csv")
def sample(name: str) -> Response:
    """Send a generated file in the detector's own columns."""
    file = sample_of(name) if name in services().detectors.names() else None
    if file is None:
        raise NotFound("There is no sample file for this detector.", remedy="See its page for its columns.")
    return send_file(file, mimetype="text/csv", as_attachment=True, download_name=f"{name}-sample.csv")


@blueprint.post("/<name>/approve")
@require("decide")
def approve(name: str) -> Any:
    """Let a detector score every file that it fits. One that may be guessing needs its name typed."""
    confirmed = request.form.get("confirm", "").strip() == name
    detector = services().detectors.require_approvable(name, confirmed=confirmed)
    given = {"name": name, "fingerprint": detector.fingerprint, "confirmed": confirmed}
    approvals.carry_out("detector_approve", name, f"{name} scores every file that has its columns.", given)
    return redirect(url_for("pages.detector", name=name), HTTPStatus.SEE_OTHER)


@blueprint.post("/<name>/retire")
@require("decide")
def retire(name: str) -> Any:
    """Let a detector score nothing new. What it has scored stays readable."""
    given = {"name": name, "fingerprint": services().detectors.require_retirable(name).fingerprint}
    approvals.carry_out("detector_retire", name, f"{name} scores no new files.", given)
    return redirect(url_for("pages.detector", name=name), HTTPStatus.SEE_OTHER)


@approvals.action("detector_approve", "Approval of a detector")
def _approve(given: Mapping[str, Any], by: str) -> str:
    name, confirmed = given["name"], given["confirmed"]
    require_same(name, given["fingerprint"])
    detector = services().detectors.approve(name, by, confirmed=confirmed)
    request_audit.record("detector_approved", **_about(detector, confirmed=confirmed))
    return f"The detector {name} is approved: it scores every file that has its columns."


@approvals.action("detector_retire", "Retirement of a detector")
def _retire(given: Mapping[str, Any], by: str) -> str:
    require_same(given["name"], given["fingerprint"])
    detector = services().detectors.retire(given["name"], by)
    request_audit.record("detector_retired", **_about(detector))
    return f"The detector {detector.name} is retired: it scores no new files."


def require_same(name: str, fingerprint: str) -> None:
    """Raise :class:`approvals.Outdated` for a detector that isn't the one of this fingerprint any more."""
    if services().detectors.get(name).fingerprint != fingerprint:
        raise outdated(name)


def outdated(name: str) -> approvals.Outdated:
    """Return the error of a proposal whose detector was replaced or removed since."""
    return approvals.Outdated(
        f"{name} is another detector by now than the one that was proposed, or gone.",
        remedy="Reject it, and propose the change again.",
    )


def fingerprint_of(name: str) -> str | None:
    """Return the fingerprint of a detector; ``None`` where it can't be loaded, which is a reason to remove it."""
    try:
        return services().detectors.get(name).fingerprint
    except BadArtefact:
        return None


def _about(detector: Detector, *, confirmed: bool = False) -> dict[str, Any]:
    doubt = doubt_of(detector)
    return {
        "name": detector.name,
        "fingerprint": detector.fingerprint,
        **({"doubt": doubt, "confirmed": confirmed} if doubt else {}),
    }


@blueprint.post("/<name>/delete")
@require("train")
def delete(name: str) -> Any:
    """Remove a detector that was trained here, with the rows that it remembers. What it screened stays."""
    if name not in services().detectors.names():
        raise NotFound(f"There is no detector {name[:60]!r}.", remedy="Look for it in the list of detectors.")
    _require_removable(name)
    given = {"name": name, "fingerprint": fingerprint_of(name)}
    approvals.carry_out("detector_delete", name, f"The detector {name} is removed.", given)
    return redirect(url_for("detectors.index"), HTTPStatus.SEE_OTHER)


def _require_removable(name: str) -> None:
    if not is_own(name):
        raise Conflict(
            f"The detector {name} belongs to the product.", remedy="Only those trained here can be removed."
        )
    services().detectors.require_without_place(name)


@approvals.action("detector_delete", "Removal of a detector", "train")
def _delete(given: Mapping[str, Any], by: str) -> str:
    del by
    name = given["name"]
    if name not in services().detectors.names() or fingerprint_of(name) != given["fingerprint"]:
        raise outdated(name)
    _require_removable(name)
    instance = services().settings.instance
    # cleared by the trainer too, should the server die now
    doomed = TrainingFolder(instance, new_id()).path
    doomed.parent.mkdir(mode=0o700, exist_ok=True)
    (detectors_of(instance) / name).rename(doomed)  # gone as a whole
    shutil.rmtree(doomed, ignore_errors=True)
    drop(instance, name)
    services().ledger.velocity.forget(name)
    services().detectors.forget(name)
    request_audit.record("detector_deleted", name=name)
    return f"The detector {name} was removed."


def list_entry(name: str) -> DetectorLine:
    """Return a detector as the list shows it: one that can't be loaded with what is wrong with it."""
    try:
        return DetectorLine(name, services().detectors.get(name), is_own(name), standing_of(name))
    except BadArtefact as problem:
        said = (
            # the page is open to all: not where it lies on the disk
            f"{problem.what} {problem.remedy or ''}"
        )
        return DetectorLine(name, None, is_own(name), standing_of(name), said)
