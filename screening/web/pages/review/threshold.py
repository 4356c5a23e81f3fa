"""Which threshold costs least: what things cost is asked, the rest is in the ledger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from flask import Blueprint, render_template, request

from screening.errors import ScreeningError
from screening.ledger.filters import Filter, TooMuch
from screening.review.threshold import Advice, Prices, advise
from screening.web.http.sessions import require
from screening.web.services import services
from screening.web.views import review as views
from screening.web.views.review_charts import cost_chart
from screening.web.views.visibility import owner_seen

blueprint = Blueprint("threshold", __name__, url_prefix="/review/threshold")
MOST = 1e9


class BadPrice(ScreeningError):
    """A price that can't be meant."""

    title = "This can't be calculated"


@blueprint.get("")
@require("decide")
def index() -> tuple[str, int]:
    """The curve of one detector, by what is given in the address."""
    mine = services()
    detectors = mine.detectors.names()
    chosen = request.args.get("detector") or mine.detectors.default.name
    found: list[Advice] = []
    problem: ScreeningError | None = None
    prices = Prices()
    days = mine.settings.review_days
    try:
        prices = _prices()
        _require_known(chosen, detectors)
        since = views.now() - timedelta(days=days)
        found = advise(
            mine.ledger.questions, Filter(owner=owner_seen(), detector=chosen, decided_from=since), prices
        )
    except (TooMuch, BadPrice) as refused:
        problem = refused
    text = render_template(
        "review/threshold.html",
        detectors=detectors,
        chosen=chosen,
        prices=prices,
        given=request.args,
        advice=[(each, cost_chart(each, mine.settings.threshold)) for each in found],
        now=mine.settings.threshold,
        days=days,
        problem=None if problem is None else problem.as_dict(),
    )
    return text, 200 if problem is None else problem.status


def _require_known(chosen: str, detectors: Sequence[str]) -> None:
    if chosen not in detectors:
        raise BadPrice("There is no such detector.", "detector", f"There are: {', '.join(detectors)}.")


def _prices() -> Prices:
    """Return what the form says.

    Raises:
        BadPrice: a field holds no number that can be.
    """
    usual = Prices()
    capacity = _number("capacity", None)
    return Prices(
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
