"""The dashboard: a page of ours, in which Dash draws. Dash's own addresses lie below it, behind the same log-in.

Nothing of Dash is imported before somebody who may open the page is there: it would cost each web process 25 MB, and
half a second at its start. Then it is imported beside the requests, so that the first to open the page needn't wait.
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

from flask import Blueprint, Response, current_app, render_template, request, url_for
from werkzeug.test import run_wsgi_app

from screening.errors import NotFound, ScreeningError
from screening.explore.who import who_of
from screening.intake import header_of
from screening.ledger.filters import TrendInterval, Unanswered
from screening.uploads.results import RowFilter as OutcomeFilter
from screening.uploads.results import ScreeningOutcome
from screening.uploads.screenings import CHECKED, DONE, Screening
from screening.uploads.upload_folder import UploadFolder
from screening.web.http import headers, static_files
from screening.web.http.ledger_filters import COMMON
from screening.web.http.sessions import may, require, user
from screening.web.http.static_files import FOR_EVER
from screening.web.services import services
from screening.web.views.contexts import RowView
from screening.web.views.files.rows import rows_of
from screening.web.views.visibility import owner_seen

if TYPE_CHECKING:
    from screening.web.views.dashboard.app import Mounted

blueprint = Blueprint("dashboard", __name__, url_prefix="/dashboard")
# Plotly and Dash set styles on elements, so those must be allowed. Scripts come from files only, as
# everywhere.
POLICY = headers.POLICY.replace(
    "default-src 'self';", "default-src 'self'; style-src 'self' 'unsafe-inline';"
)
FRAUD_TYPES = ("Unauthorized transactions", "Identity theft", "Malicious behaviour")
"""Types that every bank has; those of the ledger come after them."""
INTERVALS = (TrendInterval.DAY, TrendInterval.HOUR, TrendInterval.WEEK, TrendInterval.MONTH)
"""The usual one first."""
LATEST = 10
SCREENINGS = 20
MAP = "vendor/plotly.js-4.1.1/topojson/"
# Only the part of plotly.js that draws bars and maps (requirements/plotly): 1.4 MB to parse instead of 4.8.
PLOTLY = "vendor/plotly.js-4.1.1/plotly-board.min.js"
SCRIPT = re.compile(r'<script src="(/dashboard/_dash-component-suites/[^"]+)"></script>')
# Dash always names this script, for a table that isn't used here.
UNUSED = "/dash_table/"
VERSIONED = re.compile(r"\.v\d[\w-]*m\d+\.")
# More than Dash has. Without a bound, made-up version numbers would fill the memory.
MOST_PACKED = 32
_packed: dict[str, bytes] = {}
_making = threading.Lock()


begun = threading.Event()
"""Whether this process has begun to make the dashboard ready."""
# Seconds after the first page of a logged-in user, whose own files go first.
READY_SECONDS = 1.0


class BadQuestion(ScreeningError):
    """A request to Dash's address that isn't Dash's."""

    status = 400
    title = "This can't be answered"


@blueprint.get("/")
@require("see")
def index() -> Response:
    """Show the page; its figures come after it, by the filters in its address."""
    mine = services()
    app = mounted_app()
    # the start of a web process does without pyarrow, too
    from screening.explore.board import (
        Choices,
        choices,
    )
    from screening.web.views.dashboard.app import BETWEEN, lazy_script

    parts = ask_dash("GET", "/dashboard/").get_data(as_text=True).split(BETWEEN)
    config = json.loads(re.sub(r"^<script[^>]*>|</script>$", "", parts[2].strip()))
    for name in ("python_version", "dash_version_url"):  # of use to nobody here
        config.pop(name, None)
    plotly = url_for("static", filename=PLOTLY)
    scripts = [*(path for path in SCRIPT.findall(parts[1]) if UNUSED not in path), lazy_script(app)]
    config |= {"serve_locally": False, "plotlyjs_url": plotly}  # not Dash's own, of 4.8 MB
    given = {name: value for name, value in request.args.items() if value}
    trouble: Unanswered | None = None
    found = Choices((), (), ())
    try:
        found = choices(mine.ledger.questions, owner_seen())
    except Unanswered as problem:
        trouble = problem
    latest = _latest()
    who, flagged = result_table(latest)
    page = render_template(
        "dashboard.html",
        config=config,
        scripts=scripts,
        plotly=plotly,
        search=f"?{request.query_string.decode('ascii', 'replace')}" if request.query_string else "",
        trouble=trouble,
        fraud_types=select_options(
            [*FRAUD_TYPES, *(each for each in found.fraud_types if each not in FRAUD_TYPES)]
        ),
        detectors=select_options(found.detectors),
        countries=select_options(found.countries),
        intervals=[(each.value, each.value.capitalize()) for each in INTERVALS],
        given=given,
        # those alone that the list of rows knows, too
        given_rows={name: given[name] for name in COMMON if name in given},
        everybody=owner_seen() is None,
        latest=latest,
        who=who,
        latest_rows=flagged,
        max_upload_mb=mine.settings.max_upload // 2**20,
    )
    response = Response(page)
    response.headers["Content-Security-Policy"] = POLICY
    return response


