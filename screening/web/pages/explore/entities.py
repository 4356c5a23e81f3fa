"""One customer, card, account, merchant, terminal, device or address: what it did, and with whom."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template

from screening.errors import NotFound
from screening.explore.entities import look_up
from screening.ledger.fields import ENTITIES
from screening.transactions.encoding import plain_text
from screening.web.http.sessions import require
from screening.web.services import services
from screening.web.views.decisions import LedgerRow, timeline
from screening.web.views.visibility import owner_seen

blueprint = Blueprint("entities", __name__, url_prefix="/entities")


@blueprint.get("/<kind>/<path:value>")
@require("see")
def show(kind: str, value: str) -> Any:
    """Show the activity of somebody or something; of the rows that the account may see."""
    found = None
    if kind in ENTITIES:
        found = look_up(services().ledger.questions, kind, plain_text(value) or value, owner_seen())
    if found is None:
        raise NotFound(
            f"No decision here is about this {kind}." if kind in ENTITIES else "There is no such kind.",
            remedy="Look for the id with the search: it finds ids as they appear in the files, capital letters or not.",
        )
    rows = [LedgerRow.of(row) for row in found.latest]
    return render_template("entity.html", entity=found, rows=rows, timeline=timeline(rows))
