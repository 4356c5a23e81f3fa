"""The page that shows the description of the data API, and sends requests from it."""

from __future__ import annotations

from flask import Blueprint, render_template

from screening.web.http.sessions import require
from screening.web.views import api_description

blueprint = Blueprint("api_docs", __name__)


@blueprint.get("/docs")
@require("see")
def show() -> str:
    """Show the description; without script, the list of its routes."""
    return render_template("api_docs.html", routes=api_description.routes(), tags=api_description.TAGS)
