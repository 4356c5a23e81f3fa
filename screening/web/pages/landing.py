"""The pages that need no file: landing, sample, status, the detectors' cards."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, render_template, send_file
from flask_login import current_user

from screening.settings import ROOT
from screening.web.services import services
from screening.web.views.detector_access import at_work, is_shown, look_at, shown

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str:
    """What this is, and where to begin."""
    return render_template("landing.html", detectors=at_work())


@blueprint.get("/sample.csv")
def sample() -> Response:
    """The generated sample file."""
    return send_file(
        ROOT / "transactions_data.csv",
        mimetype="text/csv",
        as_attachment=True,
        download_name="transactions_data.csv",
    )


@blueprint.get("/status")
def status() -> str:
    """The detectors at work, and whether anything is wrong with them."""
    return render_template("status.html", detectors=shown(), settings=services().settings)


@blueprint.get("/detectors/<name>")
def detector(name: str) -> Any:
    """A detector's card: columns, figures, curves, training data, hashes."""
    if not current_user.is_authenticated and not is_shown(name):
        return current_app.login_manager.unauthorized()  # type: ignore[attr-defined]
    return render_template("detector.html", detector=look_at(name))
