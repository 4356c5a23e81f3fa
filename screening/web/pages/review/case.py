"""One case: what it consists of, what lies around it, and what can be done with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for

from screening.errors import NotFound, ScreeningError
from screening.intake import header_of, read_records
from screening.ledger import identity
from screening.ledger.filters import Unanswered
from screening.review.around import around, similar
from screening.review.people import Reviewer
from screening.review.tables import Case, CaseItem, CaseState
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder
from screening.web.http import request_audit
from screening.web.http.sessions import may, require, user
from screening.web.pages.review import forms
from screening.web.services import services
from screening.web.views import notices
from screening.web.views import review as views
from screening.web.views.decisions import LedgerRow, timeline
from screening.web.views.fragments import fragment_of
from screening.web.views.rules import FRAUD_TYPES

blueprint = Blueprint("case", __name__, url_prefix="/review")
BACK = HTTPStatus.SEE_OTHER
SHOWN_ITEMS = 50
WHOLE, BARE = "base.html", "_bare.html"
"""Templates of a case: the whole page, or its main part alone."""


@blueprint.get("/<number>")
@require("see")
def show(number: str) -> str:
    """Show a case; with ``around=1`` together with what the ledger has around it, which a script asks for otherwise."""
    return _page(number, WHOLE)


def _page(number: str, layout: str) -> str:
    who, now = views.reviewer(), views.now()
    whole = views.cases().get(forms.number(number), who)
    case = whole.case
    mine = case.state == CaseState.IN_WORK and case.assignee == who.name
    free = case.waiting and (who.decides or not case.escalated)
    return render_template(
        "review/case.html",
        layout=layout,
        case=case,
        view=views.CaseView.of(case, now),
        items=[views.ItemView(item) for item in whole.items[:SHOWN_ITEMS]],
        left=max(0, len(whole.items) - SHOWN_ITEMS),
        events=[(event, views.act_of(event)) for event in whole.events],
        others=[views.CaseView.of(one, now) for one in views.listings().of_entity(case, who)],
        can_decide=may("review") and (mine or free),
        can_correct=may("review") and case.state == CaseState.DECIDED,
        can_hand=may("review") and (mine or free or who.decides) and case.state != CaseState.DECIDED,
        may_work=may("review"),
        mine=mine,
        people=people(case) if may("decide") else [],
        fraud_types=FRAUD_TYPES,
        reasons=views.REASONS,
        outcomes=views.OUTCOMES,
        undoable=forms.undoable(),
        **(around_of(case, whole.items, who) if request.args.get("around") else {"around": None}),
    )


@blueprint.get("/<number>/around")
@require("see")
@fragment_of("case.show", around="1")
def look_around(number: str) -> str:
    """Show the surroundings of a case in the ledger, as a part of its page."""
    who = views.reviewer()
    whole = views.cases().get(forms.number(number), who)
    return render_template("review/_around.html", case=whole.case, **around_of(whole.case, whole.items, who))


@blueprint.post("/<number>/take")
@require("review")
def take(number: str) -> Any:
    """Take this case."""
    case = views.cases().take(forms.number(number), views.reviewer())
    request_audit.record("case_taken", case=case.id)
    return redirect(url_for("case.show", number=case.id), BACK)


@blueprint.post("/<number>/decision")
@require("review")
def decide(number: str) -> Any:
    """Decide on this case, or correct what was decided, and lead to the next one."""
    wanted, decision = forms.number(number), forms.decision_given()
    version = forms.number(request.form["version"]) if request.form.get("version") else None
    found = views.deciding().decide(
        [wanted],
        views.reviewer(),
        decision,
        version=version,
        only=request.form.getlist("row"),
        settle=False,
    )
    forms.record(found, decision)
    if found[0].act == "corrected" or request.form.get("then") == "stay":
        views.deciding().settle(found)
        return redirect(url_for("case.show", number=wanted), BACK)
    return lead_on([(each.case, each.told) for each in found if each.told is not None])


@blueprint.post("/<number>/escalate")
@require("review")
def escalate(number: str) -> Any:
    """Leave this case to a manager, and lead to the next one."""
    wanted = forms.number(number)
    version = forms.number(request.form["version"]) if request.form.get("version") else None
    views.cases().escalate(wanted, views.reviewer(), request.form.get("note", ""), version=version)
    request_audit.record("case_escalated", case=wanted, note=request.form.get("note", ""))
    notices.escalated(wanted)
    return lead_on()


@blueprint.post("/<number>/skip")
@require("review")
def skip(number: str) -> Any:
    """Give this case back, and lead to the next one."""
    wanted = forms.number(number)
    views.cases().skip(wanted, views.reviewer(), request.form.get("note", ""))
    request_audit.record("case_skipped", case=wanted)
    return lead_on()


@blueprint.post("/<number>/hand-over")
@require("review")
def hand_over(number: str) -> Any:
    """Hand this case to somebody else."""
    wanted, to = forms.number(number), request.form.get("to", "").casefold()
    person = next((one for one in reviewers() if one.name == to), None)
    if person is None:
        raise NotFound("There is nobody of this name who reviews.", remedy="Choose one of the list.")
    views.cases().hand_over(wanted, views.reviewer(), person, request.form.get("note", ""))
    request_audit.record("case_handed", case=wanted, to=person.name)
    path = url_for("case.show", number=wanted)
    notices.tell("case.assigned", f"{user().username} handed case {wanted} to you.", path, to=person.name)
    flash(f"Case {wanted} was handed to {person.name}.")
    return redirect(url_for("review.index"), BACK)


@blueprint.post("/<number>/note")
@require("review")
def note(number: str) -> Any:
    """Keep a note."""
    wanted = forms.number(number)
    views.cases().note(wanted, views.reviewer(), request.form.get("note", ""))
    request_audit.record("case_noted", case=wanted, note=request.form.get("note", ""))
    return redirect(url_for("case.show", number=wanted), BACK)


@blueprint.post("/<number>/reopen")
@require("review")
def reopen(number: str) -> Any:
    """Let a decided case wait again."""
    wanted = forms.number(number)
    views.deciding().reopen(wanted, views.reviewer(), request.form.get("note", ""))
    request_audit.record("case_reopened", case=wanted, note=request.form.get("note", ""))
    flash(f"Case {wanted} waits again.")
    return redirect(url_for("case.show", number=wanted), BACK)


def lead_on(told: Sequence[tuple[int, int]] = ()) -> Any:
    """Take the next case and lead there, or without one to the queue.

    A script that asks so (``Prefer: return=representation``, RFC 7240) is answered with the page itself, whose address
    is in ``Content-Location``: one way to the server and back less before the next case is there. It has the main part
    alone, which is all that the script puts in place: the frame around takes as long as the rest.
    """
    found = views.cases().take_next(views.reviewer(), told)
    if found is None:
        flash("No case waits for you.")
        return redirect(url_for("review.index"), BACK)
    request_audit.record("case_taken", case=found.id)
    address = url_for("case.show", number=found.id)
    if request.headers.get("Prefer") != "return=representation":
        return redirect(address, BACK)
    response = make_response(_page(str(found.id), BARE))
    response.headers["Content-Location"] = address
    return response


def reviewers() -> list[Reviewer]:
    """Return the accounts that review."""
    from screening.accounts.roles import allows

    return [
        Reviewer(name=one.username.casefold(), decides=allows(one.role, "decide"))
        for one in services().users.accounts()
        if one.active and allows(one.role, "review")
    ]


def people(case: Case) -> list[str]:
    """Return to whom a case can be handed."""
    return sorted(
        one.name for one in reviewers() if one.name != case.assignee and (one.decides or not case.escalated)
    )


def around_of(case: Case, items: Any, who: Reviewer) -> dict[str, Any]:
    """Return what the ledger has around a case; what can't be answered in time is said."""
    found, row, trouble = None, None, None
    chosen = next((one for one in items if one.id == request.args.get("row")), items[0])
    owner = None if who.sees_all else case.owner
    try:
        parsed = identity.parse(chosen.id)
        row = None if parsed is None else services().ledger.questions.one(parsed, None)
        kind, value = _about(case, chosen)
        if kind is not None and value is not None:
            last = max(one.event_time or one.decided_at for one in items)
            found = around(services().ledger.questions, kind, value, owner, moment=last)
    except (Unanswered, ScreeningError) as problem:
        trouble = problem
    rows = [] if found is None else [LedgerRow.of(each) for each in found.rows]
    return {
        "around": found,
        "trouble": trouble,
        "chosen": chosen,
        "cells": {} if row is None else views.cells_of(cells_of(row)),
        "known": None if row is None else row["label"],
        "rows": rows,
        "chart": timeline(rows, chosen.id),
        "graph": None if found is None else views.graph_of(found),
        "similar": similar(services().database, case, who),
    }


def _about(case: Case, item: CaseItem) -> tuple[str | None, str | None]:
    if case.kind is not None:
        return case.kind, case.value
    return next(iter(item.who.items()), (None, None))


def cells_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return every column of a transaction: as a program sent it, or as it appears in its file."""
    if row["values"] is not None:
        found: dict[str, Any] = json.loads(row["values"])
        return found
    screening = services().screenings.get(row["screening"]) if row["screening"] else None
    if screening is None:
        return {}
    left = ScreeningOutcome(
        UploadFolder.kept(services().settings.instance, screening.id), screening.threshold
    )
    if not left.there:
        return {}
    (record,) = read_records(left.canonical, left.offsets, [row["number"] - 1])
    return dict(zip(header_of(left.canonical), record, strict=False))
