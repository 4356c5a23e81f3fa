"""Liveness and readiness, for whoever watches the server."""

from __future__ import annotations

import time

from flask import Blueprint, Response, current_app, jsonify
from sqlalchemy import func, select

from screening.errors import NotReady
from screening.infra.disk_space import KEPT_BYTES, free_bytes
from screening.ledger.tables import Draft
from screening.uploads.instance_check import touch
from screening.web.http.errors import DAMAGED
from screening.web.services import services
from screening.web.views.detector_access import is_shown

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Response:
    """The process answers."""
    return jsonify({"status": "ok"})


def _require_stores() -> None:
    """See that both databases can be read and written, and that there is room.

    Raises:
        NotReady: they can't be, or the disk is nearly full.
    """
    mine = services()
    if free_bytes(mine.settings.instance) < KEPT_BYTES:
        raise NotReady("The disk is nearly full.", remedy="Make room: delete screenings that nobody needs.")
    damage = current_app.extensions.get(DAMAGED)
    if damage is not None:
        raise NotReady(
            f"The database is damaged: {damage}.", remedy="Restore it from a backup, then start again."
        )
    if not touch(mine.database, time.time()):
        raise NotReady(
            "The database was emptied while the server ran.", remedy="Restore it, then start again."
        )
    with mine.ledger.tables.write() as session:  # takes the lock of a writer
        session.execute(select(func.count()).select_from(Draft))


@blueprint.get("/readyz")
def ready() -> Response:
    """All that scoring needs is there; otherwise 503 and what is missing (by the error handler)."""
    mine = services()
    mine.detectors.require_ready()
    mine.users.require_ready()
    _require_stores()
    return jsonify(
        {"status": "ready", "detectors": [name for name in mine.detectors.names() if is_shown(name)]}
    )
