"""The data API's rows of the ledger: pages of them, one, and labels that came later."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, jsonify

from screening.errors import BadTransaction, Conflict, NotFound
from screening.ledger import identity, money
from screening.ledger.fields import FIELDS
from screening.ledger.filters import Cursor
from screening.ledger.labels import LaterLabel
from screening.scoring.score import score
from screening.uploads.replaying import transaction_of
from screening.web.api import json_body
from screening.web.api.ledger_filters import chosen, moment, value, whole
from screening.web.http import guard, request_audit
from screening.web.http.sessions import may, require, user
from screening.web.services import services

blueprint = Blueprint("transactions", __name__)
USUAL_LIMIT, MOST = 100, 1000
MOMENT_BYTES = 8
SAME = 1e-6
"""How far apart two probabilities may be that are the same."""
MOST_LABELS = 10_000
LABEL_BYTES = 256
MOST_TYPE = 64
LABELS = {"fraud": 1, "legitimate": 0}
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- the ledger's times are UTC without a zone


class BadLabels(BadTransaction):
    """Labels that can't be read; none of their request is kept."""

    title = "These labels can't be kept"


@blueprint.get("/transactions")
@require("see", scope="read")
def listed() -> Response:
    """The latest decisions first, a page at a time: ``cursor`` is the ``next`` of the page before."""
    limit = value("limit", whole(1, MOST)) or USUAL_LIMIT
    found = services().ledger.questions.rows(
        chosen("entity", "flagged", "label", "min_probability", "screening", "limit", "cursor"),
        limit=limit,
        before=value("cursor", _cursor),
    )
    more = _marked(found[-1]) if len(found) == limit else None
    return jsonify({"transactions": [shown(row) for row in found], "next": more})


@blueprint.get("/transactions/<transaction_id>")
@require("see", scope="read")
def one(transaction_id: str) -> Response:
    """One row."""
    return jsonify(shown(row_of(transaction_id)))


@blueprint.post("/transactions/<transaction_id>/replay")
@require("screen", scope="score")
def replay(transaction_id: str) -> Response:
    """Score a transaction again by the detector that decided on it: the same values must give the same probability.

    What the detector remembers of earlier transactions has grown since; where it looks back, a difference may be that.
    """
    row = row_of(transaction_id)
    mine = services()
    detector = mine.detectors.get(row["detector"])
    if detector.fingerprint != row["fingerprint"]:
        raise Conflict(
            f"The detector {detector.name} isn't the one that decided on this transaction.",
            remedy="It was trained anew since. What it decides now says nothing about what was decided then.",
        )
    scored = score(
        transaction_of(row, detector, mine.settings.instance),
        detector,
        mine.policy.seen(mine.recollections, detector, row["owner"]),
        threshold=row["threshold"],
        probabilities=mine.probabilities,
        explain=False,
    )
    found = float(scored.probabilities[0])
    same = abs(found - row["probability"]) <= SAME
    return jsonify({"same": same, "fraud_probability": found, "was": row["probability"]})


@blueprint.post("/labels")
@require("review", scope="label")
@guard.body_limit(MOST_LABELS * LABEL_BYTES)
def label() -> Response:
    """Say what transactions turned out to be: chargebacks, and decisions from elsewhere. The last word counts."""
    given = json_body.read(BadLabels).get("labels")
    if not isinstance(given, list) or not 0 < len(given) <= MOST_LABELS:
        raise BadLabels(f"“labels” must be a list of 1 to {MOST_LABELS} objects.")
    said = [_label(each, number) for number, each in enumerate(given, start=1)]
    mine = services()
    owner = None if may("see_all") else user().username.casefold()
    known = mine.ledger.questions.known({each.id for each in said}, owner)
    mine.ledger.labels.say([each for each in said if each.id in known], user().username.casefold())
    unknown = [str(each.id) for each in said if each.id not in known]
    request_audit.record("labels", accepted=len(said) - len(unknown), unknown=len(unknown))
    return jsonify({"accepted": len(said) - len(unknown), "unknown": unknown})


def _label(given: Any, number: int) -> LaterLabel:
    """Read one label.

    Raises:
        BadLabels: it isn't one; says which and why.
    """

    def refused(problem: str) -> BadLabels:
        return BadLabels(
            f"Label {number}: {problem}.",
            where=f"labels, {number}",
            remedy='Give {"id": "…", "label": "fraud" or "legitimate"}; nothing was kept.',
        )

    if not isinstance(given, dict):
        raise refused("it is not an object")
    found = identity.parse(given["id"]) if isinstance(given.get("id"), str) else None
    if found is None:
        raise refused("“id” is not the id of a transaction")
    if given.get("label") not in LABELS:
        raise refused("“label” is neither “fraud” nor “legitimate”")
    kind = given.get("fraud_type")
    if kind is not None and not (isinstance(kind, str) and 0 < len(kind) <= MOST_TYPE):
        raise refused(f"“fraud_type” must be a text of at most {MOST_TYPE} characters")
    try:
        at = None if given.get("at") is None else moment(str(given["at"]))
    except ValueError as problem:
        raise refused(f"“at” must be {problem}") from None
    return LaterLabel(found, LABELS[given["label"]], at, kind)


def row_of(transaction_id: str) -> dict[str, Any]:
    """Return a row of the ledger that the caller may see.

    Raises:
        NotFound: there is none; the answer doesn't tell whether somebody else has it.
    """
    parsed = identity.parse(transaction_id)
    owner = None if may("see_all") else user().username.casefold()
    found = None if parsed is None else services().ledger.questions.one(parsed, owner)
    if found is None:
        raise NotFound(
            "There is no such transaction.", remedy="Take an id that /transactions or /detect_fraud gave."
        )
    return found


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as the API gives it: money as people write it, times in UTC."""
    label = row["label"]
    return {
        "id": str(identity.TransactionId(row["origin"], row["number"])),
        "source": row["source"],
        "screening": row["screening"],
        "row": row["number"] if row["screening"] else None,
        "owner": row["owner"],
        "decided_at": _iso(row["decided_at"]),
        "event_time": _iso(row["event_time"]),
        "detector": row["detector"],
        "fingerprint": row["fingerprint"],
        "fraud_probability": row["probability"],
        "threshold": row["threshold"],
        "fraud": row["flagged"],
        "amount": None if row["amount"] is None else money.major(row["amount"], row["currency"]),
        **{field: row[field] for field in FIELDS},
        "label": None if label is None else "fraud" if label else "legitimate",
        "rules": row["rules"] or [],
        "reasons": row["reasons"] or [],
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat() + "Z"


def _marked(row: dict[str, Any]) -> str:
    """Return the cursor after a row: opaque to whoever passes it on."""
    microseconds = round((row["decided_at"] - EPOCH).total_seconds() * 1_000_000)
    packed = microseconds.to_bytes(MOMENT_BYTES, "big") + row["origin"] + row["number"].to_bytes(4, "big")
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _cursor(raw: str) -> Cursor:
    size = MOMENT_BYTES + identity.ORIGIN_BYTES + 4
    try:
        packed = base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4))
        decided = EPOCH + timedelta(microseconds=int.from_bytes(packed[:MOMENT_BYTES], "big"))
    except (ValueError, OverflowError, binascii.Error):
        packed = b""
    if len(packed) != size:
        raise ValueError("the “next” of the page before")
    rest = packed[MOMENT_BYTES:]
    origin, number = rest[: identity.ORIGIN_BYTES], int.from_bytes(rest[identity.ORIGIN_BYTES :], "big")
    return Cursor(decided.replace(tzinfo=UTC), identity.TransactionId(origin, number))
