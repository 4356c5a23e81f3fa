"""Receipts of decisions, as pages and the data API give them."""

from __future__ import annotations

from screening.detectors.provenance import Provenance
from screening.errors import NotFound
from screening.ledger import identity
from screening.reports.receipt import Receipt, ReceiptServices, ReplayedDecision
from screening.web.http import request_audit
from screening.web.services import services
from screening.web.views.visibility import owner_seen


def receipt_of(transaction_id: str) -> Receipt:
    """Return the receipt of a decision that the caller may see.

    Raises:
        NotFound: there is none; the answer doesn't tell whether somebody else has it.
    """
    parsed = identity.parse(transaction_id)
    found = None if parsed is None else _desk().receipt(parsed, owner_seen())
    if found is None:
        raise NotFound("There is no such transaction.", remedy="Take an id that the app or the API gave.")
    return found


def replayed(transaction_id: str) -> tuple[Receipt, ReplayedDecision]:
    """Score a decision again, hold it against its receipt, and tell the audit log.

    Raises:
        NotFound: as :func:`receipt_of`.
    """
    mine, receipt = services(), receipt_of(transaction_id)
    owner = receipt.row["owner"]
    found = _desk().replay(receipt, lambda detector: mine.policy.seen(mine.history_cache, detector, owner))
    request_audit.record("decision_replayed", transaction=transaction_id, same=found.same)
    return receipt, found


def _desk() -> ReceiptServices:
    mine = services()
    return ReceiptServices(
        settings=mine.settings,
        ledger=mine.ledger,
        detectors=mine.detectors,
        screenings=mine.screenings,
        rules=mine.rules,
        provenance=Provenance(mine.database),
        probabilities=mine.probabilities,
    )
