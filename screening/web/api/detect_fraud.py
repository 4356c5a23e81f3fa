"""The data API: one transaction or many, scored at once.

An answer has ``notes`` besides what is promised where a probability is doubtful: nobody in the transaction was seen
before, or a number lies far beyond the training data.

Here a request comes through Flask: with a session, or with anything that :mod:`screening.web.api.lean_path` leaves.
"""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from screening.web.api import deciding
from screening.web.http import api_keys, guard
from screening.web.http.sessions import require, user
from screening.web.services import services

blueprint = Blueprint("api", __name__)
TRANSACTION_BYTES = 1024
"""What one of many may take; a card transaction with all its digits takes 700."""


@blueprint.post("/detect_fraud")
@require("screen", scope="score")
@guard.body_limit(deciding.MOST_TRANSACTIONS * TRANSACTION_BYTES)
def detect_fraud() -> Response:
    """Score ``transaction`` (one object) or ``transactions`` (a list of objects), and keep the decisions."""
    key = api_keys.caller()
    sent = deciding.Sent(
        body=request.get_data(),
        account=user().account,
        key=None if key is None else key.key_id,
        request=g.get("request_id"),
        idempotency_key=request.headers.get("Idempotency-Key"),
    )
    (answer,) = deciding.answer([sent], services())
    if isinstance(answer, Exception):
        raise answer
    return Response(answer, mimetype="application/json")
