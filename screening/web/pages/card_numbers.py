"""The page that asks whether a file shall be screened with tokens in place of its card numbers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, url_for

from screening.uploads.questions.card_tokens import replaced_in
from screening.uploads.screenings import FAILED
from screening.uploads.upload_folder import UploadFolder
from screening.web.http import request_audit
from screening.web.http.sessions import require, user
from screening.web.pages.uploads import WAIT_SECONDS, wait_for
from screening.web.services import services
from screening.web.views.files.waiting import CARDS, page_for, waiting

blueprint = Blueprint("cards", __name__, url_prefix="/results")


@blueprint.get("/<screening_id>/card-numbers")
@require("screen")
def show(screening_id: str) -> str:
    """Show the columns that hold card numbers, and what appears in their place now."""
    screening = waiting(screening_id, CARDS)
    replaced = replaced_in(UploadFolder.kept(services().settings.instance, screening.id))
    return render_template("card_numbers.html", screening=screening, replaced=replaced)


@blueprint.post("/<screening_id>/card-numbers")
@require("screen")
def go_on(screening_id: str) -> Any:
    """Screen or check the file with the tokens; leads to the result, or to what is to be said next."""
    screening = waiting(screening_id, CARDS)
    services().screenings.answer(screening.id, {})
    columns = (screening.error or {})[CARDS]
    request_audit.record("card_tokens_accepted", screening=screening.id, columns=columns)
    page = "results.show"
    if wait_for(screening.id, WAIT_SECONDS) == FAILED:
        current = services().screenings.owned(screening.id, user().username)
        page = page_for(current.error) or page
    return redirect(url_for(page, screening_id=screening.id), HTTPStatus.SEE_OTHER)
