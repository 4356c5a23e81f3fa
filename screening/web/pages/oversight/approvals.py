"""Changes that wait for somebody else's approval: the list, and the two answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from screening.errors import NotFound
from screening.web.http.sessions import may, require, user
from screening.web.services import services
from screening.web.views import approvals

blueprint = Blueprint("approvals", __name__, url_prefix="/approvals")
MOST_DECIDED = 50
MOST_ENTRIES = 200
"""Of a list's new entries, so many are shown to whoever approves them."""


@blueprint.get("")
@require("see_all")
def index() -> str:
    """Show what waits, the oldest first, and what was decided on last."""
    proposals = services().proposals
    return render_template(
        "approvals.html",
        waiting=[(row, proposals.expires(row)) for row in proposals.waiting()],
        decided=proposals.decided(MOST_DECIDED),
        actions=approvals.ACTIONS,
        four_eyes=services().settings.four_eyes,
        days=proposals.days,
        decides=may("decide"),
        may_answer={kind: may(found.permission) for kind, found in approvals.ACTIONS.items()},
        most_entries=MOST_ENTRIES,
        me=user().username,
    )


@blueprint.post("/<number>/approve")
@require("decide")
def approve(number: str) -> Any:
    """Apply what somebody else has proposed."""
    approvals.approve(_number(number))
    return redirect(url_for("approvals.index"), HTTPStatus.SEE_OTHER)


@blueprint.post("/<number>/reject")
@require("decide")
def reject(number: str) -> Any:
    """Reject what somebody has proposed, or withdraw what one has proposed oneself."""
    approvals.reject(_number(number), request.form.get("note", ""))
    return redirect(url_for("approvals.index"), HTTPStatus.SEE_OTHER)


def _number(given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) < 9):
        raise NotFound("There is no such proposal.", remedy="Choose one of the list.")
    return int(given)
