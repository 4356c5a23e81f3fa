"""The list of transactions: what a mark of the dashboard stands for, row by row, by the filters in its address."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from screening.explore.counts import MONEY, total
from screening.explore.listing import ORDERS, ListOrder, page_of
from screening.ledger.filters import amounts
from screening.web.http.ledger_filters import ROWS, filter_of, one_of, value_of, whole
from screening.web.http.operations import Parameter
from screening.web.http.sessions import require
from screening.web.services import services
from screening.web.views.contexts import turns
from screening.web.views.decisions import LedgerRow
from screening.web.views.visibility import owner_seen

blueprint = Blueprint("explore", __name__, url_prefix="/explore")
ON_PAGE = 50
SHOWN: dict[str, Parameter] = {
    "sort": Parameter(kind=one_of({name: name for name in ORDERS}), words="What rows are sorted by."),
    "order": Parameter(kind=one_of({"asc": False, "desc": True}), words="Which way."),
    "page": Parameter(kind=whole(1, 100_000_000, 1), words="From 1."),
}
QUERY = {**ROWS, **SHOWN}
WORDS = {
    "from": "From", "to": "Before", "detector": "Detector", "fraud_type": "Fraud type", "country": "Country",
    "source": "Came by", "basis": "Fraud cases are", "entity": "Who or what", "flagged": "Flagged", "label": "Known as",
    "min_probability": "Probability from", "max_probability": "Probability below", "min_amount": "Amount from",
    "max_amount": "Amount below", "currency": "Currency", "browser": "Browser", "screening": "Screening",
}  # fmt: skip


@blueprint.get("/transactions")
@require("see")
def transactions() -> str:
    """Show transactions in the order of the address, a page at a time."""
    # a form sends its blank fields, too
    given: MultiDict[str, str] = MultiDict(
        (name, value) for name, value in request.args.items(multi=True) if value
    )
    chosen = filter_of(given, QUERY, owner_seen())
    by, way, page = (value_of(given, name, parameter) for name, parameter in SHOWN.items())
    order = ListOrder(by or "time", True if way is None else way)
    questions = services().ledger.questions
    summed = questions.summary(chosen)
    counts = total(summed.rows, ("transactions", "flagged", "fraud_cases"))
    pages = max(-(-counts["transactions"] // ON_PAGE), 1)
    page = min(page or 1, pages)
    found = page_of(questions, chosen, order, size=ON_PAGE, page=page)
    filters: dict[str, Any] = {name: value for name, value in given.items() if name not in SHOWN}
    sorted_so: dict[str, Any] = {name: given[name] for name in ("sort", "order") if name in given}
    return render_template(
        "transactions.html",
        rows=[LedgerRow.of(row) for row in found],
        counts=counts,
        sums=amounts(summed.rows, MONEY),
        chips=[
            (WORDS[name], value, address_without({**filters, **sorted_so}, name))
            for name, value in filters.items()
        ],
        order=order,
        headings={name: _heading(filters, order, name) for name in ORDERS},
        first=(page - 1) * ON_PAGE + 1,
        page=page,
        pages=pages,
        pager=[
            (word, target and url_for("explore.transactions", **filters, **sorted_so, page=target))
            for word, target in turns(page, pages)
        ],
        everybody=owner_seen() is None,
    )


def _heading(filters: dict[str, Any], order: ListOrder, by: str) -> tuple[str, str]:
    """Return where the heading of a column leads, and its ``aria-sort``: the other way round if it is sorted so."""
    here = by == order.by
    way = "asc" if here and order.descending else "desc"
    said = "none" if not here else "descending" if order.descending else "ascending"
    return url_for("explore.transactions", **filters, sort=by, order=way), said


def address_without(filters: dict[str, Any], name: str) -> str:
    """Return the address of the page without one of its filters."""
    return url_for("explore.transactions", **{each: filters[each] for each in filters if each != name})
