"""The dashboard: a page of ours, in which Dash draws. Dash's own addresses lie below it, behind the same log-in.

Nothing of Dash is imported before somebody opens the page: it would cost each web process 25 MB, and half a second at
its start.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import threading
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.test import run_wsgi_app

from screening.errors import NotFound, ScreeningError
from screening.ledger.filters import Filter, Interval, TooMuch
from screening.uploads.screenings import DONE, Screening
from screening.web.http import headers
from screening.web.http.sessions import may, require, user
from screening.web.http.static_files import FOR_EVER
from screening.web.services import services
from screening.web.views.decisions import LedgerRow
from screening.web.views.visibility import owner_seen

if TYPE_CHECKING:
    from screening.web.views.dashboard.app import Mounted

blueprint = Blueprint("dashboard", __name__, url_prefix="/dashboard")
POLICY = headers.POLICY.replace(
    "default-src 'self';", "default-src 'self'; style-src 'self' 'unsafe-inline';"
)
"""Plotly and Dash write styles into elements. Scripts come from files alone, here as everywhere."""
FRAUD_TYPES = ("Unauthorized transactions", "Identity theft", "Malicious behaviour")
"""What every bank has; those of the ledger come after them."""
INTERVALS = (Interval.DAY, Interval.HOUR, Interval.WEEK, Interval.MONTH)
"""The usual one first."""
LATEST = 10
SCREENINGS = 20
MAP = "vendor/plotly.js-4.1.1/topojson/"
SCRIPT = re.compile(r'<script src="(/dashboard/_dash-component-suites/[^"]+)"></script>')
UNUSED = "/dash_table/"
"""A script that Dash names always, for a table that isn't here."""
VERSIONED = re.compile(r"\.v\d[\w-]*m\d+\.")
MOST_PACKED = 32
"""More than Dash has: whoever makes up versions fills no memory."""
_packed: dict[str, bytes] = {}
_making = threading.Lock()


class BadQuestion(ScreeningError):
    """A request to Dash's address that isn't Dash's."""

    status = 400
    title = "This can't be answered"


@blueprint.get("/")
@require("see")
def index() -> Response:
    """Show the page; its figures come after it, by the filters in its address."""
    mine = services()
    _dash()
    from screening.explore.board import (  # the start of a web process does without pyarrow, too
        Choices,
        choices,
    )
    from screening.web.views.dashboard.app import BETWEEN, lazy_scripts

    parts = _inner("GET", "/dashboard/").get_data(as_text=True).split(BETWEEN)
    config = json.loads(re.sub(r"^<script[^>]*>|</script>$", "", parts[2].strip()))
    for name in ("python_version", "dash_version_url"):  # of use to nobody here
        config.pop(name, None)
    charts, plotly = lazy_scripts()
    scripts = [*(path for path in SCRIPT.findall(parts[1]) if UNUSED not in path), charts]
    config |= {"serve_locally": False, "plotlyjs_url": plotly}  # Dash's own address of it has no version
    given = {name: value for name, value in request.args.items() if value}
    trouble: TooMuch | None = None
    found = Choices((), (), ())
    try:
        found = choices(mine.ledger.questions, owner_seen())
    except TooMuch as problem:
        trouble = problem
    latest = _latest()
    page = render_template(
        "dashboard.html",
        config=config,
        scripts=scripts,
        plotly=plotly,
        trouble=trouble,
        fraud_types=_options(
            [*FRAUD_TYPES, *(each for each in found.fraud_types if each not in FRAUD_TYPES)]
        ),
        detectors=_options(found.detectors),
        countries=_options(found.countries),
        intervals=[(each.value, each.value.capitalize()) for each in INTERVALS],
        given=given,
        given_rows={name: value for name, value in given.items() if name != "interval"},
        everybody=owner_seen() is None,
        latest=latest,
        latest_rows=[] if latest is None else _flagged(latest),
        max_upload_mb=mine.settings.max_upload // 2**20,
    )
    response = Response(page)
    response.headers["Content-Security-Policy"] = POLICY
    return response


@blueprint.get("/_dash-layout")
@require("see")
def layout() -> Response:
    """Give Dash the parts of the page that it makes."""
    return _inner("GET", request.path)