@blueprint.after_app_request
def begin(response: Response) -> Response:
    """Make the dashboard ready in a thread of its own after the first page of somebody who may open it."""
    app = current_app
    if not begun.is_set() and not app.testing and response.mimetype == "text/html" and may("see"):
        begun.set()
        timer = threading.Timer(READY_SECONDS, make_ready, [str(app.static_folder)])
        timer.daemon = True
        timer.start()
    return response


def make_ready(static_folder: str) -> None:
    """Import Dash, find its scripts, and compress the large files of the page.

    Args:
        static_folder: where the app's static files are.
    """
    import duckdb  # noqa: F401 -- what reads the ledger is as slow to import

    import screening.explore.board  # noqa: F401

    mounted_app()
    for name in (PLOTLY, f"{MAP}world_110m.json"):
        static_files.compress(static_folder, name)


@blueprint.get("/_dash-layout")
@require("see")
def layout() -> Response:
    """Give Dash the parts of the page that it makes, with the figures of the page's address."""
    return ask_dash("GET", request.path, search=request.args.get("search", ""))


@blueprint.get("/_dash-dependencies")
@require("see")
def dependencies() -> Response:
    """Give Dash what depends on what."""
    return ask_dash("GET", request.path)


@blueprint.post("/_dash-update-component")
@require("see")
def update() -> Response:
    """Give Dash the figures of an address."""
    asked = request.get_json(silent=True)
    if not is_question(asked):
        raise BadQuestion("This isn't what the dashboard asks.", remedy="Open the page again.")
    return ask_dash("POST", request.path, request.get_data())


@blueprint.get("/_dash-component-suites/<package>/<path:name>")
@require("see")
def suites(package: str, name: str) -> Response:
    """Give a script of Dash or Plotly, compressed; its address carries its version."""
    if package not in ("dash", "plotly"):
        raise NotFound("There is no such script.")
    versioned = VERSIONED.search(name) is not None
    packed = _packed.get(request.path)
    if packed is None:
        mounted_app()
        from dash.exceptions import DependencyException

        try:
            plain = ask_dash("GET", request.path)
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


def mounted_app() -> Mounted:
    """Return the dashboard's app, made when it is first asked for."""
    # two that open it at once don't import it half each
    with _making:
        from screening.web.views.dashboard.app import dash_app

        return dash_app()


def is_question(asked: Any) -> bool:
    """Return whether a body has the form of Dash's only question: Dash answers any other with an error of its own."""
    if not isinstance(asked, dict) or str(asked.get("output")) not in mounted_app().callback_map:
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


def ask_dash(method: str, path: str, body: bytes = b"", search: str = "") -> Response:
    """Ask the Dash app, which knows neither sessions nor services: what it may read comes with the request."""
    app = mounted_app()
    from screening.web.views.dashboard.app import READER, SEARCH, BoardReader

    reader = BoardReader(
        services().ledger.questions,
        owner_seen(),
        url_for("explore.transactions"),
        url_for("static", filename=MAP),
        [(each.detector, each.since, each.block) for each in services().thresholds.blocks()],
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
        SEARCH: search,
    }
    return Response(*run_wsgi_app(app.server, environ, buffered=True))


def select_options(values: Sequence[str]) -> list[tuple[str, str]]:
    """Return values as options of a select."""
    return [(value, value) for value in values]


def _latest() -> Screening | None:
    """Return what became of the last file that was to be screened."""
    if not may("screen"):
        return None
    found = services().screenings.list_for(user().username, limit=SCREENINGS)
    return next((each for each in found if each.state != CHECKED), None)


def result_table(screening: Screening | None) -> tuple[list[tuple[str, str]], list[RowView]]:
    """Return the columns that say whom a row is about (what each is, its name), and the most probable flagged rows."""
    if screening is None or screening.state != DONE:
        return [], []
    found = ScreeningOutcome(
        UploadFolder.kept(services().settings.instance, screening.id), screening.threshold
    )
    # deleted from the disk: the list of screenings says so
    if not found.there:
        return [], []
    detector = next(
        (each for each in services().detectors.all() if each.fingerprint == screening.fingerprint), None
    )
    who = who_of(header_of(found.canonical), found.meta.get("columns", {}), detector)
    flagged = found.select(OutcomeFilter(sort="probability", descending=True, flagged=True))
    return who, rows_of(screening, found, flagged[:LATEST], [name for _, name in who])
