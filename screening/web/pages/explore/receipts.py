"""The receipt of one decision, and scoring it again."""

from __future__ import annotations

from flask import Blueprint, render_template

from screening.reports.receipt import Receipt, ReplayedDecision
from screening.web.http.sessions import require
from screening.web.views.decisions import LedgerRow
from screening.web.views.receipts import receipt_of, replayed

blueprint = Blueprint("receipts", __name__)


@blueprint.get("/decisions/<transaction_id>/receipt")
@require("see")
def show(transaction_id: str) -> str:
    """Show the provenance of a decision by its hashes."""
    return receipt_page(receipt_of(transaction_id))


@blueprint.post("/decisions/<transaction_id>/receipt")
@require("see")
def again(transaction_id: str) -> str:
    """Score it again, and show what is the same. Auditors may: nothing is kept of it but a line in the audit log."""
    return receipt_page(*replayed(transaction_id))


def receipt_page(receipt: Receipt, found: ReplayedDecision | None = None) -> str:
    """Return the page of a receipt, and of what came of deciding once more."""
    return render_template("receipt.html", receipt=receipt, row=LedgerRow.of(receipt.row), replayed=found)
