"""Decisions from a workbook: the flagged rows of a screening go out with a column to fill in, and come back."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select

from screening.errors import BadFile, Conflict, NotFound, ScreeningError
from screening.review.counting import MOST_PARAMETERS, parts
from screening.review.deciding import ReviewDecision
from screening.review.tables import Case, CaseItem, CaseState
from screening.review.tables import ReviewOutcome as Said
from screening.uploads.decided_workbook import DecidedRow, read_decisions
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder
from screening.web.http import guard, request_audit
from screening.web.http.sessions import require, user
from screening.web.pages.review import forms
from screening.web.services import services
from screening.web.views import review as views

blueprint = Blueprint("decided", __name__, url_prefix="/review/workbook")
MOST_BYTES = 64 * 2**20
MOST_TOLD = 5


@dataclass(slots=True)
class WorkbookResult:
    """Result for the rows of a workbook."""

    decided: int = 0
    known: int = 0
    """Rows that were decided so already."""
    waiting: int = 0
    """Rows that are in no case: they came too lately, or too long ago."""
    refused: Counter[str] | None = None
    """Rows that can't be decided now, by why."""


@blueprint.get("")
@require("review")
def ask() -> str:
    """Show the form, and how it is done."""
    return render_template("review/workbook.html")


@blueprint.post("")
@require("review")
@guard.body_limit(MOST_BYTES)
def receive() -> Any:
    """Take the decisions of a workbook: those of all rows that can be decided, or none where a row was changed."""
    try:
        screening, rows = _read()
    except ScreeningError as problem:
        request_audit.record("decisions_refused", problem=problem.what)
        return render_template("review/workbook.html", problem=problem.as_dict()), problem.status
    taken = decide_all(screening, rows)
    request_audit.record(
        "decisions_taken",
        screening=screening,
        decided=taken.decided,
        known=taken.known,
        left=len(rows) - taken.decided,
    )
    flash(_words(taken))
    return redirect(url_for("review.index", state="decided", sort="latest"), HTTPStatus.SEE_OTHER)


def _read() -> tuple[str, list[DecidedRow]]:
    file = request.files.get("workbook")
    if file is None or not file.filename:
        raise BadFile("No workbook was chosen.", remedy="Choose the workbook that you filled in.")
    instance = services().settings.instance
    with tempfile.TemporaryDirectory(prefix="decided-", dir=instance) as folder:
        path = Path(folder) / "workbook.xlsx"
        file.save(path)
        return read_decisions(path, Path(folder), _outcome_of)


def _outcome_of(screening_id: str) -> ScreeningOutcome | None:
    try:
        screening = services().screenings.owned(screening_id, user().username)
    except NotFound:
        return None
    return ScreeningOutcome(
        UploadFolder.kept(services().settings.instance, screening.id), screening.threshold
    )


def decide_all(screening: str, rows: Sequence[DecidedRow]) -> WorkbookResult:
    """Decide by case: whole cases of one decision together, the others on a part of their transactions."""
    taken, refused = WorkbookResult(), Counter[str]()
    taken.refused = refused
    items = _items(screening, [row.number for row in rows])
    groups: dict[tuple[int, ReviewDecision], list[str]] = defaultdict(list)
    for row in rows:
        item = items.get(row.number)
        if item is None:
            taken.waiting += 1
            continue
        decision = ReviewDecision(
            outcome=Said(row.decision), fraud_type=row.fraud_type or None, note=row.note, reason="Workbook"
        )
        groups[item.case_id, decision].append(item.id)
    for (_, decision), ids in groups.items():
        case = case_of(ids[0])  # an earlier decision on a part of it may have split it
        if case is None:
            taken.waiting += len(ids)
        elif case.state == CaseState.DECIDED and _is_said(case, decision):
            taken.known += len(ids)
        else:
            try:
                only = ids if case.items != len(ids) else []
                found = views.deciding().decide([case.id], views.reviewer(), decision, only=only)
            except (Conflict, NotFound) as problem:
                refused[problem.what] += len(ids)
            else:
                forms.record(found, decision)
                taken.decided += len(ids)
    return taken


def _is_said(case: Case, decision: ReviewDecision) -> bool:
    kind = " ".join((decision.fraud_type or "").split()).casefold()
    return case.outcome == decision.outcome and kind in ("", case.fraud_type)


def _items(screening: str, numbers: Sequence[int]) -> dict[int, CaseItem]:
    found: dict[int, CaseItem] = {}
    with services().database.read() as session:
        for some in parts(numbers, MOST_PARAMETERS):
            query = select(CaseItem).where(CaseItem.screening == screening, CaseItem.number.in_(some))
            found.update((item.number, item) for item in session.scalars(query))
    return found


def case_of(item: str) -> Case | None:
    """Return the case that a flagged transaction is in, if it is in one."""
    with services().database.read() as session:
        return session.scalar(
            select(Case).join(CaseItem, CaseItem.case_id == Case.id).where(CaseItem.id == item)
        )


def _words(taken: WorkbookResult) -> str:
    parts_of_it = [f"{taken.decided:,} transactions were decided"]
    if taken.known:
        parts_of_it.append(f"{taken.known:,} were so already")
    if taken.waiting:
        parts_of_it.append(f"{taken.waiting:,} are in no case (yet)")
    for why, count in (taken.refused or Counter()).most_common(MOST_TOLD):
        parts_of_it.append(f"{count:,} were left: {why}")
    return "; ".join(parts_of_it).removesuffix(".") + "."
