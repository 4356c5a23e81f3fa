"""Read the forms of the review, and make entries of the audit log from them."""

from __future__ import annotations

from typing import Any

from flask import request

from screening.errors import ScreeningError
from screening.review.deciding import UNDO, DecidedCase, ReviewDecision
from screening.review.listing import last_undoable
from screening.review.tables import ReviewOutcome
from screening.web.http import request_audit
from screening.web.http.sessions import may
from screening.web.services import services
from screening.web.views import review as views


class BadDecision(ScreeningError):
    """A decision that can't be read; nothing was changed."""

    status = 422
    title = "This decision can't be kept"


def undoable() -> Any:
    """Return what whoever asks can still take back."""
    if not may("review"):
        return None
    return last_undoable(services().database, views.reviewer().name, views.now() - UNDO)


def record(found: list[DecidedCase], decision: ReviewDecision) -> None:
    """Tell the audit log of decisions."""
    for one in found:
        request_audit.record(
            f"case_{one.act}",
            case=one.case,
            decision=str(decision.outcome),
            fraud_type=decision.fraud_type,
            reason=decision.reason,
            note=decision.note,
            transactions=one.transactions,
        )


def decision_given() -> ReviewDecision:
    """Return what the form says.

    Raises:
        BadDecision: it says nothing that there is.
    """
    form = request.form
    try:
        outcome = ReviewOutcome(form.get("decision", ""))
    except ValueError:
        raise BadDecision(
            "The decision is none of fraud, legitimate and unsure.", "decision", "Choose one of them."
        ) from None
    return ReviewDecision(
        outcome=outcome,
        fraud_type=form.get("fraud_type") or None,
        reason=form.get("reason", ""),
        note=form.get("note", ""),
    )


def number(given: str) -> int:
    """Return the number of a case; 0, which none has, for any other text."""
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
