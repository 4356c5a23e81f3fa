"""Documents that are made as jobs: asked for, followed to their end, downloaded, cancelled, deleted."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, send_file, url_for
from werkzeug.exceptions import Forbidden

from screening.bucket.faults import DamagedObject
from screening.errors import Conflict, NotFound, ScreeningError
from screening.reports.documents import Document, DocumentFolder, DocumentSubject
from screening.uploads.screenings import DONE
from screening.web.http import request_audit
from screening.web.http.sessions import may, require, user
from screening.web.pages.reports.reports import KINDS, read_period
from screening.web.services import services
from screening.web.views.detectors.access import look_at, shown
from screening.web.views.fragments import fragment_of, progress_fragment
from screening.web.views.visibility import owner_seen

blueprint = Blueprint("documents", __name__, url_prefix="/reports/documents")


class BadDocument(ScreeningError):
    """A document that can't be made."""

    status = 400
    title = "This document can't be made"


@blueprint.get("")
@require("see")
def index() -> str:
    """List them, the latest first."""
    found = services().documents.seen_by(user().username, sees_all=may("see_all"))
    return render_template("documents.html", documents=found, kept=services().settings.keep_reports_days)


@blueprint.post("")
@require("see")
def order() -> Any:
    """Ask for a document; answers with its page."""
    what, kind = request.form.get("what", ""), request.form.get("kind", "")
    if kind not in KINDS:
        raise BadDocument("A document is pdf or xlsx.", where="kind", remedy="Choose one of them.")
    if what == DocumentSubject.SCREENING:
        made = order_of_screening(kind)
    elif what == DocumentSubject.PERIOD:
        made = order_of_period(kind)
    elif what == DocumentSubject.MODEL:
        made = order_of_model(kind)
    else:
        raise BadDocument(
            "A document is about a screening, a period or a detector.",
            where="what",
            remedy="Ask for it on their page.",
        )
    return redirect(url_for("documents.show", document_id=made), HTTPStatus.SEE_OTHER)


def order_of_screening(kind: str) -> str:
    """Order the document of a screening; return its id. Raises :class:`Conflict` where that has no result."""
    screening = services().screenings.owned(request.form.get("screening", ""), user().username)
    if screening.state != DONE:
        raise Conflict(
            "This screening has no result.", remedy="Wait until it is done, or upload the file again."
        )
    stem = screening.filename.split(".")[0] or "screening"
    return order_document(
        DocumentSubject.SCREENING, kind, filename=f"{stem}-all.{kind}", subject=screening.id
    )


def order_of_period(kind: str) -> str:
    """Order the document of a period; return its id."""
    start, end = read_period(request.form)
    last = end - timedelta(days=1)
    name = f"decisions-{start:%Y-%m-%d}-to-{last:%Y-%m-%d}.{kind}"
    return order_document(
        DocumentSubject.PERIOD, kind, filename=name, start=start, end=end, whose=owner_seen()
    )


def order_of_model(kind: str) -> str:
    """Order the model-risk pack of a detector; return its id. Raises :class:`Forbidden`, :class:`BadDocument`."""
    if not may("see_all"):
        request_audit.record("forbidden", path=request.path)
        raise Forbidden
    if kind != "pdf":
        raise BadDocument("A model-risk pack is a PDF.", where="kind", remedy="Choose pdf.")
    name = look_at(request.form.get("detector", "")).name
    return order_document(DocumentSubject.MODEL, kind, filename=f"{name}-model-risk.pdf", subject=name)


def order_document(what: DocumentSubject, kind: str, **more: Any) -> str:
    """Order a document in the name of whoever asks; return its id."""
    name = user().username
    services().quota.require(name)
    made = services().documents.order(what, kind, owner=name, author=name, **more)
    about = {"what": what.value, "kind": kind, "subject": more.get("subject"), "name": more["filename"]}
    request_audit.record("report_ordered", document=made, **about)
    return made


@blueprint.get("/model-risk")
@require("see_all")
def model_risk() -> str:
    """Choose the detector of a model-risk pack, and find those that were made."""
    found = services().documents.seen_by(user().username, sees_all=True)
    return render_template(
        "model_risk.html",
        detectors=[(one, services().detectors.standing(one.name)) for one in shown()],
        documents=[each for each in found if each.what == DocumentSubject.MODEL],
        kept=services().settings.keep_reports_days,
    )


@blueprint.get("/<document_id>")
@require("see")
def show(document_id: str) -> str:
    """Show the progress of a document, or its result."""
    document = visible_document(document_id)
    return render_template(
        "document.html", document=document, kept=services().settings.keep_reports_days, own=is_own(document)
    )


@blueprint.get("/<document_id>/progress")
@require("see")
@fragment_of("documents.show")
def progress(document_id: str) -> Response:
    """Send the progress, as a fragment; asks the page to load again once it has ended."""
    document = visible_document(document_id)
    return progress_fragment("_document_progress.html", ended=not document.open, document=document)


@blueprint.get("/<document_id>/file")
@require("see")
def file(document_id: str) -> Response:
    """Download it."""
    document = visible_document(document_id)
    if document.state != DONE:
        raise Conflict("This document isn't made.", remedy="Wait until it is, or ask for it again.")
    folder = DocumentFolder(services().settings.instance, document.id)
    try:
        folder.bring(document.size or 0, document.sha256 or "")
        response = send_file(
            folder.made, mimetype=KINDS[document.kind], as_attachment=True, download_name=document.filename
        )
    except (DamagedObject, FileNotFoundError):
        raise NotFound("The file of this document is gone, or damaged.", remedy="Ask for it again.") from None
    request_audit.record("report", document=document.id, name=document.filename, sha256=document.sha256)
    return response


@blueprint.post("/<document_id>/cancel")
@require("see")
def cancel(document_id: str) -> Any:
    """Call it off. The process that makes it ends within a second, and its file goes with it."""
    document = own_document(document_id)
    if services().documents.cancel(document.id):
        request_audit.record("report_cancelled", document=document.id, name=document.filename)
    return redirect(url_for("documents.show", document_id=document.id), HTTPStatus.SEE_OTHER)


@blueprint.post("/<document_id>/delete")
@require("see")
def delete(document_id: str) -> Any:
    """Forget it and its file."""
    document = own_document(document_id)
    services().documents.remove(document.id)
    DocumentFolder(services().settings.instance, document.id).remove()
    request_audit.record(
        "report_deleted", document=document.id, name=document.filename, schedule=document.schedule
    )
    return redirect(url_for("documents.index"), HTTPStatus.SEE_OTHER)


def visible_document(document_id: str) -> Document:
    """Return a document that whoever asks may see."""
    return services().documents.found(document_id, user().username, sees_all=may("see_all"))


def is_own(document: Document) -> bool:
    """Return whether a user may cancel and delete it: one's own, and managers those of schedules."""
    return may("decide") if document.schedule else document.owner == user().username.casefold()


def own_document(document_id: str) -> Document:
    """Return a document that whoever asks may cancel. Raises :class:`NotFound` for any other."""
    document = visible_document(document_id)
    if not is_own(document):
        raise NotFound(
            "There is no such document of yours.", remedy="Only managers delete scheduled reports."
        )
    return document
