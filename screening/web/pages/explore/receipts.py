"""The receipt of one decision, and scoring it again."""

from __future__ import annotations

from flask import Blueprint, render_template

from screening.reports.receipt import Receipt, Replayed
from screening.web.http.sessions import require
from screening.web.views.decisions import LedgerRow
from screening.web.views.receipts import receipt_of, replayed

blueprint = Blueprint("receipts", __name__)


@blueprint.get("/decisions/<transaction_id>/receipt")
@require("see")
def show(transaction_id: str) -> str:
    """Show the provenance of a decision by its hashes."""
    return _page(receipt_of(transaction_id))


@blueprint.post("/decisions/<transaction_id>/receipt")
@require("see")
def again(transaction_id: str) -> str:
    """Score it again, and show what is the same. Auditors may: nothing is kept of it but a line in the audit log."""
    return _page(*replayed(transaction_id))


def _page(receipt: Receipt, found: Replayed | None = None) -> str:
    return render_template("receipt.html", receipt=receipt, row=LedgerRow.of(receipt.row), replayed=found)
