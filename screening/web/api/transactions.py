"""The data API's rows of the ledger: pages of them, one, and labels that came later."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request
from msgspec import UNSET, ValidationError, convert

from screening.errors import BadArtefact, BadTransaction, Conflict, NotFound
from screening.ledger import identity, money
from screening.ledger.fields import FIELDS
from screening.ledger.labels import LaterLabel
from screening.reports.receipt import Receipt
from screening.review.labelled import hear
from screening.scoring.score import score
from screening.uploads.replaying import transaction_of
from screening.web.api import json_body
from screening.web.api.ledger_forms import (
    MOST_LABELS,
    MOST_TYPE,
    SAME,
    GivenLabel,
    GivenLabels,
    LabelsAccepted,
    LabelsBody,
    ReceiptCheck,
    ReceiptForm,
    ReceiptRule,
    Replay,
    ReplayedReceipt,
    Transaction,
    TransactionPage,
)
from screening.web.http import guard, ledger_cursor, request_audit
from screening.web.http.ledger_filters import ROWS, BadQuery, chosen, moment, value, whole
from screening.web.http.operations import (
    BodySpec,
    Operation,
    Parameter,
    answered,
    describes,
)
from screening.web.http.sessions import may, require, user
from screening.web.services import services
from screening.web.views.receipts import receipt_of, replayed

blueprint = Blueprint("transactions", __name__)
USUAL_LIMIT, MOST = 100, 1000
LABEL_BYTES = 256
LABELS = {"fraud": 1, "legitimate": 0}


class BadLabels(BadTransaction):
    """Labels that can't be read; none of their request is kept."""

    title = "These labels can't be kept"


LABELS_EXAMPLE = {
    "labels": [
        {"id": "019bf52b-7c1e-7f40-8a3d-5c2e00000000", "label": "fraud", "at": "2026-02-20"},
    ]
}


PAGES = {
    **ROWS,
    "limit": Parameter(kind=whole(1, MOST, USUAL_LIMIT), words="How many at most.", example="10"),
    "cursor": Parameter(
        kind=ledger_cursor.KIND,
        words="The `next` of the page before.",
    ),
}


@blueprint.get("/transactions")
@require("see", scope="read")
@describes(
    Operation.giving(
        "listTransactions", "Transactions", TransactionPage, "One page of them.", BadQuery, query=PAGES
    )
)
def listed() -> Response:
    """List decisions, the latest first.

    A page at a time: `cursor` is the `next` of the page before.
    """
    limit = value("limit") or USUAL_LIMIT
    found = services().ledger.questions.rows(chosen(), limit=limit, before=value("cursor"))
    more = ledger_cursor.after(found[-1]) if len(found) == limit else None
    return answered(TransactionPage([shown(row) for row in found], more))


@blueprint.get("/transactions/<transaction_id>")
@require("see", scope="read")
@describes(Operation.giving("getTransaction", "Transactions", Transaction, "The transaction.", NotFound))
def one(transaction_id: str) -> Response:
    """Get one decision."""
    return answered(shown(row_of(transaction_id)))


@blueprint.post("/transactions/<transaction_id>/replay")
@require("screen", scope="score")
@describes(
    Operation.giving(
        "replayTransaction", "Transactions", Replay, "Both probabilities.", NotFound, Conflict, BadArtefact
    )
)
def replay(transaction_id: str) -> Response:
    """Score a transaction again.

    By the detector that decided on it: the same values must give the same probability. What the detector remembers of
    earlier transactions has grown since; where it looks back, a difference may be that.
    """
    row = row_of(transaction_id)
    mine = services()
    detector = mine.detectors.get(row["detector"])
    if detector.fingerprint != row["fingerprint"]:
        raise Conflict(
            f"The detector {detector.name} isn't the one that decided on this transaction.",
            remedy="It was trained again since. What it decides now says nothing about what was decided then.",
        )
    scored = score(
        transaction_of(row, detector, mine.settings.instance),
        detector,
        mine.policy.seen(mine.history_cache, detector, row["owner"]),
        threshold=row["threshold"],
        probabilities=mine.probabilities,
        explain=False,
    )
    found = float(scored.probabilities[0])
    was = row["probability"]
    return answered(Replay(same=abs(found - was) <= SAME, fraud_probability=found, was=was))


@blueprint.get("/transactions/<transaction_id>/receipt")
@require("see", scope="read")
@describes(Operation.giving("getReceipt", "Transactions", ReceiptForm, "The receipt.", NotFound))
def receipt(transaction_id: str) -> Response:
    """Get the hashes of all that made a decision: input, net, vectorizer and rules."""
    return answered(_receipt_form(receipt_of(transaction_id)))


@blueprint.post("/transactions/<transaction_id>/receipt")
@require("screen", scope="score")
@describes(
    Operation.giving(
        "replayReceipt", "Transactions", ReplayedReceipt, "The receipt, and what is the same.", NotFound
    )
)
def replay_receipt(transaction_id: str) -> Response:
    """Score a transaction again, and hold all that decides against its receipt.

    What differs or can't be looked at is named, and isn't an error: other bytes of a net, a list that has changed, a
    file that was deleted.
    """
    found, again = replayed(transaction_id)
    checks = [ReceiptCheck(one.what, one.was, one.now, one.same, one.why) for one in again.checks]
    return answered(ReplayedReceipt(_receipt_form(found), again.same, checks))


