"""The mapping page: a file whose columns are called otherwise, and which of them is which of a detector's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for

from screening.cards.masking import masked
from screening.columns.made import CERTAIN, HARDLY
from screening.columns.matching import Match, guess_mapping, likeness
from screening.detectors.detector import Detector
from screening.errors import BadFile
from screening.intake.batch import FIRST_ROWS
from screening.intake.numbers import excerpt
from screening.intake.preview import preview
from screening.transactions.composition import BadParts, Composition, ValuePart
from screening.transactions.schema import Column, Role, normalise
from screening.uploads.questions.column_mappings import Mapping, columns_of, mark
from screening.uploads.questions.detector_choice import Said
from screening.uploads.screenings import CHECKED, Screening
from screening.uploads.upload_folder import UploadFolder
from screening.web.http import request_audit
from screening.web.http.sessions import may, require, user
from screening.web.services import services
from screening.web.views.detectors.access import ask_for, usable
from screening.web.views.files.column_readings import ColumnReading, can_be_made, parts_of, readings, sent
from screening.web.views.files.waiting import COLUMNS, waiting

blueprint = Blueprint("mapping", __name__, url_prefix="/results")
MOST_READ = 50_000
"""Rows that are read for the one that must be shown, where it isn't among the first."""
PARTS = ":parts"
"""Value that the form sends where the parts are chosen one by one."""
UNMADE = {
    Role.AMOUNT: "Choose money that leaves and money that comes in; or the amount and the word for debit or credit.",
    Role.TIME: "Choose a date, or year, month and day; and the time of day, or hour, minute and second.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedColumn:
    """One column of the detector, what the file has for it, and what is wrong with the choice, if anything."""

    place: int
    name: str
    role: str
    optional: bool
    chosen: str | None
    """A column, or a composition as the form sends it."""
    sure: bool
    readings: tuple[ColumnReading, ...] = ()
    """The ways to read it, where several columns of the file may make it."""
    parts: tuple[tuple[str, str, str], ...] = ()
    """Of what it can be made: part, words, and the column that is chosen for it."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SampledColumns:
    """The file's columns, each with some of its values."""

    header: list[str]
    examples: dict[str, str]
    rows: list[list[str]]


@blueprint.get("/<screening_id>/mapping")
@require("screen")
def show(screening_id: str) -> str:
    """Show the file's columns beside the detector's, as they seem to fit."""
    screening = open_screening(screening_id)
    given = _given(screening)
    detector = wanted_detector(screening, given)
    if screening.mapping and detector.name == screening.detector:
        found = as_chosen(columns_of(screening.mapping))
    else:
        found = guess_mapping(given.header, given.rows, detector.contract.parts())
        for name, parts in (screening.error or {}).get("made", {}).items():  # rows further down told of it
            if name in found:
                found[name] = Match(None, HARDLY, Composition.of(parts))
    return mapping_page(screening, given, detector, choices_of(detector, given, found))


@blueprint.post("/<screening_id>/mapping")
@require("screen")
def save(screening_id: str) -> Any:
    """Take the mapping, remember it for this header, and screen the file, or check it first.

    It is remembered for the user's own files; a manager may have it hold for everybody's.
    """
    screening = open_screening(screening_id)
    given = _given(screening)
    name = request.form.get("detector")
    if not name:
        raise BadFile(
            "The form doesn't say for which detector the columns are.", remedy="Open the page again."
        )
    detector = ask_for(name)
    chosen, wrong = chosen_columns(detector)
    wrong = {**problems_of(chosen, given.header), **wrong}
    if wrong:
        choices = choices_of(detector, given, as_chosen(chosen), wrong)
        return mapping_page(screening, given, detector, choices), HTTPStatus.BAD_REQUEST
    mapping = Mapping(detector.name, chosen)
    services().mappings.remember(given.header, mapping, user().username)
    for_all = may("decide") and request.form.get("for_all") == "1"
    if for_all:
        services().mappings.approve(mark(given.header), user().username, user().username)
    check_first = request.form.get("check") == "1"
    services().screenings.requeue(screening.id, detector.name, mapping.as_json, check_first=check_first)
    request_audit.record(
        "columns_mapped",
        screening=screening.id,
        detector=detector.name,
        columns=mapping.as_json,
        for_all=for_all,
        check_first=check_first,
    )
    return redirect(url_for("results.show", screening_id=screening.id), HTTPStatus.SEE_OTHER)


@blueprint.post("/<screening_id>/mapping/forget")
@require("screen")
def forget(screening_id: str) -> Any:
    """Drop what the user said for this file's header; the result stays, and so does what holds for all."""
    screening = services().screenings.owned(screening_id, user().username)
    services().mappings.forget(_given(screening).header, user().username)
    request_audit.record("mapping_forgotten", screening=screening.id)
    flash("What you had said of these columns is forgotten: the next file with them is asked about again.")
    return redirect(url_for("results.show", screening_id=screening.id), HTTPStatus.SEE_OTHER)


def open_screening(screening_id: str) -> Screening:
    """Return a file that waits for its mapping, or was checked with one and may get another.

    Raises:
        NotFound: there is none of this user.
        Conflict: it is screened already, or failed for another reason.
    """
    screening = services().screenings.owned(screening_id, user().username)
    if screening.state == CHECKED and screening.mapping:
        return screening
    return waiting(screening_id, COLUMNS)


def _given(screening: Screening) -> SampledColumns:
    folder = UploadFolder.kept(services().settings.instance, screening.id)
    # which shows what the first rows don't
    telling = min((screening.error or {}).get("row") or 0, MOST_READ)
    kind, most = folder.kind(screening.kind), max(telling, FIRST_ROWS)
    header, rows = preview(folder.input, kind, most, scratch=folder.path)
    rows = rows[:FIRST_ROWS] + rows[FIRST_ROWS:][-1:]
    examples = {
        name: ", ".join(dict.fromkeys(masked(row[place])[:24] for row in rows[:50] if row[place].strip()))[
            :60
        ]
        for place, name in enumerate(header)
    }
    return SampledColumns(header, examples, rows)


def wanted_detector(screening: Screening, given: SampledColumns) -> Detector:
    """Return the detector that was asked for, or the one whose columns are found best."""
    name = request.args.get("detector") or screening.detector or screening.wanted_detector
    if name:
        return ask_for(name)

    def fit(detector: Detector) -> float:
        return likeness(given.header, given.rows, detector.contract.parts())

    return max(services().detectors.choosable(), key=fit)


def as_chosen(columns: Said) -> dict[str, Match]:
    """Return the choices as if they had been guessed."""
    return {
        name: Match(None, 1.0, theirs) if isinstance(theirs, Composition) else Match(theirs or None, 1.0)
        for name, theirs in columns.items()
    }


def choices_of(
    detector: Detector, given: SampledColumns, found: dict[str, Match], wrong: dict[str, str] | None = None
) -> list[MappedColumn]:
    """Return how each column of a detector can be chosen, and what is wrong with a choice."""
    return [
        _choice(place, column, given, found[column.name], (wrong or {}).get(column.name))
        for place, column in enumerate(detector.contract.parts())
    ]


def _choice(
    place: int, column: Column, given: SampledColumns, match: Match, error: str | None
) -> MappedColumn:
    known = match.header is None or normalise(match.header) in map(normalise, given.header)
    theirs = match.made or (match.header if known else None)
    common: dict[str, Any] = {"readings": (), "parts": ()}
    if can_be_made(column):
        of = {} if match.made is None else dict(match.made.parts)
        common = {
            "readings": readings(column, given.header, given.rows, theirs),
            "parts": tuple((part.value, words, of.get(part, "")) for part, words in parts_of(column.role)),
        }
    return MappedColumn(
        place=place,
        name=column.name,
        role=column.role.value,
        optional=column.optional,
        chosen=sent(theirs) if isinstance(theirs, Composition) else theirs,
        sure=match.score >= CERTAIN,
        error=error,
        **common,
    )


def chosen_columns(detector: Detector) -> tuple[dict[str, str | Composition], dict[str, str]]:
    """Return the form's choice for each column, and the problems of these."""
    chosen: dict[str, str | Composition] = {}
    wrong: dict[str, str] = {}
    for place, column in enumerate(detector.contract.parts()):
        value = request.form.get(f"column-{place}", "")
        chosen[column.name] = value
        if not can_be_made(column) or (value != PARTS and not value.startswith("{")):
            continue
        try:
            made = Composition.of(_parts(place, value))
        except (BadParts, ValueError):
            wrong[column.name], chosen[column.name] = UNMADE[column.role], ""
            continue
        chosen[column.name] = made
        if made.is_amount is not (column.role is Role.AMOUNT):
            wrong[column.name] = UNMADE[column.role]
    return chosen, wrong


def _parts(place: int, value: str) -> dict[str, str]:
    if value == PARTS:
        sent_parts = {part.value: request.form.get(f"part-{place}-{part}", "") for part in ValuePart}
        return {part: column for part, column in sent_parts.items() if column}
    loaded = json.loads(value)
    if not isinstance(loaded, dict):
        raise BadParts("no parts")
    return {str(part): str(column) for part, column in loaded.items()}


def problems_of(chosen: Said, header: list[str]) -> dict[str, str]:
    """Return the problem of each choice."""
    known = {normalise(name) for name in header}
    taken: dict[str, str] = {}
    wrong = {}
    for name, theirs in chosen.items():
        columns = theirs.columns if isinstance(theirs, Composition) else (theirs,)
        for column in columns:
            if not column:
                wrong[name] = "Choose a column: the detector can't do without it."
            elif normalise(column) not in known:
                wrong[name] = "The file has no such column."
            elif normalise(column) in taken:
                wrong[name] = f"{excerpt(column)} is chosen for {taken[normalise(column)]} already."
            taken.setdefault(normalise(column), name)
    return wrong


def mapping_page(
    screening: Screening, given: SampledColumns, detector: Detector, choices: list[MappedColumn]
) -> str:
    """Return the page on which columns are mapped."""
    return render_template(
        "mapping.html",
        screening=screening,
        given=given,
        detector=detector,
        choices=choices,
        detectors=usable(),
        remembered=services().mappings.has_own(given.header, user().username),
    )
