"""The mapping page: a file whose columns are called otherwise, and which of them is which of a detector's."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from screening.cards.masking import masked
from screening.columns.matching import Match, guess_mapping
from screening.detectors.detector import Detector
from screening.errors import BadFile, Conflict
from screening.intake.numbers import excerpt
from screening.intake.preview import preview
from screening.transactions.schema import normalise
from screening.uploads.column_mappings import Mapping, mark
from screening.uploads.screenings import CHECKED, FAILED, Screening
from screening.uploads.upload_folder import Folder
from screening.web.http import request_audit
from screening.web.http.sessions import may, require, user
from screening.web.services import services
from screening.web.views.detector_access import ask_for, usable

blueprint = Blueprint("mapping", __name__, url_prefix="/results")
SAMPLE_ROWS = 500
SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One column of the detector, what the file has for it, and what is wrong with the choice, if anything."""

    place: int
    name: str
    role: str
    optional: bool
    chosen: str | None
    sure: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """The file's columns, each with some of its values."""

    header: list[str]
    examples: dict[str, str]
    rows: list[list[str]]


@blueprint.get("/<screening_id>/mapping")
@require("screen")
def show(screening_id: str) -> str:
    """The file's columns beside the detector's, as they seem to fit."""
    screening = _open(screening_id)
    given = _given(screening)
    detector = _wanted(screening, given)
    if screening.mapping and detector.name == screening.detector:
        found = {name: Match(theirs, 1.0) for name, theirs in screening.mapping.items()}
    else:
        found = guess_mapping(given.header, given.rows, detector.contract.parts())
    return _page(screening, given, detector, _choices(detector, found))


@blueprint.post("/<screening_id>/mapping")
@require("screen")
def save(screening_id: str) -> Any:
    """Take the mapping, remember it for this header, and screen the file, or check it first.

    It is remembered for the user's own files; a manager may have it hold for everybody's.
    """
    screening = _open(screening_id)
    given = _given(screening)
    name = request.form.get("detector")
    if not name:
        raise BadFile(
            "The form doesn't say for which detector the columns are.", remedy="Open the page again."
        )
    detector = ask_for(name)
    columns = detector.contract.columns
    chosen = {name: request.form.get(f"column-{place}", "") for place, name in enumerate(columns)}
    wrong = _wrong(chosen, given.header)
    if wrong:
        matches = {name: Match(theirs or None, 1.0) for name, theirs in chosen.items()}
        return _page(screening, given, detector, _choices(detector, matches, wrong)), HTTPStatus.BAD_REQUEST
    mapping = Mapping(detector.name, chosen)
    services().mappings.remember(given.header, mapping, user().username)
    for_all = may("decide") and request.form.get("for_all") == "1"
    if for_all:
        services().mappings.approve(mark(given.header), user().username, user().username)
    check_first = request.form.get("check") == "1"
    services().history.again(screening.id, detector.name, chosen, check_first=check_first)
    request_audit.record(
        "columns_mapped",
        screening=screening.id,
        detector=detector.name,
        columns=chosen,
        for_all=for_all,
        check_first=check_first,
    )
    return redirect(url_for("results.show", screening_id=screening.id), HTTPStatus.SEE_OTHER)


@blueprint.post("/<screening_id>/mapping/forget")
@require("screen")
def forget(screening_id: str) -> Any:
    """Drop what the user said for this file's header; the result stays, and so does what holds for all."""
    screening = services().history.owned(screening_id, user().username)
    services().mappings.forget(_given(screening).header, user().username)
    request_audit.record("mapping_forgotten", screening=screening.id)
    return redirect(url_for("results.show", screening_id=screening.id), HTTPStatus.SEE_OTHER)


def _open(screening_id: str) -> Screening:
    """A file that waits for its mapping, or was checked with one and may get another.

    Raises:
        NotFound: there is none of this user.
        Conflict: it is screened already, or failed for another reason.
    """
    screening = services().history.owned(screening_id, user().username)
    refused = screening.state == FAILED and (screening.error or {}).get("columns_missing")
    mapped = screening.state == CHECKED and screening.mapping
    if not refused and not mapped:
        raise Conflict("This file doesn't wait for a mapping of its columns.", remedy="Look at its result.")
    return screening


def _given(screening: Screening) -> Given:
    folder = Folder(services().settings.instance, screening.id)
    header, rows = preview(folder.input, folder.kind(screening.kind), SAMPLE_ROWS, scratch=folder.path)
    examples = {
        name: ", ".join(dict.fromkeys(masked(row[place])[:24] for row in rows[:50] if row[place].strip()))[
            :60
        ]
        for place, name in enumerate(header)
    }
    return Given(header, examples, rows)


def _wanted(screening: Screening, given: Given) -> Detector:
    """The detector that was asked for, or the one whose columns are found best."""
    name = request.args.get("detector") or screening.detector or screening.wanted_detector
    if name:
        return ask_for(name)

    def fit(detector: Detector) -> float:
        found = guess_mapping(given.header, given.rows, detector.contract.parts())
        return sum(match.score for match in found.values()) / len(found)

    return max(services().detectors.offered(), key=fit)


def _choices(
    detector: Detector, found: dict[str, Match], wrong: dict[str, str] | None = None
) -> list[Choice]:
    return [
        Choice(
            place=place,
            name=column.name,
            role=column.role.value,
            optional=column.optional,
            chosen=found[column.name].header,
            sure=found[column.name].score >= 0.9,  # the same name, or nearly
            error=(wrong or {}).get(column.name),
        )
        for place, column in enumerate(detector.contract.parts())
    ]


def _wrong(chosen: dict[str, str], header: list[str]) -> dict[str, str]:
    """What is wrong with each choice."""
    known = {normalise(name) for name in header}
    taken: dict[str, str] = {}
    wrong = {}
    for name, theirs in chosen.items():
        if not theirs:
            wrong[name] = "Choose a column: the detector can't do without it."
        elif normalise(theirs) not in known:
            wrong[name] = "The file has no such column."
        elif normalise(theirs) in taken:
            wrong[name] = f"{excerpt(theirs)} is chosen for {taken[normalise(theirs)]} already."
        taken.setdefault(normalise(theirs), name)
    return wrong


def _page(screening: Screening, given: Given, detector: Detector, choices: list[Choice]) -> str:
    return render_template(
        "mapping.html",
        screening=screening,
        given=given,
        detector=detector,
        choices=choices,
        detectors=usable(),
    )
