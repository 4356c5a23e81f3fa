"""The Dash app that draws the dashboard, made when somebody opens it for the first time.

It runs as an app of its own behind the page that checks who asks (:mod:`screening.web.pages.explore.dashboard`), and
reads only through the :class:`BoardReader` that comes with each request. Importing it takes half a second, and some
25 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from dash import Dash, dcc, html
from dash.dependencies import ClientsideFunction, Input, Output
from flask import request
from werkzeug.datastructures import MultiDict

from screening.errors import ScreeningError
from screening.explore.board import board
from screening.ledger.filters import TrendInterval
from screening.web.http.ledger_filters import DASHBOARD, filter_of, value_of
from screening.web.views.dashboard.links import RowLinks
from screening.web.views.dashboard.panels import TITLES, Figures, Panel, panels, summary

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

PREFIX = "/dashboard/"
READER = "screening.dashboard_reader"
"""In the environ: what the answer to this request is made of."""
SEARCH = "screening.dashboard_search"
"""In the environ of a request for the layout: the query string of the page, with its question mark."""
BETWEEN = "\n<!---->\n"
CONFIG = {
    "displayModeBar": False,
    "responsive": True,
    "showTips": False,
    "scrollZoom": False,
    "doubleClick": False,
}
WIDE = frozenset({"trends", "geography"})


@dataclass(frozen=True, slots=True)
class BoardReader:
    """Reads for one request.

    Args:
        questions: of the ledger.
        owner: whose rows the account may see; ``None`` for everybody's.
        rows_page: the path of the list of transactions.
        topojson: the path of the folder with the map.
        blocks: of which detector which second threshold held, since when.
    """

    questions: Questions
    owner: str | None
    rows_page: str
    topojson: str
    blocks: Sequence[tuple[str, datetime, float | None]] = ()

    def read(self, search: str) -> tuple[list[Figures], list[Panel]]:
        """Return the figures and the panels of an address.

        Args:
            search: its query string.

        Raises:
            BadQuery: a filter can't be used.
            TooMuch: the ledger didn't answer in time.
        """
        # a form sends its blank fields, too
        given = MultiDict(
            (name, value)
            for name, value in parse_qsl(search.removeprefix("?"), keep_blank_values=True)
            if value
        )
        chosen = filter_of(given, DASHBOARD, self.owner)
        interval = value_of(given, "interval", DASHBOARD["interval"]) or TrendInterval.DAY
        links = RowLinks(
            self.rows_page, {name: value for name, value in given.items() if name != "interval"}, chosen
        )
        found = board(self.questions, chosen, interval, self.blocks)
        return summary(found, links), panels(found, interval, links)


class Mounted(Dash):  # type: ignore[misc]
    """Dash whose index is asked for its parts: the page around them is a template of ours."""

    def interpolate_index(self, **parts: str) -> str:
        """Return the parts that the page takes, and those that Dash looks for in what it gets."""
        return BETWEEN.join(parts[name] for name in ("app_entry", "scripts", "config", "renderer"))


@cache
def dash_app() -> Mounted:
    """Return the app of this process."""
    app = Mounted(
        "screening_dashboard",
        requests_pathname_prefix=PREFIX,
        routes_pathname_prefix=PREFIX,
        include_assets_files=False,
        add_log_handler=False,
        update_title=None,
        # a chart isn't there before it is seen
        suppress_callback_exceptions=True,
    )
    # the app around it answers all errors, and logs them
    app.server.config["PROPAGATE_EXCEPTIONS"] = True
    app.layout = layout
    outputs = [Output("status", "children"), Output("summary", "children"), Output("board", "data")]
    outputs += [Output(f"{name}-notes", "children") for name in TITLES]
    # the layout has the first figures: asked for again, they would come a second later
    app.callback(*outputs, Input("address", "search"), prevent_initial_call=True)(fill)
    app.clientside_callback(
        ClientsideFunction("dashboard", "show"), Input("board", "data"), Input("theme", "data")
    )
    for name in TITLES:
        app.clientside_callback(
            ClientsideFunction("dashboard", "follow"),
            Input(f"{name}-graph", "clickData"),
            prevent_initial_call=True,
        )
    # Dash gives only scripts that it has named. Of two processes one may make the page, and the other be asked for its
    # scripts first.
    with app.server.test_request_context(PREFIX):
        app.index()
    lazy_script(app)
    return app


def lazy_script(app: Mounted) -> str:
    """Return the address of the script that Dash fetches when it meets a chart."""
    wanted = [{"relative_package_path": "dcc/async-graph.js", "namespace": "dash"}]
    found = app._collect_and_register_resources(wanted)  # noqa: SLF001 -- only Dash knows its addresses
    return str(next(iter(found)))


def layout() -> Any:
    """Return the page that Dash makes, with the figures of the address that asks: one way to the server, not two."""
    environ = request.environ if request else {}
    reader: BoardReader | None = environ.get(READER)
    search: str = environ.get(SEARCH, "")
    status, figures, board_data, *notes = (
        [[], [], None, *([] for _ in TITLES)] if reader is None else fill(search)
    )
    return html.Div(
        [
            dcc.Location(id="address", refresh=False, search=search),
            dcc.Store(id="theme"),
            dcc.Store(id="board", data=board_data),
            html.Div(status, id="status", role="status"),
            html.Dl(figures, id="summary", className="kpis board-summary"),
            html.Div(
                [panel_of(*titled, said) for titled, said in zip(TITLES.items(), notes, strict=True)],
                className="board",
            ),
        ]
    )


def panel_of(name: str, title: str, notes: Any) -> Any:
    """Return the elements of a panel: its chart, its notes and its table."""
    return html.Section(
        [
            html.H2(title, id=f"{name}-title"),
            html.Div(
                id=f"{name}-box",
                className="board-box board-waits",
                role="img",
                **{"aria-label": f"{title}: a chart; the table has its figures."},
            ),
            html.Div(notes, id=f"{name}-notes", className="board-notes"),
            html.Details(
                [html.Summary("Table"), html.Div(id=f"{name}-table")], className="more", id=f"{name}-details"
            ),
        ],
        className=f"panel board-panel board-{name}{' board-wide' if name in WIDE else ''}",
        **{"aria-labelledby": f"{name}-title"},
    )


def fill(search: str | None) -> list[Any]:
    """Answer with the status, the summary, each panel's figure and table, and each panel's notes."""
    reader: BoardReader = request.environ[READER]
    try:
        figures, found = reader.read(search or "")
    except ScreeningError as problem:  # no figure of other filters stays beside what it says
        return [_problem(problem), [], None, *([] for _ in TITLES)]
    config = {**CONFIG, "topojsonURL": reader.topojson}
    board_data = {panel.name: {"graph": graph_of(panel, config), **table_of(panel)} for panel in found}
    return [
        [],
        summary_of(figures),
        board_data,
        *([html.P(note, className="small soft") for note in panel.notes] for panel in found),
    ]


def _problem(problem: ScreeningError) -> Any:
    said = problem.as_dict()
    words = [html.H2(said["title"]), html.P(said["what"])]
    if said["remedy"]:
        words.append(html.P(said["remedy"]))
    return html.Div(words, className="notice notice-error")


def summary_of(figures: Iterable[Figures]) -> list[Any]:
    """Return the elements of the figures above the panels."""
    return [
        html.Div(
            [
                html.Dt(each.word),
                html.Dd(
                    html.A(each.value, href=each.href) if each.href else each.value, className="kpi-value"
                ),
                *(html.Dd(line, className="kpi-text") for line in each.more),
                html.Dd(html.Span(each.foot), className="kpi-foot"),
            ],
            className="kpi is-risk" if each.fraud else "kpi",
        )
        for each in figures
    ]


def graph_of(panel: Panel, config: Mapping[str, Any]) -> Any:
    """Return the chart of a panel, which the page puts into its box when that comes into view."""
    if panel.figure is None:
        return None
    return dcc.Graph(
        id=f"{panel.name}-graph",
        figure=panel.figure,
        config=dict(config),
        responsive=True,
        className="board-graph",
    )


def table_of(panel: Panel) -> dict[str, Any]:
    """Return the figures of a panel's table: its head, and rows of cells, each a text or a text and its link.

    The page makes the table when somebody opens it. As elements of Dash's, eight tables that nobody has opened took as
    long as the charts.
    """
    return {
        "head": list(panel.head),
        "rows": [[[cell.text, cell.href] if cell.href else cell.text for cell in row] for row in panel.rows],
    }
