"""The data API: one transaction or many, scored at once.

An answer has ``notes`` besides what is promised where a probability is doubtful: nobody in the transaction was seen
before, or a number lies far beyond the training data.
"""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, jsonify, request

from screening.detectors.detector import Detector
from screening.errors import BadTransaction
from screening.scoring.score import score
from screening.transactions.json_records import from_mappings
from screening.web.http import guard
from screening.web.http.sessions import require
from screening.web.services import services

blueprint = Blueprint("api", __name__)
MOST_TRANSACTIONS = 10_000
TRANSACTION_BYTES = 1024
"""What one of many may take; a card transaction with all its digits takes 700."""


@blueprint.post("/detect_fraud")
@require("screen", scope="score")
@guard.body_limit(MOST_TRANSACTIONS * TRANSACTION_BYTES)
def detect_fraud() -> Response:
    """Score ``transaction`` (one object) or ``transactions`` (a list of objects)."""
    body = _body()
    detector = _detector(body)
    if "transactions" in body:
        given = body["transactions"]
        if not isinstance(given, list) or not 0 < len(given) <= MOST_TRANSACTIONS:
            raise BadTransaction(f"“transactions” must be a list of 1 to {MOST_TRANSACTIONS} objects.")
        return jsonify({"results": _score(given, detector)})
    if not isinstance(body.get("transaction"), dict):
        raise BadTransaction(
            "The body has neither “transaction” nor “transactions”.",
            remedy='Send {"transaction": {"Time": 0, "V1": 0.1, …, "Amount": 12.5}}.',
        )
    return jsonify(_score([body["transaction"]], detector)[0])


def _score(given: list[Any], detector: Detector) -> list[dict[str, Any]]:
    threshold = services().settings.threshold
    scored = score(
        from_mappings(given, detector.contract),
        detector,
        services().recollections.of(detector),
        threshold=threshold,
        probabilities=services().probabilities,
    )
    return [
        {
            "fraud": flag,
            "fraud_probability": probability,
            "threshold": threshold,
            "detector": detector.name,
            "reasons": [reason.text for reason in reasons],
            **({"notes": notes} if notes else {}),
        }
        for probability, flag, reasons, notes in zip(
            scored.probabilities.tolist(),
            scored.flagged.tolist(),
            scored.reasons,
            ([*detector.warnings, *caveats] for caveats in scored.caveats),
            strict=True,
        )
    ]


def _detector(body: dict[str, Any]) -> Detector:
    name = body.get("detector")
    if name is not None and not isinstance(name, str):
        raise BadTransaction("“detector” must be the name of a detector.")
    detectors = services().detectors
    return detectors.default if name is None else detectors.get(name)


def _body() -> dict[str, Any]:
    """The JSON object, strictly: no NaN, no key twice, no nesting that ends the parser."""
    try:
        body = json.loads(
            request.get_data(), parse_constant=_no_constant, object_pairs_hook=_once, parse_int=_short_int
        )
    except (ValueError, RecursionError) as problem:
        raise BadTransaction(f"The body is not usable JSON: {str(problem)[:100]}.") from None
    if not isinstance(body, dict):
        raise BadTransaction("The body must be a JSON object.")
    return body


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _short_int(digits: str) -> int:
    if len(digits) > 40:  # beyond float32 anyway, and int() takes quadratic time
        raise ValueError("a whole number has more than 40 digits")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
