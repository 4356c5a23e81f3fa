"""The queue: which cases there are, taking the next one, deciding on several, and taking the last act back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for

from screening.errors import Conflict
from screening.ledger.fields import ENTITIES
from screening.ledger.filters import Unanswered
from screening.review.listing import MOST_COUNTED, CaseFilter, standing
from screening.review.missed import Missed, missed
from screening.review.tables import CaseState
from screening.web.http import request_audit
from screening.web.http.paging import page_number
from screening.web.http.sessions import may, require
from screening.web.pages.review import case, forms
from screening.web.services import services
from screening.web.views import notices
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


@blueprint.get("")
@require("see")
def index() -> str:
    """Show the cases that pass a filter, a page at a time; all of it is in the address."""
    who, now = views.reviewer(), views.now()
    given = {name: request.args[name] for name in FILTERS if request.args.get(name)}
    chosen = _chosen(given)
    listing = views.listings().page(chosen, who, min(page_number(), MOST_PAGE), now)
    days = services().settings.review_days
    late = now - timedelta(hours=services().settings.review_sla_hours)
    return render_template(
        "review/queue.html",
        given=given,
        chosen=chosen,
        lines=[views.CaseView.of(case, now) for case in listing.cases],
        listing=listing,
        total=f"more than {MOST_COUNTED:,}" if listing.total > MOST_COUNTED else f"{listing.total:,}",
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
        undoable=forms.undoable(),
    )


@blueprint.get("/missed")
@require("see_all")
def missed_fraud() -> str:
    """Show an estimate of the fraud that isn't flagged, from rows that were drawn at random."""
    mine = services()
    days = mine.settings.review_days
    rows: Sequence[Missed] = []
    trouble: Unanswered | None = None
    try:
        rows = missed(mine.database, mine.ledger.questions, views.now() - timedelta(days=days))
    except Unanswered as problem:
        trouble = problem
    return render_template(
        "review/missed.html", rows=rows, days=days, share=mine.settings.review_sample, trouble=trouble
    )


@blueprint.post("/next")
@require("review")
def take_next() -> Any:
    """Give whoever asks the next case, and lead there."""
    return case.lead_on()


@blueprint.post("/decision")
@require("review")
def decide_some() -> Any:
    """Decide on several cases, or escalate them."""
    numbers = [forms.number(one) for one in request.form.getlist("case")]
    if not numbers:
        raise forms.BadDecision("No case is chosen.", remedy="Choose some of the list.")
    who = views.reviewer()
    if request.form.get("decision") == "escalate":
        for one in numbers:
            views.cases().escalate(one, who, request.form.get("note", ""))
            request_audit.record("case_escalated", case=one)
            notices.escalated(one)
        flash(f"{len(numbers)} escalated.")
        return redirect(back(), BACK)
    decision = forms.decision_given()
    found = views.deciding().decide(numbers, who, decision)
    forms.record(found, decision)
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


def back() -> str:
    """Return the list that a form came from: its filters appear in the form."""
    kept: dict[str, Any] = {name: request.form[name] for name in FILTERS if request.form.get(name)}
    return url_for("review.index", **kept)


def _chosen(given: dict[str, str]) -> CaseFilter:
    state = given.get("state", "waiting")
    if state not in ("waiting", "all", *CaseState):
        raise Conflict(f"There is no state {state}.", remedy="Choose one of the list.")
    kind, value = given.get("kind"), given.get("value")
    return CaseFilter(
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
