"""The data API's rows of the ledger: pages of them, one, and labels that came later."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, jsonify

from screening.errors import NotFound
from screening.ledger import identity, money
from screening.ledger.fields import FIELDS
from screening.ledger.questions import Cursor
from screening.web.api.ledger_filters import chosen, value, whole
from screening.web.http.sessions import may, require, user
from screening.web.services import services

blueprint = Blueprint("transactions", __name__)
USUAL_LIMIT, MOST = 100, 1000
MOMENT_BYTES = 8
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- the ledger's times are UTC without a zone


@blueprint.get("/transactions")
@require("see")
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
@require("see")
def one(transaction_id: str) -> Response:
    """One row."""
    return jsonify(shown(row_of(transaction_id)))


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
        moment = EPOCH + timedelta(microseconds=int.from_bytes(packed[:MOMENT_BYTES], "big"))
    except (ValueError, OverflowError, binascii.Error):
        packed = b""
    if len(packed) != size:
        raise ValueError("the “next” of the page before")
    rest = packed[MOMENT_BYTES:]
    origin, number = rest[: identity.ORIGIN_BYTES], int.from_bytes(rest[identity.ORIGIN_BYTES :], "big")
    return Cursor(moment.replace(tzinfo=UTC), identity.TransactionId(origin, number))
