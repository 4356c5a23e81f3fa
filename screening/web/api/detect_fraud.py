"""The data API: one transaction or many, scored at once.

An answer has ``notes`` besides what is promised where a probability is doubtful: nobody in the transaction was seen
before, or a number lies far beyond the training data.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from flask import Blueprint, Response, jsonify, request
from numpy.typing import NDArray

import utils
from screening.detectors.detector import Detector
from screening.detectors.vectorizer import Seen
from screening.errors import BadTransaction
from screening.scoring import reason_codes, thresholds
from screening.scoring.caveats import remarks
from screening.transactions.schema import Transactions
from screening.web.http import guard
from screening.web.http.sessions import require
from screening.web.services import services

blueprint = Blueprint("api", __name__)
MOST_TRANSACTIONS = 10_000
TRANSACTION_BYTES = 1024
"""What one of many may take; a card transaction with all its digits takes 700."""


@blueprint.post("/detect_fraud")
@require("screen")
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
    transactions = utils.as_transactions(given, detector.contract)
    seen = services().recollections.of(detector)
    probabilities = utils.get_probabilities(transactions, detector, seen)
    threshold = services().settings.threshold
    flagged = thresholds.flag(probabilities, threshold)
    explained = iter(_reasons(detector, transactions, seen, flagged))
    doubts = remarks(detector, transactions, seen)
    return [
        {
            "fraud": bool(flag),
            "fraud_probability": float(probability),
            "threshold": threshold,
            "detector": detector.name,
            "reasons": [reason.text for reason in next(explained)] if flag else [],
            **({"notes": notes} if notes else {}),
        }
        for probability, flag, notes in zip(probabilities, flagged, doubts, strict=True)
    ]


def _reasons(
    detector: Detector, transactions: Transactions, seen: Seen, flagged: NDArray[np.bool_]
) -> list[list[reason_codes.Reason]]:
    """Of the flagged rows. Where rows tell of each other, features of all are made, and those of the flagged kept."""
    if not flagged.any():
        return []
    if not detector.vectorizer.looks_back:
        return reason_codes.explain(
            detector, Transactions(transactions.columns, transactions.values[flagged])
        )
    inputs = np.concatenate(list(detector.vectorizer.blocks(transactions, seen)))
    return reason_codes.explain_inputs(detector, inputs[flagged])


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
