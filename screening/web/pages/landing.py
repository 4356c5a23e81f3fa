"""The pages that need no file: landing or home, sample, status, the detectors' cards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from flask import Blueprint, Response, current_app, render_template, send_file
from flask_login import current_user

from screening.explore.overview import DAYS, overview
from screening.ledger.filters import Unanswered
from screening.monitoring.alerts import going_on
from screening.review.listing import CaseFilter, by_day, standing
from screening.settings import ROOT
from screening.web.http.sessions import may, user
from screening.web.services import services
from screening.web.views import review
from screening.web.views.detectors.access import at_work, doubt_of, is_shown, look_at, shown
from screening.web.views.home import Kpi, kpis
from screening.web.views.monitoring import AlertView
from screening.web.views.visibility import owner_seen

blueprint = Blueprint("pages", __name__)
QUEUE = 5
"""Number of cases that it shows."""
LATEST = 6
"""Number of screenings that the home page shows."""


@blueprint.get("/")
def index() -> str:
    """Show the start page. Signed out: what this is, and where to begin. Signed in: what happened here lately, and what
    is to be done.
    """
    if not may("see"):
        return render_template("landing.html", detectors=[one for one in at_work() if not doubt_of(one)])
    mine = services()
    figures: list[Kpi] = []
    trouble: Unanswered | None = None
    now, who = datetime.now(UTC), review.reviewer()
    first = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2 * DAYS - 1)
    work = by_day(mine.database, who, first=first, days=2 * DAYS)
    try:
        blocks = [(each.detector, each.since, each.block) for each in mine.thresholds.blocks()]
        figures = kpis(overview(mine.ledger.questions, owner_seen(), now, blocks), work)
    except Unanswered as problem:  # the rest of the page is of use all the same
        trouble = problem
    return render_template(
        "home.html",
        kpis=figures,
        trouble=trouble,
        everybody=owner_seen() is None,
        days=DAYS,
        screenings=mine.screenings.list_for(user().username, limit=LATEST),
        cases=review.listings().page(CaseFilter(), who, 1, now).cases[:QUEUE],
        standing=standing(
            mine.database,
            who,
            since=first,
            late_before=now - timedelta(hours=mine.settings.review_sla_hours),
        ),
        in_hand=review.listings().page(CaseFilter(state="in_work", mine=True), who, 1, now).cases[:QUEUE],
        view_of=partial(review.CaseView.of, now=now),
        alerts=[AlertView.of(alert) for alert in going_on(mine.database)] if may("monitor") else [],
    )


@blueprint.get("/sample.csv")
def sample() -> Response:
    """Send the generated sample file."""
    return send_file(
        ROOT / "transactions_data.csv",
        mimetype="text/csv",
        as_attachment=True,
        download_name="transactions_data.csv",
    )


@blueprint.get("/status")
def status() -> str:
    """Show the detectors at work, and whether anything is wrong with them."""
    return render_template("status.html", detectors=shown(), settings=services().settings)


@blueprint.get("/detectors/<name>")
def detector(name: str) -> Any:
    """Show a detector's card: columns, figures, curves, training data, hashes."""
    if not current_user.is_authenticated and not is_shown(name):
        return current_app.login_manager.unauthorized()  # type: ignore[attr-defined]
    return render_template("detector.html", detector=look_at(name))
