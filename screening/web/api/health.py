"""Liveness and readiness, for whoever watches the server."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from sqlalchemy import text

from screening.web.services import services
from screening.web.views.detector_access import is_shown

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Response:
    """The process answers."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
def ready() -> Response:
    """All that scoring needs is there; otherwise 503 and what is missing (by the error handler)."""
    mine = services()
    mine.detectors.require_ready()
    mine.users.require_ready()
    with mine.database.read() as session:
        session.execute(text("SELECT 1"))
    return jsonify(
        {"status": "ready", "detectors": [name for name in mine.detectors.names() if is_shown(name)]}
    )
