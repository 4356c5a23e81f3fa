"""The description of the data API, for programs and for the page that shows it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from screening.accounts.api_keys import ANY_SCOPE
from screening.web.http.operations import Operation, answered, describes
from screening.web.http.sessions import require
from screening.web.views import api_description

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/openapi.json")
@require("see", scope=ANY_SCOPE)
@describes(Operation.giving("getDescription", "Description", dict[str, Any], "The description, OpenAPI 3.1."))
def description() -> Response:
    """Get the description of the data API.

    It has the detectors that the caller may ask, with their columns.
    """
    return answered(api_description.described())
