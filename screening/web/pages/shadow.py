"""Detectors in the shadow: start and stop them, compare them, promote one, and take that back."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for

from screening.detectors.shadow_runs import ShadowRun
from screening.detectors.states import DetectorState
from screening.errors import BadArtefact, Conflict, NotFound, ScreeningError
from screening.shadow.comparison import LEAST_FLAGGED, LEAST_ROWS, ShadowComparison, ShadowDay, compare
from screening.shadow.desk import ShadowDesk
from screening.web.http import request_audit
from screening.web.http.sessions import require, user
from screening.web.services import services
from screening.web.views import approvals
from screening.web.views.detectors.access import doubt_of

blueprint = Blueprint("shadow", __name__, url_prefix="/shadow")


@blueprint.get("")
@require("decide")
def index() -> str:
    """Show the runs, the form that starts one, and who decides in whose place."""
    mine = services().detectors
    standings = mine.standings()
    loaded = [one for one in mine.all() if one.name in standings]
    running = mine.shadows.running()
    return render_template(
        "shadow.html",
        runs=[_desk().standing(run) for run in mine.shadows.all()],
        firsts=[
            one.name
            for one in loaded
            if standings[one.name].state is DetectorState.APPROVED and one.name not in running
        ],
        shadows=[one.name for one in loaded if standings[one.name].state is not DetectorState.RETIRED],
        promotions=mine.promotions.history(),
    )


@blueprint.post("")
@require("decide")
def start() -> Any:
    """Let a detector score what another one decides on."""
    first, name = request.form.get("first", ""), request.form.get("shadow", "")
    if not first or not name:
        raise ScreeningError("The form doesn't say which two detectors.", remedy="Choose both.")
    run = _desk().start(first, name, user().username)
    request_audit.record("shadow_started", **audited(run))
    flash(f"{run.shadow} scores what {run.first} decides on, and nobody but managers is told.")
    return redirect(url_for("shadow.show", run_id=run.id), HTTPStatus.SEE_OTHER)


@blueprint.get("/<run_id>")
@require("decide")
def show(run_id: str) -> str:
    """Show the comparison of one run."""
    mine = services()
    run = mine.detectors.shadows.get(run_id)
    problem, found = None, None
    try:
        found = compare(run, _desk().store, mine.ledger.questions)
    except ScreeningError as refused:  # it takes too long, or too much memory
        problem = refused
    return render_template(
        "shadow_run.html",
        run=run,
        standing=_desk().standing(run),
        found=found,
        days=[] if found is None else [_mark(day) for day in found.days],
        problem=problem,
        refused=_desk().store.problems(run.id),
        threshold=mine.thresholds.of(run.first).review,
        least_rows=LEAST_ROWS,
        least_flagged=LEAST_FLAGGED,
        promotable=_promotable(run, found),
        doubt=doubt_about(run),
    )


@blueprint.post("/<run_id>/stop")
@require("decide")
def stop(run_id: str) -> Any:
    """Let it score no more."""
    run = _desk().stop(run_id, user().username)
    request_audit.record("shadow_stopped", **audited(run))
    flash(f"{run.shadow} scores in the shadow of {run.first} no longer. The comparison stays.")
    return redirect(url_for("shadow.show", run_id=run.id), HTTPStatus.SEE_OTHER)


@blueprint.post("/<run_id>/promote")
@require("decide")
def promote(run_id: str) -> Any:
    """Let the detector in the shadow decide in the other one's place, once that was confirmed."""
    mine = services().detectors
    run = mine.shadows.get(run_id)
    found = compare(run, _desk().store, services().ledger.questions)
    if not found.is_one:
        raise Conflict(
            f"{found.rows:,} rows, of which either flags {found.flagged:,}, are no comparison yet.",
            remedy=f"Wait for {LEAST_ROWS:,} rows and {LEAST_FLAGGED} flagged ones, or have the operator promote it.",
        )
    said = request.form.get("confirm", "").strip()
    doubt = doubt_about(run)
    if said != (run.shadow if doubt else "yes"):
        raise Conflict(
            doubt or "The promotion wasn't confirmed.",
            where=run.shadow,
            remedy=f"Type {run.shadow} to promote it all the same."
            if doubt
            else "Tick the box, and send it again.",
        )
    if mine.get(run.shadow).fingerprint != run.shadow_fingerprint:
        raise Conflict(
            f"{run.shadow} is another detector by now than the one that was compared.",
            remedy="Start it in the shadow again.",
        )
    mine.require_promotable(run.first, run.shadow)
    given = {"run": run.id, "fingerprint": run.shadow_fingerprint, "doubt": doubt}
    words = f"{run.shadow} decides in the place of {run.first}."
    approvals.carry_out("promotion", run.first, words, given)
    return redirect(url_for("shadow.index", _anchor="places"), HTTPStatus.SEE_OTHER)


