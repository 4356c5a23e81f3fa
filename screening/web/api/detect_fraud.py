"""The data API: one transaction or many, scored at once.

An answer has ``notes`` besides what is promised where a probability is doubtful: nobody in the transaction was seen
before, or a number lies far beyond the training data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, g, request

from screening.cards.tokens import Tokens
from screening.detectors.detector import Detector
from screening.detectors.states import State, trial_note
from screening.errors import BadTransaction
from screening.infra.audit_log import API_KEY
from screening.ledger.tail import Repeatable
from screening.realtime.decide import Asked, Caller, decide
from screening.transactions.json_cards import with_tokens
from screening.uploads.card_tokens import check_key, tokens_of
from screening.web.api import json_body
from screening.web.http import api_keys, guard
from screening.web.http.sessions import require, user
from screening.web.services import services
from screening.web.views.detector_access import ask_for

blueprint = Blueprint("api", __name__)
MOST_TRANSACTIONS = 10_000
MOST_KEY = 255
TRANSACTION_BYTES = 1024
"""What one of many may take; a card transaction with all its digits takes 700."""


@blueprint.post("/detect_fraud")
@require("screen", scope="score")
@guard.body_limit(MOST_TRANSACTIONS * TRANSACTION_BYTES)
def detect_fraud() -> Response:
    """Score ``transaction`` (one object) or ``transactions`` (a list of objects), and keep the decisions."""
    body = json_body.read()
    detector = _detector(body)
    mine = services()
    answer = decide(
        _asked(body, detector),
        detector,
        mine.policy.seen(mine.recollections, detector, user().username),
        _caller(),
        mine.ledger,
        threshold=mine.settings.threshold,
        notes=_notes(detector),
        probabilities=mine.probabilities,
    )
    return Response(answer, mimetype="application/json")


def _caller() -> Caller:
    key = api_keys.caller()
    return Caller(
        owner=user().username.casefold(),
        key=None if key is None else key.key_id,
        request=g.get("request_id"),
    )


def _notes(detector: Detector) -> list[str]:
    on_trial = services().detectors.standing(detector.name).state is State.TRIAL
    return [*([trial_note(detector.name)] if on_trial else []), *detector.warnings]


def _asked(body: dict[str, Any], detector: Detector) -> Asked:
    repeatable = _repeatable()
    if "transactions" in body:
        given = body["transactions"]
        if not isinstance(given, list) or not 0 < len(given) <= MOST_TRANSACTIONS:
            raise BadTransaction(f"“transactions” must be a list of 1 to {MOST_TRANSACTIONS} objects.")
        return Asked(_without_cards(given, detector), single=False, repeatable=repeatable)
    if not isinstance(body.get("transaction"), dict):
        raise BadTransaction(
            "The body has neither “transaction” nor “transactions”.",
            remedy='Send {"transaction": {"Time": 0, "V1": 0.1, …, "Amount": 12.5}}.',
        )
    return Asked(_without_cards([body["transaction"]], detector), single=True, repeatable=repeatable)


def _repeatable() -> Repeatable | None:
    """Return under which key the request may be sent again, if it has one."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not (0 < len(key) <= MOST_KEY and key.isprintable() and key.isascii()):
        raise BadTransaction(
            f"The Idempotency-Key must have 1 to {MOST_KEY} printable ASCII characters.",
            remedy="Give each request a UUID of its own.",
        )
    if API_KEY.search(key):  # it is kept for a day
        raise BadTransaction(
            "The Idempotency-Key is an API key.",
            remedy="Send the API key as “Authorization: Bearer fsk_…”, and give each request a UUID of its own.",
        )
    return Repeatable(user().username.casefold(), key, request.get_data())


def _without_cards(given: list[Any], detector: Detector) -> Sequence[Any]:
    expected = {} if detector.card is None else detector.card.tokens
    return with_tokens(given, expected, lambda: _tokens(detector))


def _tokens(detector: Detector) -> Tokens:
    tokens = tokens_of(services().settings.instance)
    check_key(detector, tokens)
    return tokens


def _detector(body: dict[str, Any]) -> Detector:
    name = body.get("detector")
    if name is not None and not isinstance(name, str):
        raise BadTransaction("“detector” must be the name of a detector.")
    detectors = services().detectors
    return detectors.default if name is None else ask_for(name)
