"""The search of the bar: any id, a card's number, the name of a file."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from screening.cards.masking import masked
from screening.explore.entities import find as find_entities
from screening.ledger import identity
from screening.transactions.encoding import plain_text
from screening.uploads.questions.card_tokens import tokens_of
from screening.web.http.sessions import require, user
from screening.web.services import services
from screening.web.views.visibility import owner_seen

blueprint = Blueprint("search", __name__, url_prefix="/search")
MOST_CHARACTERS = 200
MOST_FILES = 20


@blueprint.get("")
@require("see")
def find() -> Any:
    """Go to what has this id; where several things have it, or none, say so.

    A card's number is looked for by its token, and never shown again.
    """
    given = request.args.get("q", "").strip()[:MOST_CHARACTERS]
    wanted = plain_text(given) or given
    if not wanted:
        return render_template("search.html", searched="", entities=[], files=[])
    mine = services()
    screening = mine.screenings.get(wanted)
    if screening is not None and screening.owner == user().username.casefold():
        return redirect(url_for("results.show", screening_id=screening.id), HTTPStatus.SEE_OTHER)
    transaction = identity.parse(wanted)
    if transaction is not None and mine.ledger.questions.one(transaction, owner_seen()) is not None:
        return redirect(url_for("decisions.show", transaction_id=str(transaction)), HTTPStatus.SEE_OTHER)
    value = wanted if masked(wanted) == wanted else tokens_of(mine.settings.instance).replaced(wanted)
    entities = find_entities(mine.ledger.questions, value, owner_seen())
    files = mine.screenings.named(user().username, wanted, limit=MOST_FILES)
    if len(entities) == 1 and not files:
        (only,) = entities
        return redirect(url_for("entities.show", kind=only.kind, value=only.value), HTTPStatus.SEE_OTHER)
    return render_template("search.html", searched=masked(wanted), entities=entities, files=files)
