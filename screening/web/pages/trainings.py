"""Making a detector on the pages: a labelled file in, and the job followed to its end.

What the columns of the file are is chosen in between, see :mod:`screening.web.pages.training_columns`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, url_for

from screening.detectors.training_parts import lacking
from screening.errors import BadArtefact, BadFile, ScreeningError
from screening.infra.disk_space import require_room
from screening.infra.job_queue import new_id
from screening.intake import identify
from screening.training.column_choices import check_name
from screening.training.trainer_process import TrainingRefused
from screening.training.trainings import CHOOSING, RUNNING, TrainingFolder
from screening.web.http import errors, guard, request_audit
from screening.web.http.admission import TooBusy
from screening.web.http.sessions import require, user
from screening.web.http.upload_stream import FileCallbacks, MultipartBody, first_bytes, plain_name, store
from screening.web.pages.training_columns import guess
from screening.web.services import services
from screening.web.views.detectors.access import doubt_of, silence_of
from screening.web.views.fragments import fragment_of, progress_fragment

blueprint = Blueprint("trainings", __name__)

HEAD_BYTES = 4096  # enough to know a file's kind
# what the form adds around the file
FORM_BYTES = 64 * 1024


@blueprint.get("/detectors/new")
@require("train")
def new() -> str:
    """Show the form."""
    return _new_page({})


@blueprint.post("/detectors/new")
@require("train")
@guard.streams
@guard.body_limit(lambda settings: settings.max_upload + FORM_BYTES)
def receive() -> Any:
    """Take a labelled file and guess what its columns are; answers with the page where they are chosen."""
    given: dict[str, str] = {}
    try:
        training_id = receive_file(
            MultipartBody(request, services().settings.max_upload + FORM_BYTES, user().username), given
        )
    except TooBusy:
        raise
    except ScreeningError as problem:
        request_audit.record("training_refused", status=problem.status, reason=problem.what)
        found = problem.as_dict()
        if found["title"] == BadFile.title:
            found["title"] = TrainingRefused.title
        return errors.answer(found) if errors.wants_json() else (_new_page(given, found), problem.status)
    location = url_for("choosing.columns", training_id=training_id)
    if not errors.wants_json():
        return redirect(location, HTTPStatus.SEE_OTHER)
    return jsonify({"id": training_id, "location": location}), HTTPStatus.CREATED, {"Location": location}


def receive_file(body: MultipartBody, given: dict[str, str]) -> str:
    """Keep the file; ``given`` gets the fields, so that the form can be shown again with them."""
    form = body.fields()
    guard.check_csrf(form.fields.get("csrf_token") or request.headers.get("X-CSRFToken"))
    given |= {name: form.fields.get(name, "").strip() for name in ("name", "label", "fraud_value")}
    check_name(given["name"], services().detectors.names())
    if not given["label"]:
        raise BadFile("It isn't said which column is the label.", where="label", remedy="Name the column.")
    if not form.filename:
        raise BadFile("No file was chosen.", remedy="Choose a file, then send it.")
    filename = plain_name(form.filename)
    training_id = new_id()
    folder = TrainingFolder(services().settings.instance, training_id)
    try:
        size, sha256 = keep_file(body, folder, training_id, filename, given)
        guess(services().trainings.found(training_id))
    except BaseException:  # the sender left, the disk is full, or the file is of no use: nothing may stay
        services().trainings.remove(training_id)
        folder.remove()
        raise
    about = {"training": training_id, "name": given["name"], "filename": filename}
    request_audit.record("training_upload", **about, size=size, sha256=sha256)
    return training_id


def keep_file(
    body: MultipartBody, folder: TrainingFolder, training_id: str, filename: str, given: dict[str, str]
) -> tuple[int, str]:
    """Write the file as it arrives; gives its size and its SHA-256."""
    content = body.content()
    head = first_bytes(content, HEAD_BYTES)
    kind = identify(filename, head)
    require_room(services().settings.instance, request.content_length or 0)
    services().quota.require(user().username, request.content_length or 0)
    folder.create()
    kept = services().trainings
    kept.begin(training_id, owner=user().username, filename=filename, kind=kind, name=given["name"])
    owner = user().username
    alive = FileCallbacks(lambda: kept.touch(training_id), lambda: services().quota.require(owner))
    size, sha256 = store(head, content, folder, alive)
    body.finish()
    if services().settings.several:
        folder.keep()
    fraud_values = [value.strip() for value in given["fraud_value"].split(";") if value.strip()]
    kept.received(training_id, size, sha256, {"label": given["label"], "fraud_values": fraud_values})
    return size, sha256


@blueprint.get("/trainings/<training_id>")
@require("train")
def show(training_id: str) -> Any:
    """Show the progress, the result, or the error."""
    training = services().trainings.found(training_id)
    if training.state == CHOOSING:
        return redirect(url_for("choosing.columns", training_id=training_id), HTTPStatus.SEE_OTHER)
    there = training.name in services().detectors.names()
    doubt, silence = _said_of(training.name) if there else ("", "")
    return render_template(
        "training.html",
        training=training,
        there=there,
        doubt=doubt,
        silence=silence,
        trains_here=not lacking(),
    )


def _said_of(name: str) -> tuple[str, str]:
    try:
        made = services().detectors.get(name)
    except BadArtefact:  # the list of detectors says why
        return "", ""
    return doubt_of(made), silence_of(made)


@blueprint.get("/trainings/<training_id>/progress")
@require("train")
@fragment_of("trainings.show")
def progress(training_id: str) -> Response:
    """Send the progress, as a fragment; asks the page to load again once it has ended."""
    training = services().trainings.found(training_id)
    return progress_fragment(
        "_training_progress.html", ended=not training.open, training=training, trains_here=not lacking()
    )


@blueprint.post("/trainings/<training_id>/cancel")
@require("train")
def cancel(training_id: str) -> Any:
    """Call it off. The process that works on it ends within a few seconds, and its files go with it."""
    training = services().trainings.found(training_id)
    if services().trainings.cancel(training.id):
        clear_files(training_id, training.state)
        request_audit.record("training_cancelled", training=training.id, name=training.name)
    return redirect(url_for("trainings.show", training_id=training.id), HTTPStatus.SEE_OTHER)


@blueprint.post("/trainings/<training_id>/delete")
@require("train")
def delete(training_id: str) -> Any:
    """Forget it and its file. A detector that it made stays."""
    training = services().trainings.found(training_id)
    services().trainings.remove(training.id)
    clear_files(training_id, training.state)
    request_audit.record("training_deleted", training=training.id, name=training.name)
    flash(f"The training of {training.name} was deleted.")
    return redirect(url_for("detectors.index"), HTTPStatus.SEE_OTHER)


def clear_files(training_id: str, state: str) -> None:
    """Remove the files at once; those of a running training go when its process has ended."""
    if state != RUNNING:
        TrainingFolder(services().settings.instance, training_id).remove()


def _new_page(given: dict[str, str], error: dict[str, Any] | None = None) -> str:
    limit = services().settings.max_upload // 2**20
    return render_template(
        "training_new.html", given=given, error=error, max_upload_mb=limit, trains_here=not lacking()
    )
