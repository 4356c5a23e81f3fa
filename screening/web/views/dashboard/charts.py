"""Charts as Plotly takes them: plain dictionaries, in which a colour is a name of static/css/tokens.css.

The page puts the values of the names in, so that a chart is light or dark as the page is (static/js/dashboard.js).
Transactions are grey, fraud cases in the colour of risk, in two rows or columns of one axis: fraud is rare, and on one
scale with everything else it wouldn't be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from screening.web.views.formatting import shortened

Figure = dict[str, Any]
GREY, RISK, RISK_SOFT, LAND = "--quiet-bar", "--risk", "--risk-soft", "--sunken"
INK, SOFT, LINE, SURFACE = "--ink", "--ink-soft", "--line", "--surface"
NONE = "rgba(0,0,0,0)"
FONT = "IBM Plex Sans, system-ui, sans-serif"
LONGEST_LABEL = 22
FEWEST_ROWS = 8


@dataclass(frozen=True, slots=True)
class ChartMark:
    """One thing that is drawn twice, for its transactions and for its fraud cases. ``at`` is its place on the axis."""

    at: str
    transactions: int
    fraud_cases: int
    says: str
    """Text when it is pointed at."""
    rows: str | None
    """The address of its transactions."""
    fraud_rows: str | None
    """The address of its fraud cases."""


def plain(text: str) -> str:
    """Return a text so that Plotly shows it as it is: it reads tags in texts, and these come from files."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def columns(marks: Sequence[ChartMark], *, dates: bool = False) -> Figure:
    """Return marks from left to right: transactions above, fraud cases below."""
    axis = {**axis_style(), "anchor": "y2", "showgrid": False, "type": "date" if dates else "category"}
    return _figure(
        [
            _bars(marks, "transactions", GREY, {"x": [mark.at for mark in marks], "yaxis": "y"}),
            _bars(marks, "fraud_cases", RISK, {"x": [mark.at for mark in marks], "yaxis": "y2"}),
        ],
        {
            "xaxis": axis,
            "yaxis": {**count_axis(marks, "transactions"), "domain": [0.54, 0.94]},
            "yaxis2": {**count_axis(marks, "fraud_cases"), "domain": [0, 0.4]},
            "annotations": [title_at("Transactions", 0, 1), title_at("Fraud cases", 0, 0.47)],
            "margin": {"l": 52, "r": 12, "t": 8, "b": 40},
            "bargap": 0.15,
        },
    )


def bars(marks: Sequence[ChartMark]) -> Figure:
    """Return marks from above to below: transactions on the left, fraud cases on the right."""
    places = list(range(len(marks)))
    names = [plain(shortened(mark.at, LONGEST_LABEL)) for mark in marks]
    return _figure(
        [
            _bars(marks, "transactions", GREY, {"y": places, "xaxis": "x", "orientation": "h"}),
            _bars(marks, "fraud_cases", RISK, {"y": places, "xaxis": "x2", "orientation": "h"}),
        ],
        {
            "xaxis": {**count_axis(marks, "transactions"), "domain": [0, 0.46], "nticks": 4},
            "xaxis2": {**count_axis(marks, "fraud_cases"), "domain": [0.54, 1], "anchor": "y", "nticks": 4},
            "yaxis": {
                **axis_style(),
                "showgrid": False,
                # downwards; a few bars aren't fat
                "range": [max(len(marks), FEWEST_ROWS) - 0.5, -0.5],
                "tickvals": places,
                "ticktext": names,
                "automargin": True,
            },
            "annotations": [
                title_at("Transactions", 0, 1.0, above=True),
                title_at("Fraud cases", 0.54, 1.0, above=True),
            ],
            "margin": {"l": 8, "r": 16, "t": 24, "b": 24},
            "bargap": 0.25,
        },
    )  # fmt: skip


def world(marks: Sequence[ChartMark]) -> Figure:
    """Return a map; ``at`` is the country's code of three letters."""
    most = max((mark.fraud_cases for mark in marks), default=0)
    trace = {
        "type": "choropleth",
        "locationmode": "ISO-3",
        "locations": [mark.at for mark in marks],
        "z": [mark.fraud_cases for mark in marks],
        "zmin": 0,
        "zmax": max(most, 1),
        "colorscale": [[0, GREY], [0.0001, RISK_SOFT], [1, RISK]],
        "marker": {"line": {"color": SURFACE, "width": 0.5}},
        "hovertext": [plain(mark.says) for mark in marks],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "customdata": [mark.rows for mark in marks],
        "showscale": most > 0,
        "colorbar": {
            "thickness": 8,
            "len": 0.6,
            "title": {"text": "Fraud cases", "side": "right"},
            "tickformat": ",d",
            "nticks": 4,
            "outlinewidth": 0,
        },
    }
    geo = {
        "bgcolor": NONE,
        "showframe": False,
        "showcoastlines": False,
        "showland": True,
        "landcolor": LAND,
        "showcountries": True,
        "countrycolor": SURFACE,
        "showlakes": False,
        "projection": {"type": "natural earth"},
        "lataxis": {"range": [-58, 85]},
    }
    return _figure([trace], {"geo": geo, "margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "dragmode": False})


def _figure(data: list[dict[str, Any]], layout: dict[str, Any]) -> Figure:
    common = {
        "paper_bgcolor": NONE,
        "plot_bgcolor": NONE,
        "font": {"family": FONT, "size": 12, "color": SOFT},
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": SURFACE, "bordercolor": LINE, "font": {"family": FONT, "size": 12, "color": INK}},
        "autosize": True,
        "dragmode": False,
    }  # fmt: skip
    return {"data": data, "layout": {**common, **layout}}


def _bars(marks: Sequence[ChartMark], field: str, colour: str, place: dict[str, Any]) -> dict[str, Any]:
    across = "x" if place.get("orientation") == "h" else "y"
    return {
        "type": "bar",
        **place,
        across: [getattr(mark, field) for mark in marks],
        "marker": {"color": colour},
        "hovertext": [plain(mark.says) for mark in marks],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "customdata": [mark.rows if field == "transactions" else mark.fraud_rows for mark in marks],
    }


def axis_style() -> dict[str, Any]:
    """Return the style that all axes have in common."""
    return {
        "color": SOFT,
        "gridcolor": LINE,
        "linecolor": LINE,
        "zerolinecolor": LINE,
        "fixedrange": True,
        "tickfont": {"size": 12},
    }


def count_axis(marks: Sequence[ChartMark], field: str) -> dict[str, Any]:
    """Return an axis of whole numbers, from nought."""
    most = max((getattr(mark, field) for mark in marks), default=0)
    few = {"dtick": 1} if most < 4 else {"nticks": 4}
    form = ",d" if most < 10_000 else ".3~s"
    return {
        **axis_style(),
        "rangemode": "tozero",
        "range": [0, max(most, 1) * 1.05],
        "tickformat": form,
        **few,
    }


def title_at(text: str, x: float, y: float, *, above: bool = False) -> dict[str, Any]:
    """Return the title of a column of the figure."""
    return {
        "text": text, "x": x, "y": y, "xref": "paper", "yref": "paper", "xanchor": "left",
        "yanchor": "bottom" if above else "middle", "showarrow": False, "font": {"size": 12, "color": SOFT},
    }  # fmt: skip
