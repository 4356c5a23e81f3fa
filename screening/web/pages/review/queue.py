"""The queue: which cases there are, taking the next one, deciding on several, and taking the last act back."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for

from screening.errors import Conflict, ScreeningError
from screening.ledger.fields import ENTITIES
from screening.review.deciding import UNDO, Decided, Decision
from screening.review.listing import MOST_COUNTED, Chosen, Listing, last_undoable, standing
from screening.review.tables import CaseState, Outcome
from screening.web.http import request_audit
from screening.web.http.sessions import may, require
from screening.web.services import services
from screening.web.views import review as views
from screening.web.views.contexts import turns
from screening.web.views.rules import FRAUD_TYPES

blueprint = Blueprint("review", __name__, url_prefix="/review")
BACK = HTTPStatus.SEE_OTHER
SORTS = {"risk": "Expected loss", "age": "Oldest first", "amount": "Amount", "latest": "Decided last"}
FILTERS = (
    "state", "mine", "assignee", "escalated", "detector", "type", "outcome", "kind", "value", "late", "sort",
)  # fmt: skip
MOST_PAGE = 1_000_000


class BadDecision(ScreeningError):
    """A decision that can't be read; nothing was changed."""

    status = 422
    title = "This decision can't be kept"


@blueprint.get("")
@require("see")
def index() -> str:
    """The cases that pass a filter, a page at a time; all of it is in the address."""
    who, now = views.reviewer(), views.now()
    given = {name: request.args[name] for name in FILTERS if request.args.get(name)}
    chosen = _chosen(given)
    listing = views.listings().page(chosen, who, _page(), now)
    days = services().settings.review_days
    late = now - timedelta(hours=services().settings.review_sla_hours)
    return render_template(
        "review/queue.html",
        given=given,
        chosen=chosen,
        lines=[views.CaseView.of(case, now) for case in listing.cases],
        listing=listing,
        total=_total(listing),
        turns=turns(listing.page, listing.pages),
        standing=standing(services().database, who, since=now - timedelta(days=days), late_before=late),
        days=days,
        detectors=views.listings().detectors(),
        fraud_types=FRAUD_TYPES,
        states=views.STATES,
        outcomes=views.OUTCOMES,
        sorts=SORTS,
        entities=ENTITIES,
        may_work=may("review"),
        decides=may("decide"),
        undoable=undoable(),
    )


@blueprint.post("/next")
@require("review")
def take_next() -> Any:
    """Give whoever asks the next case, and lead there."""
    return lead_on()


def lead_on() -> Any:
    """Take the next case and lead there, or without one to the queue.

    A script that asks so (``Prefer: return=representation``, RFC 7240) is answered with the page itself, whose address
    is in ``Content-Location``: one way to the server and back less before the next case is there.
    """
    from screening.web.pages.review.case import show

    case = views.cases().take_next(views.reviewer())
    if case is None:
        flash("No case waits for you.")
        return redirect(url_for("review.index"), BACK)
    request_audit.record("case_taken", case=case.id)
    address = url_for("case.show", number=case.id)
    if request.headers.get("Prefer") != "return=representation":
        return redirect(address, BACK)
    response = make_response(show(str(case.id)))
    response.headers["Content-Location"] = address
    return response


@blueprint.post("/decision")
@require("review")
def decide_some() -> Any:
    """Decide on several cases, or escalate them."""
    numbers = [number(one) for one in request.form.getlist("case")]
    if not numbers:
        raise BadDecision("No case is chosen.", remedy="Choose some of the list.")
    who = views.reviewer()
    if request.form.get("decision") == "escalate":
        for one in numbers:
            views.cases().escalate(one, who, request.form.get("note", ""))
            request_audit.record("case_escalated", case=one)
        flash(f"{len(numbers)} escalated.")
        return redirect(back(), BACK)
    decision = decision_given()
    found = views.deciding().decide(numbers, who, decision)
    record(found, decision)
    flash(f"{len(found)} decided: {views.OUTCOMES[decision.outcome]}.")
    return redirect(back(), BACK)


@blueprint.post("/undo")
@require("review")
def undo() -> Any:
    """Take back what whoever asks did last."""
    numbers = views.deciding().undo(views.reviewer())
    for one in numbers:
        request_audit.record("case_undone", case=one)
    if len(numbers) == 1:
        return redirect(url_for("case.show", number=numbers[0]), BACK)
    flash(f"{len(numbers)} decisions were taken back.")
    return redirect(url_for("review.index"), BACK)


def undoable() -> Any:
    """Return what whoever asks can still take back."""
    if not may("review"):
        return None
    return last_undoable(services().database, views.reviewer().name, views.now() - UNDO)


def record(found: list[Decided], decision: Decision) -> None:
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


def decision_given() -> Decision:
    """Return what the form says.

    Raises:
        BadDecision: it says nothing that there is.
    """
    form = request.form
    try:
        outcome = Outcome(form.get("decision", ""))
    except ValueError:
        raise BadDecision(
            "The decision is none of fraud, legitimate and unsure.", "decision", "Choose one of them."
        ) from None
    return Decision(
        outcome=outcome,
        fraud_type=form.get("fraud_type") or None,
        reason=form.get("reason", ""),
        note=form.get("note", ""),
    )


def number(given: str) -> int:
    """Return the number of a case; 0, which none has, for any other text."""
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0


def back() -> str:
    """Return the list that a form came from: its filters stand in the form."""
    kept: dict[str, Any] = {name: request.form[name] for name in FILTERS if request.form.get(name)}
    return url_for("review.index", **kept)


def _chosen(given: dict[str, str]) -> Chosen:
    state = given.get("state", "waiting")
    if state not in ("waiting", "all", *CaseState):
        raise Conflict(f"There is no state {state}.", remedy="Choose one of the list.")
    kind, value = given.get("kind"), given.get("value")
    return Chosen(
        state=None if state == "all" else state,
        mine="mine" in given,
        assignee=given.get("assignee"),
        escalated=True if given.get("escalated") else None,
        detector=given.get("detector"),
        fraud_type=given.get("type"),
        outcome=given.get("outcome"),
        entity=(kind, value) if kind and value else None,
        late="late" in given,
        sort=given.get("sort", "risk"),
    )


def _page() -> int:
    given = request.args.get("page", "1")
    return min(int(given), MOST_PAGE) if given.isascii() and given.isdigit() and len(given) < 8 else 1


def _total(listing: Listing) -> str:
    return f"more than {MOST_COUNTED:,}" if listing.total > MOST_COUNTED else f"{listing.total:,}"
