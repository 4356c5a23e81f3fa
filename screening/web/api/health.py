"""Liveness and readiness, for whoever watches the server."""

from __future__ import annotations

import time
from typing import Literal

from flask import Blueprint, Response, current_app
from msgspec import Struct
from sqlalchemy import func, select

from screening.errors import BadArtefact, NotReady
from screening.infra.disk_space import KEPT_BYTES, free_bytes
from screening.ledger.tables import SegmentDraft
from screening.uploads.instance_check import touch
from screening.web.http.errors import DAMAGED
from screening.web.http.operations import Operation, answered, describes
from screening.web.services import services
from screening.web.views.detectors.access import is_shown

blueprint = Blueprint("health", __name__)


class Alive(Struct):
    """The process answers."""

    status: Literal["ok"]


class Ready(Struct):
    """All that scoring needs is there."""

    status: Literal["ready"]
    detectors: list[str]


@blueprint.get("/healthz")
@describes(Operation.giving("isAlive", "Health", Alive, "It is."))
def alive() -> Response:
    """Ask whether the process answers."""
    return answered(Alive("ok"))


def require_stores() -> None:
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
        session.execute(select(func.count()).select_from(SegmentDraft))
    mine.ledger.velocity.require_ready()


@blueprint.get("/readyz")
@describes(
    Operation.giving("isReady", "Health", Ready, "It is, with these detectors.", NotReady, BadArtefact)
)
def ready() -> Response:
    """Ask whether all that scoring needs is there.

    Otherwise the answer is 503 and says what is missing.
    """
    mine = services()
    mine.detectors.require_ready()
    mine.users.require_ready()
    require_stores()
    return answered(Ready("ready", [name for name in mine.detectors.names() if is_shown(name)]))
