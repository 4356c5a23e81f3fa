"""The page that asks how a file is meant which can be read in two ways."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from screening.errors import BadFile
from screening.intake.forms import ANSWERS
from screening.intake.preview import preview
from screening.uploads.upload_folder import UploadFolder
from screening.web.http import request_audit
from screening.web.http.sessions import require, user
from screening.web.services import services
from screening.web.views.files.waiting import QUESTIONS, waiting

blueprint = Blueprint("questions", __name__, url_prefix="/results")


@blueprint.get("/<screening_id>/questions")
@require("screen")
def show(screening_id: str) -> str:
    """Show the open questions, with some cells as they would be read each way."""
    return render_template("questions.html", screening=waiting(screening_id, QUESTIONS))


@blueprint.post("/<screening_id>/questions")
@require("screen")
def save(screening_id: str) -> Any:
    """Take the answers, remember them for this header, and screen or check the file by them."""
    screening = waiting(screening_id, QUESTIONS)
    asked = {question["option"] for question in (screening.error or {})[QUESTIONS]}
    answers = {name: request.form.get(name, "") for name in asked}
    wrong = [name for name, value in answers.items() if value not in ANSWERS[name]]
    if wrong:
        problem = BadFile("Choose one of the readings.", where=wrong[0]).as_dict()
        return render_template("questions.html", screening=screening, error=problem), HTTPStatus.BAD_REQUEST
    folder = UploadFolder.kept(services().settings.instance, screening.id)
    header, _ = preview(folder.input, folder.kind(screening.kind), 1, scratch=folder.path)
    detector = screening.detector or screening.wanted_detector or ""
    services().mappings.remember_answers(header, detector, answers, user().username)
    services().screenings.answer(screening.id, answers)
    request_audit.record("file_read_as_said", screening=screening.id, answers=answers)
    return redirect(url_for("results.show", screening_id=screening.id), HTTPStatus.SEE_OTHER)
