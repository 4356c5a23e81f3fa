"""The page that asks whether a file shall be screened with tokens in place of its card numbers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, url_for

from screening.errors import Conflict
from screening.uploads.card_tokens import replaced_in
from screening.uploads.screenings import FAILED, Screening
from screening.uploads.upload_folder import Folder
from screening.web.http import request_audit
from screening.web.http.sessions import require, user
from screening.web.pages.uploads import WAIT_SECONDS, WAITING_PAGES, wait_for
from screening.web.services import services

blueprint = Blueprint("cards", __name__, url_prefix="/results")


@blueprint.get("/<screening_id>/card-numbers")
@require("screen")
def show(screening_id: str) -> str:
    """Which columns hold card numbers, and what stands in their place now."""
    screening = _open(screening_id)
    replaced = replaced_in(Folder(services().settings.instance, screening.id))
    return render_template("card_numbers.html", screening=screening, replaced=replaced)


@blueprint.post("/<screening_id>/card-numbers")
@require("screen")
def go_on(screening_id: str) -> Any:
    """Screen or check the file with the tokens; leads to the result, or to what is to be said next."""
    screening = _open(screening_id)
    services().history.answer(screening.id, {})
    columns = (screening.error or {})["card_columns"]
    request_audit.record("card_tokens_accepted", screening=screening.id, columns=columns)
    page = "results.show"
    if wait_for(screening.id, WAIT_SECONDS) == FAILED:
        current = services().history.owned(screening.id, user().username)
        said = current.error or {}
        page = next((page for sign, page in WAITING_PAGES.items() if said.get(sign)), page)
    return redirect(url_for(page, screening_id=screening.id), HTTPStatus.SEE_OTHER)


def _open(screening_id: str) -> Screening:
    """A file in which card numbers were replaced and whose owner wasn't asked yet.

    Raises:
        NotFound: there is none of this user.
        Conflict: it is screened already, or failed for another reason.
    """
    screening = services().history.owned(screening_id, user().username)
    if screening.state != FAILED or not (screening.error or {}).get("card_columns"):
        raise Conflict("This file doesn't wait for a word about card numbers.", remedy="Look at its result.")
    return screening