@blueprint.post("/labels")
@require("review", scope="label")
@guard.body_limit(MOST_LABELS * LABEL_BYTES)
@describes(
    Operation.giving(
        "postLabels",
        "Transactions",
        LabelsAccepted,
        "How many were kept.",
        BadLabels,
        body=BodySpec(words="The labels.", form=LabelsBody, examples={"a chargeback": LABELS_EXAMPLE}),
    )
)
def label() -> Response:
    """Say what transactions turned out to be.

    Chargebacks, and decisions from elsewhere. The last word about a transaction counts.
    """
    body = json_body.parse(request.get_data(), BadLabels)
    try:
        given = convert(body, GivenLabels).labels
    except ValidationError:
        raise BadLabels(
            f"The body must have “labels”, a list of 1 to {MOST_LABELS} objects, and nothing else."
        ) from None
    said = [read_label(each, number) for number, each in enumerate(given, start=1)]
    mine = services()
    owner = None if may("see_all") else user().username.casefold()
    known = mine.ledger.questions.known({each.id for each in said}, owner)
    kept = [each for each in said if each.id in known]
    mine.ledger.labels.say(kept, user().username.casefold())
    heard = hear(
        mine.database,
        mine.ledger.labels,
        {str(each.id): each.label for each in kept},
        user().username.casefold(),
    )
    for case in heard.closed:
        request_audit.record("case_labelled", case=case, closed=True)
    for case in heard.noted:
        request_audit.record("case_labelled", case=case, closed=False)
    unknown = [str(each.id) for each in said if each.id not in known]
    request_audit.record("labels", accepted=len(said) - len(unknown), unknown=len(unknown))
    return answered(LabelsAccepted(len(said) - len(unknown), unknown))


def read_label(given: Any, number: int) -> LaterLabel:
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

    try:
        read = convert(given, GivenLabel)
    except ValidationError as problem:
        raise refused(_words(str(problem))) from None
    found = identity.parse(read.id)
    if found is None:
        raise refused(FAULTS["id"])
    try:
        at = None if read.at is None else moment(read.at)
    except ValueError as problem:
        raise refused(f"“at” must be {problem}") from None
    return LaterLabel(found, LABELS[read.label], at, read.fraud_type)


FAULTS = {
    "id": "“id” is not the id of a transaction",
    "label": "“label” is neither “fraud” nor “legitimate”",
    "at": "“at” must be a time as 2026-01-31 or 2026-01-31T23:59:00Z",
    "fraud_type": f"“fraud_type” must be a text of 1 to {MOST_TYPE} characters",
}


def _words(problem: str) -> str:
    """Say what is wrong with a label, as the reader found it: it names the field at the end, or in its words."""
    if "unknown field" in problem:
        return "it has a field that a label hasn't"
    field = next((name for name in FAULTS if f"$.{name}`" in problem or f"`{name}`" in problem), None)
    return "it is not an object" if field is None else FAULTS[field]


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


def shown(row: dict[str, Any]) -> Transaction:
    """Return a row as the API gives it: money as people write it, times in UTC."""
    label = row["label"]
    return Transaction(
        id=str(identity.TransactionId(row["origin"], row["number"])),
        source=row["source"],
        screening=row["screening"],
        row=row["number"] if row["screening"] else None,
        owner=row["owner"],
        decided_at=iso(row["decided_at"]),
        event_time=iso(row["event_time"]),
        detector=row["detector"],
        fingerprint=row["fingerprint"],
        fraud_probability=row["probability"],
        threshold=row["threshold"],
        fraud=row["flagged"],
        amount=None if row["amount"] is None else money.major(row["amount"], row["currency"]),
        label=None if label is None else "fraud" if label else "legitimate",
        rules=row["rules"] or [],
        reasons=row["reasons"] or [],
        action=services().thresholds.action(
            row["detector"],
            row["decided_at"].replace(tzinfo=UTC),
            row["probability"],
            flagged=row["flagged"],
        )
        or UNSET,
        **{field: row[field] for field in FIELDS},
    )


def _receipt_form(receipt: Receipt) -> ReceiptForm:
    row = receipt.row
    return ReceiptForm(
        id=str(identity.TransactionId(row["origin"], row["number"])),
        detector=row["detector"],
        fingerprint=row["fingerprint"],
        net=receipt.net,
        vectorizer=receipt.vectorizer,
        rules=receipt.rules,
        rule_texts=[
            ReceiptRule(each["name"], each["condition"], each["effect"], each["state"])
            for each in receipt.ruled
        ],
        input=receipt.input,
        segment=receipt.segment,
        segment_hash=receipt.segment_hash,
        fraud_probability=row["probability"],
        threshold=row["threshold"],
        fraud=row["flagged"],
    )


def iso(moment: datetime | None) -> str | None:
    """Return a moment of the ledger, which is UTC, in ISO 8601; ``None`` for none."""
    return None if moment is None else moment.isoformat() + "Z"
