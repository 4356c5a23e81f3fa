"""The Dash app that draws the dashboard, made when somebody opens it for the first time.

It runs as an app of its own behind the page that checks who asks (:mod:`screening.web.pages.explore.dashboard`), and
reads only through the :class:`Reader` that comes with each request. Importing it takes half a second, and some 25 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from dash import Dash, dcc, html
from dash.dependencies import ClientsideFunction, Input, Output
from flask import request
from werkzeug.datastructures import MultiDict

from screening.errors import ScreeningError
from screening.explore.board import board
from screening.ledger.filters import Interval
from screening.web.http.ledger_filters import DASHBOARD, filter_of, value_of
from screening.web.views.dashboard.links import Links
from screening.web.views.dashboard.panels import TITLES, Figures, Panel, panels, summary

if TYPE_CHECKING:
    from screening.ledger.questions import Questions

PREFIX = "/dashboard/"
READER = "screening.dashboard_reader"
"""In the environ: what the answer to this request is made of."""
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
class Reader:
    """Reads for one request.

    Args:
        questions: of the ledger.
        owner: whose rows the account may see; ``None`` for everybody's.
        rows_page: the path of the list of transactions.
        topojson: the path of the folder with the map.
    """

    questions: Questions
    owner: str | None
    rows_page: str
    topojson: str

    def read(self, search: str) -> tuple[list[Figures], list[Panel]]:
        """Return the figures and the panels of an address.

        Args:
            search: its query string.

        Raises:
            BadQuery: a filter can't be used.
            TooMuch: the ledger didn't answer in time.
        """
        given = MultiDict(
            (name, value)
            for name, value in parse_qsl(search.removeprefix("?"), keep_blank_values=True)
            if value
        )  # a form sends its blank fields, too
        chosen = filter_of(given, DASHBOARD, self.owner)
        interval = value_of(given, "interval", DASHBOARD["interval"]) or Interval.DAY
        links = Links(
            self.rows_page, {name: value for name, value in given.items() if name != "interval"}, chosen
        )
        found = board(self.questions, chosen, interval)
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
    )
    app.server.config["PROPAGATE_EXCEPTIONS"] = True  # the app around it answers all errors, and logs them
    app.layout = _layout
    outputs = [Output("status", "children"), Output("summary", "children")]
    for name in TITLES:
        outputs += [Output(f"{name}-{part}", prop) for part, prop in PARTS.items()]
    app.callback(*outputs, Input("address", "search"))(_fill)
    for name in TITLES:
        app.clientside_callback(
            ClientsideFunction("dashboard", "paint"),
            Output(f"{name}-graph", "figure"),
            Output(f"{name}-box", "className"),
            Input(f"{name}-data", "data"),
            Input("theme", "data"),
        )
        app.clientside_callback(
            ClientsideFunction("dashboard", "follow"),
            Output(f"{name}-clicked", "data"),
            Input(f"{name}-graph", "clickData"),
        )
    return app


def lazy_scripts() -> list[str]:
    """Return the addresses of the scripts that Dash fetches when it meets a chart."""
    app = dash_app()
    wanted = [
        {"relative_package_path": "dcc/async-graph.js", "namespace": "dash"},
        {"relative_package_path": "package_data/plotly.min.js", "namespace": "plotly"},
    ]
    return list(app._collect_and_register_resources(wanted))  # noqa: SLF001 -- only Dash knows its addresses


PARTS = {"data": "data", "notes": "children", "table": "children"}


def _layout() -> Any:
    reader: Reader | None = request.environ.get(READER) if request else None
    config = {**CONFIG, "topojsonURL": "" if reader is None else reader.topojson}
    return html.Div(
        [
            dcc.Location(id="address", refresh=False),
            dcc.Store(id="theme"),
            html.Div(id="status", role="status"),
            html.Dl(id="summary", className="kpis board-summary"),
            html.Div([_panel(name, title, config) for name, title in TITLES.items()], className="board"),
        ]
    )


def _panel(name: str, title: str, config: Mapping[str, Any]) -> Any:
    return html.Section(
        [
            html.H2(title, id=f"{name}-title"),
            dcc.Store(id=f"{name}-data"),
            dcc.Store(id=f"{name}-clicked"),
            html.Div(
                dcc.Graph(id=f"{name}-graph", config=dict(config), responsive=True, className="board-graph"),
                id=f"{name}-box",
                className="board-box board-waits",
                role="img",
                **{"aria-label": f"{title}: a chart; the table has its figures."},
            ),
            html.Div(id=f"{name}-notes", className="board-notes"),
            html.Details(
                [html.Summary("Table"), html.Div(id=f"{name}-table")], className="more", id=f"{name}-details"
            ),
        ],
        className=f"panel board-panel board-{name}{' board-wide' if name in WIDE else ''}",
        **{"aria-labelledby": f"{name}-title"},
    )


def _fill(search: str | None) -> list[Any]:
    """Answer with the status, the summary, and each panel's figure, notes and table."""
    reader: Reader = request.environ[READER]
    try:
        figures, found = reader.read(search or "")
    except ScreeningError as problem:  # no figure of other filters stays beside what it says
        nothing: list[Any] = [None, [], []]
        return [_problem(problem), [], *(part for _ in TITLES for part in nothing)]
    parts = [part for panel in found for part in (panel.figure, _notes(panel), _table(panel))]
    return [[], _summary(figures), *parts]


def _problem(problem: ScreeningError) -> Any:
    said = problem.as_dict()
    words = [html.H2(said["title"]), html.P(said["what"])]
    if said["remedy"]:
        words.append(html.P(said["remedy"]))
    return html.Div(words, className="notice notice-error")


def _summary(figures: Iterable[Figures]) -> list[Any]:
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


def _notes(panel: Panel) -> list[Any]:
    return [html.P(note, className="small soft") for note in panel.notes]


def _table(panel: Panel) -> Any:
    if not panel.rows:
        return html.P("Nothing to list.", className="small soft")
    kinds = ["", *("number" for _ in panel.head[1:])]
    head = [html.Th(word, scope="col", className=kind) for word, kind in zip(panel.head, kinds, strict=True)]
    body = []
    for first, *others in panel.rows:
        cells = [
            html.Td(html.A(cell.text, href=cell.href) if cell.href else cell.text, className="number")
            for cell in others
        ]
        body.append(html.Tr([html.Th(first.text, scope="row"), *cells]))
    return html.Div(
        html.Table([html.Thead(html.Tr(head)), html.Tbody(body)], className="plain"),
        className="scroll",
        role="region",
        tabIndex=0,
        **{"aria-label": f"{TITLES[panel.name]}: table"},
    )
