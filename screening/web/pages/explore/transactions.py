"""The list of transactions: what a mark of the dashboard stands for, row by row, by the filters in its address."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from screening.explore.counts import MONEY, total
from screening.ledger.filters import amounts
from screening.web.http import ledger_cursor
from screening.web.http.ledger_filters import ROWS, filter_of, value_of
from screening.web.http.operations import Parameter
from screening.web.http.sessions import require
from screening.web.services import services
from screening.web.views.decisions import LedgerRow
from screening.web.views.visibility import owner_seen

blueprint = Blueprint("explore", __name__, url_prefix="/explore")
ON_PAGE = 50
QUERY = {**ROWS, "cursor": Parameter(kind=ledger_cursor.KIND, words="Where the page before ended.")}
WORDS = {
    "from": "From", "to": "Before", "detector": "Detector", "fraud_type": "Fraud type", "country": "Country",
    "source": "Came by", "basis": "Fraud cases are", "entity": "Who or what", "flagged": "Flagged", "label": "Known as",
    "min_probability": "Probability from", "max_probability": "Probability below", "min_amount": "Amount from",
    "max_amount": "Amount below", "currency": "Currency", "browser": "Browser", "screening": "Screening",
}  # fmt: skip


@blueprint.get("/transactions")
@require("see")
def transactions() -> str:
    """Show decisions, the latest first, a page at a time."""
    # a form sends its blank fields, too
    given: MultiDict[str, str] = MultiDict(
        (name, value) for name, value in request.args.items(multi=True) if value
    )
    chosen = filter_of(given, QUERY, owner_seen())
    questions = services().ledger.questions
    found = questions.rows(chosen, limit=ON_PAGE, before=value_of(given, "cursor", QUERY["cursor"]))
    summed = questions.summary(chosen)
    counts = total(summed.rows, ("transactions", "flagged", "fraud_cases"))
    filters: dict[str, Any] = {name: value for name, value in given.items() if name != "cursor"}
    chips = [(WORDS[name], value, _without(filters, name)) for name, value in filters.items()]
    following: dict[str, Any] = {}
    if len(found) == ON_PAGE:
        following = {**filters, "cursor": ledger_cursor.after(found[-1])}
    return render_template(
        "transactions.html",
        rows=[LedgerRow.of(row) for row in found],
        counts=counts,
        sums=amounts(summed.rows, MONEY),
        chips=chips,
        later="cursor" in given,
        first_page=url_for("explore.transactions", **filters),
        next_page=url_for("explore.transactions", **following) if following else None,
        everybody=owner_seen() is None,
    )


def _without(filters: dict[str, Any], name: str) -> str:
    return url_for("explore.transactions", **{each: filters[each] for each in filters if each != name})
