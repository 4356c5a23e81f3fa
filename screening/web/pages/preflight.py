"""The page of a file that was checked and isn't scored yet: what was found, and what its owner wants done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from msgspec import convert

from screening.errors import BadArtefact, BadFile, Conflict, NotFound, TooLarge, UnsupportedKind
from screening.scoring.drift import MUCH, SOME
from screening.uploads.preflight import PreflightReport
from screening.uploads.screenings import CHECKED, FAILED, OPEN_STATES, Screening
from screening.uploads.upload_folder import UploadFolder
from screening.web.http import errors, request_audit
from screening.web.http.operations import URL_FORM, AnswerSpec, BodySpec, Operation, answered, describes
from screening.web.http.sessions import require, user
from screening.web.services import services
from screening.web.views.files.forms import LOCATION, CheckReport, Consent, ScreeningQueued, StillRunning

blueprint = Blueprint("check", __name__, url_prefix="/results")
CLEAR, LOOK, DECIDE, UNKNOWN = "clear", "look", "decide", "unknown"
Finding = Mapping[str, Any]


@dataclass(frozen=True)
class CheckView:
    """Result of a check as its page shows it; a ``_weight`` is ``clear``, ``look``, ``decide`` or ``unknown``."""

    rows: int
    rejected: int
    found: Mapping[str, Any]

    @property
    def usable(self) -> int:
        """Rows that can be screened."""
        return self.rows - self.rejected

    @property
    def rejected_weight(self) -> str:
        """Weight of the rows that can't be screened."""
        return DECIDE if self.rejected else CLEAR

    @property
    def problems(self) -> Sequence[Finding]:
        """Problems of rows that can't be screened, the first thousand."""
        listed: Sequence[Finding] = self.found["problems"]
        return listed

    @property
    def all_listed(self) -> bool:
        """Return whether every row that can't be screened is among the problems."""
        return len({problem["row"] for problem in self.problems}) == self.rejected

    @property
    def duplicates(self) -> int:
        """Rows that repeat an earlier one."""
        return int(self.found["duplicates"]["count"])

    @property
    def pairs(self) -> Sequence[Finding]:
        """The first of them, each with the row that it repeats."""
        first: Sequence[Finding] = self.found["duplicates"]["first"]
        return first

    @property
    def duplicates_weight(self) -> str:
        """Weight of the rows that repeat others."""
        return LOOK if self.duplicates else CLEAR

    @property
    def drift(self) -> Sequence[Finding]:
        """Each compared column, the most changed first."""
        columns: Sequence[Finding] = self.found["drift"]
        return columns

    @cached_property
    def much_changed(self) -> list[str]:
        """Columns that are far from the training data."""
        return [one["column"] for one in self.drift if one["index"] > MUCH]

    @cached_property
    def somewhat_changed(self) -> list[str]:
        """Columns that differ, but not by much."""
        return [one["column"] for one in self.drift if SOME < one["index"] <= MUCH]

    @property
    def drift_weight(self) -> str:
        """Weight of the columns that differ from those that the detector learned from."""
        if not self.drift:
            return UNKNOWN
        return LOOK if self.much_changed else CLEAR

    @property
    def labels(self) -> Finding | None:
        """The label's column and how many rows have which; ``None`` without labels."""
        counts: Finding | None = self.found["labels"]
        return counts

    @cached_property
    def suspects(self) -> list[Finding]:
        """Columns that seem to be forms of the label, and others that part its classes and aren't the detector's."""
        return [one for one in self.found["suspects"] if one["kind"] != "telling" or not one["used"]]

    @cached_property
    def strong(self) -> list[str]:
        """Measures that the detector needs and that part the classes by themselves: what it is there to use."""
        return [one["column"] for one in self.found["suspects"] if one["kind"] == "telling" and one["used"]]

    @property
    def labels_weight(self) -> str:
        """Weight of the labels, and of the columns that may give them away."""
        if self.suspects:
            return LOOK
        return CLEAR if self.labels and self.labels["compared"] else UNKNOWN


@blueprint.get("/<screening_id>/check")
@require("see", scope="read")
@describes(
    Operation(
        id="getCheck",
        tag="Files",
        answers={
            200: AnswerSpec(words="What was found.", form=CheckReport),
            202: AnswerSpec(words="It isn't checked yet.", form=StillRunning, headers={"Location": LOCATION}),
        },
        raises=(NotFound, Conflict, BadFile, TooLarge, UnsupportedKind),
    )
)
def show(screening_id: str) -> Any:
    """Get what a check found in a file.

    A file that can't be screened is told with the status that its upload would have had.
    """
    screening = services().screenings.owned(screening_id, user().username)
    if screening.state != CHECKED:
        return lead_elsewhere(screening)
    report = report_of(screening)
    if not report.there and not errors.wants_json():
        return redirect(url_for("results.show", screening_id=screening.id), HTTPStatus.SEE_OTHER)
    if errors.wants_json():
        return answered(_as_json(screening, report))
    return _page(screening, report)


