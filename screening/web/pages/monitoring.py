"""The page of monitoring: drift, precision and recall, requests, feeds, streams, and the alerts that go on."""

from __future__ import annotations

import time

from flask import Blueprint, render_template, request

from screening.monitoring import activity, findings, stream_lag
from screening.monitoring.alerts import going_on
from screening.setting_values import ALERTS
from screening.web.http.sessions import require
from screening.web.services import services
from screening.web.views import monitoring
from screening.web.views.charts import monitoring as monitoring_charts

blueprint = Blueprint("monitoring", __name__, url_prefix="/monitoring")


@blueprint.get("")
@require("monitor")
def index() -> str:
    """Show the state of detectors and server; which detector and window appear in the address."""
    mine, now = services(), time.time()
    known = findings.read(mine.database)
    names = [each.detector for each in known]
    wanted = request.args.get("detector", "")
    first = mine.detectors.default.name if mine.detectors.default.name in names else next(iter(names), "")
    chosen = next((each for each in known if each.detector == (wanted if wanted in names else first)), None)
    view = None
    if chosen is not None:
        view = monitoring.detector_view(
            chosen,
            days=_days(request.args.get("window", "")),
            by=request.args.get("by"),
            now=now,
            coverage=mine.settings.label_coverage,
            limit=mine.settings.alerts.get("drift", ALERTS["drift"]),
        )
    return render_template(
        "monitoring.html",
        names=names,
        unknown=wanted if wanted and wanted not in names else "",
        view=view,
        by=monitoring.BY,
        alerts=[monitoring.AlertView.of(alert) for alert in going_on(mine.database)],
        feeds=monitoring.feeds(activity.feeds(mine.database), now),
        streams=monitoring.streams(stream_lag.standing(mine.database), now),
        routes=monitoring.routes(mine.requests.collect()),
        plots=monitoring_charts,
        coverage=sorted(mine.settings.label_coverage),
    )


def _days(text: str) -> int | None:
    """Return the days of a window as ``7`` or ``7d``."""
    number = text.removesuffix("d")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 4 else None
