"""The results pages: one's screenings, one screening, its rows page by page, and its exports."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import chain
from typing import Any, cast
from urllib.parse import quote

import numpy as np
from flask import Blueprint, Response, redirect, render_template, request, url_for

from screening.detectors.detector import Detector
from screening.detectors.states import trial_note
from screening.errors import Conflict, NotFound, ScreeningError
from screening.explore.who import who_of
from screening.intake import header_of, numbers
from screening.scoring import metrics
from screening.uploads import deletion, exports
from screening.uploads.preflight import PreflightReport
from screening.uploads.results import RowFilter, ScreeningOutcome, SortKey
from screening.uploads.screenings import CHECKED, DONE, FAILED, OPEN_STATES, Screening
from screening.uploads.upload_folder import UploadFolder
from screening.web.http import errors, request_audit
from screening.web.http.operations import AnswerSpec, Operation, answered, describes
from screening.web.http.paging import page_number
from screening.web.http.sessions import require, user
from screening.web.services import services
from screening.web.views.contexts import RowsView, TrialView
from screening.web.views.files.forms import ScreeningState
from screening.web.views.files.missing_past import MissingPastView
from screening.web.views.files.rows import rows_of
from screening.web.views.fragments import fragment_of, progress_fragment

blueprint = Blueprint("results", __name__, url_prefix="/results")

CSV = "text/csv; charset=utf-8"
PDF = "application/pdf"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PAGE_ROWS = 50
MOST_SEARCHED = 200
LIST_ROWS = 25
FILTERS = ("flagged", "min_probability", "max_probability", "min_amount", "max_amount", "q")


def _download_of(name: str, words: str, media: str = "text/csv") -> Operation:
    answers = {200: AnswerSpec(words=words, media=media)}
    return Operation(id=name, tag="Files", answers=answers, raises=(NotFound, Conflict))


@blueprint.get("")
@require("see")
def index() -> str:
    """Show this user's screenings, latest first."""
    page = page_number()
    mine = services().screenings
    shown = mine.list_for(user().username, offset=(page - 1) * LIST_ROWS, limit=LIST_ROWS)
    pages = -(-mine.count(user().username) // LIST_ROWS)
    return render_template("results.html", screenings=shown, page=page, pages=max(pages, 1))


@blueprint.get("/<screening_id>")
@require("see")
def show(screening_id: str) -> Any:
    """Show one screening in views: its flagged rows, all rows, an overview, its labels, a receipt.

    A file that was only checked: its check.
    """
    screening = owned(screening_id)
    if _is_lost(screening) and not errors.wants_json():
        return render_template("lost.html", screening=screening), HTTPStatus.NOT_FOUND
    if screening.state == CHECKED:
        return redirect(url_for("check.show", screening_id=screening.id), HTTPStatus.SEE_OTHER)
    if screening.state != DONE:
        return render_template("screening.html", screening=screening)
    found, detector, view = outcome_of(screening), detector_of(screening), _view()
    context = _CONTEXTS[view](screening, found, detector)
    return render_template(
        f"results/{view}.html",
        screening=screening,
        detector=detector,
        view=view,
        cautions=[trial_note(screening.detector or ""), *(detector.warnings if detector else ())],
        at_risk=_at_risk(found),
        missing_past=MissingPastView.of(found.meta.get("missing_past"), found.meta.get("columns", {})),
        **context,
    )


def _view() -> str:
    """Return the view that is asked for; an old address without one has all rows if it sorts or turns pages."""
    wanted = request.args.get("view", "")
    if wanted in _CONTEXTS:
        return wanted
    return "rows" if any(request.args.get(name) for name in ("sort", "order", "page", *FILTERS)) else "queue"


def _at_risk(found: ScreeningOutcome) -> float | None:
    """Return the amounts of the flagged rows, added up in cents; ``None`` where there are no amounts."""
    if found.amount is None:
        return None
    amounts = np.asarray(found.amount)[np.asarray(found.flagged)]
    return math.fsum(amounts[np.isfinite(amounts)].tolist())


def _queue_context(
    screening: Screening, found: ScreeningOutcome, detector: Detector | None
) -> dict[str, Any]:
    own = TrialView(**found.trial(screening.threshold))
    return {"own": own, "listing": listing_of(screening, found, detector, "queue")}


def _rows_context(screening: Screening, found: ScreeningOutcome, detector: Detector | None) -> dict[str, Any]:
    return {"listing": listing_of(screening, found, detector, "rows")}


def _overview_context(
    screening: Screening, found: ScreeningOutcome, _detector: Detector | None
) -> dict[str, Any]:
    value = trial_value(screening)
    return {
        "histogram": found.histogram(),
        "problems": found.problems,
        "drift": found.meta.get("drift", []),
        "trial": TrialView(**found.trial(value)),
        "trial_quality": screening.quality if value == screening.threshold else _quality_at(found, value),
    }


def _performance_context(
    screening: Screening, _found: ScreeningOutcome, _detector: Detector | None
) -> dict[str, Any]:
    return {"quality": screening.quality}


def _receipt_context(
    screening: Screening, found: ScreeningOutcome, _detector: Detector | None
) -> dict[str, Any]:
    remembered = services().mappings.has_own(header_of(found.canonical), screening.owner)
    return {"history_policy": services().settings.history_policy, "remembered": remembered}


_CONTEXTS: dict[str, Callable[[Screening, ScreeningOutcome, Detector | None], dict[str, Any]]] = {
    "queue": _queue_context,
    "rows": _rows_context,
    "overview": _overview_context,
    "performance": _performance_context,
    "receipt": _receipt_context,
}
"""Contexts of each view beside what all have."""


@blueprint.get("/<screening_id>/rows")
@require("see")
@fragment_of("results.show", view="rows")
def rows(screening_id: str) -> Response:
    """Show a page of rows, sorted and filtered, as a fragment; the address of the page around it follows."""
    screening = _done(screening_id)
    view = "queue" if request.args.get("view") == "queue" else "rows"
    listing = listing_of(screening, outcome_of(screening), detector_of(screening), view)
    response = Response(render_template("results/_grid.html", screening=screening, listing=listing))
    query: dict[str, Any] = listing.query()
    response.headers["HX-Replace-Url"] = url_for("results.show", screening_id=screening.id, **query)
    return response


@blueprint.get("/<screening_id>/progress")
@require("see")
@fragment_of("results.show")
def progress(screening_id: str) -> Any:
    """Send the progress of a screening; asks the page to load again once it has ended."""
    screening = owned(screening_id)
    ended = screening.state not in OPEN_STATES
    return progress_fragment("_progress.html", ended=ended, screening=screening)


@blueprint.get("/<screening_id>/threshold")
@require("see")
@fragment_of("results.show", view="overview")
def threshold(screening_id: str) -> str:
    """Send the number of rows that another threshold would flag. The screening itself keeps its own."""
    screening = _done(screening_id)
    value = trial_value(screening)
    found = outcome_of(screening)
    trial = TrialView(**found.trial(value))
    return render_template(
        "results/_threshold.html", screening=screening, trial=trial, trial_quality=_quality_at(found, value)
    )


@blueprint.get("/<screening_id>.json")
@require("see", scope="read")
@describes(
    Operation.giving("getScreening", "Files", ScreeningState, "How far it is, and what came of it.", NotFound)
)
def as_json(screening_id: str) -> Response:
    """Get the state of a screening."""
    screening = owned(screening_id)
    return answered(
        ScreeningState(
            id=screening.id,
            detector=screening.detector or screening.wanted_detector,
            rows=screening.rows,
            flagged=screening.flagged,
            threshold=screening.threshold,
            state=cast("Any", "running" if screening.state in OPEN_STATES else screening.state),
            progress=screening.progress,
            error=screening.error,
        )
    )


@blueprint.get("/<screening_id>/scores.csv")
@require("see", scope="read")
@describes(_download_of("getScores", "The file as it was, then `fraud_probability` and `flagged`."))
def scores(screening_id: str) -> Response:
    """Download all rows with their probabilities."""
    return _export(screening_id, "scores.csv", CSV, lambda _, found: exports.scores_csv(found))


@blueprint.get("/<screening_id>/flagged.csv")
@require("see", scope="read")
@describes(_download_of("getFlagged", "The most probable first, with their reasons."))
def flagged_csv(screening_id: str) -> Response:
    """Download the flagged rows."""
    return _export(screening_id, "flagged.csv", CSV, lambda _, found: exports.flagged_csv(found))


@blueprint.get("/<screening_id>/rejected.csv")
@require("see", scope="read")
@describes(_download_of("getRejected", "Those set aside, or found by a check, with what is wrong with each."))
def rejected(screening_id: str) -> Response:
    """Download the rows that can't be screened."""
    screening = owned(screening_id)
    checked = screening.state == CHECKED
    found = (
        PreflightReport(UploadFolder.kept(services().settings.instance, screening.id))
        if checked
        else outcome_of(_done(screening_id))
    )
    return _sent(screening, "rejected.csv", CSV, exports.rejected_csv(found))


@blueprint.get("/<screening_id>/report.xlsx")
@require("see", scope="read")
@describes(_download_of("getWorkbook", "Summary, and flagged rows with reasons.", XLSX))
def report(screening_id: str) -> Response:
    """Download a workbook."""
    return _export(
        screening_id, "report.xlsx", XLSX, lambda screening, found: exports.workbook(found, screening)
    )


@blueprint.get("/<screening_id>/report.pdf")
@require("see", scope="read")
@describes(_download_of("getReport", "Summary, charts, flagged rows with reasons, detector, hashes.", PDF))
def report_pdf(screening_id: str) -> Response:
    """Download a report to read or print."""
    # nothing else needs what it loads
    from screening.reports.screening_report import screening_pdf

    def write(screening: Screening, found: ScreeningOutcome) -> Iterator[bytes]:
        yield screening_pdf(
            screening, found, detector_of(screening), author=user().username, made=datetime.now(UTC)
        )

    return _export(screening_id, "report.pdf", PDF, write)


@blueprint.post("/<screening_id>/delete")
@require("screen")
def delete(screening_id: str) -> Any:
    """Forget a screening and its files."""
    screening = owned(screening_id)
    deletion.delete_recorded(
        services().screenings, services().ledger.segments, services().settings.instance, screening.id
    )
    request_audit.record("screening_deleted", screening=screening.id)
    return redirect(url_for("results.index"), HTTPStatus.SEE_OTHER)


def owned(screening_id: str) -> Screening:
    """Return a screening of whoever asks; :class:`NotFound` for another's."""
    return services().screenings.owned(screening_id, user().username)


def _done(screening_id: str) -> Screening:
    screening = owned(screening_id)
    if screening.state == CHECKED:
        raise Conflict("This file was checked and isn't scored.", remedy="Have it screened from its check.")
    if screening.state == FAILED:
        said = screening.error or {}
        raise Conflict(
            f"This screening failed and has no result. {said.get('what', '')}".strip(),
            remedy=said.get("remedy"),
        )
    if screening.state != DONE:
        raise Conflict("This screening has no result yet.", remedy="Ask for its state until that is “done”.")
    return screening


def detector_of(screening: Screening) -> Detector | None:
    """Return the detector that scored it, if it is still there and still the same."""
    for detector in services().detectors.all():
        if detector.fingerprint == screening.fingerprint:
            return detector
    return None


def outcome_of(screening: Screening) -> ScreeningOutcome:
    """Return the outcome of a screening, at its threshold."""
    return ScreeningOutcome(
        UploadFolder.kept(services().settings.instance, screening.id), screening.threshold
    )


def _is_lost(screening: Screening) -> bool:
    """Return whether the history knows of what the disk no longer has."""
    if screening.state == CHECKED:
        return not PreflightReport(UploadFolder.kept(services().settings.instance, screening.id)).there
    return screening.state == DONE and not outcome_of(screening).there


def _export(
    screening_id: str, name: str, kind: str, write: Callable[[Screening, ScreeningOutcome], Iterator[bytes]]
) -> Response:
    screening = _done(screening_id)
    return _sent(screening, name, kind, write(screening, outcome_of(screening)))


def _sent(screening: Screening, name: str, kind: str, body: Iterator[bytes]) -> Response:
    try:
        # whatever can't be written is an answer of its own, not an empty file
        first = next(body, b"")
    except FileNotFoundError:  # deleted in this moment; later, in the middle of the body, the line is cut
        raise NotFound("The files of this screening are gone from the disk.") from None
    request_audit.record(
        "export",
        screening=screening.id,
        name=name,
        sha256=screening.sha256,
        fingerprint=screening.fingerprint,
    )
    stem = screening.filename.split(".")[0] or "screening"
    response = Response(chain((first,), body), content_type=kind)
    response.headers.set("Content-Disposition", "attachment", **download_name(f"{stem}-{name}"))
    return response


def download_name(name: str) -> dict[str, str]:
    """Return a file name as a header can say it (RFC 6266): ASCII, and once more with all its signs where it has
    others.
    """
    if name.isascii():
        return {"filename": name}
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return {"filename": plain, "filename*": f"UTF-8''{quote(name, safe='')}"}


def listing_of(
    screening: Screening, found: ScreeningOutcome, detector: Detector | None, view: str
) -> RowsView:
    """Return the page of rows that the query asks for, and what the page needs to ask for another."""
    chosen = _filter(view)
    selected = found.select(chosen)
    pages = max(-(-len(selected) // PAGE_ROWS), 1)
    page = min(page_number(), pages)
    shown = selected[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    who = who_of(header_of(found.canonical), found.meta.get("columns", {}), detector)
    return RowsView(
        rows=rows_of(screening, found, shown, [name for _, name in who]),
        page=page,
        pages=pages,
        total=len(selected),
        first=(page - 1) * PAGE_ROWS + 1 if len(shown) else 0,
        sort=chosen.sort,
        order="desc" if chosen.descending else "asc",
        filters={name: request.args[name] for name in FILTERS if request.args.get(name)},
        view=view,
        who=who,
    )


def trial_value(screening: Screening) -> float:
    """Return the threshold that the query asks to try; its own when it asks for none."""
    value = _number("value")
    return screening.threshold if value is None else min(max(value, 0.0), 1.0)


def _quality_at(found: ScreeningOutcome, value: float) -> Any:
    if found.label is None:
        return None
    return metrics.measure(
        found.label, found.probability, found.probability >= np.float32(value), found.amount
    )


def _filter(view: str) -> RowFilter:
    usual, down = ("probability", "desc") if view == "queue" else ("row", "asc")
    sort = request.args.get("sort", usual)
    return RowFilter(
        sort=cast("SortKey", sort) if sort in ("row", "probability", "amount", "time") else "row",
        descending=request.args.get("order", down) == "desc",
        flagged=view == "queue" or request.args.get("flagged") == "1",
        min_probability=_number("min_probability"),
        max_probability=_number("max_probability"),
        min_amount=_number("min_amount"),
        max_amount=_number("max_amount"),
        holding=request.args.get("q", "").strip()[:MOST_SEARCHED],
    )


def _number(name: str) -> float | None:
    raw = request.args.get(name, "").strip()
    value = numbers.typed(raw) if raw else None
    if raw and value is None:
        raise ScreeningError(
            f"“{raw[:40]}” is not one number for certain.",
            where=name.replace("_", " "),
            remedy="Write it as 1234.5, without a mark for thousands.",
        )
    return value