@blueprint.post("/<screening_id>/check")
@require("screen", scope="score")
@describes(
    Operation(
        id="screenChecked",
        tag="Files",
        body=BodySpec(
            words="What shall be done with rows that can't be scored.",
            media=URL_FORM,
            form=Consent,
            required=False,
        ),
        answers={
            202: AnswerSpec(
                words="It will be.", form=(ScreeningQueued, StillRunning), headers={"Location": LOCATION}
            )
        },
        raises=(NotFound, Conflict, BadFile, TooLarge, UnsupportedKind),
    )
)
def screen(screening_id: str) -> Any:
    """Have a checked file scored."""
    screening = services().screenings.owned(screening_id, user().username)
    # what can't be meant is refused however far the check is
    said = request.form.get("set_aside", "")
    if said not in ("", "0", "1"):
        raise BadFile("The field “set_aside” is neither 1 nor 0.", remedy="Send 1, or leave it out.")
    if screening.state != CHECKED:
        return lead_elsewhere(screening)
    set_aside = said == "1"
    refusal = refusal_of(screening, set_aside=set_aside)
    if refusal is not None:
        if errors.wants_json():
            raise refusal
        return _page(screening, report_of(screening), refusal.as_dict()), refusal.status
    # else another window was quicker
    if services().screenings.approve(screening.id, set_aside_bad=set_aside):
        request_audit.record(
            "check_accepted", screening=screening.id, set_aside=set_aside, sha256=screening.sha256
        )
    location = url_for("results.show", screening_id=screening.id)
    if not errors.wants_json():
        return redirect(location, HTTPStatus.SEE_OTHER)
    accepted = ScreeningQueued(screening.id, location, "queued")
    return answered(accepted, HTTPStatus.ACCEPTED, Location=location)


def refusal_of(screening: Screening, *, set_aside: bool) -> BadFile | None:
    """Return the error that a screening would refuse the file for, known beforehand."""
    count = screening.set_aside
    if count and count == screening.rows:
        return BadFile("No row of this file can be screened.", remedy="Fix the rows and send the file again.")
    if count and not set_aside:
        rows = "row has" if count == 1 else "rows have"
        return BadFile(
            f"{count:,} {rows} cells that hold no usable value: as it is, the file would be refused.",
            remedy="Tick that they are to be set aside, or fix them and send the file again.",
        )
    return None


def lead_elsewhere(screening: Screening) -> Any:
    """Return the answer where there is no check to show: not yet, not any more, or because it failed."""
    if not errors.wants_json():
        return redirect(url_for("results.show", screening_id=screening.id), HTTPStatus.SEE_OTHER)
    if screening.state in OPEN_STATES:
        running = StillRunning(screening.id, "running", screening.progress)
        location = url_for("results.show", screening_id=screening.id)
        return answered(running, HTTPStatus.ACCEPTED, Location=location)
    if screening.state == FAILED and screening.error:
        return errors.answer(screening.error)
    raise Conflict("This file doesn't wait to be screened.", remedy="Look at its result.")


def report_of(screening: Screening) -> PreflightReport:
    """Return what a check has found in a file."""
    return PreflightReport(UploadFolder.kept(services().settings.instance, screening.id))


def _as_json(screening: Screening, report: PreflightReport) -> CheckReport:
    found = {
        "id": screening.id,
        "state": screening.state,
        "detector": screening.detector,
        "detector_changed": has_other_detector(screening),
        "fingerprint": screening.fingerprint,
        "rows": screening.rows,
        "set_aside": screening.set_aside,
        "notes": screening.notes or [],
        "mapping": screening.mapping,
        **report.found,
    }
    return convert(found, CheckReport)


def _page(screening: Screening, report: PreflightReport, error: dict[str, Any] | None = None) -> str:
    view = CheckView(screening.rows, screening.set_aside, report.found)
    changed = has_other_detector(screening)
    return render_template("check.html", screening=screening, check=view, error=error, changed=changed)


def has_other_detector(screening: Screening) -> bool:
    """Return whether the detector of that name isn't the one any more that the file was checked for."""
    try:
        return services().detectors.get(screening.detector).fingerprint != screening.fingerprint
    except (NotFound, BadArtefact):  # deleted, or damaged: the screening will say so
        return True
