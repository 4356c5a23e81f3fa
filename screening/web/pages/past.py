"""Manage the past that counts for everybody: remembered files and column mappings, and the manager's word on each."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for

from screening.errors import ScreeningError
from screening.web.http import request_audit
from screening.web.http.paging import page_number
from screening.web.http.sessions import require, user
from screening.web.services import services

blueprint = Blueprint("past", __name__, url_prefix="/history")
LIST_ROWS = 50
SHOWN_MAPPINGS = 100


@blueprint.get("")
@require("decide")
def index() -> str:
    """Show the files whose rows detectors remember, of all users, and the mappings that users have said."""
    page, known = page_number(), fingerprints()
    pages = max(-(-services().screenings.count_remembered(known) // LIST_ROWS), 1)
    page = min(page, pages)
    return render_template(
        "history.html",
        screenings=services().screenings.remembered(known, offset=(page - 1) * LIST_ROWS, limit=LIST_ROWS),
        mappings=services().mappings.recent(SHOWN_MAPPINGS),
        policy=services().settings.history_policy,
        page=page,
        pages=pages,
    )


@blueprint.post("/<screening_id>")
@require("decide")
def count(screening_id: str) -> Any:
    """Let the rows and labels of a file count for everybody's later files, or for its owner's alone."""
    for_all = _for_all()
    changed = services().screenings.let_count(screening_id, fingerprints(), user().username, for_all=for_all)
    request_audit.record(
        "history_released" if for_all else "history_withdrawn",
        screening=changed.id,
        owner=changed.owner,
        filename=changed.filename,
        sha256=changed.sha256,
        detector=changed.detector,
        rows=changed.rows,
    )
    whose = "everybody's" if for_all else f"{changed.owner}'s own"
    flash(f"The rows of {changed.filename} count for {whose} later files.")
    return redirect(url_for("past.index"), HTTPStatus.SEE_OTHER)


@blueprint.post("/mappings")
@require("decide")
def use_mapping() -> Any:
    """Let what a user said of columns hold for everybody's files, or for that user's alone."""
    header, owner = request.form.get("header", ""), request.form.get("owner", "")
    if _for_all():
        row = services().mappings.approve(header, owner, user().username)
        request_audit.record(
            "mapping_approved", header=header, owner=owner, detector=row.detector, columns=row.columns
        )
        flash(f"The mapping of {row.said_by} holds for everybody's files with these columns.")
    else:
        services().mappings.withdraw(header)
        request_audit.record("mapping_withdrawn", header=header)
        flash("The mapping holds for all no longer.")
    return redirect(url_for("past.index"), HTTPStatus.SEE_OTHER)


def _for_all() -> bool:
    said = request.form.get("counts")
    if said not in ("all", "owner"):
        raise ScreeningError("The form doesn't say for whom it counts.", remedy="Open the page again.")
    return said == "all"


def fingerprints() -> list[str]:
    """Return the fingerprints of the detectors that look back: others remember nothing."""
    return [one.fingerprint for one in services().detectors.all() if one.vectorizer.looks_back]
