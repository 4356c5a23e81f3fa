"""The list of one's notifications, and noting that they were read."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from screening.errors import NotFound
from screening.web.http.sessions import require, user
from screening.web.services import services

blueprint = Blueprint("notifications", __name__, url_prefix="/notifications")
ON_PAGE = 50


@blueprint.get("")
@require("see")
def index() -> str:
    """Show notifications, the latest first, a page at a time."""
    before = request.args.get("before")
    number = None if before is None else _number(before)
    rows = services().notifications.page(user().username, user().role, before=number, most=ON_PAGE + 1)
    following = rows[ON_PAGE - 1].notification.id if len(rows) > ON_PAGE else None
    return render_template(
        "notifications.html", rows=rows[:ON_PAGE], following=following, later=before is not None
    )


@blueprint.post("/read")
@require("see")
def read_all() -> Any:
    """Note that all of them were read."""
    services().notifications.mark_read(user().username, user().role)
    return redirect(url_for("notifications.index"), HTTPStatus.SEE_OTHER)


@blueprint.post("/<number>/open")
@require("see")
def follow(number: str) -> Any:
    """Note that one was read, and lead to what it is about."""
    found = services().notifications.mark_read(user().username, user().role, _number(number))
    if found is None:
        raise NotFound("There is no such notification.", remedy="Load the page again.")
    return redirect(found.path, HTTPStatus.SEE_OTHER)


def _number(given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        raise NotFound("There is no such notification.", remedy="Load the page again.")
    return int(given)
