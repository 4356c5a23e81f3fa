"""Find the threshold that costs least: asks for unit costs, and takes the rest from the ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from screening.errors import ScreeningError
from screening.intake import numbers
from screening.ledger.filters import DecisionFilter, Unanswered
from screening.review.threshold import Advice, Days, ReviewPrices, advise
from screening.scoring.applied_thresholds import BadThreshold
from screening.scoring.thresholds import Thresholds
from screening.web.http import request_audit
from screening.web.http.sessions import require
from screening.web.services import services
from screening.web.views import approvals
from screening.web.views import review as views
from screening.web.views.charts.review import cost_chart
from screening.web.views.visibility import owner_seen

blueprint = Blueprint("threshold", __name__, url_prefix="/review/threshold")
MOST = 1e9
MOST_SAID = 20
"""Changes of a detector's thresholds that are listed."""


class BadPrice(ScreeningError):
    """A price that can't be meant."""

    title = "This can't be calculated"


@blueprint.get("")
@require("decide")
def index() -> tuple[str, int]:
    """Show the curve of one detector, by what is given in the address."""
    mine = services()
    detectors = mine.detectors.names()
    chosen = request.args.get("detector") or mine.detectors.default.name
    found: list[Advice] = []
    problem: ScreeningError | None = None
    prices = ReviewPrices()
    days = mine.settings.review_days
    try:
        prices = given_prices()
        require_known(chosen, detectors)
        since = views.now() - timedelta(days=days)
        found = advise(
            mine.ledger.questions,
            DecisionFilter(owner=owner_seen(), detector=chosen, decided_from=since),
            prices,
            given_days(),
        )
    except (Unanswered, BadPrice) as refused:
        problem = refused
    limits = mine.thresholds.of(chosen)
    text = render_template(
        "review/threshold.html",
        detectors=detectors,
        chosen=chosen,
        prices=prices,
        given=request.args,
        advice=[(each, cost_chart(each, limits.review)) for each in found],
        now=limits.review,
        limits=limits,
        usual=mine.settings.threshold,
        said=mine.thresholds.history(chosen)[:MOST_SAID],
        days=days,
        problem=None if problem is None else problem.as_dict(),
    )
    return text, 200 if problem is None else problem.status


@blueprint.post("/apply")
@require("decide")
def apply() -> Any:
    """Give a detector the thresholds that the form says."""
    mine, form = services(), request.form
    detector = form.get("detector", "")
    require_known(detector, mine.detectors.names())
    review, block = (
        given_threshold(form.get("review", ""), "review"),
        given_threshold(form.get("block", ""), "block"),
    )
    reason = form.get("reason", "").strip()
    wanted = mine.thresholds.check(review, block, reason)
    before = mine.thresholds.of(detector)
    given = {"detector": detector, "review": review, "block": block, "reason": reason}
    words = f"{detector} decides at {words_of(wanted)} (now {words_of(before)})."
    approvals.carry_out("thresholds", detector, words, {**given, "before": [before.review, before.block]})
    return redirect(url_for("threshold.index", detector=detector), HTTPStatus.SEE_OTHER)


@approvals.action("thresholds", "Thresholds")
def _apply(given: Mapping[str, Any], by: str) -> str:
    detector = given["detector"]
    require_known(detector, services().detectors.names())
    before = services().thresholds.of(detector)
    if [before.review, before.block] != list(given["before"]):
        raise approvals.Outdated(
            f"The thresholds of {detector} were changed since: they are {words_of(before)}.",
            remedy="Reject it, and propose the change again.",
        )
    limits = apply_thresholds(detector, given["review"], given["block"], reason=given["reason"], by=by)
    return f"{detector} decides at {words_of(limits)} from now on. What was decided stays as it is."


def words_of(limits: Thresholds) -> str:
    """Return thresholds in words."""
    return f"{limits.review:g}" + (f", and {limits.block:g} to block" if limits.block is not None else "")


def apply_thresholds(
    detector: str, review: float | None, block: float | None, *, reason: str, by: str
) -> Thresholds:
    """Apply thresholds, and tell the audit log what they were. The one way to do it.

    Raises:
        BadThreshold: they can't be.
    """
    mine = services()
    before = mine.thresholds.of(detector)
    limits = mine.thresholds.apply(detector, review, block, by=by, reason=reason)
    request_audit.record(
        "threshold_applied",
        detector=detector,
        review=limits.review,
        block=limits.block,
        review_before=before.review,
        block_before=before.block,
        reason=reason.strip(),
    )
    return limits


def given_threshold(text: str, name: str) -> float | None:
    """Return a threshold of the form; ``None`` for a blank field.

    Raises:
        BadThreshold: it is no number.
    """
    if not text.strip():
        return None
    found = numbers.plain(text.strip())
    if found is None:
        raise BadThreshold(f"“{text[:40]}” is no number.", name, "Write it as 0.8.")
    return found


def require_known(chosen: str, detectors: Sequence[str]) -> None:
    """Raise :class:`BadPrice` for a detector that there isn't."""
    if chosen not in detectors:
        raise BadPrice("There is no such detector.", "detector", f"There are: {', '.join(detectors)}.")


def given_days() -> Days | None:
    """Return which days the form says; ``None`` where the rows say it.

    Raises:
        BadPrice: there are no such days.
    """
    given = request.args.get("by", "")
    try:
        return Days(given) if given else None
    except ValueError:
        raise BadPrice(
            f"“{given[:40]}” says no days.", "by", f"There are: {', '.join(Days)}; or leave it out."
        ) from None


def given_prices() -> ReviewPrices:
    """Return what the form says.

    Raises:
        BadPrice: a field holds no number that can be.
    """
    usual = ReviewPrices()
    capacity = _number("capacity", None)
    return ReviewPrices(
        review=_number("review", usual.review) or 0.0,
        stopped=_number("stopped", usual.stopped) or 0.0,
        lost=(_number("lost", 100 * usual.lost, 100.0) or 0.0) / 100,
        fee=_number("fee", usual.fee) or 0.0,
        capacity=capacity,
    )


def _number(name: str, usual: float | None, most: float = MOST) -> float | None:
    given = request.args.get(name, "").strip()
    if not given:
        return usual
    try:
        value = float(given) if given.isascii() and "_" not in given else math.nan
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise BadPrice(f"“{given[:40]}” is no number from 0 to {most:,.0f}.", name, "Write it as 12.5.")
    return value
