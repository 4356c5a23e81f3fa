"""Rows of which their file, a program and who decided on them don't say the same, as a page and as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, Response, render_template

from screening.intake.formulas import csv_text, safe
from screening.ledger import money
from screening.ledger.filters import Unanswered
from screening.review.disagreements import MOST_EXPORTED, SHOWN, Disagreements, disagreements
from screening.web.http.sessions import require
from screening.web.services import services
from screening.web.views.visibility import owner_seen

blueprint = Blueprint("disagreeing", __name__, url_prefix="/review")
HEADER = (
    "id", "detector", "fraud_probability", "flagged", "amount", "currency", "file", "chargeback", "decision", "counts",
    "case",
)  # fmt: skip
WORDS = {1: "fraud", 0: "legitimate", None: ""}


@blueprint.get("/disagreements")
@require("compare")
def index() -> str:
    """Show them, and how often each two sources disagree."""
    found: Disagreements | None = None
    trouble: Unanswered | None = None
    try:
        found = _found()
    except Unanswered as problem:
        trouble = problem
    return render_template(
        "review/disagreements.html",
        found=found,
        rows=[] if found is None else [(each, amount_of(each.row)) for each in found.rows],
        trouble=trouble,
    )


@blueprint.get("/disagreements.csv")
@require("compare")
def export() -> Response:
    """Give all of them as CSV."""
    response = Response(csv_text([HEADER, *export_lines(_found(MOST_EXPORTED))]), mimetype="text/csv")
    response.headers["Content-Disposition"] = "attachment; filename=disagreements.csv"
    return response


def _found(limit: int = SHOWN) -> Disagreements:
    mine = services()
    return disagreements(mine.ledger, mine.database, owner_seen(), limit)


def amount_of(row: Mapping[str, Any]) -> float | None:
    """Return the amount of a row in its currency's major unit; ``None`` for none."""
    return None if row["amount"] is None else money.major(row["amount"], row["currency"])


def export_lines(found: Disagreements) -> Iterator[list[Any]]:
    """Yield the lines of the export, in the order of its header."""
    for each in found.rows:
        row = each.row
        amount = amount_of(row)
        yield [
            each.id,
            safe(row["detector"]),
            row["probability"],
            str(row["flagged"]).lower(),
            "" if amount is None else amount,
            safe(row["currency"] or ""),
            *(WORDS[label] for label in (each.file, each.feed, each.decided, row["known"])),
            each.case or "",
        ]
