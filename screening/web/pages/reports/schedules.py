"""Reports that the worker makes each day, week or month, of everybody's decisions."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for

from screening.reports.schedules import ReportInterval, Schedules
from screening.web.http import request_audit
from screening.web.http.sessions import require, user
from screening.web.services import services

blueprint = Blueprint("schedules", __name__, url_prefix="/reports/scheduled")


@blueprint.get("")
@require("see_all")
def index() -> str:
    """List the schedules, and the reports that they had made."""
    seen = services().documents.seen_by(user().username, sees_all=True)
    settings = services().settings
    return render_template(
        "schedules.html",
        schedules=schedules().all(),
        documents=[each for each in seen if each.schedule],
        periods=list(ReportInterval),
        hour=settings.reports_hour,
        kept=settings.keep_reports_days,
    )


@blueprint.post("")
@require("decide")
def add() -> Any:
    """Have a report made from now on."""
    every, kind = request.form.get("every", ""), request.form.get("kind", "")
    made = schedules().add(every, kind, user().username)
    request_audit.record("report_schedule_added", schedule=made, every=every, kind=kind)
    flash("The first report comes when the present period is over.")
    return redirect(url_for("schedules.index"), HTTPStatus.SEE_OTHER)


@blueprint.post("/<schedule_id>/remove")
@require("decide")
def remove(schedule_id: str) -> Any:
    """Have no further report made."""
    gone = schedules().remove(schedule_id)
    request_audit.record("report_schedule_removed", schedule=schedule_id, every=gone.every, kind=gone.kind)
    flash("No further report is made. Those that were made stay for as long as reports are kept.")
    return redirect(url_for("schedules.index"), HTTPStatus.SEE_OTHER)


def schedules() -> Schedules:
    """Return the schedules of this instance."""
    return Schedules(services().database, services().settings.reports_hour)
