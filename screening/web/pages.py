"""The pages that need no file: landing, sample, status, the detectors' cards."""

from __future__ import annotations

from flask import Blueprint, Response, render_template, send_file

from screening.settings import ROOT
from screening.web.services import services

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str:
    """What this is, and where to begin."""
    return render_template("landing.html", detectors=services().detectors.all())


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
    return render_template("status.html", detectors=services().detectors.all(), settings=services().settings)


@blueprint.get("/detectors/<name>")
def detector(name: str) -> str:
    """A detector's card: columns, figures, curves, training data, hashes."""
    return render_template("detector.html", detector=services().detectors.get(name))