@blueprint.get("/_dash-dependencies")
@require("see")
def dependencies() -> Response:
    """Give Dash what depends on what."""
    return _inner("GET", request.path)


@blueprint.post("/_dash-update-component")
@require("see")
def update() -> Response:
    """Give Dash the figures of an address."""
    asked = request.get_json(silent=True)
    if not _is_question(asked):
        raise BadQuestion("This isn't what the dashboard asks.", remedy="Open the page anew.")
    return _inner("POST", request.path, request.get_data())


@blueprint.get("/_dash-component-suites/<package>/<path:name>")
@require("see")
def suites(package: str, name: str) -> Response:
    """Give a script of Dash or Plotly, compressed; its address carries its version."""
    if package not in ("dash", "plotly"):
        raise NotFound("There is no such script.")
    versioned = VERSIONED.search(name) is not None
    packed = _packed.get(request.path)
    if packed is None:
        _dash()
        from dash.exceptions import DependencyException

        try:
            plain = _inner("GET", request.path)
        except DependencyException:  # no script that Dash has named
            raise NotFound("There is no such script.") from None
        if plain.status_code != HTTPStatus.OK or plain.mimetype not in (
            "text/javascript",
            "application/javascript",
        ):
            raise NotFound("There is no such script.")
        packed = gzip.compress(plain.get_data(), compresslevel=6, mtime=0)
        if versioned and len(_packed) < MOST_PACKED:
            _packed[request.path] = packed
    content = packed
    response = Response(content_type="text/javascript; charset=utf-8")
    response.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"] > 0:
        response.headers["Content-Encoding"] = "gzip"
    else:
        content = gzip.decompress(packed)
    response.set_data(content)
    response.headers["Cache-Control"] = FOR_EVER.replace("public", "private") if versioned else "no-store"
    return response


def _dash() -> Mounted:
    with _making:  # two that open it at once don't import it half each
        from screening.web.views.dashboard.app import dash_app

        return dash_app()


def _is_question(asked: Any) -> bool:
    """Whether a body has the form of Dash's only question: Dash answers any other with an error of its own."""
    if not isinstance(asked, dict) or str(asked.get("output")) not in _dash().callback_map:
        return False
    inputs, outputs = asked.get("inputs"), asked.get("outputs")
    return (
        isinstance(inputs, list)
        and len(inputs) == 1
        and isinstance(inputs[0], dict)
        and (inputs[0].get("id"), inputs[0].get("property")) == ("address", "search")
        and isinstance(inputs[0].get("value"), str | None)
        and isinstance(outputs, list)
        and [f"{one.get('id')}.{one.get('property')}" for one in outputs if isinstance(one, dict)]
        == asked["output"].strip(".").split("...")
        and isinstance(asked.get("changedPropIds", []), list)
    )


def _inner(method: str, path: str, body: bytes = b"") -> Response:
    """Ask the Dash app, which knows neither sessions nor services: what it may read comes with the request."""
    app = _dash()
    from screening.web.views.dashboard.app import READER, Reader

    reader = Reader(
        services().ledger.questions,
        owner_seen(),
        url_for("explore.transactions"),
        url_for("static", filename=MAP),
    )
    environ = {
        **{
            name: value
            for name, value in request.environ.items()
            if not name.startswith(("werkzeug.", "flask."))
        },
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        READER: reader,
    }
    return Response(*run_wsgi_app(app.server, environ, buffered=True))


def _options(values: Sequence[str]) -> list[tuple[str, str]]:
    return [(value, value) for value in values]


def _latest() -> Screening | None:
    if not may("screen"):
        return None
    found = services().history.of(user().username, limit=SCREENINGS)
    return next((each for each in found if each.state == DONE), None)


def _flagged(screening: Screening) -> list[LedgerRow]:
    """Return the flagged rows of a screening, the most probable first."""
    chosen = Filter(owner=user().username.casefold(), screening=screening.id, flagged=True)
    query = "SELECT * EXCLUDE (label), known AS label FROM chosen ORDER BY probability DESC, number "
    try:
        rows = services().ledger.questions.ask(f"{query} LIMIT {LATEST}", chosen).rows
    except TooMuch:
        return []
    return [LedgerRow.of(row) for row in rows]
