"""The data API: one transaction or many, scored at once.

An answer has ``notes`` besides what is promised where a probability is doubtful: nobody in the transaction was seen
before, or a number lies far beyond the training data.

Here a request comes through Flask: with a session, or with anything that :mod:`screening.web.api.lean_path` leaves.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, request

from screening.errors import BadArtefact, BadTransaction, Conflict, NotFound
from screening.realtime.answers import MOST_TRANSACTIONS, Decision, Decisions
from screening.web.api import deciding
from screening.web.http import api_keys, guard
from screening.web.http.operations import QUESTION, AnswerSpec, BodySpec, HeaderSpec, Operation, describes
from screening.web.http.sessions import require, user
from screening.web.services import services

blueprint = Blueprint("api", __name__)
# Bytes per transaction of a batch; a card transaction with all its digits takes 700.
TRANSACTION_BYTES = 1024

PAYMENT = {
    "TX_DATETIME": "2026-01-31 17:04:22",
    "CUSTOMER_ID": "6",
    "TERMINAL_ID": "55",
    "TX_AMOUNT": 51.40,
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "a payment": {"detector": "payments", "transaction": PAYMENT},
    "several": {"detector": "payments", "transactions": [PAYMENT, {**PAYMENT, "TX_AMOUNT": 912.00}]},
}
IDEMPOTENCY_KEY = HeaderSpec(
    words="Makes it safe to send the request again: for a day the same key with the same body, byte by byte, gets the "
    "first answer and counts once. Another body under a used key is a 422. The key belongs to the owner's account.",
    schema={"type": "string", "pattern": deciding.KEY_PATTERN, "maxLength": deciding.MOST_KEY},
    example="6f1c9a52-6a1e-4c0b-9d57-0f0a4a1c7b11",
)
LINKS = {
    "look it up": {"operationId": "getTransaction", "parameters": {"transaction_id": "$response.body#/id"}},
    "score it again": {
        "operationId": "replayTransaction",
        "parameters": {"transaction_id": "$response.body#/id"},
    },
}


@blueprint.post("/detect_fraud")
@require("screen", scope="score")
@guard.body_limit(MOST_TRANSACTIONS * TRANSACTION_BYTES)
@describes(
    Operation(
        id="detectFraud",
        tag="Transactions",
        headers={"Idempotency-Key": IDEMPOTENCY_KEY},
        body=BodySpec(
            words="One transaction, or several: the detector's columns by their names. Case and surrounding spaces of "
            "names don't matter, other fields are left alone.",
            named=QUESTION,
            examples=EXAMPLES,
        ),
        answers={
            200: AnswerSpec(
                words="The decisions, which are kept by now.", form=(Decision, Decisions), links=LINKS
            )
        },
        raises=(BadTransaction, NotFound, Conflict, BadArtefact),
    )
)
def detect_fraud() -> Response:
    """Decide on transactions.

    Score `transaction` (one object) or `transactions` (a list of objects), and keep the decisions. A transaction that
    can't be scored is a 422 that names each missing column and each cell that can't be used; nothing of its request is
    scored then.
    """
    key = api_keys.caller()
    sent = deciding.ScoringRequest(
        body=request.get_data(),
        account=user().account,
        key=None if key is None else key.key_id,
        request=g.get("request_id"),
        idempotency_key=request.headers.get("Idempotency-Key"),
    )
    (answer,) = deciding.Decider(services()).answer([sent])
    if isinstance(answer, Exception):
        raise answer
    return Response(answer, mimetype="application/json")