@approvals.action("promotion", "Promotion of a detector")
def _promote(given: Mapping[str, Any], by: str) -> str:
    mine, doubt = services().detectors, given["doubt"]
    run = mine.shadows.get(given["run"])
    if mine.get(run.shadow).fingerprint != given["fingerprint"]:
        raise approvals.Outdated(
            f"{run.shadow} is another detector by now than the one that was compared.",
            remedy="Reject it, and start it in the shadow again.",
        )
    row = mine.promote(run.first, run.shadow, by, confirmed=bool(doubt))
    _desk().stop(run.id, by, f"{run.shadow} was promoted.")
    about = {"promotion": row.id, "replaced": row.replaced, "promoted": row.promoted}
    request_audit.record(
        "detector_promoted",
        **about,
        fingerprint=row.fingerprint,
        run=run.id,
        **({"doubt": doubt} if doubt else {}),
    )
    return f"{row.promoted} decides in the place of {row.replaced} from now on."


@blueprint.post("/promotions/<number>/take-back")
@require("decide")
def take_back(number: str) -> Any:
    """Let the earlier detector decide in its own place again."""
    if not (number.isascii() and number.isdigit() and len(number) < 9):
        raise NotFound("There is no such promotion.", remedy="Load the page again.")
    rows = services().detectors.promotions.history()
    found = next((row for row in rows if row.id == int(number) and row.holds), None)
    if found is None:
        raise Conflict("This promotion doesn't hold any more.", remedy="Load the page again.")
    words = f"{found.replaced} decides in its own place again, not {found.promoted}."
    approvals.carry_out("promotion_end", found.replaced, words, {"promotion": found.id})
    return redirect(url_for("shadow.index", _anchor="places"), HTTPStatus.SEE_OTHER)


@approvals.action("promotion_end", "End of a promotion")
def _take_back(given: Mapping[str, Any], by: str) -> str:
    row = services().detectors.take_back(given["promotion"], by)
    about = {"promotion": row.id, "replaced": row.replaced, "promoted": row.promoted}
    request_audit.record("promotion_taken_back", **about)
    return f"{row.replaced} decides in its own place again."


def _mark(day: ShadowDay) -> tuple[str, float, str]:
    share = day.agreed / day.rows
    return f"{day.day:%Y-%m-%d}", share, f"{day.day:%Y-%m-%d}: {day.agreed:,} of {day.rows:,} rows"


def _desk() -> ShadowDesk:
    mine = services()
    return ShadowDesk(mine.detectors, mine.ledger, mine.screenings)


def audited(run: ShadowRun) -> dict[str, Any]:
    """Return what the audit log says of a run."""
    return {
        "run": run.id,
        "first": run.first,
        "first_fingerprint": run.first_fingerprint,
        "shadow": run.shadow,
        "shadow_fingerprint": run.shadow_fingerprint,
    }


def doubt_about(run: ShadowRun) -> str:
    """Return the warning on the card of the detector in the shadow."""
    try:
        return doubt_of(services().detectors.get(run.shadow))
    except (BadArtefact, NotFound):
        return ""


def _promotable(run: ShadowRun, found: ShadowComparison | None) -> bool:
    """Return whether the page offers the promotion: the two are still those that were compared, and enough was
    compared.
    """
    holding = services().detectors.promotions.holding()
    return found is not None and found.is_one and run.first not in holding
